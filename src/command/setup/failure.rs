//! What can fail in `setup`, each with its exit code and what to do about it.

pub(super) use crate::command::failure::Failure;
use crate::daemon::{Fault, Why};
use crate::exit_code;

impl Failure {
    /// A token file that is not as it should be. `file`: with what is wrong, as words that fit after "the token file".
    pub(super) fn not_written(file: &str) -> Self {
        Self {
            code: exit_code::NOT_WRITTEN,
            message: format!("failed to store the token: the token file {file}"),
            hint: Some(
                "make it a file of your own that you can write, or name another directory with --waiaas-dir"
                    .to_owned(),
            ),
        }
    }

    /// A request that has not done what it was for. `source`: where the password comes from.
    pub(super) fn of(fault: &Fault, source: &str) -> Self {
        let code = match &fault.why {
            Why::Unreachable { .. } => exit_code::UNREACHABLE,
            Why::WrongPassword => exit_code::WRONG_PASSWORD,
            Why::NoSuchWallet => exit_code::NO_WALLET,
            Why::Refused { .. } => exit_code::REFUSED,
            Why::NotUnderstood(_) => exit_code::UNEXPECTED,
        };
        Self { code, message: format!("failed to {fault}"), hint: Some(remedy(&fault.why, source)) }
    }

    /// The same where there is no room for one more session, and nothing that `setup` can do makes any.
    pub(super) fn without_room(self) -> Self {
        let hint = "revoke a session of the wallet with the daemon's own tools, and run setup again";
        Self { hint: Some(hint.to_owned()), ..self }
    }

    /// The same of one of several wallets.
    pub(super) fn with_wallet(self, wallet: &str) -> Self {
        Self { message: format!("{wallet}: {}", self.message), ..self }
    }
}

/// What a person can do about it.
fn remedy(why: &Why, source: &str) -> String {
    let remedy = match why {
        Why::Unreachable { untrusted: true, .. } => {
            "name the PEM file of the authority that vouches for it with --upstream-ca; it must be for the host in --base-url"
        }
        Why::Unreachable { done: false, .. } => "start the daemon, or say with --base-url where it is",
        Why::Unreachable { done: true, .. } => {
            "the daemon may have done it all the same: look at the sessions that it lists"
        }
        Why::WrongPassword => return format!("it comes from {source}"),
        Why::NoSuchWallet => "leave --wallet and WAIAAS_WALLET_ID out to see which there are",
        Why::Refused { status, code, hint, .. } => match (status, code.as_deref(), hint) {
            (_, Some("SESSION_LIMIT_EXCEEDED"), _) => {
                "with --revoke-old the session whose token is in the file makes room; others the daemon's own tools revoke"
            }
            (_, Some("SYSTEM_LOCKED" | "KILL_SWITCH_ACTIVE"), _) => "unlock the daemon, and try again",
            (429, ..) => "wait a minute, and try again",
            (.., Some(hint)) => hint,
            (.., None) => "the daemon's log may say more",
        },
        Why::NotUnderstood(_) => "is it a WAIaaS daemon? --base-url says where it is",
    };
    remedy.to_owned()
}
