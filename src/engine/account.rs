//! What is told for those who count: who the two peers are, and how much was handed on.

use super::note::{Note, Peer};
use super::replay::string_at;
use super::{Engine, planted};
use crate::wire::{ListPage, edit};

/// The member of `_meta` in which a server of the modern era says who it is.
const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

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
        self.name(Peer::Host, edit::find_in(line, place));
    }

    /// Who a server says that it is, in the result of a greeting, or in an answer of the modern era.
    pub(super) fn name_server(&mut self, line: &[u8]) {
        let Some(result) = edit::find_in(line, &["result"]) else { return };
        if !self.name(Peer::Server, edit::find(result, &["serverInfo"])) {
            self.name(Peer::Server, edit::find(result, &["_meta", SERVER_INFO]));
        }
    }

    /// The same in a page of a list.
    pub(super) fn name_server_of(&mut self, page: &ListPage<'_>) {
        if !self.name(Peer::Server, page.server_info) {
            self.name(Peer::Server, page.meta.and_then(|meta| edit::find(meta, &[SERVER_INFO])));
        }
    }

    fn name(&mut self, peer: Peer, info: Option<&str>) -> bool {
        let text = |member| {
            let text = string_at(info?.as_bytes(), &[member])?;
            Some(self.said_by_server(&text.replace(char::is_control, " ")))
        };
        let Some(name) = text("name") else { return false };
        let version = text("version");
        self.note(Note::Named { peer, name, version });
        true
    }
}
