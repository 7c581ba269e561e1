//! The crash drill: the server under the real supervisor, killed while it is idle.

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, getpgid};
use tokio::time::{Instant, sleep, timeout};

use super::lines::excerpt;
use super::listing::lists;
use super::peer::{LEGACY, Peer, Start};
use super::seen::{Answer, Drill, Era, Kind, Recovery, Way};
use crate::control::client::{Supervisor, Supervisors};
use crate::control::{Status, Told};
use crate::mask::Mask;

/// How long a supervisor may take to say how it is.
const SOON: Duration = Duration::from_secs(5);
/// Between two looks for its socket.
const LOOK: Duration = Duration::from_millis(5);

/// Kills the server, and asks for these lists before and after. The supervisor's socket is in this folder.
pub(super) async fn drill(start: &Start<'_>, folder: &Path, era: Era, kinds: &[Kind]) -> Drill {
    let failed = |why: String| Drill { before: Vec::new(), outcome: Err(why) };
    let argv = match supervised(&start.argv, folder) {
        Ok(argv) => argv,
        Err(error) => return failed(format!("it could not be tried: {error}")),
    };
    let start = Start {
        argv,
        env: start.env.clone(),
        mask: start.mask.clone(),
        stays: std::rc::Rc::clone(&start.stays),
        ..*start
    };
    let mut peer = match Peer::start(&start, era) {
        Ok(peer) => peer,
        Err(why) => return failed(why),
    };
    let mut before = Vec::new();
    let outcome = match peer.open(LEGACY).await {
        Answer::Result { .. } => {
            before = lists(&mut peer, kinds).await;
            crash(&mut peer, &start, folder, (era, kinds)).await
        }
        Answer::Error { .. } | Answer::Silence(_) | Answer::Gone(_) | Answer::NotStarted(_) => {
            Err("it could not be tried: under a supervisor the server was not greeted".to_owned())
        }
    };
    let _ = peer.leave(Way::EndOfInput).await;
    Drill { before, outcome }
}

/// With nothing stored, so that nothing of an earlier run is taken for the server's own.
fn supervised(argv: &[OsString], folder: &Path) -> io::Result<Vec<OsString>> {
    let options: [OsString; 6] = [
        "run".into(),
        "--no-store".into(),
        "--log".into(),
        "error".into(),
        "--runtime-dir".into(),
        folder.join("run").into(),
    ];
    let words = [env::current_exe()?.into_os_string()].into_iter().chain(options).chain(["--".into()]);
    Ok(words.chain(argv.to_vec()).collect())
}

async fn crash(
    peer: &mut Peer,
    start: &Start<'_>,
    folder: &Path,
    (era, kinds): (Era, &[Kind]),
) -> Result<Recovery, String> {
    let patience = start.patience;
    let supervisor = &supervisor(&Supervisors::in_dirs(vec![folder.join("run")])).await?;
    let status = supervisor.status(SOON).await.map_err(|error| error.to_string())?;
    let server = status.gauges.server_pid.ok_or("it was gone before it was killed")?;
    let began = Instant::now();
    let group = getpgid(Some(Pid::from_raw(server.cast_signed()))).map_err(|error| error.to_string())?;
    killpg(group, Signal::SIGKILL).map_err(|error| error.to_string())?;
    if era == Era::Modern {
        // Such a server hears nothing, and is not known to serve, before it is asked something.
        let _ = peer.ping().await;
    }
    match timeout(patience, back(supervisor, server, &start.mask)).await {
        Ok(Ok(())) => {}
        Ok(Err(why)) => return Err(why),
        Err(_) => {
            let status = supervisor.status(SOON).await.map_err(|error| error.to_string())?;
            let phase = &status.session.phase;
            return Err(format!(
                "{} s after it was killed it serves no more: it is {phase}, after {} restarts",
                patience.as_secs(),
                status.session.restarts
            ));
        }
    }
    let after = began.elapsed();
    let lists = lists(peer, kinds).await;
    if peer.has_ended() {
        return Err("its supervisor has ended".to_owned());
    }
    Ok(Recovery { after, lists })
}

/// The one that there is. It opens its socket after it has begun to relay.
async fn supervisor(supervisors: &Supervisors) -> Result<Supervisor, String> {
    let until = Instant::now() + SOON;
    loop {
        let mut found = supervisors.list().map_err(|error| error.to_string())?;
        match found.pop() {
            Some(supervisor) => return Ok(supervisor),
            None if Instant::now() >= until => return Err("its supervisor has no control socket".to_owned()),
            None => sleep(LOOK).await,
        }
    }
}

/// Waits until another server serves.
async fn back(supervisor: &Supervisor, killed: u32, mask: &Mask) -> Result<(), String> {
    let mut ear = supervisor.listen(SOON).await.map_err(|error| error.to_string())?;
    let serves = |status: &Status| {
        status.session.phase == "serving" && status.gauges.server_pid.is_some_and(|pid| pid != killed)
    };
    loop {
        tokio::select! {
            told = ear.next() => match told {
                Some(Told::Event(event)) if event.kind == crate::ledger::Kind::Degraded => {
                    return Err(format!("it cannot be started again: {}", excerpt(mask, event.text.as_bytes())));
                }
                Some(Told::Status(_) | Told::Event(_) | Told::Alive) => {}
                None => return Err("its supervisor has ended".to_owned()),
            },
            // What is told is told a few times a second, and servers are faster.
            () = sleep(LOOK) => {
                if supervisor.status(SOON).await.is_ok_and(|status| serves(&status)) {
                    return Ok(());
                }
            }
        }
    }
}
