//! What goes wrong, what comes between, and the parts one by one.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use notify::event::{CreateKind, Flag, ModifyKind, RenameMode};
use notify::{
    Config, Error, ErrorKind, Event, EventHandler, EventKind, NullWatcher, RecommendedWatcher, RecursiveMode,
    Watcher, WatcherKind,
};

use super::super::hints::{Desk, Ear, Hints, Plan};
use super::super::keeper::Keeper;
use super::super::on_thread;
use super::super::told::Told;
use super::super::trace::{Seen, follow, identity};
use super::super::tree::walk;
use super::*;

/// The system's watcher, but the names `closed` cannot be watched, and nothing more after the name `last`.
struct Limited(RecommendedWatcher, bool);

impl Watcher for Limited {
    fn new<F: EventHandler>(ear: F, config: Config) -> notify::Result<Self> {
        Ok(Self(RecommendedWatcher::new(ear, config)?, false))
    }

    fn watch(&mut self, path: &Path, mode: RecursiveMode) -> notify::Result<()> {
        if self.1 {
            return Err(Error::new(ErrorKind::MaxFilesWatch));
        }
        self.1 = path.ends_with("last");
        if path.ends_with("closed") {
            return Err(Error::io(std::io::ErrorKind::PermissionDenied.into()));
        }
        self.0.watch(path, mode)
    }

    fn unwatch(&mut self, path: &Path) -> notify::Result<()> {
        self.0.unwatch(path)
    }

    fn kind() -> WatcherKind {
        RecommendedWatcher::kind()
    }
}

/// The system's watcher, but it refuses every watch while [`FULL`].
struct Full(RecommendedWatcher);

static FULL: AtomicBool = AtomicBool::new(true);
static GRANTED: AtomicBool = AtomicBool::new(false);

impl Watcher for Full {
    fn new<F: EventHandler>(ear: F, config: Config) -> notify::Result<Self> {
        Ok(Self(RecommendedWatcher::new(ear, config)?))
    }

    fn watch(&mut self, path: &Path, mode: RecursiveMode) -> notify::Result<()> {
        if FULL.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::MaxFilesWatch));
        }
        GRANTED.store(true, Ordering::Relaxed);
        self.0.watch(path, mode)
    }

    fn unwatch(&mut self, path: &Path) -> notify::Result<()> {
        self.0.unwatch(path)
    }

    fn kind() -> WatcherKind {
        RecommendedWatcher::kind()
    }
}

/// A watcher that ends while it is in use. [`NullWatcher`] ends before.
struct Dead;

impl Watcher for Dead {
    fn new<F: EventHandler>(ear: F, _: Config) -> notify::Result<Self> {
        let end = move || drop(ear);
        thread::spawn(end);
        Ok(Self)
    }

    fn watch(&mut self, _: &Path, _: RecursiveMode) -> notify::Result<()> {
        Ok(())
    }

    fn unwatch(&mut self, _: &Path) -> notify::Result<()> {
        Ok(())
    }

    fn kind() -> WatcherKind {
        WatcherKind::NullWatcher
    }
}

/// A watcher that the system refuses.
struct Refused;

impl Watcher for Refused {
    fn new<F: EventHandler>(_: F, _: Config) -> notify::Result<Self> {
        Err(Error::io(std::io::Error::from_raw_os_error(nix::libc::EMFILE)))
    }

    fn watch(&mut self, _: &Path, _: RecursiveMode) -> notify::Result<()> {
        Ok(())
    }

    fn unwatch(&mut self, _: &Path) -> notify::Result<()> {
        Ok(())
    }

    fn kind() -> WatcherKind {
        WatcherKind::NullWatcher
    }
}

/// As [`Watch::start`] with another watcher.
fn start<W: Watcher + 'static>(paths: Vec<(Changed, PathBuf)>) -> Watch {
    let mut watch = Watch::start(Vec::new(), Duration::ZERO);
    let (desk, told) = (Arc::clone(&watch.desk), Arc::clone(&watch.told));
    watch.started = true;
    on_thread(&watch.told, || Keeper::<W>::new(desk, told, Duration::ZERO).run());
    watch.ask(paths);
    watch
}

