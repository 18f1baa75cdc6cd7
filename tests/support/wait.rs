//! Waiting for a condition, with a deadline: no test sleeps for a time that somebody guessed.

use std::time::{Duration, Instant};

/// Polls until `condition` gives something; panics with `what` when `deadline` is over.
#[track_caller]
pub(crate) fn until<T>(what: &str, deadline: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < deadline, "not within {deadline:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
