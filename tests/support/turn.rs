//! How many scenarios with traffic run at once: two cores are soon busy, and a test must not depend on speed.

use std::sync::{Condvar, Mutex, PoisonError};

const PLACES: usize = 3;
static FREE: (Mutex<usize>, Condvar) = (Mutex::new(PLACES), Condvar::new());

/// Held while a scenario runs.
pub(crate) struct Turn(usize);

/// Waits for a place among those that send traffic.
pub(crate) fn traffic() -> Turn {
    take(1)
}

/// Waits until nothing else runs: for measurements of time.
pub(crate) fn alone() -> Turn {
    take(PLACES)
}

fn take(places: usize) -> Turn {
    let (free, changed) = &FREE;
    let free = free.lock().unwrap_or_else(PoisonError::into_inner);
    *changed.wait_while(free, |free| *free < places).unwrap_or_else(PoisonError::into_inner) -= places;
    Turn(places)
}

impl Drop for Turn {
    fn drop(&mut self) {
        let (free, changed) = &FREE;
        *free.lock().unwrap_or_else(PoisonError::into_inner) += self.0;
        changed.notify_all();
    }
}
