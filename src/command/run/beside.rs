//! What goes on beside the relay: changes on disk, the login shell, answers that outlive a run.
//!
//! Each of these lives on a thread or in a process of its own and is slow or optional: none of it may hold up a message.
//! A task listens to all of them, so that the relay has one place to ask. What they tell is handed to the engine as it
//! comes, and what goes wrong with them is logged and done without.

use std::ffi::OsString;
use std::future::{pending, poll_fn};
use std::path::PathBuf;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::mpsc;

use super::alarm::Alarm;
use super::keeper::{Keeper, Keeping};
use super::record::{Control, Record};
use crate::child::{Guardian, LoginShell, Spec, executable};
use crate::engine::io::{Changed, Good, Input, Order};
use crate::engine::lease::io::Event;
use crate::lastgood::{Key, LastGood, Report, Reports};
use crate::store::{Faults, Store};
use crate::watch::{self, Watch};

/// How long a renewal that is under way may take when we end: with the ladder before it, all is over within 3 s of a
/// signal.
const LAST_RENEWAL: Duration = Duration::from_millis(400);
/// How long the first watches are put off: most servers have greeted by then, and the slow ones, which read thousands of
/// files, take so long that they do not notice.
const QUIET: Duration = Duration::from_secs(1);

/// What one of them tells.
#[derive(Debug)]
pub(super) enum News {
    /// The engine is to know.
    Input(Input),
    /// From now on every change of a watched path is seen.
    Watching,
    /// Something is done without; a text that fits after "failed to".
    Fault(String),
    /// Nothing more comes of what was to be told.
    End,
    /// Something that is worth a person's attention: a whole text.
    Warning(String),
}

/// What the task is told to do.
#[derive(Debug)]
enum Errand {
    /// Wait for the answer of this shell.
    Await(LoginShell),
    /// End a shell that is being asked.
    ForgetLoginShell,
    /// Watch the file of the command.
    Watch(PathBuf),
    /// Tell what was not told yet, and end.
    End,
}

/// The rooms beside the relay.
#[derive(Debug)]
pub(super) struct Beside {
    errands: mpsc::UnboundedSender<Errand>,
    news: mpsc::UnboundedReceiver<News>,
    /// What happens to the session.
    events: mpsc::UnboundedReceiver<Event>,
    /// What is asked for over the control socket.
    orders: mpsc::UnboundedReceiver<Order>,
    last_good: Option<LastGood>,
    store: Option<Store>,
    /// A login shell may still be asked.
    asking: bool,
    watches_executable: bool,
    /// `None` where no session is kept.
    keeper: Option<Keeper>,
}

impl Beside {
    /// Starts what is needed from the beginning. `at_once` is whether every change of the executable is reported from
    /// the start. `kept` says where answers are kept and under which name; `None` to keep none. Must be called inside
    /// the runtime.
    pub(super) fn start(
        spec: &Spec,
        watched: Vec<PathBuf>,
        at_once: bool,
        kept: Option<(Option<PathBuf>, Key)>,
        keeping: Option<Keeping>,
        record: &Record,
    ) -> Self {
        let token = keeping.iter().flat_map(Keeping::files).map(|path| (Changed::Token, path));
        let watched = watched.into_iter().map(|path| (Changed::Watched, path));
        let executable = executable(spec).filter(|_| at_once).map(|path| (Changed::Executable, path));
        let (store, faults) = record.store().unzip();
        let (order, orders) = mpsc::unbounded_channel();
        let control = Control::open(record, order);
        let (last_good, reports) = kept.map(|(folder, key)| LastGood::open(folder, key)).unzip();
        // A directory may hold much that is looked at first: the one file does not wait for that.
        let paths: Vec<_> = executable.into_iter().chain(token).chain(watched).collect();
        let awaited = !paths.is_empty();
        let ear =
            Ear { watch: Watch::start(paths, QUIET), awaited, login_shell: None, reports, faults, control };
        let (errands, told) = mpsc::unbounded_channel();
        let (tell, news) = mpsc::unbounded_channel();
        // Not by way of the task: what the gateway has seen must be known before the server's answer is.
        let (happen, events) = mpsc::unbounded_channel();
        let keeper = keeping.map(|keeping| Keeper::start(keeping, tell.clone(), happen));
        tokio::spawn(ear.listen(told, tell));
        Self {
            errands,
            news,
            events,
            orders,
            last_good,
            store,
            asking: false,
            watches_executable: at_once,
            keeper,
        }
    }

