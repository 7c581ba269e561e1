//! Counts what is done with the pieces of a config, in tests only: it must grow with the config, and not with its square.
//!
//! Whatever goes through many pieces for each of many pieces counts here. Nothing may depend on the count.

#[cfg(test)]
thread_local! {
    static STEPS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// So many steps more.
pub(crate) fn count(steps: usize) {
    #[cfg(test)]
    STEPS.with(|sum| sum.set(sum.get() + steps as u64));
    #[cfg(not(test))]
    let _ = steps;
}

/// The steps of some work on this thread.
#[cfg(test)]
pub(crate) fn counted(work: impl FnOnce()) -> u64 {
    STEPS.with(|sum| sum.set(0));
    work();
    STEPS.with(std::cell::Cell::get)
}
