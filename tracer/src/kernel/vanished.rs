//! Connections whose end nobody saw: some kernels do not run the programs on an event now and then, and count no miss.
//! What a sweep no longer finds has ended all the same.
//!
//! A sweep is no instant: connections come and go while it runs. But every connection that was established before it
//! began, and whose end is not counted when it is over, must have been found by it. So, with counters read before (0) and
//! after (1) a sweep that found `live + closing`, at least
//!
//! ```text
//! established₀ + adopted₀ − closed₁ − (live + closing)
//! ```
//!
//! ends were not seen, and likewise at least `attempts₀ − untracked₀ − established₁ − failed₁ − pending` outcomes; with 0
//! and 1 exchanged, at most. Both are the same when nothing moves. A program that is between finding an end and counting
//! it looks like a loss for that moment: a loss counts when two sweeps say so, and one that turns out too high later is
//! taken back.

use super::snapshot::sum;
use std::collections::{HashMap, HashSet};
use tracer_ebpf::{Cell, Slot, Stock};

/// What a sweep changes nothing of, as read before it or after it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Balance {
    /// Attempts that could be followed.
    pub(super) attempts: u64,
    /// What became of them.
    pub(super) outcomes: u64,
    /// Established and adopted.
    pub(super) connections: u64,
    /// Ends.
    pub(super) closed: u64,
}

impl Balance {
    pub(super) fn of(cell: &Cell) -> Self {
        Self {
            attempts: cell.attempts.saturating_sub(cell.untracked),
            outcomes: sum(cell.failed.into_iter().chain([cell.established])),
            connections: sum([cell.established, cell.adopted]),
            closed: cell.closed,
        }
    }
}

/// How much was not seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Loss {
    /// Ends of connections.
    closed: u64,
    /// Outcomes of attempts.
    outcomes: u64,
}

/// Between what and what the loss of a cell lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    least: Loss,
    most: Loss,
}

impl Bounds {
    /// From the counters before a sweep and the cell after it.
    pub(super) fn new(before: Balance, after: &Cell, session: u64) -> Self {
        let found = if after.stock.session == session { after.stock } else { Stock::EMPTY };
        let after = Balance::of(after);
        Self { least: Loss::of(before, after, found), most: Loss::of(after, before, found) }
    }
}

impl Loss {
    fn of(come: Balance, gone: Balance, found: Stock) -> Self {
        let [live, closing, pending] = [found.live, found.closing, found.pending].map(u64::from);
        Self {
            closed: come.connections.saturating_sub(sum([gone.closed, live, closing])),
            outcomes: come.attempts.saturating_sub(sum([gone.outcomes, pending])),
        }
    }

    fn min(self, other: Self) -> Self {
        Self { closed: self.closed.min(other.closed), outcomes: self.outcomes.min(other.outcomes) }
    }

    fn max(self, other: Self) -> Self {
        Self { closed: self.closed.max(other.closed), outcomes: self.outcomes.max(other.outcomes) }
    }
}

/// What was not seen so far, by place and generation of the cell.
#[derive(Debug, Default)]
pub(super) struct Vanished {
    known: HashMap<u32, (u32, Loss)>,
}

impl Vanished {
    /// Whether a sweep shows more or less than is known, so that a second one should say the same.
    pub(super) fn is_news(&self, found: &[(Slot, Bounds)]) -> bool {
        found.iter().any(|&(slot, bounds)| {
            let known = self.of(slot);
            known.max(bounds.least) != known || known.min(bounds.most) != known
        })
    }

    /// Takes in what two sweeps agree on.
    pub(super) fn confirm(&mut self, first: &[(Slot, Bounds)], second: &[(Slot, Bounds)]) {
        let first: HashMap<u32, (u32, Bounds)> =
            first.iter().map(|&(slot, bounds)| (slot.index, (slot.generation, bounds))).collect();
        for &(slot, bounds) in second {
            if let Some(&(generation, earlier)) = first.get(&slot.index)
                && generation == slot.generation
            {
                let most = bounds.most.max(earlier.most);
                let known = self.of(slot).min(most).max(bounds.least.min(earlier.least));
                self.known.insert(slot.index, (slot.generation, known));
            }
        }
        // Of cells that are gone nothing need be known.
        let present: HashSet<u32> = second.iter().map(|(slot, _)| slot.index).collect();
        self.known.retain(|index, _| present.contains(index));
    }

