//! The thread that keeps watch: it follows the paths, places the watches, and compares.
//!
//! One round: take the hints, follow every path again, place watches anew if the paths lead over other directories now,
//! follow them once more (what happened before the watches were there shows in the fingerprints), and only then tell.
//! Whatever happens after the telling meets watches that are in place.
//!
//! A plan never changes. When the paths need another one, a second watcher is made for it, and the first goes when the
//! second has all its watches: there is no gap, and no bookkeeping of what was watched before. Only below a watched
//! directory do watches come one by one, with the directories that are made there.
//!
//! What differs between the systems is in [`NATIVE_TREES`] and what reads it. Nothing in here decides what follows from a change.

use std::collections::BTreeSet;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{Config, RecursiveMode, Watcher};

use super::Fault;
use super::held::Held;
use super::hints::{Desk, Ear, Hints, Plan, Way};
use super::told::Told;
use super::trace::{Seen, Trace, follow, is_absent};
use super::tree::walk;
use crate::engine::io::Changed;
use crate::threads;

/// Whether the system watches whole trees by itself (`FSEvents` does, inotify watches single directories).
///
/// Where it does, a watch costs by what happens anywhere below it, even when only one directory is of interest. So the
/// directories that a path only passes through, up to the root, are not watched there, and a rename of one of those is
/// seen with the next event only.
const NATIVE_TREES: bool = cfg!(target_os = "macos");

/// How long hints gather after a round. Whoever writes without pause wakes us, and those we tell, this often at most.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a watcher that was told to end may take. It takes no time, but nothing in here waits for ever.
const DISMISSAL: Duration = Duration::from_secs(1);

/// Delay before what the system has refused, a watcher or a watch, is requested again.
pub const RETRY: Duration = Duration::from_secs(2);

/// The system's watcher reports everything, so no time limit is needed.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// One watched path.
#[derive(Debug)]
struct Target {
    kind: Changed,
    path: PathBuf,
    /// Where it led when it was last followed.
    trace: Trace,
    /// What was below it when it was last compared. `None` while all of it is watched.
    digest: Option<u64>,
    /// It was told that this path cannot be watched.
    fault_told: bool,
}

impl Target {
    fn tree(&self) -> Option<&Path> {
        match &self.trace.seen {
            Seen::Dir { real, .. } => Some(real),
            Seen::File { .. } | Seen::Nothing => None,
        }
    }
}

/// What the thread knows. `W` is the system's watcher.
#[derive(Debug)]
pub(super) struct Keeper<W> {
    desk: Arc<Desk>,
    told: Arc<Told>,
    targets: Vec<Target>,
    plan: Arc<Plan>,
    watcher: Option<Held<W>>,
    /// How long the first watches are put off.
    quiet: Duration,
    /// The number of the last watcher that was made.
    number: u64,
    /// It was told that no watcher is available.
    fault_told: bool,
    /// Whether the system has refused the watcher for the plan, or one of its watches.
    unheard: bool,
}

impl<W: Watcher> Keeper<W> {
    pub(super) fn new(desk: Arc<Desk>, told: Arc<Told>, quiet: Duration) -> Self {
        let (targets, plan) = (Vec::new(), Arc::default());
        Self { desk, told, targets, plan, watcher: None, quiet, number: 0, fault_told: false, unheard: false }
    }

    /// Keeps watch until nobody wants to know any more, or the system's watcher ends.
    pub(super) fn run(&mut self) {
        loop {
            // What was refused is requested again, and everything is checked.
            let mut hints = self.desk.wait(if self.unheard { Duration::ZERO } else { FOREVER });
            if hints.closed {
                return;
            }
            hints.broken |= self.unheard;
            if hints.died {
                self.told.fault(Fault::All("the system's watcher has ended".to_owned()));
                return;
            }
            self.round(hints);
            self.desk.gather(if self.unheard { RETRY } else { PAUSE });
        }
    }

    fn round(&mut self, mut hints: Hints) {
        let mut asked = std::mem::take(&mut hints.asked);
        let mut count = asked.len() as u64;
        self.add(asked);
        // What happens until the first watches are there shows in the fingerprints, as always when watches are placed. They
        // are taken of every path as soon as it is known.
        let quiet = std::mem::take(&mut self.quiet);
        loop {
            asked = self.desk.quiet(quiet);
            if self.desk.is_closed() {
                return;
            }
            if asked.is_empty() {
                break;
            }
            count += asked.len() as u64;
            self.add(asked);
        }
        let changed = self.heed(&hints);
        self.told.changed(&changed);
        self.told.ready(count);
    }