    /// The next thing that one of them tells.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<News> {
        if let Poll::Ready(Some(event)) = self.events.poll_recv(cx) {
            return Poll::Ready(News::Input(Input::Session(event)));
        }
        if let Poll::Ready(Some(order)) = self.orders.poll_recv(cx) {
            return Poll::Ready(News::Input(Input::Order(order)));
        }
        let Some(news) = ready!(self.news.poll_recv(cx)) else { return Poll::Pending };
        if let News::Input(Input::LoginPath(_)) = news {
            self.asking = false;
        }
        Poll::Ready(news)
    }

    /// What has happened to the session and was not told yet. `None` if nothing.
    pub(super) fn next_event(&mut self) -> Option<Event> {
        self.keeper.as_ref()?;
        self.events.try_recv().ok()
    }

    fn send(&self, errand: Errand) {
        // The task ends only when it is told to.
        let _ = self.errands.send(errand);
    }

    /// Asks the login shell, unless it is being asked.
    pub(super) fn ask_login_shell(&mut self, spec: &Spec, guardian: Option<&Guardian>) {
        if !std::mem::replace(&mut self.asking, true) {
            self.send(Errand::Await(LoginShell::ask(spec, guardian)));
        }
    }

    /// Starts the command with this `PATH` from now on.
    pub(super) fn use_path(&mut self, spec: &mut Spec, path: OsString) {
        spec.env.retain(|(name, _)| name != "PATH");
        spec.env.push(("PATH".into(), Some(path)));
        if let Some(file) = executable(spec) {
            self.send(Errand::Watch(file));
        }
    }

    /// Watches the command's file from now on. It is not watched earlier, because the system limits a user's watches,
    /// and the user may run many servers.
    pub(super) fn watch_executable(&mut self, spec: &Spec) {
        if let Some(file) = executable(spec) {
            self.watches_executable = true;
            self.send(Errand::Watch(file));
        }
    }

    /// Whether the command's file is watched.
    pub(super) fn watches_executable(&self) -> bool {
        self.watches_executable
    }

    /// Keeps an answer for later runs.
    pub(super) fn remember(&self, good: Good) {
        if let Some(last_good) = &self.last_good {
            last_good.remember(good);
        }
    }

    /// Ends a login shell that is being asked.
    pub(super) fn forget_login_shell(&mut self) {
        self.send(Errand::ForgetLoginShell);
    }

    /// Ends all of them, and waits for what is still to be written, but no longer than this. What was not told yet.
    pub(super) async fn end(mut self, alarm: &mut Alarm, within: Duration) -> Vec<String> {
        let mut faults = Vec::new();
        if let Some(mut keeper) = self.keeper.take() {
            // What an API has just granted would be lost.
            alarm.within(within.max(LAST_RENEWAL), |cx| keeper.poll_ended(cx)).await;
        }
        if let Some(last_good) = self.last_good.take() {
            alarm.ring_in(within);
            let finished = last_good.finish(poll_fn(|cx| alarm.poll(cx))).await;
            faults.extend(finished.err().map(|fault| fault.to_string()));
        }
        if let Some(store) = self.store.take() {
            alarm.ring_in(within);
            let finished = store.finish(poll_fn(|cx| alarm.poll(cx))).await;
            faults.extend(finished.err().map(|fault| fault.to_string()));
        }
        self.send(Errand::End);
        while let Some(Some(news)) = alarm.within(within, |cx| self.news.poll_recv(cx)).await {
            match news {
                News::Fault(fault) => faults.push(fault),
                News::End => break,
                News::Input(_) | News::Watching | News::Warning(_) => {}
            }
        }
        faults
    }
}

