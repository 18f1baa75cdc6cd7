//! object
fn main() {}
