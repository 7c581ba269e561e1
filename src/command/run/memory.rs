//! Giving memory back to the system.

use std::time::Duration;

/// How long after the last long line its memory is given back: such lines come in bursts, and having each of them ask the
/// system for its pages anew would cost more than handing it on.
pub(super) const REST: Duration = Duration::from_secs(1);

/// Gives back what the allocator holds and nobody uses. The one of glibc keeps for ever what it once had to ask for.
pub(super) fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        #[expect(unsafe_code, reason = "the call has no wrapper in a library that we use")]
        // SAFETY: it may be called at any time, by any thread, and takes a number.
        unsafe {
            nix::libc::malloc_trim(0);
        }
    }
}
