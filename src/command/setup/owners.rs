//! Who gets a session: one wallet, each, or several with one token together.
//!
//! A server without a wallet's id reads the older token file, which has one session for all of its wallets. That one is begun
//! anew for the wallets that it had, as far as the daemon still lists it.

use super::Warnings;
use super::failure::Failure;
use super::owner::{Owner, shown};
use super::session::Work;
use crate::cli::setup::Setup;
use crate::daemon::{Wallet, Why};
use crate::exit_code;
use crate::token::{Place, Reading};

/// The wallets that there are, as far as they are known, and who gets a session.
pub(super) async fn choose(
    options: &Setup,
    work: &Work<'_>,
    warnings: &mut Warnings,
) -> Result<(Vec<Wallet>, Vec<Owner>), Failure> {
    if let Some(text) = options.wallet.as_ref().filter(|_| !options.all && !options.together) {
        return named(text, work, warnings).await;
    }
    let listed = work.daemon.wallets(&work.password).await;
    let wallets = masked(listed.map_err(|fault| work.failure(&fault))?, work);
    if wallets.is_empty() {
        return Err(Failure {
            code: exit_code::NO_WALLET,
            message: "the daemon has no wallet".to_owned(),
            hint: Some("create one with the daemon's own tools first".to_owned()),
        });
    }
    if options.all {
        let chosen = living(wallets.clone(), warnings)?;
        return Ok((wallets, chosen.into_iter().map(Owner::Wallet).collect()));
    }
    let before = sharing(&wallets, work, options.together).await?;
    match &wallets[..] {
        _ if !before.is_empty() => {
            let owner = Owner::Shared(living(before, warnings)?);
            Ok((wallets, vec![owner]))
        }
        _ if options.together => {
            let owner = Owner::Shared(living(wallets.clone(), warnings)?);
            Ok((wallets, vec![owner]))
        }
        [one] => Ok((wallets.clone(), vec![Owner::Wallet(one.clone())])),
        all => Err(several(&all.iter().collect::<Vec<_>>())),
    }
}

/// The wallets whose session's token is in the file for servers without a wallet's id. None where there is no such session, or
/// the daemon does not list it any more. `asked`: a person wants such a session.
async fn sharing(wallets: &[Wallet], work: &Work<'_>, asked: bool) -> Result<Vec<Wallet>, Failure> {
    let has_its_own = |wallet: &Wallet| {
        let place = Place::of_wallet(work.data_dir, &wallet.id);
        place.is_ok_and(|place| !matches!(Place::new(place.path().to_owned()).read(), Reading::Nothing))
    };
    // Where the only one has a file of its own, what is in the other one is of no use to it.
    let is_clear = matches!(wallets, [one] if has_its_own(one));
    if is_clear && !asked {
        return Ok(Vec::new());
    }
    let Some(session) = work.session_in(&Place::of_no_wallet(work.data_dir)) else { return Ok(Vec::new()) };
    let mut sharing = Vec::new();
    for wallet in wallets {
        let listed = work.daemon.sessions(&work.password, &wallet.id).await;
        // Not each daemon lists them. One that fails to would have this wallet left out of the new session.
        let listed = listed.map_err(|fault| work.failure(&fault))?;
        if listed.is_some_and(|sessions| sessions.contains(&session)) {
            sharing.push(wallet.clone());
        }
    }
    Ok(sharing)
}

/// Those that can have a session.
fn living(wallets: Vec<Wallet>, warnings: &mut Warnings) -> Result<Vec<Wallet>, Failure> {
    let (over, living): (Vec<Wallet>, Vec<Wallet>) =
        wallets.into_iter().partition(|wallet| wallet.terminated);
    for wallet in &over {
        warnings.add(format!("{}: is terminated, and is left out", shown(wallet)));
    }
    if living.is_empty() {
        return Err(Failure {
            code: exit_code::REFUSED,
            message: "the daemon gives no session to any of its wallets: all are terminated".to_owned(),
            hint: Some("create one with the daemon's own tools first".to_owned()),
        });
    }
    Ok(living)
}

/// The wallet that a person means.
async fn named(
    text: &str,
    work: &Work<'_>,
    warnings: &mut Warnings,
) -> Result<(Vec<Wallet>, Vec<Owner>), Failure> {
    let mut known = match work.daemon.wallets(&work.password).await {
        Ok(wallets) => wallets,
        Err(fault) if !matches!(fault.why, Why::Unreachable { .. } | Why::WrongPassword) => {
            warnings.add(work.masked(&format!("the name of the wallet is unknown: failed to {fault}")));
            Vec::new()
        }
        Err(fault) => return Err(work.failure(&fault)),
    };
    let chosen = match meant(&known, text) {
        Meant::One(wallet) => wallet.clone(),
        Meant::Several(wallets) => return Err(several(&wallets)),
        Meant::Nobody if known.is_empty() => {
            Place::of_wallet(work.data_dir, text).map_err(|why| {
                Failure::usage(why, "give the id of a wallet with --wallet or WAIAAS_WALLET_ID")
            })?;
            Wallet { id: text.to_owned(), name: None, terminated: false }
        }
        Meant::Nobody => {
            let lines: Vec<String> = masked(known, work).iter().map(shown).collect();
            return Err(Failure {
                code: exit_code::NO_WALLET,
                message: format!("the daemon has no wallet {text:?}"),
                hint: Some(format!("it has these:\n  {}", lines.join("\n  "))),
            });
        }
    };
    if !known.contains(&chosen) {
        known.push(chosen.clone());
    }
    let chosen = masked(vec![chosen], work).into_iter().map(Owner::Wallet).collect();
    Ok((masked(known, work), chosen))
}

/// Which wallet is meant.
enum Meant<'w> {
    One(&'w Wallet),
    Several(Vec<&'w Wallet>),
    Nobody,
}

/// The wallet with this id, else the one with this name.
fn meant<'w>(wallets: &'w [Wallet], text: &str) -> Meant<'w> {
    if let Some(wallet) = wallets.iter().find(|wallet| wallet.id == *text) {
        return Meant::One(wallet);
    }
    let called = wallets.iter().filter(|wallet| wallet.name.as_deref() == Some(text));
    match called.collect::<Vec<_>>()[..] {
        [] => Meant::Nobody,
        [one] => Meant::One(one),
        ref several => Meant::Several(several.to_vec()),
    }
}

/// One of these is to be chosen.
fn several(wallets: &[&Wallet]) -> Failure {
    let lines: Vec<String> = wallets.iter().map(|wallet| shown(wallet)).collect();
    Failure {
        code: exit_code::SEVERAL_WALLETS,
        message: format!("the daemon has {} wallets:\n  {}", wallets.len(), lines.join("\n  ")),
        hint: Some(
            "take one of them with --wallet ID, each with --all, or one session for all of them with --together".to_owned(),
        ),
    }
}

/// Wallets whose names may be shown.
fn masked(wallets: Vec<Wallet>, work: &Work<'_>) -> Vec<Wallet> {
    let masked = |wallet: Wallet| Wallet { name: wallet.name.map(|name| work.masked(&name)), ..wallet };
    wallets.into_iter().map(masked).collect()
}