fn keeper<W: Watcher>() -> (Keeper<W>, Arc<Told>) {
    let told = Arc::<Told>::default();
    (Keeper::new(Arc::default(), Arc::clone(&told), Duration::ZERO), told)
}

fn changes(kinds: &[Changed]) -> BTreeSet<Changed> {
    kinds.iter().copied().collect()
}

// Where the system watches whole trees there is one watch, which is there or not.
#[cfg(not(target_os = "macos"))]
#[tokio::test]
async fn what_cannot_be_watched_is_told_once_and_the_rest_is_watched() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    for name in ["a", "closed/inside", "z"] {
        fs::create_dir_all(tree.join(name)).unwrap();
    }
    let watch = start::<Limited>(vec![(Changed::Watched, tree.clone())]);
    within("ready", watch.ready()).await;
    let fault = within("fault", watch.fault()).await;
    assert_eq!(fault.to_string(), format!("watch `{}`: permission denied", tree.display()));
    for name in ["a/file", "closed/inside/file", "z/file"] {
        drop(File::create(tree.join(name)).unwrap());
        assert_eq!(within(name, watch.changed()).await, Changed::Watched);
    }
    fs::create_dir_all(tree.join("a/closed")).unwrap();
    assert_eq!(within("the next of these", watch.changed()).await, Changed::Watched);
    assert_eq!(at_once(watch.fault()).await, None);
}

#[cfg(not(target_os = "macos"))]
#[tokio::test]
async fn after_more_new_directories_than_are_remembered_the_tree_is_walked_again() {
    let dir = tempfile::tempdir().unwrap();
    for (hints, walked) in [
        (Hints::default(), false),
        (Hints { crowded: true, ..Hints::default() }, true),
        (Hints { lost: true, ..Hints::default() }, true),
    ] {
        let tree = tempfile::tempdir_in(&dir).unwrap();
        let (mut keeper, told) = keeper::<Limited>();
        keeper.add(vec![(Changed::Watched, tree.path().to_owned())]);
        keeper.heed(&Hints::default());
        fs::create_dir_all(tree.path().join("a/closed")).unwrap();
        keeper.heed(&hints);
        assert_eq!(at_once(told.next_fault()).await.is_some(), walked, "{hints:?}");
    }
}

// Where the system watches whole trees there is one watch, which is there or not.
#[cfg(not(target_os = "macos"))]
#[tokio::test]
async fn where_watches_run_out_those_near_the_top_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, file) = (dir.path().join("tree"), dir.path().join("file"));
    fs::create_dir_all(tree.join("last/deep")).unwrap();
    let paths = vec![(Changed::Watched, tree.clone()), (Changed::Executable, file.clone())];
    let watch = start::<Limited>(paths);
    within("ready", watch.ready()).await;
    let fault = within("fault", watch.fault()).await;
    let Fault::Path { path, reason, looking: true } = &fault else { panic!("{fault}") };
    assert!(*path == tree && reason.contains("fs.inotify.max_user_watches"), "{fault}");
    // No event reports this one.
    drop(File::create(tree.join("last/deep/file")).unwrap());
    assert_eq!(within("by looking", watch.changed()).await, Changed::Watched);
    // An event and the look report the next one, which is one change.
    drop(File::create(tree.join("last/file")).unwrap());
    assert_eq!(within("near the top", watch.changed()).await, Changed::Watched);
    drop(File::create(&file).unwrap());
    assert_eq!(within("the file", watch.changed()).await, Changed::Executable);
    assert_eq!(at_once(watch.changed()).await, None);
    assert_eq!(at_once(watch.fault()).await, None);
}