    /// Takes on more paths: their state from here on is what changes are told against.
    pub(super) fn add(&mut self, paths: Vec<(Changed, PathBuf)>) {
        for (kind, path) in paths {
            if self.targets.iter().any(|target| (target.kind, &target.path) == (kind, &path)) {
                continue;
            }
            let trace = follow(&path);
            let mut target = Target { kind, path, trace, digest: None, fault_told: false };
            target.digest = target.tree().map(|root| walk(root, |_| self.go_on()));
            self.targets.push(target);
        }
    }

    /// What has changed. When it returns, everything that can be watched is.
    pub(super) fn heed(&mut self, hints: &Hints) -> BTreeSet<Changed> {
        // A tree that is not wholly watched is compared instead, so that a change is reported once.
        let hit = hints.hit.iter().map(|target| &self.targets[*target]);
        let mut changed: BTreeSet<_> =
            hit.filter(|target| target.digest.is_none()).map(|target| target.kind).collect();
        if hints.look || hints.broken || hints.lost {
            self.look(&mut changed);
        }
        let mut stale = hints.broken;
        loop {
            let plan = self.needed();
            if !stale && plan == *self.plan {
                break;
            }
            stale = false;
            self.arm(plan, &mut changed);
            self.look(&mut changed);
            if self.desk.is_closed() {
                return changed;
            }
        }
        for number in 0..self.targets.len() {
            if let Some(error) = self.targets[number].trace.fault.take() {
                self.fault(number, error.to_string(), false);
            }
        }
        let plan = Arc::clone(&self.plan);
        for (target, root) in &plan.trees {
            if hints.lost {
                changed.insert(self.targets[*target].kind);
            }
            if hints.lost || hints.crowded {
                self.grow(*target, root);
            } else {
                for path in hints.fresh.iter().filter(|path| path.starts_with(root)) {
                    self.grow(*target, path);
                }
            }
        }
        changed
    }

    /// Follows every path again.
    fn look(&mut self, changed: &mut BTreeSet<Changed>) {
        for target in &mut self.targets {
            let trace = follow(&target.path);
            if trace.seen != target.trace.seen {
                changed.insert(target.kind);
            }
            target.trace = trace;
        }
    }

    /// The plan for where the paths lead now.
    fn needed(&self) -> Plan {
        let mut plan = Plan::default();
        for (number, target) in self.targets.iter().enumerate() {
            for step in &target.trace.steps {
                plan.names.insert(step.name.clone());
                if step.near || !NATIVE_TREES {
                    let way = Way { identity: step.identity, near: None };
                    let way = plan.dirs.entry(step.dir.clone()).or_insert(way);
                    way.near = way.near.or(step.near.then_some(number));
                }
            }
            if let Some(root) = target.tree() {
                plan.trees.insert(number, root.to_owned());
            }
        }
        plan
    }

    /// Places the watches of a plan, with a new watcher.
    fn arm(&mut self, plan: Plan, changed: &mut BTreeSet<Changed>) {
        let plan = Arc::new(plan);
        self.plan = Arc::clone(&plan);
        self.desk.follow(Arc::clone(&plan));
        self.number += 1;
        let ear = Ear { desk: Arc::clone(&self.desk), watcher: self.number };
        self.unheard = true;
        let mut watcher = match W::new(ear, Config::default().with_follow_symlinks(false)) {
            Ok(watcher) => Held::new(watcher, Arc::clone(&self.desk), self.number),
            Err(error) => {
                for (number, root) in &plan.trees {
                    let digest = walk(root, |_| self.go_on());
                    self.compare(*number, digest, changed);
                }
                return self.fault_of_all(reason(&error));
            }
        };
        let mut refused = false;
        for (dir, way) in &plan.dirs {
            if let Err(error) = watcher.watch(dir, RecursiveMode::NonRecursive)
                && !is_gone(&error)
            {
                // A directory that is only passed through may be closed to us.
                refused |= way.near.is_some() || !is_closed(&error);
                if let Some(target) = way.near {
                    self.fault(target, reason(&error), true);
                }
            }
        }
        let mut whole = Vec::new();
        for (number, root) in &plan.trees {
            let planted = self.plant(&mut watcher, *number, root);
            self.compare(*number, planted.digest, changed);
            refused |= planted.refused;
            whole.extend((!planted.refused).then_some(*number));
        }
        if !watcher.lives() {
            // The watcher does not tell whether it was refused a thread.
            return self.fault_of_all(format!("the system's watcher has ended; perhaps {}", threads::LIMIT));
        }
        for number in whole {
            self.targets[number].digest = None;
        }
        self.unheard = refused;
        let before = self.desk.rely_on(self.number);
        if let Some(old) = self.watcher.replace(watcher) {
            self.dismiss(old, before);
        }
    }

