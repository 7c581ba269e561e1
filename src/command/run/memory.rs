//! Giving memory back to the system, once the lines that needed it are over.

use std::time::Duration;

/// How long after the last long line its memory is given back: such lines come in bursts, and having each of them ask the
/// system for its pages anew would cost more than handing it on.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest time until it is tried again, where somebody still holds such a line: a request that is in flight, a server
/// that does not read.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// What is not given back, in bytes: a little more than what is used at rest.
const ENOUGH: usize = 1536 * 1024;

/// When memory is given back.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// In monotonic time. `None` while there is none to be given.
    at: Option<Duration>,
    pause: Duration,
}

impl Rest {
    /// A long line is there.
    pub(super) fn put_off(&mut self, now: Duration) {
        self.pause = PAUSE;
        self.at = Some(now + PAUSE);
    }

    /// When it is time, in monotonic time.
    pub(super) fn at(&self) -> Option<Duration> {
        self.at
    }

    /// Whether it is time.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        self.at.is_some_and(|at| at <= now)
    }

    /// Gives back what nobody uses, and will try again if that is not enough.
    pub(super) fn give_back(&mut self, now: Duration) {
        give_back();
        self.pause = (2 * self.pause).min(LONGEST_PAUSE);
        self.at = (used() > ENOUGH).then_some(now + self.pause);
    }
}

/// Gives back what was needed for something that is over for a while: memory, and the program's own code, which the
/// system would keep as ours for as long as it has room, and reads from its cache again when it is needed.
pub(super) fn rest() {
    give_back();
    forget_code();
}

/// Tells the system that nothing of the program's file is needed at once: its code, its constants, and what the loader has
/// read to place them. That costs nothing but a look at its page tables for each part that is needed all the same, some
/// microseconds for all that a message meets.
///
/// Only what is as it is in the program's file: what the loader, a debugger or a patch has changed, or what a file system may
/// no longer have, stays.
fn forget_code() {
    #[cfg(target_os = "linux")]
    {
        use nix::sys::mman::{MmapAdvise, madvise};
        use nix::sys::statfs::{FUSE_SUPER_MAGIC, NFS_SUPER_MAGIC, statfs};

        let lasts = statfs("/proc/self/exe")
            .is_ok_and(|found| ![FUSE_SUPER_MAGIC, NFS_SUPER_MAGIC].contains(&found.filesystem_type()));
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
        for (from, to) in unchanged(&maps, forget_code as fn() as usize).into_iter().filter(|_| lasts) {
            let Some(start) = std::ptr::NonNull::new(std::ptr::with_exposed_provenance_mut(from)) else {
                return;
            };
            #[expect(unsafe_code, reason = "the call has no safe wrapper")]
            // SAFETY: the range is a mapping of this program's file that cannot be written to, which stays as long as the
            // program runs, and no page of it differs from the file, so what is read there again is the same.
            let _ = unsafe { madvise(start, to - from, MmapAdvise::MADV_DONTNEED) };
        }
    }
}

/// The mappings, of the file whose code is at this address, that nobody may write to and in which nothing was changed. `maps`
/// is what the system has in `/proc/self/smaps`.
#[cfg(target_os = "linux")]
fn unchanged(maps: &str, address: usize) -> Vec<(usize, usize)> {
    struct Mapping<'m> {
        range: (usize, usize),
        mode: &'m str,
        path: &'m str,
        changed: [bool; 2],
    }
    let mut all: Vec<Mapping<'_>> = Vec::new();
    for line in maps.lines() {
        // A page that was changed is one of ours, in memory or swapped out.
        let told = [("Anonymous:", 0), ("Swap:", 1)]
            .iter()
            .find_map(|(field, at)| Some((line.strip_prefix(field)?, *at)));
        if let Some((size, at)) = told {
            if let Some(last) = all.last_mut() {
                last.changed[at] = size.trim() != "0 kB";
            }
            continue;
        }
        let mut fields = line.split_whitespace();
        let number = |text| usize::from_str_radix(text, 16).ok();
        let range = fields.next().and_then(|range| range.split_once('-'));
        let range = range.and_then(|(from, to)| Some((number(from)?, number(to)?)));
        if let (Some(range), Some(mode)) = (range, fields.next()) {
            let path = fields.nth(3).unwrap_or_default();
            // What is not told of is taken for changed.
            all.push(Mapping { range, mode, path, changed: [true; 2] });
        }
    }
    let holds = |mapping: &&Mapping<'_>| (mapping.range.0..mapping.range.1).contains(&address);
    let code = all.iter().find(holds).filter(|code| code.mode == "r-xp" && code.path.starts_with('/'));
    let Some(path) = code.map(|code| code.path) else { return Vec::new() };
    let ours = all
        .iter()
        .filter(|it| it.path == path && matches!(it.mode, "r-xp" | "r--p") && it.changed == [false; 2]);
    ours.map(|mapping| mapping.range).collect()
}