#[tokio::test]
async fn while_no_watch_is_left_it_looks_and_asks_again() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, file) = (dir.path().join("tree"), dir.path().join("file"));
    fs::create_dir_all(tree.join("deep")).unwrap();
    let watch = start::<Full>(vec![(Changed::Watched, tree.clone()), (Changed::Executable, file.clone())]);
    within("ready", watch.ready()).await;
    assert!(within("fault", watch.fault()).await.is_looked_at());
    drop(File::create(tree.join("deep/file")).unwrap());
    assert_eq!(within("in the tree", watch.changed()).await, Changed::Watched);
    drop(File::create(&file).unwrap());
    assert_eq!(within("the file", watch.changed()).await, Changed::Executable);
    assert_eq!(at_once(watch.changed()).await, None, "each is reported once");

    FULL.store(false, Ordering::Relaxed);
    let granted = async {
        while !GRANTED.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within("another attempt", granted).await;
    append(&tree.join("deep/file"));
    assert_eq!(within("with watches", watch.changed()).await, Changed::Watched);
    assert_eq!(at_once(watch.fault()).await, None);
}

#[tokio::test]
async fn a_path_that_cannot_be_followed_is_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let (long, file) = (dir.path().join("x".repeat(300)), dir.path().join("file"));
    let watch = Watch::start(
        vec![(Changed::Watched, long.join("y")), (Changed::Executable, file.clone())],
        Duration::ZERO,
    );
    within("ready", watch.ready()).await;
    let fault = within("fault", watch.fault()).await;
    assert!(matches!(&fault, Fault::Path { path, .. } if *path == long.join("y")), "{fault}");
    fs::create_dir(&file).unwrap();
    assert_eq!(within("the other", watch.changed()).await, Changed::Executable);
    assert_eq!(at_once(watch.fault()).await, None);
}

#[tokio::test]
async fn without_the_systems_watcher_nothing_changes_and_one_fault_is_told() {
    let dir = tempfile::tempdir().unwrap();
    for (mut watch, why) in [
        (start::<Dead>(vec![(Changed::Watched, dir.path().join("file"))]), "has ended"),
        (start::<NullWatcher>(vec![(Changed::Watched, dir.path().join("file"))]), "has ended"),
        (
            start::<Refused>(vec![(Changed::Watched, dir.path().join("file"))]),
            "fs.inotify.max_user_instances",
        ),
    ] {
        let fault = within("fault", watch.fault()).await;
        assert!(matches!(&fault, Fault::All(text) | Fault::Unheard(text) if text.contains(why)), "{fault}");
        within("ready", watch.ready()).await;
        watch.add(Changed::Executable, dir.path().join("other"));
        within("ready", watch.ready()).await;
        assert_eq!(at_once(watch.fault()).await, None);
        assert_eq!(at_once(watch.changed()).await, None);
    }
}

#[tokio::test]
async fn a_panic_is_caught_and_told() {
    let told = Arc::<Told>::default();
    on_thread(&told, || panic!("no more {}", "files"));
    let fault = within("fault", told.next_fault()).await;
    assert_eq!(fault.to_string(), "watch for changes: it panicked: no more files");
    within("ready", told.until_ready(7)).await;
}

#[tokio::test]
async fn the_thread_ends_with_the_watch() {
    let dir = tempfile::tempdir().unwrap();
    // The last one ends in the middle of its quiet time.
    let hour = Duration::from_secs(3600);
    for (wait, quiet) in [(true, Duration::ZERO), (false, Duration::ZERO), (false, hour)] {
        let watch = Watch::start(vec![(Changed::Watched, dir.path().to_owned())], quiet);
        if wait {
            within("ready", watch.ready()).await;
        }
        let told = Arc::clone(&watch.told);
        drop(watch);
        // The last that the thread does.
        within("the end", told.until_ready(u64::MAX)).await;
    }
}

#[test]
fn whoever_waits_at_the_desk_hears_that_it_closes() {
    let desks: Vec<_> = (0..200).map(|_| Arc::<Desk>::default()).collect();
    let waited = desks.clone();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for desk in waited {
            tell.send(()).unwrap();
            assert!(desk.wait(WATCHDOG).closed);
        }
    });
    for desk in desks {
        assert_eq!(told.recv_timeout(WATCHDOG), Ok(()), "the desk before has closed");
        // It may be waiting by now, and in some of the rounds it is.
        thread::yield_now();
        desk.close();
    }
    assert_eq!(told.recv_timeout(WATCHDOG), Err(mpsc::RecvTimeoutError::Disconnected), "the last has closed");
}

