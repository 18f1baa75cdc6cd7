//! Which connections may stay: so many, so long. Pure; the server does as it is told here.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Connections at once.
pub(super) const MOST: usize = 64;

/// How long a client may take to ask, however slowly it does; and how long to take the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Of these, how many may follow, so that pages that are open keep nobody out; and for how long: a browser comes again.
const MOST_FOLLOWERS: usize = 16;
const LONGEST: Duration = Duration::from_secs(600);

/// What a connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Doing {
    /// Nothing has been asked yet.
    Waiting,
    /// An answer is on its way.
    Answering,
    /// It is sent an event each interval.
    Following,
}

/// Every connection, with what ends it.
#[derive(Debug)]
pub(super) struct Connections<T> {
    all: BTreeMap<u64, Connection<T>>,
    next: u64,
}

#[derive(Debug)]
struct Connection<T> {
    doing: Doing,
    since: Instant,
    end: T,
}

impl<T> Default for Connections<T> {
    fn default() -> Self {
        Self { all: BTreeMap::new(), next: 0 }
    }
}

impl<T> Connections<T> {
    /// The number for one more, and what ends the one that has to go for it. The one that waits for longest goes, so that
    /// clients that open connections and ask nothing keep nobody out who asks; if none waits, who takes longest to read.
    pub(super) fn admit(&mut self) -> (u64, Option<T>) {
        let full = self.all.len() >= MOST;
        let oldest = self.all.iter().min_by_key(|(number, of)| (of.doing, of.since, **number));
        let goes = oldest.map(|(number, _)| *number).filter(|_| full);
        self.next += 1;
        (self.next, goes.and_then(|number| self.all.remove(&number)).map(|of| of.end))
    }

    /// Puts one under its number.
    pub(super) fn insert(&mut self, number: u64, end: T, now: Instant) {
        self.all.insert(number, Connection { doing: Doing::Waiting, since: now, end });
    }

    /// Notes that one has asked.
    pub(super) fn asked(&mut self, number: u64, now: Instant) {
        if let Some(connection) = self.all.get_mut(&number) {
            (connection.doing, connection.since) = (Doing::Answering, now);
        }
    }

    /// Notes that one is to be told of each interval. Whoever follows for longest makes room when there are too many.
    pub(super) fn stays(&mut self, number: u64, now: Instant) -> Option<T> {
        let followers = || self.all.iter().filter(|(_, of)| of.doing == Doing::Following);
        let full = followers().count() >= MOST_FOLLOWERS;
        let oldest = followers().min_by_key(|(number, of)| (of.since, **number)).map(|(number, _)| *number);
        if let Some(connection) = self.all.get_mut(&number) {
            (connection.doing, connection.since) = (Doing::Following, now);
        }
        oldest.filter(|_| full).and_then(|number| self.all.remove(&number)).map(|of| of.end)
    }

    /// One that is over.
    pub(super) fn remove(&mut self, number: u64) {
        self.all.remove(&number);
    }

    /// What ends those whose time is over.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<T> {
        let overdue = self.all.extract_if(.., |_, of| {
            let most = if of.doing == Doing::Following { LONGEST } else { PATIENCE };
            now.saturating_duration_since(of.since) >= most
        });
        overdue.map(|(_, connection)| connection.end).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(connections: &mut Connections<u64>, now: Instant) -> (u64, Option<u64>) {
        let (number, goes) = connections.admit();
        connections.insert(number, number, now);
        (number, goes)
    }

    #[test]
    fn who_waits_for_longest_makes_room_and_who_is_answered_stays() {
        let mut connections = Connections::default();
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        let numbers: Vec<u64> = (0..MOST).map(|_| open(&mut connections, start).0).collect();
        connections.asked(numbers[0], later(1));
        assert_eq!(open(&mut connections, later(1)).1, Some(numbers[1]));
        connections.asked(numbers[2], later(2));
        assert_eq!(open(&mut connections, later(3)).1, Some(numbers[3]), "who is answered stays");
    }

    #[test]
    fn when_all_are_answered_the_oldest_answer_goes() {
        let mut connections = Connections::default();
        let start = Instant::now();
        let numbers: Vec<u64> = (0..MOST).map(|_| open(&mut connections, start).0).collect();
        for (number, at) in numbers.iter().zip(0..) {
            connections.asked(*number, start + Duration::from_millis(100 - at));
        }
        assert_eq!(open(&mut connections, start).1, Some(numbers[MOST - 1]));
    }

    #[test]
    fn who_follows_for_longest_makes_room_and_nobody_follows_for_ever() {
        let mut connections = Connections::default();
        let start = Instant::now();
        let numbers: Vec<u64> = (0..=MOST_FOLLOWERS).map(|_| open(&mut connections, start).0).collect();
        let at = |seconds| start + Duration::from_secs(seconds);
        for (number, seconds) in numbers.iter().zip(0..).take(MOST_FOLLOWERS) {
            assert_eq!(connections.stays(*number, at(seconds)), None);
        }
        assert_eq!(connections.stays(numbers[MOST_FOLLOWERS], at(100)), Some(numbers[0]));
        assert!(connections.overdue(at(599)).is_empty());
        assert_eq!(connections.overdue(at(601)), [numbers[1]]);
    }

    #[test]
    fn nobody_goes_while_there_is_room() {
        let mut connections = Connections::default();
        let now = Instant::now();
        let first = open(&mut connections, now).0;
        assert!((1..MOST).all(|_| open(&mut connections, now).1.is_none()));
        connections.remove(first);
        assert_eq!(open(&mut connections, now).1, None);
    }

    #[test]
    fn asking_and_reading_take_ten_seconds_each_at_most() {
        let mut connections = Connections::default();
        let start = Instant::now();
        let (slow, _) = open(&mut connections, start);
        let (asks, _) = open(&mut connections, start);
        connections.asked(asks, start + Duration::from_secs(9));
        assert!(connections.overdue(start + Duration::from_secs(9)).is_empty());
        assert_eq!(connections.overdue(start + Duration::from_secs(10)), [slow]);
        assert!(connections.overdue(start + Duration::from_secs(18)).is_empty());
        assert_eq!(connections.overdue(start + Duration::from_secs(19)), [asks]);
    }
}