    /// Adds to a cell as it was read what is known to have been lost: ends as ends; attempts of which nothing more was
    /// seen as untracked.
    pub(super) fn make_up(&self, slot: Slot, cell: &mut Cell) {
        let loss = self.of(slot);
        cell.closed = sum([cell.closed, loss.closed]);
        cell.untracked = sum([cell.untracked, loss.outcomes]);
        cell.repaired = sum([cell.repaired, loss.closed, loss.outcomes]);
    }

    fn of(&self, slot: Slot) -> Loss {
        match self.known.get(&slot.index) {
            Some(&(generation, loss)) if generation == slot.generation => loss,
            _ => Loss::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SLOT: Slot = Slot { index: 3, generation: 1 };

    fn cell(attempts: u64, established: u64, closed: u64, live: u32) -> Cell {
        let stock = Stock { session: 7, live, ..Stock::EMPTY };
        Cell { attempts, established, closed, stock, ..Cell::EMPTY }
    }

    fn still(cell: &Cell) -> Bounds {
        Bounds::new(Balance::of(cell), cell, 7)
    }

    #[test]
    fn an_end_that_nobody_saw_is_made_up_for() {
        let mut now = cell(10, 10, 7, 2);
        let mut vanished = Vanished::default();
        assert!(vanished.is_news(&[(SLOT, still(&now))]));
        vanished.confirm(&[(SLOT, still(&now))], &[(SLOT, still(&now))]);
        assert!(!vanished.is_news(&[(SLOT, still(&now))]), "known by now");
        vanished.make_up(SLOT, &mut now);
        assert_eq!((now.closed, now.repaired, now.untracked), (8, 1, 0));
        let mut next = Cell { closed: 0, ..now };
        vanished.make_up(Slot { generation: 2, ..SLOT }, &mut next);
        assert_eq!(next.closed, 0, "another backend's place by now");
    }

    #[test]
    fn an_outcome_that_nobody_saw_is_unknown() {
        let mut now = cell(10, 8, 8, 0);
        now.failed[0] = 1;
        let mut vanished = Vanished::default();
        vanished.confirm(&[(SLOT, still(&now))], &[(SLOT, still(&now))]);
        vanished.make_up(SLOT, &mut now);
        assert_eq!((now.untracked, now.closed, now.repaired), (1, 8, 1));
    }

    #[test]
    fn one_sweep_alone_is_not_believed() {
        let lost = still(&cell(10, 10, 7, 2));
        let mut vanished = Vanished::default();
        vanished.confirm(&[(SLOT, lost)], &[(SLOT, still(&cell(10, 10, 8, 2)))]);
        assert_eq!(vanished.of(SLOT), Loss::default());
        vanished.confirm(&[], &[(SLOT, lost)]);
        assert_eq!(vanished.of(SLOT), Loss::default(), "a cell that the first did not know");
    }

    #[test]
    fn what_was_counted_late_is_no_loss() {
        let late = still(&cell(10, 10, 7, 2));
        let mut vanished = Vanished::default();
        vanished.confirm(&[(SLOT, late)], &[(SLOT, late)]);
        let counted = still(&cell(10, 10, 8, 2));
        assert!(vanished.is_news(&[(SLOT, counted)]));
        vanished.confirm(&[(SLOT, counted)], &[(SLOT, counted)]);
        assert_eq!(vanished.of(SLOT), Loss::default());
    }

    #[test]
    fn a_cell_that_was_not_visited_has_no_sockets() {
        let now = cell(10, 10, 10, 4);
        let bounds = Bounds::new(Balance::of(&now), &now, 8);
        assert_eq!(bounds.least, Loss::default(), "its stock is of an older sweep");
    }

    proptest! {
        /// Connections come and go while the sweep runs, some of them found by it; some ends were hidden before.
        #[test]
        fn the_loss_lies_between_the_bounds(
            there in 0_u64..50, ended in 0_u64..50, hidden in 0_u64..10,
            come in 0_u64..20, gone in 0_u64..20, found_of_come in 0_u64..20, found_of_gone in 0_u64..20,
        ) {
            let gone = gone.min(there);
            let found = there - gone + found_of_gone.min(gone) + found_of_come.min(come);
            let opened = there + ended + hidden;
            let before = cell(opened, opened, ended, 0);
            let after = cell(opened + come, opened + come, ended + gone, u32::try_from(found).unwrap());
            let bounds = Bounds::new(Balance::of(&before), &after, 7);
            prop_assert!(bounds.least.closed <= hidden && hidden <= bounds.most.closed);
            if come == 0 && gone == 0 {
                prop_assert_eq!(bounds.least, Loss { closed: hidden, outcomes: 0 });
                prop_assert_eq!(bounds.most, bounds.least);
            }
        }
    }
}
