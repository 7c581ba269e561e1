//! `run`: supervise one server on stdin and stdout.
//!
//! The only place where the engine and the doers meet. What is set up here is handed to the relay, which loops until
//! the engine says that it is done.

mod alarm;
mod beside;
mod clock;
mod injection;
mod input;
mod keeper;
mod log;
mod memory;
mod outbox;
mod panics;
mod print;
mod record;
mod relay;
mod running;
mod session;
mod starter;

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use self::alarm::Alarm;
use self::beside::Beside;
use self::clock::Clock;
use self::log::{Log, LogFile, LogLines, Noise};
use self::panics::Panics;
use self::record::Record;
use self::relay::{Relay, Setup};
use crate::child::{Guardian, Spec, script_line};
use crate::cli::{Level, LogFormat, Replay, Run};
use crate::command::name;
use crate::datadir::runtime_dirs;
use crate::engine::backoff::Limits;
use crate::engine::io::Now;
use crate::engine::ladder::Graces;
use crate::engine::{Config, Engine, Repeat};
use crate::lastgood::Key;
use crate::mask::Mask;
use crate::store::Place;
use crate::stream::{self, Sink, Source};

/// The least number of free descriptors: for the runtime, the signals, the time, our own stdio and a child.
const DESCRIPTORS: usize = 24;

/// Supervises until the host or the server is done with it. Gives the exit code.
///
/// # Errors
/// If stdin, stdout, stderr or the log file cannot be used, or the runtime cannot be made.
pub fn run(options: Run, guardian: Option<Guardian>) -> Result<i32> {
    let lines = LogLines::new(options.log_format);
    start_log(&options, &lines)?;
    spare_descriptors().context("failed to start: too few files may be open (ulimit -n)")?;
    let runtime = Alarm::runtime().context("failed to start")?;
    let panics = Panics::default();
    let relaying = || runtime.block_on(supervise(options, guardian, lines, &panics));
    let code = catch_unwind(AssertUnwindSafe(relaying));
    stream::restore_flags();
    // A read of a terminal may still occupy its thread: it is not waited for.
    runtime.shutdown_background();
    code.unwrap_or_else(|panic| panics.resume(panic))
}

/// Checks that enough descriptors are free to begin with: without them the runtime panics.
fn spare_descriptors() -> std::io::Result<()> {
    let opened: std::io::Result<Vec<File>> = (0..DESCRIPTORS).map(|_| File::open("/dev/null")).collect();
    opened.map(drop)
}

/// The options that were given, on the command line before the `server` words of the server's command and by variables, as one
/// text without secrets.
fn given(mask: &Mask, server: usize) -> String {
    let mut words: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    words.truncate(words.len().saturating_sub(server));
    words.pop_if(|last| last == "--");
    let settings = std::env::vars_os().filter(|(name, _)| crate::cli::is_setting(name));
    let mut settings: Vec<String> = settings
        .map(|(name, value)| format!("{}={}", name.to_string_lossy(), value.to_string_lossy()))
        .collect();
    settings.sort();
    words.extend(settings);
    mask.command(&words)
}

