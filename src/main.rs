//! Words in, exit code out.

fn main() {}
