//! What is told for those who count: who the two peers are, and how much was handed on.

use super::note::{Note, Peer};
use super::replay::string_at;
use super::{Engine, planted};

/// What was handed on since the start, in bytes with line feeds.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) to_server: u64,
    pub(super) to_host: u64,
    /// It is told at the end of this step.
    pub(super) due: bool,
}

impl Engine {
    /// Tells how much was handed on, after a step in which a request was done.
    pub(super) fn tell_carried(&mut self) {
        if std::mem::take(&mut self.account.due) && !planted!(self, CarryInSilence) {
            let Account { to_server, to_host, .. } = self.account;
            self.note(Note::Carried { to_server, to_host });
        }
    }

    /// Who the host says that it is, at this place of its line.
    pub(super) fn name_host(&mut self, place: &[&str], line: &[u8]) {
        self.name(Peer::Host, place, line);
    }

    /// Who a server says that it is, in the result of a greeting, or in an answer of the modern era.
    pub(super) fn name_server(&mut self, line: &[u8]) {
        if !self.name(Peer::Server, &["result", "serverInfo"], line) {
            self.name(Peer::Server, &["result", "_meta", "io.modelcontextprotocol/serverInfo"], line);
        }
    }

    fn name(&mut self, peer: Peer, place: &[&str], line: &[u8]) -> bool {
        let text = |member| {
            let text = string_at(line, &[place, &[member]].concat())?;
            Some(self.said_by_server(&text.replace(char::is_control, " ")))
        };
        let Some(name) = text("name") else { return false };
        let version = text("version");
        self.note(Note::Named { peer, name, version });
        true
    }
}
