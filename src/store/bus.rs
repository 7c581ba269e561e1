//! SIGBUS from a mapped file that another program truncates: touching a page that is gone would end the whole process.
//!
//! `SQLite` maps the index of its log, but for whoever is alone with the file. On a thread that shares it with a program of
//! another kind, a missing page is replaced by an empty one. What is read from it is then found to be damaged, like any other
//! damage, and the supervisor goes on without a damaged store. On every other thread the signal has its usual effect.

use std::cell::Cell;
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::libc;
use nix::unistd::{SysconfVar, sysconf};

thread_local! {
    /// Whether this thread shares the file. Without a destructor it can be read in a signal handler.
    static SURVIVES: Cell<bool> = const { Cell::new(false) };
}
/// The size of a page, in bytes.
static PAGE: AtomicUsize = AtomicUsize::new(0);

/// From now on this thread survives the truncation of files that it has mapped.
pub(super) fn survive() {
    let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten().and_then(|size| usize::try_from(size).ok());
    PAGE.store(page.unwrap_or(4096), Ordering::Relaxed);
    SURVIVES.set(true);
    #[expect(unsafe_code, reason = "a signal handler that is told the address has no safe interface")]
    // SAFETY: the structure is plain data for which zero is valid, and the handler makes system calls only.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = patch;
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut());
    }
}

extern "C" fn patch(signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    let page = PAGE.load(Ordering::Relaxed);
    #[expect(unsafe_code, reason = "what a signal handler may do is not safe")]
    // SAFETY: the system passes the details of the signal. On such a thread only a mapped file can raise it, and
    // its page is gone anyway. Elsewhere the default action is restored, and the repeated access ends the process.
    unsafe {
        let at = (*info).si_addr().addr() & !(page - 1);
        let patched = SURVIVES.get() && at != 0 && {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_FIXED;
            let rights = libc::PROT_READ | libc::PROT_WRITE;
            let place = ptr::with_exposed_provenance_mut(at);
            libc::mmap(place, page, rights, flags, -1, 0) != libc::MAP_FAILED
        };
        if !patched {
            libc::signal(signal, libc::SIG_DFL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use nix::sys::mman::{MapFlags, ProtFlags, mmap};

    use super::survive;

    #[test]
    fn a_page_of_a_truncated_file_reads_as_empty() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(8192).unwrap();
        let rights = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        survive();
        #[expect(unsafe_code, reason = "a mapping is not safe, which is what this shows")]
        // SAFETY: it is used in here only, and stays.
        unsafe {
            let size = NonZeroUsize::new(8192).unwrap();
            let at = mmap(None, size, rights, MapFlags::MAP_SHARED, &file, 0).unwrap().cast::<u8>();
            at.add(5000).write_volatile(7);
            file.set_len(0).unwrap();
            assert_eq!(at.add(5000).read_volatile(), 0);
            at.write_volatile(1);
            assert_eq!(at.read_volatile(), 1);
        }
    }
}
