//! Project tasks: demo, test, ci, tidy, bench, setup.
fn main() {}
