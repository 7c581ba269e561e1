//! The token room: texts, files and locks, on a real disk.

mod renewal;

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::stat::{Mode, UtimensatFlags, utimensat};
use nix::sys::time::{TimeSpec, TimeValLike as _};
use nix::unistd::{Uid, chown, geteuid, mkfifo};
use secrecy::ExposeSecret as _;
use tempfile::TempDir;

use crate::engine::lease::io::TokenId;

use super::{Form, NoLock, Place, Reading, Vault};

/// A token with these claims.
fn token(claims: &str) -> String {
    format!("wai_sess_e30.{}.c2lnbmF0dXJl", URL_SAFE_NO_PAD.encode(claims))
}

fn form() -> Form {
    Form { prefix: "wai_sess_".to_owned(), opaque: false }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_token_says_when_it_ends_and_which_session_it_is_of() {
    for (claims, session, issued, expires) in [
        (r#"{"sub":"a","iat":1,"exp":2}"#, Some("a"), Some(secs(1)), Some(secs(2))),
        (r#"{"sid":"b","sessionId":"c"}"#, Some("b"), None, None),
        (r#"{"sessionId":"c","exp":2.5}"#, Some("c"), None, Some(Duration::from_millis(2500))),
        (r#"{"sub":"","sid":"b","exp":-1}"#, Some("b"), None, Some(secs(0))),
        (r#"{"sub":7,"iat":"x","exp":18446744073709551615}"#, None, None, Some(secs(u64::MAX))),
        (r#"{"exp":1e300}"#, None, None, Some(Duration::MAX)),
    ] {
        // As careless people and careful programs write it.
        for text in [token(claims), format!("\u{feff}  {}\r\n", token(claims))] {
            let read = form().read(text.as_bytes()).unwrap_or_else(|why| panic!("{claims}: {why}"));
            assert_eq!(read.text.expose_secret(), token(claims));
            let said = (read.session.as_deref(), read.claims.issued, read.claims.expires);
            assert_eq!(said, (session, issued, expires), "{claims}");
        }
    }
    let padded = format!("wai_sess_e30.{}==.c2ln", URL_SAFE_NO_PAD.encode(r#"{"exp":22}"#));
    assert!(form().read(padded.as_bytes()).is_ok());
}

#[test]
fn what_is_no_token_is_refused_and_not_shown() {
    let long = token(&format!("{{\"sub\":\"{}\"}}", "x".repeat(20_000)));
    for (text, why) in [
        (&b""[..], "is empty"),
        (b" \n", "is empty"),
        (b"\xff\xfe\x00secret", "holds no text"),
        (b"wai_sess_", "begin as a token"),
        (b"secret.e30.x", "begin as a token"),
        (b"wai_sess_secret", "no JSON Web Token"),
        (b"wai_sess_e30.e30", "no JSON Web Token"),
        (b"wai_sess_e30.e30.e30.secret", "no JSON Web Token"),
        (b"wai_sess_e30.!!.secret", "no JSON Web Token"),
        (b"wai_sess_e30.W10.secret", "no JSON Web Token"),
        (b"wai_sess_secret one", "more than one word"),
        (b"wai_sess_\x1bsecret", "more than one word"),
        (long.as_bytes(), "more than a token"),
        (b"wai_sess_eyJhbGciOiJIUzI1NiJ9.e30.c2VjcmV0", "a part of a token"),
        (token(r#"{"exp":"2"}"#).as_bytes(), "`exp` is no number"),
        (token(r#"{"exp":null}"#).as_bytes(), "`exp` is no number"),
    ] {
        let told = form().read(text).err().unwrap_or_else(|| panic!("{text:?} was taken"));
        assert!(told.contains(why) && !told.contains("secret"), "{text:?}: {told}");
    }
    // Of other APIs nothing is known: any word may be a token.
    let any = Form { prefix: String::new(), opaque: true };
    let read = any.read(b"ghp_0123\n").unwrap_or_else(|why| panic!("{why}"));
    assert_eq!((read.text.expose_secret(), read.claims.expires), ("ghp_0123", None));
    // What could not be masked in texts.
    assert!(any.read(b"abc1234").is_err_and(|why| why.contains("fewer than 8")));
}

#[test]
fn the_same_text_has_the_same_number_and_many_are_forgotten() {
    let mut vault = Vault::default();
    let mut enter = |text: &str, at: u64| {
        let read = form().read(token(text).as_bytes()).unwrap_or_else(|why| panic!("{why}"));
        (vault.enter(read, Duration::from_secs(at)), vault.get(TokenId(1)).is_some())
    };
    let (first, _) = enter(r#"{"exp":9}"#, 5);
    assert_eq!(first.claims.issued, Some(secs(5)), "it counts from when it was first seen");
    assert_eq!(enter(r#"{"exp":9}"#, 7).0, first);
    assert_ne!(enter(r#"{"exp":8}"#, 7).0.id, first.id);
    // The one that is used is asked for each time, and stays.
    assert!((0..200).all(|at| enter(&format!("{{\"exp\":{}}}", 100 + at), 7).1));
    assert_eq!(enter(r#"{"exp":9}"#, 7).0, first);
    assert!(enter(r#"{"exp":8}"#, 7).0.id.0 > 200, "a forgotten one is a new one");
}

/// A directory with a place in it.
fn place() -> (TempDir, Place, PathBuf) {
    let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let path = dir.path().join("deep").join("token");
    (dir, Place::new(path.clone()), path)
}

fn text(reading: Reading) -> Result<(String, bool), String> {
    match reading {
        Reading::Nothing => Err("nothing".to_owned()),
        Reading::Refused(why) => Err(why),
        Reading::Text { text, exposed } => Ok((String::from_utf8_lossy(&text).into_owned(), exposed)),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).map_or(0, |there| there.mode() & 0o777)
}

fn names(directory: &Path) -> Vec<OsString> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("{error}"))
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_written_is_read_again_by_nobody_else() {
    let (_dir, place, path) = place();
    assert_eq!(text(place.read()), Err("nothing".to_owned()));
    for token in ["first", "second"] {
        place.write(&token.into()).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(text(place.read()), Ok((token.to_owned(), false)));
        assert_eq!((mode(&path), path.parent().map(mode)), (0o600, Some(0o700)));
        assert_eq!(path.parent().map(names), Some(vec![OsString::from("token")]));
    }
    // The daemon writes files that others may read: they are read, and closed when they are written next.
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(text(place.read()), Ok(("second".to_owned(), true)));
    place.write(&"third".into()).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn what_others_could_have_put_there_is_neither_read_nor_overwritten() {
    let (_dir, place, path) = place();
    place.write(&"ours".into()).unwrap_or_else(|why| panic!("{why}"));
    let other = path.with_file_name("other");
    let refused = |what: &str, overwritten: bool| {
        let told = text(place.read()).expect_err(what);
        assert!(told.contains(what), "{told}");
        assert_eq!(place.write(&"new".into()).is_ok(), overwritten, "{what}");
    };
    fs::rename(&path, &other).unwrap_or_else(|error| panic!("{error}"));
    symlink(&other, &path).unwrap_or_else(|error| panic!("{error}"));
    refused("symbolic link", false);
    assert_eq!(fs::read_to_string(&other).unwrap_or_default(), "ours");
    fs::remove_file(&path).unwrap_or_else(|error| panic!("{error}"));

    // Nobody writes to it: whoever waited for that would wait for ever.
    mkfifo(&path, Mode::S_IRWXU).unwrap_or_else(|error| panic!("{error}"));
    refused("no regular file", false);
    fs::remove_file(&path).unwrap_or_else(|error| panic!("{error}"));

    fs::create_dir(&path).unwrap_or_else(|error| panic!("{error}"));
    refused("no regular file", false);
    fs::remove_dir(&path).unwrap_or_else(|error| panic!("{error}"));

    fs::write(&path, vec![b'x'; 1 << 20]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(text(place.read()), Err("holds more than a token".to_owned()));

    // It is ours, and it is replaced by one that nobody else can write to.
    fs::set_permissions(&path, Permissions::from_mode(0o602)).unwrap_or_else(|error| panic!("{error}"));
    refused("by anybody", true);
    assert_eq!(text(place.read()), Ok(("new".to_owned(), false)));
}

#[test]
fn a_file_of_another_user_is_not_read() {
    let (_dir, place, path) = place();
    let foreign = if geteuid().is_root() {
        place.write(&"theirs".into()).unwrap_or_else(|why| panic!("{why}"));
        chown(&path, Some(Uid::from_raw(65534)), None).unwrap_or_else(|error| panic!("{error}"));
        place
    } else {
        Place::new("/etc/passwd".into())
    };
    assert_eq!(text(foreign.read()), Err("belongs to another user".to_owned()));
}

#[test]
fn a_wallets_file_beats_the_older_one_and_only_the_first_is_written() {
    let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let place = Place::of_wallet(dir.path(), "0192-wallet").unwrap_or_else(|why| panic!("{why}"));
    fs::write(dir.path().join("mcp-token"), "older").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(text(place.read()).map(|(text, _)| text), Ok("older".to_owned()));
    place.write(&"newer".into()).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(text(place.read()), Ok(("newer".to_owned(), false)));
    assert_eq!(fs::read_to_string(dir.path().join("mcp-token")).unwrap_or_default(), "older");
    // What cannot be used is no reason to go back to the older one.
    fs::set_permissions(place.path(), Permissions::from_mode(0o666))
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(text(place.read()).is_err_and(|why| why.contains("by anybody")));
    for wallet in ["", "..", "a/b", "a\\b", ".hidden", "a.b", "a\0b", "a\nb"] {
        assert!(Place::of_wallet(dir.path(), wallet).is_err(), "{wallet:?}");
    }
}

#[test]
fn where_nothing_can_be_written_the_old_file_stays() {
    let (dir, place, path) = place();
    place.write(&"old".into()).unwrap_or_else(|why| panic!("{why}"));
    // Where root writes all the same, there is a file in the place of the directory.
    let blocked = Place::new(path.join("below").join("token"));
    assert!(blocked.write(&"new".into()).is_err_and(|why| why.starts_with("cannot be written in /")));
    if !geteuid().is_root() {
        let parent = dir.path().join("deep");
        fs::set_permissions(&parent, Permissions::from_mode(0o500)).unwrap_or_else(|error| panic!("{error}"));
        assert!(place.write(&"new".into()).is_err_and(|why| why.starts_with("cannot be written in /")));
        fs::set_permissions(&parent, Permissions::from_mode(0o700)).unwrap_or_else(|error| panic!("{error}"));
    }
    assert_eq!(text(place.read()), Ok(("old".to_owned(), false)));
}

#[test]
fn what_a_killed_writer_left_is_removed_and_what_another_one_writes_is_not() {
    let (_dir, place, path) = place();
    place.write(&"old".into()).unwrap_or_else(|why| panic!("{why}"));
    let (left, fresh) = (path.with_file_name(".token.new-left"), path.with_file_name(".token.new-fresh"));
    for file in [&left, &fresh] {
        fs::write(file, "half").unwrap_or_else(|error| panic!("{error}"));
    }
    let long_ago = TimeSpec::seconds(1_000_000_000);
    utimensat(nix::fcntl::AT_FDCWD, &left, &long_ago, &long_ago, UtimensatFlags::NoFollowSymlink)
        .unwrap_or_else(|error| panic!("{error}"));
    place.write(&"new".into()).unwrap_or_else(|why| panic!("{why}"));
    assert!(!left.exists() && fresh.exists());
}

#[tokio::test]
async fn one_at_a_time_holds_the_lock() {
    let (_dir, place, path) = place();
    let enough = Duration::from_secs(60);
    let held = place.lock(enough).await.unwrap_or_else(|why| panic!("{why:?}"));
    // Long enough to be had, if it could be had.
    assert_eq!(place.lock(Duration::from_millis(100)).await.err(), Some(NoLock::Held));
    let (again, ()) = tokio::join!(place.lock(enough), async { drop(held) });
    assert!(again.is_ok());
    assert_eq!(mode(&path.with_file_name("token.lock")), 0o600);
    // Whoever put a link there would have us open what it leads to.
    let linked = Place::new(path.with_file_name("linked"));
    symlink(&path, path.with_file_name("linked.lock")).unwrap_or_else(|error| panic!("{error}"));
    assert!(matches!(linked.lock(enough).await, Err(NoLock::Impossible(_))));
}

/// Whether somebody holds the lock on this file.
fn is_locked(path: &Path) -> bool {
    let file = File::open(PathBuf::from(format!("{}.lock", path.display())))
        .unwrap_or_else(|error| panic!("{error}"));
    matches!(Flock::lock(file, FlockArg::LockExclusiveNonblock), Err((_, Errno::EWOULDBLOCK)))
}

#[tokio::test]
async fn as_long_as_the_older_file_is_read_its_lock_is_held_too() {
    let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let of = |wallet| Place::of_wallet(dir.path(), wallet).unwrap_or_else(|why| panic!("{why}"));
    let (wallet, other, older) = (of("one"), of("two"), Place::new(dir.path().join("mcp-token")));
    let enough = Duration::from_secs(60);
    for there in [false, true] {
        if there {
            older.write(&"older".into()).unwrap_or_else(|why| panic!("{why}"));
        }
        for (first, second) in [(&wallet, &older), (&older, &wallet), (&wallet, &other)] {
            let held = first.lock(enough).await.unwrap_or_else(|why| panic!("{why:?}"));
            assert!(is_locked(older.path()) && is_locked(first.path()), "{first:?}");
            let (again, ()) = tokio::join!(second.lock(enough), async { drop(held) });
            assert!(again.is_ok() && is_locked(older.path()) && is_locked(second.path()), "{second:?}");
        }
    }
    // Who has a file of its own has no part in the older one.
    wallet.write(&"own".into()).unwrap_or_else(|why| panic!("{why}"));
    let held = wallet.lock(enough).await;
    assert!(held.is_ok() && is_locked(wallet.path()) && !is_locked(older.path()));
    assert!(other.lock(enough).await.is_ok(), "nobody is in its way");
}
