//! What is going to happen in a world, and when.

use crate::story::Cause;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A connection, or a place for one request in a connection that is kept.
#[derive(Clone, Copy, Default)]
pub(crate) struct Connection {
    pub(crate) worker: usize,
    pub(crate) generation: u32,
    pub(crate) member: usize,
    pub(crate) epoch: u32,
    /// Requests it still takes.
    pub(crate) left: u32,
    /// Whether it waits for other requests afterwards.
    pub(crate) kept: bool,
    /// When it was opened; `None`: before anybody watched.
    pub(crate) began: Option<u64>,
}

/// What happens in a world.
pub(crate) enum Event {
    Arrives,
    Checked(usize),
    Fails { worker: usize, generation: u32, member: usize, cause: Cause, began: u64, client: u64 },
    Responds { connection: Connection, asked: u64 },
    Ends(Connection),
}

/// What happens, when; in one moment, in the order in which it was planned.
struct Planned(u64, u64, Event);

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}

impl Eq for Planned {}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Planned {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

/// Everything that is planned.
#[derive(Default)]
pub(crate) struct Plan {
    planned: BinaryHeap<Reverse<Planned>>,
    number: u64,
}

impl Plan {
    /// Plans what happens at a time, microseconds.
    pub(crate) fn add(&mut self, at: u64, event: Event) {
        self.number += 1;
        self.planned.push(Reverse(Planned(at, self.number, event)));
    }

    /// What happens next, and when, if that is before `end`.
    pub(crate) fn next(&mut self, end: u64) -> Option<(u64, Event)> {
        if self.planned.peek().is_none_or(|Reverse(next)| next.0 >= end) {
            return None;
        }
        self.planned.pop().map(|Reverse(Planned(at, _, event))| (at, event))
    }
}