async fn supervise(
    options: Run,
    guardian: Option<Guardian>,
    lines: LogLines,
    panics: &Panics,
) -> Result<i32> {
    let clock = Clock::start();
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())));
    let mask = Mask::new(environment);
    let given_name = options.name.clone();
    let name = options.name.unwrap_or_else(|| name::name(&options.command));
    let name = mask.apply(&name).replace(char::is_control, " ");
    panics.mask_all(name.clone(), mask.clone());
    let argv: Vec<String> = options.command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    // Two supervisors of one server must not restart it, nor renew its token, in step.
    let seed = u64::from(process::id());
    let session = session::set_up(&options.session, &mask, seed)?;
    mask.learn_words(&argv);
    let command = mask.command(&argv);
    let place = (!options.no_store).then(|| Place { data_dir: options.data_dir.clone(), keep: options.keep });
    let given = given(&mask, argv.len());
    let sockets = runtime_dirs(options.runtime_dir.as_deref(), options.data_dir.as_deref());
    let record = Record::begin(Clock::wall(), &name, &command, given, session.is_some(), place, sockets);
    let config = Config {
        name: name.clone(),
        command,
        restarts: Limits {
            max_restarts: options.max_restarts,
            window: options.restart_window,
            initial: options.backoff_initial,
            max: options.backoff_max,
        },
        hold: options.hold,
        init_grace: options.init_grace,
        init_timeout: options.init_timeout,
        instant_start: options.instant_start,
        ping_interval: options.ping_interval,
        call_timeout: options.call_timeout,
        words: mask.words(&argv).into_iter().map(Cow::into_owned).collect(),
        script: script_line(&options.command),
        bare_command: options.command.first().is_some_and(|word| !word.as_bytes().contains(&b'/')),
        path: std::env::var_os("PATH"),
        repeat: match options.replay {
            Replay::Safe => Repeat::Safe,
            Replay::None => Repeat::Never,
        },
        graces: Graces { stop: options.stop_grace, term: options.term_grace },
        max_answer: options.max_answer,
        seed,
        mask: mask.clone(),
        session: session.as_ref().map(|session| session.engine.clone()),
    };
    let (env, acts, keeping, injection) = match session {
        Some(session) => (session.env, Some(session.acts), Some(session.keeping), session.injection),
        None => (options.session.hide_env.into_iter().map(|name| (name, None)).collect(), None, None, None),
    };
    if let Some(guardian) = &guardian {
        guardian.set_grace(options.term_grace);
    }
    let mut spec = Spec { argv: options.command, env };
    if let Some(injection) = &injection {
        injection.put(None, &mut spec);
    }
    let kept = (!options.no_store).then(|| {
        // Without one that can be read, servers of different folders share what they leave, and no more.
        let folder = std::env::current_dir().unwrap_or_default();
        (options.data_dir, Key::new(&spec.argv, &folder, given_name.as_deref()))
    });
    let setup = Setup {
        spec,
        guardian,
        max_line: options.max_line,
        acts,
        injection,
        shared: Arc::clone(&record.shared),
        log: Log::new(name.clone(), lines),
        noise: Noise::new(name, mask, options.log_format),
        stdin: Source::stdin().context("failed to use stdin")?,
        stdout: Sink::stdout().context("failed to use stdout")?,
        stderr: Sink::stderr().context("failed to use stderr")?,
    };
    let every_change = matches!(options.log, Level::Info | Level::Debug | Level::Trace);
    let engine = Engine::new(config, Now::default());
    let relay = Relay::new(engine, clock, setup).context("failed to listen for signals and the time")?;
    Ok(relay.run(|spec| Beside::start(spec, options.watch, every_change, kept, keeping, &record)).await)
}

/// Logs go to a file, or to stderr by way of the relay.
fn start_log(options: &Run, lines: &LogLines) -> Result<()> {
    let level = match options.log {
        Level::Off => LevelFilter::OFF,
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false)
        .with_span_events(FmtSpan::NONE)
        // A log file that cannot be written to would be told on stderr, past the relay: that can block, and panic.
        .log_internal_errors(false);
    let (format, json) = (options.log_format, options.log_format == LogFormat::Json);
    let opened = |path| Ok::<_, anyhow::Error>(Mutex::new(LogFile { file: append_to(path)?, format }));
    // A second subscriber in one process is refused: the first one goes on, and nothing is lost by that.
    let _ = match (&options.log_file, json) {
        (Some(path), false) => builder.with_writer(opened(path)?).try_init(),
        (Some(path), true) => builder.json().flatten_event(true).with_writer(opened(path)?).try_init(),
        (None, false) => builder.with_writer(lines.clone()).try_init(),
        (None, true) => builder.json().flatten_event(true).with_writer(lines.clone()).try_init(),
    };
    Ok(())
}

fn append_to(file: &Path) -> Result<File> {
    let shown = file.display();
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(file)
        .with_context(|| format!("failed to open the log file {shown}"))
}