#[tokio::test]
async fn asking_and_giving_up_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let watch = Watch::start(vec![(Changed::Watched, dir.path().join("file"))], Duration::ZERO);
    within("ready", watch.ready()).await;
    for _ in 0..100 {
        assert_eq!(at_once(watch.changed()).await, None);
        assert_eq!(at_once(watch.fault()).await, None);
    }
    fs::create_dir(dir.path().join("file")).unwrap();
    let changed = async {
        tokio::select! {
            changed = watch.changed() => changed,
            fault = watch.fault() => panic!("{fault}"),
        }
    };
    assert_eq!(within("changed", changed).await, Changed::Watched);
}

#[tokio::test]
async fn what_waits_to_be_heard_does_not_pile_up() {
    let told = Told::default();
    for _ in 0..1000 {
        told.changed(&changes(&[Changed::Executable]));
        told.changed(&changes(&[Changed::Watched]));
    }
    assert_eq!(at_once(told.next_change()).await, Some(Changed::Watched));
    assert_eq!(at_once(told.next_change()).await, Some(Changed::Executable));
    assert_eq!(at_once(told.next_change()).await, None);
}

/// What is on the desk after these events of a watcher, where `/tree` and the file `/dir/file` are watched.
fn heard(events: Vec<notify::Result<Event>>) -> Hints {
    let desk = Arc::<Desk>::default();
    let mut plan = Plan::default();
    plan.trees.insert(0, "/tree".into());
    plan.names.extend(["/dir", "/dir/file"].map(PathBuf::from));
    desk.follow(Arc::new(plan));
    let mut ear = Ear { desk: Arc::clone(&desk), watcher: 1 };
    for event in events {
        ear.handle_event(event);
    }
    // So that there is something to take, even if they were worth nothing.
    desk.close();
    desk.wait(WATCHDOG)
}

#[test]
fn hints_do_not_pile_up() {
    let made = |number| {
        let path = PathBuf::from(format!("/tree/{number}"));
        Ok(Event::new(EventKind::Create(CreateKind::Folder)).add_path(path))
    };
    let hints = heard((0..100).map(made).collect());
    assert_eq!((hints.fresh.len(), hints.crowded, hints.hit.len()), (100, false, 1));
    let hints = heard((0..10_000).map(made).collect());
    assert_eq!((hints.fresh.len(), hints.crowded, hints.hit.len()), (0, true, 1));
}

#[test]
fn lost_events_are_a_hint_that_anything_may_have_happened() {
    let overflow = Event::new(EventKind::Other).set_flag(Flag::Rescan);
    assert!(heard(vec![Ok(overflow)]).lost);
    assert!(heard(vec![Err(Error::generic("unreadable"))]).lost);
    let near = Event::new(EventKind::Modify(ModifyKind::Name(RenameMode::Any)));
    let hints = heard(vec![Ok(near.clone().add_path("/dir/file".into()))]);
    assert!(hints.look && !hints.lost && hints.hit.is_empty());
    let hints = heard(vec![Ok(near.add_path("/dir/other".into()))]);
    assert!(!hints.look && !hints.lost && hints.hit.is_empty());
}

#[test]
fn after_lost_events_everything_is_compared() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    let (mut keeper, _) = keeper::<NullWatcher>();
    keeper.add(vec![(Changed::Executable, file.clone())]);
    assert_eq!(keeper.heed(&Hints::default()), changes(&[]));
    let lost = Hints { lost: true, ..Hints::default() };
    assert_eq!(keeper.heed(&lost), changes(&[]));
    write(&file, "one");
    assert_eq!(keeper.heed(&lost), changes(&[Changed::Executable]));
    assert_eq!(keeper.heed(&lost), changes(&[]));
    // A tree has no fingerprint that could say that nothing has changed.
    keeper.add(vec![(Changed::Watched, dir.path().to_owned())]);
    assert_eq!(keeper.heed(&Hints::default()), changes(&[]));
    assert_eq!(keeper.heed(&lost), changes(&[Changed::Watched]));
}

