//! `setup`: a session from a daemon, its token in its file, and the entry for the host's config.
//!
//! ```text
//!  health --> password --> wallets --> for each: session --> token file --> old session revoked --> told, with the entry
//! ```
//!
//! What fails is told with an exit code of its own ([`exit_code::OF_SETUP`]). With several wallets one that fails does not
//! keep the others from theirs. A token, and the master password, must never be in what is told, and not in a command
//! line: nothing is started here.

mod entry;
mod failure;
mod owner;
mod owners;
mod password;
mod rival;
mod session;
mod told;
mod write;

use std::collections::BTreeMap;
use std::env;
use std::path::{self, Path, PathBuf};

use self::entry::{Common, Config};
use self::failure::Failure;
use self::owner::shown_all;
use self::session::Work;
use self::told::Told;
use self::write::Target;
use super::desktop;
use super::program::program;
use crate::cli::setup::{Output, Setup, Via};
use crate::daemon::{Daemon, Password, Terms};
use crate::mask::Mask;
use crate::{exit_code, http, report};

/// Does it. Gives the exit code; everything else is told already.
pub fn setup(options: &Setup) -> i32 {
    let done = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::unexpected(format!("failed to start: {error}")))
        .and_then(|runtime| runtime.block_on(all(options)));
    done.unwrap_or_else(|failure| {
        failure.tell();
        failure.code
    })
}

/// What is not as it should be and stops nothing: told at once, and once more at the end where a program reads it.
#[derive(Default)]
struct Warnings(Vec<String>);

impl Warnings {
    fn add(&mut self, warning: String) {
        report::warning(&warning);
        self.0.push(warning);
    }
}

async fn all(options: &Setup) -> Result<i32, Failure> {
    let mut warnings = Warnings::default();
    let data_dir = data_dir(options)?;
    let (daemon, common) = before(options, &data_dir)?;
    let target = Target::of(options)?;
    if daemon.is_overheard() {
        warnings.add(format!(
            "the master password goes to {} as it is, and whoever is on the way can read it: use https",
            daemon.address()
        ));
    }
    // Before anybody is asked for a password in vain.
    let status = daemon.health().await.map_err(|fault| Failure::of(&fault, ""))?;
    if !(200..=299).contains(&status) {
        warnings.add(format!("the daemon does not say that it is well: {status}"));
    }
    let given =
        password::find(env::var_os(password::VARIABLE), options.password_file.as_deref(), password::ask)?;
    if let Some(warning) = given.warning {
        warnings.add(warning);
    }
    let text = env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())));
    let mask = Mask::new(text);
    mask.learn(&given.text);
    let password = Password::new(&given.text).ok_or_else(|| {
        Failure::usage(
            "the master password has characters that no request can carry",
            format!("it comes from {}", given.source),
        )
    })?;
    drop(given.text);
    let terms = Terms {
        ttl: options.ttl,
        max_renewals: options.max_renewals,
        absolute_lifetime: options.absolute_lifetime,
    };
    let work = Work {
        daemon,
        password,
        source: given.source,
        mask,
        data_dir: &data_dir,
        via: options.via,
        terms,
        revoke_old: options.revoke_old,
    };
    let (mut known, chosen) = owners::choose(options, &work, &mut warnings).await?;

    let (mut obtained, mut failures) = (Vec::new(), Vec::new());
    for owner in chosen {
        let mut new = Vec::new();
        let outcome = work.obtain(&owner, &mut new).await;
        for warning in new {
            warnings.add(warning);
        }
        match outcome {
            Ok(session) => obtained.push(session),
            Err(failure) => {
                let failure = if options.all { failure.with_wallet(&shown_all(&owner)) } else { failure };
                failure.tell();
                failures.push((owner, failure));
            }
        }
    }
    // The daemon may have told a name only now.
    for wallet in obtained.iter().filter_map(|session| session.owner.wallet()) {
        known.retain(|other| other.id != wallet.id);
        known.push(wallet.clone());
    }
    let keys: BTreeMap<String, String> =
        known.iter().map(|wallet| wallet.id.clone()).zip(entry::keys(&known)).collect();
    let sessions: Vec<_> = obtained
        .into_iter()
        .filter_map(|session| {
            let key = match session.owner.wallet() {
                Some(wallet) => keys.get(&wallet.id)?.clone(),
                None => entry::SHARED.to_owned(),
            };
            Some((key, session))
        })
        .collect();
    let servers =
        sessions.iter().map(|(key, session)| (key.clone(), common.entry(key, session.owner.wallet())));
    let config = Config { servers: servers.collect() };
    let target = target.filter(|_| !sessions.is_empty());
    let written = target.map(|target| target.write(&common, &sessions, options.replace)).transpose();
    let (written, failure) = written.map_or_else(|failure| (None, Some(failure)), |written| (written, None));
    if written.as_ref().is_some_and(|written| written.changed && desktop::may_undo(&written.file)) {
        warnings.add(desktop::WARNING.to_owned());
    }
    for warning in written.iter().flat_map(|written| &written.warnings) {
        warnings.add(warning.clone());
    }
    let told = Told {
        base_url: &common.base_url,
        sessions: &sessions,
        failures: &failures,
        warnings: &warnings.0,
        config: &config,
        written: written.as_ref(),
    };
    tell(&told, options.output)?;
    if let Some(failure) = &failure {
        failure.tell();
    }
    // With several wallets, one that the daemon refuses is told, and no failure of what was asked for.
    let refused = options.all && !sessions.is_empty();
    let fails = |code: i32| !(refused && code == exit_code::REFUSED);
    let first = failures.iter().map(|(_, failure)| failure.code).find(|code| fails(*code));
    Ok(first.or(failure.map(|failure| failure.code)).unwrap_or(exit_code::DONE))
}