/// Gives back what the allocator holds and nobody uses. The one of glibc keeps for ever what it once had to ask for.
fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        #[expect(unsafe_code, reason = "the call has no wrapper in a library that we use")]
        // SAFETY: it may be called at any time, by any thread, and takes a number.
        unsafe {
            nix::libc::malloc_trim(0);
        }
    }
}

/// How much memory this process has that is no part of a file, in bytes. 0 where the system does not tell.
fn used() -> usize {
    let told = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = told.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or_default();
    let kibibytes = line.trim().trim_end_matches(" kB").parse::<usize>().unwrap_or(0);
    kibibytes * 1024
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{ENOUGH, LONGEST_PAUSE, PAUSE, Rest, used};

    /// Its address is known once the program is in memory.
    #[cfg(target_os = "linux")]
    static PLACED: &&str = &"a text";

    #[cfg(target_os = "linux")]
    #[test]
    fn code_is_forgotten_only_where_it_is_as_in_its_file() {
        let maps = |anonymous: &str, mode: &str, path: &str| {
            format!(
                "1000-2000 r--p 00000000 fe:01 7 /bin/x\nRss: 4 kB\nAnonymous: 0 kB\nSwap: 0 kB\n\
                 2000-5000 {mode} 00001000 fe:01 7 {path}\nRss: 8 kB\nAnonymous: {anonymous} kB\nSwap: 0 kB\n\
                 5000-6000 r--p 00005000 fe:01 7 /bin/x\nRss: 0 kB\nAnonymous: 0 kB\nSwap: 4 kB\n\
                 7000-8000 rw-p 00000000 00:00 0 [heap]\nAnonymous: 4 kB\nSwap: 0 kB\n"
            )
        };
        let own = |maps: &str, address| super::unchanged(maps, address);
        let (constants, code) = ((0x1000, 0x2000), (0x2000, 0x5000));
        assert_eq!(own(&maps("0", "r-xp", "/bin/x"), 0x2fff), [constants, code]);
        assert_eq!(own(&maps("4", "r-xp", "/bin/x"), 0x2fff), [constants], "somebody has changed it");
        assert_eq!(own(&maps("0", "rwxp", "/bin/x"), 0x2fff), []);
        assert_eq!(own(&maps("0", "r-xp", "[vdso]"), 0x2fff), []);
        assert_eq!(own(&maps("0", "r-xp", "/bin/y"), 0x2fff), [code], "the constants are another file's");
        assert_eq!(own(&maps("0", "r-xp", "/bin/x"), 0x5000), [], "the address is elsewhere");
        let real = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let real = own(&real, super::forget_code as fn() as usize);
        assert!(real.len() > 1);
        // What the loader has written an address into is not as it is in the file.
        let placed = std::ptr::from_ref(&PLACED).addr();
        assert!(!real.iter().any(|(from, to)| (*from..*to).contains(&placed)));
    }

    #[test]
    fn what_is_used_is_told() {
        let held = vec![1_u8; 64 * ENOUGH];
        assert!(!cfg!(target_os = "linux") || used() > 64 * ENOUGH);
        assert_eq!(held.len(), 64 * ENOUGH);
    }

    #[test]
    fn it_is_tried_until_it_is_enough_and_ever_more_seldom() {
        let mut rest = Rest::default();
        assert_eq!(rest.at(), None);
        rest.put_off(Duration::ZERO);
        assert!(!rest.is_due(PAUSE / 2) && rest.is_due(PAUSE));
        // As long as this is held, there is more than enough. All of it is written to, so that it is there.
        let held = vec![1_u8; 4 * ENOUGH];
        let mut now = PAUSE;
        for factor in [2, 4, 8, 16, 32] {
            rest.give_back(now);
            if cfg!(target_os = "linux") {
                assert_eq!(rest.at(), Some(now + factor * PAUSE));
                now = rest.at().unwrap();
            }
        }
        rest.give_back(now);
        assert!(rest.at().is_none_or(|at| at == now + LONGEST_PAUSE));
        rest.put_off(now);
        assert_eq!(rest.at(), Some(now + PAUSE));
        assert_eq!(held.iter().map(|byte| usize::from(*byte)).sum::<usize>(), held.len());
    }
}