/// The one who listens to all of them.
struct Ear {
    watch: Watch,
    /// The watch is to be told of once it is ready.
    awaited: bool,
    login_shell: Option<LoginShell>,
    reports: Option<Reports>,
    faults: Option<Faults>,
    control: Control,
}

impl Ear {
    async fn listen(mut self, mut told: mpsc::UnboundedReceiver<Errand>, tell: mpsc::UnboundedSender<News>) {
        loop {
            let news = tokio::select! {
                errand = told.recv() => match errand {
                    None | Some(Errand::End) => break,
                    Some(errand) => {
                        self.run(errand);
                        continue;
                    }
                },
                news = self.next() => news,
            };
            if tell.send(news).is_err() {
                return;
            }
        }
        while let Some(report) = self.reports.as_mut().and_then(Reports::try_next) {
            // Nobody may want to know any more.
            let _ = tell.send(news_of(report));
        }
        while let Some(fault) = self.faults.as_mut().and_then(Faults::try_next) {
            let _ = tell.send(News::Fault(fault.to_string()));
        }
        let _ = tell.send(News::End);
    }

    fn run(&mut self, errand: Errand) {
        match errand {
            Errand::Await(shell) => self.login_shell = Some(shell),
            Errand::ForgetLoginShell => self.login_shell = None,
            Errand::Watch(file) => {
                self.watch.add(Changed::Executable, file);
                self.awaited = true;
            }
            Errand::End => {}
        }
    }

    /// The next thing that one of them tells. Cancel-safe.
    async fn next(&mut self) -> News {
        let shell = async {
            match &mut self.login_shell {
                Some(shell) => shell.answer().await,
                None => pending().await,
            }
        };
        let report = async {
            match &mut self.reports {
                Some(reports) => reports.next().await,
                None => pending().await,
            }
        };
        let fault = async {
            match &mut self.faults {
                Some(faults) => faults.next().await,
                None => pending().await,
            }
        };
        let news = tokio::select! {
            () = self.watch.ready(), if self.awaited => News::Watching,
            report = report => news_of(report),
            changed = self.watch.changed() => News::Input(Input::Changed(changed)),
            fault = self.watch.fault() => news_of_watch(&fault),
            fault = fault => News::Fault(fault.to_string()),
            news = self.control.answer() => news,
            answer = shell => News::Input(Input::LoginPath(answer)),
        };
        match news {
            News::Watching => self.awaited = false,
            // It would answer again, and is ended by this.
            News::Input(Input::LoginPath(_)) => self.login_shell = None,
            News::Input(_) | News::Fault(_) | News::Warning(_) | News::End => {}
        }
        news
    }
}

fn news_of(report: Report) -> News {
    match report {
        Report::Loaded(good) => News::Input(Input::LastGood(good)),
        Report::Fault(fault) => News::Fault(fault.to_string()),
    }
}

fn news_of_watch(fault: &watch::Fault) -> News {
    if fault.is_looked_at() {
        let seconds = watch::RETRY.as_secs();
        News::Warning(format!("failed to {fault}; looking every {seconds} s instead"))
    } else {
        News::Fault(fault.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::{News, news_of_watch};
    use crate::watch::Fault;

    #[test]
    fn what_is_looked_at_is_not_called_done_without() {
        let path = |looking| Fault::Path { path: "/a".into(), reason: "no".to_owned(), looking };
        for (fault, text) in [
            (Fault::Unheard("no".to_owned()), "failed to watch for changes: no; looking every 2 s instead"),
            (path(true), "failed to watch `/a`: no; looking every 2 s instead"),
        ] {
            let news = news_of_watch(&fault);
            assert!(matches!(&news, News::Warning(told) if told == text), "{news:?}");
        }
        for fault in [Fault::All("no".to_owned()), path(false)] {
            assert!(matches!(news_of_watch(&fault), News::Fault(_)), "{fault}");
        }
    }
}
