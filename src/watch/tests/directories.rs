//! A watched path that is a directory: everything below it counts.

use super::*;

fn tree(dir: &Path) {
    fs::create_dir_all(dir.join("tree/a/b")).unwrap();
    fs::create_dir_all(dir.join("outside/x/y")).unwrap();
    write(&dir.join("tree/file"), "one");
    write(&dir.join("tree/a/b/deep"), "one");
    write(&dir.join("outside/x/y/file"), "one");
    link(dir.join("outside"), &dir.join("tree/link"));
}

#[tokio::test]
async fn everything_below_a_directory_counts() {
    let mut scene = Scene::new(tree, "tree").await;
    let acts: &[Act] = &[
        ("a file is made", |dir| drop(File::create(dir.join("tree/new")).unwrap())),
        ("a file is written", |dir| append(&dir.join("tree/file"))),
        ("a deep file is written", |dir| append(&dir.join("tree/a/b/deep"))),
        ("a deep file is made", |dir| drop(File::create(dir.join("tree/a/b/new")).unwrap())),
        ("a mode is changed", |dir| mode(&dir.join("tree/file"), 0o755)),
        ("a file is renamed", |dir| rename(dir.join("tree/file"), dir.join("tree/renamed"))),
        ("a file is moved out", |dir| rename(dir.join("tree/renamed"), dir.join("out"))),
        ("a file is moved in", |dir| rename(dir.join("out"), dir.join("tree/a/in"))),
        ("a file is removed", |dir| fs::remove_file(dir.join("tree/a/in")).unwrap()),
        ("a link is pointed elsewhere", |dir| link(dir.join("bell"), &dir.join("tree/link"))),
        ("a directory is made", |dir| fs::create_dir(dir.join("tree/c")).unwrap()),
        ("a file is made in it", |dir| write(&dir.join("tree/c/file"), "one")),
        ("a file is written in it", |dir| append(&dir.join("tree/c/file"))),
        ("directories are made in it", |dir| fs::create_dir_all(dir.join("tree/c/d/e")).unwrap()),
        ("a file is made in the deepest", |dir| write(&dir.join("tree/c/d/e/file"), "one")),
        ("a directory is moved in", |dir| rename(dir.join("outside"), dir.join("tree/c/in"))),
        ("a file that came with it is written", |dir| append(&dir.join("tree/c/in/x/y/file"))),
        ("a directory is renamed", |dir| rename(dir.join("tree/c"), dir.join("tree/f"))),
        ("a file in it is written", |dir| append(&dir.join("tree/f/in/x/y/file"))),
        ("a directory is removed", |dir| fs::remove_dir_all(dir.join("tree/f")).unwrap()),
        ("and made again", |dir| fs::create_dir(dir.join("tree/f")).unwrap()),
        ("a file is made in it again", |dir| write(&dir.join("tree/f/file"), "one")),
        ("a directory is moved out", |dir| rename(dir.join("tree/f"), dir.join("f"))),
    ];
    for (what, act) in acts {
        scene.counts(what, act).await;
    }
    scene.does_not_count("what was moved out", |dir| append(&dir.join("f/file"))).await;
}

#[tokio::test]
async fn what_happens_elsewhere_and_reading_do_not_count() {
    let mut scene = Scene::new(tree, "tree").await;
    let acts: &[Act] = &[
        ("a file is read", |dir| drop(fs::read(dir.join("tree/a/b/deep")).unwrap())),
        ("a file is opened for writing", |dir| {
            drop(OpenOptions::new().write(true).open(dir.join("tree/file")).unwrap());
        }),
        ("it is listed", |dir| fs::read_dir(dir.join("tree/a")).unwrap().for_each(drop)),
        ("behind a link", |dir| append(&dir.join("outside/x/y/file"))),
        ("a neighbour of the same beginning", |dir| write(&dir.join("tree2"), "x")),
        ("a directory beside it", |dir| fs::create_dir_all(dir.join("three/tree")).unwrap()),
        ("the directory above has another mode", |dir| mode(dir, 0o755)),
    ];
    for (what, act) in acts {
        scene.does_not_count(what, act).await;
    }
    scene.counts("written after all that", |dir| append(&dir.join("tree/a/b/deep"))).await;
}

#[tokio::test]
async fn the_directory_itself_may_change_go_and_come_back() {
    let mut scene = Scene::new(tree, "tree").await;
    scene.counts("its mode", |dir| mode(&dir.join("tree"), 0o700)).await;
    for _ in 0..2 {
        scene.counts("removed", |dir| fs::remove_dir_all(dir.join("tree")).unwrap()).await;
        scene.counts("made again", |dir| fs::create_dir_all(dir.join("tree/a")).unwrap()).await;
        scene.counts("a file in it", |dir| write(&dir.join("tree/a/file"), "one")).await;
        scene.counts("moved away", |dir| rename(dir.join("tree"), dir.join("moved"))).await;
        scene.does_not_count("a file in it, away", |dir| append(&dir.join("moved/a/file"))).await;
        scene.counts("moved back", |dir| rename(dir.join("moved"), dir.join("tree"))).await;
        scene.counts("a file in it, back", |dir| append(&dir.join("tree/a/file"))).await;
        scene
            .counts("in one go", |dir| {
                fs::remove_dir_all(dir.join("tree")).unwrap();
                fs::create_dir(dir.join("tree")).unwrap();
            })
            .await;
        scene.counts("a file in the new one", |dir| write(&dir.join("tree/file"), "one")).await;
        scene
            .counts("a file in its place", |dir| {
                fs::remove_dir_all(dir.join("tree")).unwrap();
                write(&dir.join("tree"), "one");
            })
            .await;
        scene.counts("which is written", |dir| append(&dir.join("tree"))).await;
        scene
            .counts("a directory again", |dir| {
                fs::remove_file(dir.join("tree")).unwrap();
                fs::create_dir_all(dir.join("tree/a")).unwrap();
            })
            .await;
        scene.counts("a file in that", |dir| write(&dir.join("tree/a/file"), "one")).await;
    }
}

#[tokio::test]
async fn more_directories_at_once_than_are_remembered_are_all_watched() {
    let mut scene = Scene::new(tree, "tree").await;
    scene
        .counts("many directories", |dir| {
            for number in 0..2000 {
                fs::create_dir_all(dir.join(format!("tree/many/{number}/deep"))).unwrap();
            }
        })
        .await;
    for number in [0, 777, 1999] {
        scene
            .counts("a file in one", |dir| write(&dir.join(format!("tree/many/{number}/deep/file")), "x"))
            .await;
    }
}