    /// Compares a tree with what it was.
    fn compare(&mut self, number: usize, digest: u64, changed: &mut BTreeSet<Changed>) {
        let target = &mut self.targets[number];
        if target.digest.replace(digest).is_some_and(|before| before != digest) {
            changed.insert(target.kind);
        }
    }

    /// Ends a watcher once all that happened before is on the desk. What comes later, another one hears.
    fn dismiss(&self, mut old: Held<W>, number: u64) {
        if !NATIVE_TREES {
            // Its thread answers between two batches of events, and in the middle of one: after the second answer it
            // has heard everything that happened before the first question.
            for _ in 0..2 {
                let _ = old.unwatch(Path::new("/"));
            }
        }
        drop(old);
        self.desk.until_ended(number, DISMISSAL);
    }

    /// Watches what has come below a watched directory.
    fn grow(&mut self, target: usize, path: &Path) {
        if NATIVE_TREES {
            return;
        }
        if let Some(mut watcher) = self.watcher.take() {
            let refused = self.plant(&mut watcher, target, path).refused;
            self.watcher = Some(watcher);
            if refused && let Some(root) = self.targets[target].tree() {
                let digest = walk(root, |_| self.go_on());
                self.targets[target].digest = Some(digest);
                self.unheard = true;
            }
        }
    }

    /// Watches a directory and all below it, as far as that can be done.
    fn plant(&mut self, watcher: &mut Held<W>, target: usize, root: &Path) -> Planted {
        let mut problem = None;
        let (mut full, mut refused) = (false, false);
        let mode = if NATIVE_TREES { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
        let digest = walk(root, |dir| {
            if !full
                && (dir == root || !NATIVE_TREES)
                && let Err(error) = watcher.watch(dir, mode)
                && !is_gone(&error)
            {
                // Once the system has no watch left, every further one costs a call and changes nothing.
                full = matches!(error.kind, notify::ErrorKind::MaxFilesWatch);
                if !is_closed(&error) && !std::mem::replace(&mut refused, true) {
                    problem = Some(reason(&error));
                }
                problem.get_or_insert_with(|| reason(&error));
            }
            self.go_on()
        });
        if let Some(problem) = problem {
            self.fault(target, problem, refused);
        }
        Planted { digest, refused }
    }

    fn go_on(&self) -> ControlFlow<()> {
        if self.desk.is_closed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Tells once that no watcher is available.
    fn fault_of_all(&mut self, reason: String) {
        if !std::mem::replace(&mut self.fault_told, true) {
            self.told.fault(Fault::Unheard(reason));
        }
    }

    /// Tells once per path that it cannot be watched, or not wholly, and whether it is looked at instead.
    fn fault(&mut self, target: usize, reason: String, looking: bool) {
        let target = &mut self.targets[target];
        if !std::mem::replace(&mut target.fault_told, true) {
            self.told.fault(Fault::Path { path: target.path.clone(), reason, looking });
        }
    }
}

/// A tree after its watches were placed.
struct Planted {
    /// What is there.
    digest: u64,
    /// Whether the system has refused a watch that it may grant later.
    refused: bool,
}

/// Whether a directory cannot be watched because we may not read it. That lasts, and nothing in it can be found by
/// looking either.
fn is_closed(error: &notify::Error) -> bool {
    matches!(&error.kind, notify::ErrorKind::Io(error) if error.kind() == io::ErrorKind::PermissionDenied)
}

/// Whether what was to be watched has vanished meanwhile, of which an event tells.
fn is_gone(error: &notify::Error) -> bool {
    match &error.kind {
        notify::ErrorKind::PathNotFound => true,
        notify::ErrorKind::Io(error) => is_absent(error),
        notify::ErrorKind::Generic(_)
        | notify::ErrorKind::WatchNotFound
        | notify::ErrorKind::InvalidConfig(_)
        | notify::ErrorKind::MaxFilesWatch => false,
    }
}

fn reason(error: &notify::Error) -> String {
    match &error.kind {
        notify::ErrorKind::MaxFilesWatch => {
            "the system has no watch left (on Linux, raise fs.inotify.max_user_watches)".to_owned()
        }
        notify::ErrorKind::Io(error) if error.raw_os_error() == Some(nix::libc::EMFILE) => {
            format!("{error} (on Linux, raise fs.inotify.max_user_instances)")
        }
        notify::ErrorKind::Io(error) => error.to_string(),
        notify::ErrorKind::Generic(_)
        | notify::ErrorKind::PathNotFound
        | notify::ErrorKind::WatchNotFound
        | notify::ErrorKind::InvalidConfig(_) => error.to_string(),
    }
}
