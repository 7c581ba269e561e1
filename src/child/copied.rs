//! The memory of a process that was forked to stay: a copy of all that its parent held at that moment.

use std::ptr;

use nix::libc;

/// Gives back the memory that was copied: messages and tokens that the supervisor held when it started the child would
/// stay with the keeper for the child's whole life.
pub(super) fn give_back() {
    let mut bytes = [0_u8; 4096];
    let mut filled = 0;
    let here = (&raw const filled).addr();
    #[expect(unsafe_code, reason = "a library would allocate")]
    // SAFETY: the path is a C string, the buffer is as long as is said, and the descriptor is closed here. What is
    // given back reads as zeros afterwards; the keeper has all that it uses on its stack.
    unsafe {
        let maps = libc::open(c"/proc/self/maps".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if maps < 0 {
            return;
        }
        while let Ok(length @ 1..) =
            usize::try_from(libc::read(maps, bytes[filled..].as_mut_ptr().cast(), bytes.len() - filled))
        {
            filled += length;
            while let Some(end) = bytes[..filled].iter().position(|byte| *byte == b'\n') {
                if let Some((from, to)) = copied_memory(&bytes[..end])
                    && !(from..to).contains(&here)
                {
                    libc::madvise(ptr::without_provenance_mut(from), to - from, libc::MADV_DONTNEED);
                }
                bytes.copy_within(end + 1..filled, 0);
                filled -= end + 1;
            }
            if filled == bytes.len() {
                filled = 0;
            }
        }
        libc::close(maps);
    }
}

/// Where the memory of this line of `maps` is, if it was allocated: it belongs to no file and no stack, and is not as
/// small as what the C library keeps of a thread.
fn copied_memory(line: &[u8]) -> Option<(usize, usize)> {
    /// In bytes.
    const LEAST: usize = 128 * 1024;
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    let (from, to) = words.next()?.split_once('-')?;
    let (from, to) = (usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?);
    let (access, inode) = (words.next()?, words.nth(2)?);
    let is_allocated = access == "rw-p" && inode == "0" && matches!(words.next(), None | Some("[heap]"));
    (is_allocated && to - from >= LEAST).then_some((from, to))
}

#[cfg(test)]
mod tests {
    use super::copied_memory;

    #[test]
    fn allocated_memory_is_told_from_other_memory() {
        let found = |line: &str| copied_memory(line.as_bytes());
        let heap = "55d0c0000000-55d0c0100000 rw-p 00000000 00:00 0                  [heap]";
        assert_eq!(found(heap), Some((0x55d0_c000_0000, 0x55d0_c010_0000)));
        assert_eq!(
            found("7f0000000000-7f0000021000 rw-p 00000000 00:00 0 "),
            Some((0x7f00_0000_0000, 0x7f00_0002_1000))
        );
        for line in [
            "7f0000000000-7f0000005000 rw-p 00000000 00:00 0 ",
            "7f0000000000-7f0000100000 r--p 00000000 00:00 0 ",
            "7f0000000000-7f0000100000 rw-s 00000000 00:01 0 /dev/zero",
            "7f0000000000-7f0000100000 rw-p 00001000 fe:00 123 /usr/lib/libc.so.6",
            "7ffc00000000-7ffc00200000 rw-p 00000000 00:00 0                          [stack]",
            "nonsense",
        ] {
            assert_eq!(found(line), None, "{line}");
        }
    }
}
