//! The supervisor in a program that counts what it allocates: the real relay, and an allocator that keeps the book.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::OsString;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use mcp_supervise::cli::{self, Command};
use mcp_supervise::command::run;

static COUNT: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

#[derive(Debug)]
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(size: usize) {
    COUNT.fetch_add(1, Ordering::Relaxed);
    BYTES.fetch_add(size as u64, Ordering::Relaxed);
}

#[expect(unsafe_code, reason = "an allocator is unsafe by nature")]
// SAFETY: everything is done by the system's allocator; counting touches two atomics and nothing else.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Supervises as the program does, and writes down what was allocated: a file, then the words of the command line.
pub(crate) fn supervise(words: &[OsString]) {
    let program = OsString::from("mcp-supervise");
    let argv = [&program].into_iter().chain(&words[1..]).cloned();
    let Ok(Command::Run(options)) = cli::parse(argv, false) else {
        panic!("the measurement's own command line is wrong");
    };
    run::run(options, None).expect("the supervisor runs");
    let counts = format!("{} {}", COUNT.load(Ordering::Relaxed), BYTES.load(Ordering::Relaxed));
    fs::write(&words[0], counts).expect("the temporary folder can be written to");
}