#[test]
fn what_happens_while_the_first_watches_are_placed_is_seen() {
    let tree = |dir: &Path| fs::create_dir_all(dir.join("tree/deep")).unwrap();
    let acts: &[(&str, Act)] = &[
        ("file", ("a missing file is made", |dir| write(&dir.join("file"), "one"))),
        ("a/b", ("a directory is made", |dir| fs::create_dir_all(dir.join("a/b")).unwrap())),
        ("tree", ("a tree is removed", |dir| fs::remove_dir_all(dir.join("tree")).unwrap())),
        ("tree", ("a file is made in a tree", |dir| write(&dir.join("tree/deep/file"), "one"))),
        ("tree", ("a directory is made in a tree", |dir| fs::create_dir(dir.join("tree/deep/a")).unwrap())),
    ];
    for (path, (what, act)) in acts {
        let dir = tempfile::tempdir().unwrap();
        tree(dir.path());
        let (mut keeper, _) = keeper::<NullWatcher>();
        keeper.add(vec![(Changed::Watched, dir.path().join(path))]);
        act(dir.path());
        assert_eq!(keeper.heed(&Hints::default()), changes(&[Changed::Watched]), "{what}");
        assert_eq!(keeper.heed(&Hints::default()), changes(&[]), "{what}");
    }
}

#[test]
fn a_trace_names_the_real_directories_that_were_passed() {
    let dir = tempfile::tempdir().unwrap();
    let real = dir.path().canonicalize().unwrap();
    fs::create_dir_all(real.join("a/b/c")).unwrap();
    write(&real.join("file"), "one");
    link(real.join("a/b"), &real.join("a/b/c/absolute"));
    link("../../file", &real.join("a/b/relative"));
    let trace = follow(&real.join("a/b/c/absolute/../b/relative"));
    for step in &trace.steps {
        assert_eq!(step.dir, step.dir.canonicalize().unwrap());
        assert_eq!(step.identity, identity(&step.dir.metadata().unwrap()), "{}", step.dir.display());
        assert_eq!(step.name.parent(), Some(step.dir.as_path()));
    }
    let near: Vec<_> = trace.steps.iter().filter(|step| step.near).map(|step| &step.name).collect();
    assert_eq!(near, [&real.join("a/b/c/absolute"), &real.join("a/b/relative"), &real.join("file")]);
    assert!(matches!(trace.seen, Seen::File { real: found, .. } if found == real.join("file")));
}

#[test]
fn a_digest_is_of_names_and_states_and_stays_the_same_without_a_change() {
    let dir = tempfile::tempdir().unwrap();
    let go_on = |_: &Path| std::ops::ControlFlow::Continue(());
    let mut digests = BTreeSet::from([walk(dir.path(), go_on)]);
    let acts: &[fn(&Path)] = &[
        |dir| write(&dir.join("file"), "one"),
        |dir| append(&dir.join("file")),
        |dir| mode(&dir.join("file"), 0o700),
        |dir| rename(dir.join("file"), dir.join("renamed")),
        |dir| fs::create_dir_all(dir.join("a/b")).unwrap(),
        |dir| rename(dir.join("renamed"), dir.join("a/b/renamed")),
        |dir| link("nowhere", &dir.join("a/link")),
        |dir| link("elsewhere", &dir.join("a/link")),
    ];
    for (number, act) in acts.iter().enumerate() {
        act(dir.path());
        let digest = walk(dir.path(), go_on);
        assert!(digests.insert(digest), "act {number} shows");
        assert_eq!(walk(dir.path(), go_on), digest, "act {number} shows once");
    }
    assert_eq!(walk(&dir.path().join("a/b/renamed"), go_on), 0, "a file is no tree");
    assert_eq!(walk(&dir.path().join("a/link"), go_on), 0, "a link is no tree");
}
