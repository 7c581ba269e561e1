//! A watched path that is a file, or is to become one.

use std::env;

use super::*;

fn one_file(dir: &Path) {
    fs::create_dir_all(dir.join("a/b")).unwrap();
    write(&dir.join("a/b/file"), "one");
}

#[tokio::test]
async fn every_way_to_change_a_file_counts_and_goes_on_counting() {
    let acts: &[Act] = &[
        ("written in place", |dir| write(&dir.join("a/b/file"), "longer than before")),
        ("appended to", |dir| append(&dir.join("a/b/file"))),
        ("truncated", |dir| write(&dir.join("a/b/file"), "")),
        ("its mode changed", |dir| mode(&dir.join("a/b/file"), 0o755)),
        ("replaced by a rename", |dir| {
            write(&dir.join("a/b/.file.swp"), "one");
            rename(dir.join("a/b/.file.swp"), dir.join("a/b/file"));
        }),
        ("renamed away and made again", |dir| {
            rename(dir.join("a/b/file"), dir.join("a/b/file~"));
            write(&dir.join("a/b/file"), "one");
        }),
        ("replaced by a rename from elsewhere", |dir| {
            write(&dir.join("new"), "one");
            rename(dir.join("new"), dir.join("a/b/file"));
        }),
        ("removed", |dir| fs::remove_file(dir.join("a/b/file")).unwrap()),
        ("renamed away", |dir| rename(dir.join("a/b/file"), dir.join("a/b/other"))),
        ("replaced by a directory", |dir| {
            fs::remove_file(dir.join("a/b/file")).unwrap();
            fs::create_dir(dir.join("a/b/file")).unwrap();
        }),
        ("removed with its directory", |dir| fs::remove_dir_all(dir.join("a/b")).unwrap()),
        ("removed with all directories", |dir| fs::remove_dir_all(dir.join("a")).unwrap()),
        ("renamed with its directory", |dir| rename(dir.join("a/b"), dir.join("a/c"))),
        ("another directory in place of its own", |dir| {
            fs::create_dir(dir.join("a/c")).unwrap();
            write(&dir.join("a/c/file"), "one");
            rename(dir.join("a/b"), dir.join("a/old"));
            rename(dir.join("a/c"), dir.join("a/b"));
        }),
    ];
    for (what, act) in acts {
        let mut scene = Scene::new(one_file, "a/b/file").await;
        scene.counts(what, act).await;
        let _ = fs::remove_dir_all(scene.path().join("a"));
        scene.ring(what).await;
        scene.counts(&format!("{what}, then back"), one_file).await;
        scene.counts(&format!("{what}, then back and written"), |dir| append(&dir.join("a/b/file"))).await;
    }
}

// Where the system watches whole trees, the directories far up are not watched.
#[cfg(not(target_os = "macos"))]
#[tokio::test]
async fn a_file_counts_that_goes_and_comes_with_a_directory_far_up() {
    let deep = |dir: &Path| one_file(&dir.join("x/y/z"));
    let mut scene = Scene::new(deep, "x/y/z/a/b/file").await;
    for place in ["x/y/z/a", "x/y/z", "x/y", "x"] {
        scene.counts(place, |dir| rename(dir.join(place), dir.join("elsewhere"))).await;
        scene.counts("back", |dir| rename(dir.join("elsewhere"), dir.join(place))).await;
        scene.counts("written", |dir| append(&dir.join("x/y/z/a/b/file"))).await;
    }
}

#[tokio::test]
async fn what_happens_near_a_file_does_not_count() {
    let mut scene = Scene::new(one_file, "a/b/file").await;
    let acts: &[Act] = &[
        ("read", |dir| drop(fs::read(dir.join("a/b/file")).unwrap())),
        ("opened for writing", |dir| {
            drop(OpenOptions::new().write(true).open(dir.join("a/b/file")).unwrap());
        }),
        ("its directory is listed", |dir| fs::read_dir(dir.join("a/b")).unwrap().for_each(drop)),
        ("a neighbour is made", |dir| write(&dir.join("a/b/file2"), "x")),
        ("a neighbour is written", |dir| append(&dir.join("a/b/file2"))),
        ("a neighbour is renamed", |dir| rename(dir.join("a/b/file2"), dir.join("a/b/fil"))),
        ("a neighbour is removed", |dir| fs::remove_file(dir.join("a/b/fil")).unwrap()),
        ("a neighbour is a directory", |dir| fs::create_dir_all(dir.join("a/b/x/file")).unwrap()),
        ("its directory has another mode", |dir| mode(&dir.join("a/b"), 0o700)),
        ("the same name elsewhere", |dir| write(&dir.join("a/file"), "x")),
    ];
    for (what, act) in acts {
        scene.does_not_count(what, act).await;
    }
    scene.counts("written after all that", |dir| append(&dir.join("a/b/file"))).await;
}