fn tell(told: &Told<'_>, output: Output) -> Result<(), Failure> {
    let text = match output {
        Output::Text => told.text(),
        Output::Json => told.json(),
    };
    let text = text.map_err(|error| Failure::unexpected(format!("failed to tell what was done: {error}")))?;
    report::text(text).map_err(|error| Failure::unexpected(format!("failed to write to stdout: {error}")))
}

/// All that can be known to be wrong before the daemon is asked for anything.
fn before(options: &Setup, data_dir: &Path) -> Result<(Daemon, Common), Failure> {
    if options.via == Via::McpTokens && options.together {
        return Err(Failure::usage(
            "with --via mcp-tokens the daemon writes a file for each wallet, and none for all together",
            "leave out --together, or --via mcp-tokens",
        ));
    }
    let own_terms = options.max_renewals.is_some() || options.absolute_lifetime.is_some();
    if options.via == Via::McpTokens && own_terms {
        return Err(Failure::usage(
            "with --via mcp-tokens the daemon takes neither --max-renewals nor --absolute-lifetime",
            "leave these out, or leave out --via mcp-tokens",
        ));
    }
    let client = http::client(options.upstream_ca.as_deref()).map_err(|fault| {
        Failure::usage(format!("failed to {fault}"), "--upstream-ca names a file with certificates in PEM")
    })?;
    let daemon = Daemon::new(client, &options.base_url).map_err(|bad| {
        Failure::usage(
            format!("failed to {bad}"),
            "write it as http://127.0.0.1:3100, with --base-url or WAIAAS_BASE_URL",
        )
    })?;
    let common = Common {
        program: program()?,
        base_url: daemon.address().to_owned(),
        data_dir: written(data_dir)?,
        ca: options.upstream_ca.as_deref().map(full).transpose()?.as_deref().map(written).transpose()?,
    };
    Ok((daemon, common))
}

/// The daemon's directory, in full: a host starts its servers in another directory than this one.
fn data_dir(options: &Setup) -> Result<PathBuf, Failure> {
    match &options.waiaas_dir {
        Some(directory) => full(directory),
        None => match etcetera::home_dir() {
            Ok(home) => full(&home.join(".waiaas")),
            Err(_) => Err(Failure::usage(
                "failed to find the daemon's directory: HOME is not set",
                "name it with --waiaas-dir",
            )),
        },
    }
}

fn full(path: &Path) -> Result<PathBuf, Failure> {
    path::absolute(path)
        .map_err(|error| Failure::unexpected(format!("failed to find {}: {error}", path.display())))
}

/// A path as JSON can have it.
fn written(path: &Path) -> Result<String, Failure> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        Failure::unexpected(format!("failed to write the entry: the path {} is no text", path.display()))
    })
}
