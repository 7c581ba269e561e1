//! Watched paths that lead over links.

use super::*;

/// `app/current` leads to `app/v1`, as installers have it; `bin` is a link over that link.
fn installed(dir: &Path) {
    for version in ["app/v1", "app/v2"] {
        fs::create_dir_all(dir.join(version)).unwrap();
        write(&dir.join(version).join("server"), version);
    }
    link("v1", &dir.join("app/current"));
    link("app/current/server", &dir.join("bin"));
}

#[tokio::test]
async fn a_link_counts_by_what_it_leads_to() {
    for watched in ["app/current/server", "bin", "app/../app/./current/../current/server"] {
        let mut scene = Scene::new(installed, watched).await;
        let s = &mut scene;
        s.counts("the target is written", |dir| append(&dir.join("app/v1/server"))).await;
        s.does_not_count("the other is written", |dir| append(&dir.join("app/v2/server"))).await;
        s.counts("the link is pointed elsewhere", |dir| link("v2", &dir.join("app/current"))).await;
        s.counts("the new target is written", |dir| append(&dir.join("app/v2/server"))).await;
        s.does_not_count("the old target is written", |dir| append(&dir.join("app/v1/server"))).await;
        s.does_not_count("the old target is removed", |dir| fs::remove_dir_all(dir.join("app/v1")).unwrap())
            .await;
        s.does_not_count("the same link again", |dir| link("v2", &dir.join("app/current"))).await;
        s.counts("the link leads nowhere", |dir| link("v3", &dir.join("app/current"))).await;
        s.counts("what it leads to is made", |dir| {
            fs::create_dir(dir.join("app/v3")).unwrap();
            write(&dir.join("app/v3/server"), "v3");
        })
        .await;
        s.counts("the link is removed", |dir| fs::remove_file(dir.join("app/current")).unwrap()).await;
        s.counts("an absolute link", |dir| link(dir.join("app/v2"), &dir.join("app/current"))).await;
        s.counts("the target is written again", |dir| append(&dir.join("app/v2/server"))).await;
        s.counts("a directory in place of the link", |dir| {
            fs::remove_file(dir.join("app/current")).unwrap();
            rename(dir.join("app/v2"), dir.join("app/current"));
        })
        .await;
        s.counts("the file in it is written", |dir| append(&dir.join("app/current/server"))).await;
    }
}

#[tokio::test]
async fn links_of_a_chain_count_one_by_one() {
    let chain = |dir: &Path| {
        for (place, target) in [("a", "../b/link"), ("b", "../c/link"), ("c", "../file")] {
            fs::create_dir(dir.join(place)).unwrap();
            link(target, &dir.join(place).join("link"));
        }
        write(&dir.join("file"), "one");
        write(&dir.join("another"), "two");
    };
    let mut scene = Scene::new(chain, "a/link").await;
    for (place, back) in [("a", "../b/link"), ("b", "../c/link"), ("c", "../file")] {
        scene.counts(place, |dir| link("../another", &dir.join(place).join("link"))).await;
        scene.counts("its target", |dir| append(&dir.join("another"))).await;
        scene.does_not_count("the end of the chain", |dir| append(&dir.join("file"))).await;
        scene.counts("back", |dir| link(back, &dir.join(place).join("link"))).await;
        scene.counts("the end of the chain", |dir| append(&dir.join("file"))).await;
    }
}

#[tokio::test]
async fn links_in_a_circle_lead_nowhere_until_one_is_mended() {
    let circle = |dir: &Path| {
        link("b", &dir.join("a"));
        link("a", &dir.join("b"));
    };
    let mut scene = Scene::new(circle, "a").await;
    scene.does_not_count("a file elsewhere", |dir| write(&dir.join("c"), "one")).await;
    scene.counts("mended", |dir| link("c", &dir.join("b"))).await;
    scene.counts("written", |dir| append(&dir.join("c"))).await;
}

#[tokio::test]
async fn a_link_to_a_directory_is_that_directory() {
    let mut scene = Scene::new(installed, "app/current").await;
    scene.counts("a file in it", |dir| append(&dir.join("app/v1/server"))).await;
    scene.does_not_count("a file in the other", |dir| append(&dir.join("app/v2/server"))).await;
    scene.counts("pointed elsewhere", |dir| link("v2", &dir.join("app/current"))).await;
    scene.counts("a file in it now", |dir| append(&dir.join("app/v2/server"))).await;
    scene.does_not_count("a file in the old one", |dir| append(&dir.join("app/v1/server"))).await;
}