#[tokio::test]
async fn a_file_counts_that_does_not_exist_yet() {
    let acts: &[Act] = &[
        ("made", |dir| {
            fs::create_dir_all(dir.join("a/b")).unwrap();
            File::create(dir.join("a/b/file")).unwrap();
        }),
        ("moved here with its directories", |dir| {
            fs::create_dir_all(dir.join("x/b")).unwrap();
            write(&dir.join("x/b/file"), "one");
            rename(dir.join("x"), dir.join("a"));
        }),
    ];
    for (what, act) in acts {
        let mut scene = Scene::new(|_| {}, "a/b/file").await;
        scene.counts(what, act).await;
        scene.counts(&format!("{what}, and written"), |dir| append(&dir.join("a/b/file"))).await;
    }
}

#[tokio::test]
async fn the_watch_moves_down_as_directories_appear_and_up_as_they_go() {
    let mut scene = Scene::new(|_| {}, "a/b/file").await;
    for _ in 0..2 {
        scene.does_not_count("its first directory", |dir| fs::create_dir(dir.join("a")).unwrap()).await;
        scene.does_not_count("a file in place of its second", |dir| write(&dir.join("a/b"), "x")).await;
        scene.does_not_count("which goes", |dir| fs::remove_file(dir.join("a/b")).unwrap()).await;
        scene.does_not_count("its second directory", |dir| fs::create_dir(dir.join("a/b")).unwrap()).await;
        scene.counts("itself", |dir| write(&dir.join("a/b/file"), "one")).await;
        scene.counts("written", |dir| append(&dir.join("a/b/file"))).await;
        scene.counts("gone", |dir| fs::remove_file(dir.join("a/b/file")).unwrap()).await;
        scene.does_not_count("its directories, gone", |dir| fs::remove_dir_all(dir.join("a")).unwrap()).await;
    }
}

#[tokio::test]
async fn a_relative_path_is_one_from_the_working_directory() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().canonicalize().unwrap().join("file");
    let up: PathBuf = env::current_dir().unwrap().components().skip(1).map(|_| "..").collect();
    let relative = up.join(file.strip_prefix("/").unwrap());
    assert!(relative.is_relative());
    let watch = Watch::start(vec![(Changed::Executable, relative)], Duration::ZERO);
    within("ready", watch.ready()).await;
    write(&file, "one");
    assert_eq!(within("made", watch.changed()).await, Changed::Executable);
}

#[tokio::test]
async fn two_kinds_of_one_path_are_both_told() {
    let mut scene = Scene::new(one_file, "a/b/file").await;
    let file = scene.path().join("a/b/file");
    scene.watch.add(Changed::Executable, file.clone());
    within("ready", scene.watch.ready()).await;
    fs::remove_file(&file).unwrap();
    assert_eq!(within("first", scene.watch.changed()).await, Changed::Watched);
    assert_eq!(within("second", scene.watch.changed()).await, Changed::Executable);
    assert_eq!(at_once(scene.watch.changed()).await, None);
}

#[tokio::test]
async fn a_path_can_be_added_later_and_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mut watch = Watch::start(Vec::new(), Duration::ZERO);
    assert!(!watch.started, "nothing to do for a thread");
    within("ready", watch.ready()).await;
    for name in ["one", "two", "one"] {
        watch.add(Changed::Executable, dir.path().join(name));
    }
    within("ready", watch.ready()).await;
    for name in ["two", "one"] {
        fs::create_dir(dir.path().join("x")).unwrap();
        rename(dir.path().join("x"), dir.path().join(name));
        assert_eq!(within(name, watch.changed()).await, Changed::Executable);
    }
}
