//! Places of cells whose backend is gone, given to others: who goes, and when. The rule:
//!
//! * Nothing goes while more than an eighth of the places is free: counters stay as long as there is room.
//! * A cell is **idle** while finished sweeps find no socket of it and its counters do not move. Idle for two sweeps, the
//!   longest idle first, its key is taken out of the hash: new connections to that backend get another place.
//! * Idle for two sweeps after that, nothing refers to it any more: it is emptied, under a new generation, and its place
//!   is free. What it had counted was read before; `collect` keeps it, and [`Handing`](super::handing::Handing) for the
//!   next agent.

use super::snapshot::Reading;
use tracer_ebpf::SweepEnd;

/// Sweeps without a sign of life.
const IDLE_SWEEPS: u64 = 2;

/// What a tick saw of one cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sight {
    /// Place of the cell.
    pub(super) index: u32,
    /// Anything that moves when something is counted.
    pub(super) activity: u64,
    /// Whether the sweep found a socket of it.
    pub(super) has_sockets: bool,
}

impl Sight {
    /// After a sweep.
    pub(super) fn of(reading: &Reading, sweep: SweepEnd) -> Self {
        let cell = &reading.cell;
        let counted = [cell.attempts, cell.adopted, cell.established, cell.closed];
        Self {
            index: reading.slot.index,
            activity: counted.iter().chain(&cell.failed).fold(0, |sum: u64, count| sum.wrapping_add(*count)),
            has_sockets: cell.stock.session == sweep.session,
        }
    }
}

/// What is to be done with a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Take its key out of the hash.
    Unlist(u32),
    /// Empty it and put it back into the queue.
    Free(u32),
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    activity: u64,
    idle_sweeps: u64,
    unlisted: bool,
}

/// Remembers how long each cell has been idle.
#[derive(Debug)]
pub(super) struct Retirement {
    places: Vec<Place>,
}

impl Retirement {
    /// So many places, from index 1 on, and none in use.
    pub(super) fn new(places: u32) -> Self {
        Self { places: vec![Place::default(); places as usize + 1] }
    }

    /// Takes in a finished sweep: every cell in use, each once. Says what to do now; it is taken as done.
    pub(super) fn swept(&mut self, cells: &[Sight]) -> Vec<Act> {
        let mut acts = Vec::new();
        let mut leaving = 0;
        let mut candidates = Vec::new();
        for sight in cells {
            let Some(place) = self.places.get_mut(sight.index as usize) else { continue };
            let idle = !sight.has_sockets && sight.activity == place.activity;
            place.idle_sweeps = if idle { place.idle_sweeps + 1 } else { 0 };
            place.activity = sight.activity;
            if place.unlisted && place.idle_sweeps >= IDLE_SWEEPS {
                *place = Place::default();
                acts.push(Act::Free(sight.index));
            } else if place.unlisted {
                leaving += 1;
            } else if place.idle_sweeps >= IDLE_SWEEPS {
                candidates.push((place.idle_sweeps, sight.index));
            }
        }
        let all = self.places.len() - 1;
        let free = all - cells.len() + acts.len();
        let wanted = (all / 8).max(1).saturating_sub(free + leaving);
        candidates.sort_unstable_by_key(|&(idle, index)| (std::cmp::Reverse(idle), index));
        for (_, index) in candidates.into_iter().take(wanted) {
            let place = &mut self.places[index as usize];
            place.unlisted = true;
            place.idle_sweeps = 0;
            acts.push(Act::Unlist(index));
        }
        acts
    }

    /// An agent before has taken its key out.
    pub(super) fn is_unlisted(&mut self, index: u32) {
        if let Some(place) = self.places.get_mut(index as usize) {
            *place = Place { unlisted: true, ..Place::default() };
        }
    }

    /// Its key could not be taken out: it stays what it was.
    pub(super) fn stays(&mut self, index: u32) {
        if let Some(place) = self.places.get_mut(index as usize) {
            *place = Place { activity: place.activity, ..Place::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn idle(index: u32) -> Sight {
        Sight { index, activity: 5, has_sockets: false }
    }

    fn busy(index: u32, activity: u64) -> Sight {
        Sight { index, activity, has_sockets: true }
    }

    #[test]
    fn nothing_goes_while_there_is_room() {
        let mut retirement = Retirement::new(16);
        let cells: Vec<Sight> = (1..=14).map(idle).collect();
        assert!((0..50).all(|_| retirement.swept(&cells).is_empty()), "two of sixteen are free");
    }

    #[test]
    fn the_longest_idle_goes_first_in_two_steps() {
        let mut retirement = Retirement::new(8);
        let mut cells: Vec<Sight> = (1..=8).map(|index| busy(index, 1)).collect();
        assert_eq!(retirement.swept(&cells), []);
        cells[3] = Sight { has_sockets: false, ..cells[3] };
        assert_eq!(retirement.swept(&cells), [], "idle for one sweep");
        cells[6] = Sight { has_sockets: false, ..cells[6] };
        assert_eq!(retirement.swept(&cells), [Act::Unlist(4)]);
        assert_eq!(retirement.swept(&cells), [], "one on its way out is enough");
        assert_eq!(retirement.swept(&cells), [Act::Free(4)]);
    }

    #[test]
    fn a_late_connection_keeps_an_unlisted_cell() {
        let mut retirement = Retirement::new(1);
        retirement.swept(&[idle(1)]);
        retirement.swept(&[idle(1)]);
        assert_eq!(retirement.swept(&[idle(1)]), [Act::Unlist(1)]);
        assert_eq!(retirement.swept(&[busy(1, 6)]), []);
        for _ in 0..5 {
            assert_eq!(retirement.swept(&[busy(1, 6)]), [], "its connection lives on");
        }
        let quiet = Sight { has_sockets: false, ..busy(1, 6) };
        assert_eq!(retirement.swept(&[quiet]), []);
        assert_eq!(retirement.swept(&[quiet]), [Act::Free(1)]);
    }

    #[test]
    fn a_place_begins_anew_with_its_next_backend() {
        let mut retirement = Retirement::new(1);
        let acts: Vec<Act> = (0..5).flat_map(|_| retirement.swept(&[idle(1)])).collect();
        assert_eq!(acts, [Act::Unlist(1), Act::Free(1)]);
        assert_eq!(retirement.swept(&[busy(1, 1)]), []);
        assert_eq!(retirement.swept(&[Sight { has_sockets: false, ..busy(1, 1) }]), []);
    }

    #[test]
    fn what_the_agent_before_has_unlisted_goes_when_it_is_idle() {
        let mut retirement = Retirement::new(8);
        retirement.is_unlisted(3);
        assert_eq!(retirement.swept(&[busy(3, 9)]), []);
        assert_eq!(retirement.swept(&[Sight { has_sockets: false, ..busy(3, 9) }]), []);
        assert_eq!(retirement.swept(&[Sight { has_sockets: false, ..busy(3, 9) }]), [Act::Free(3)]);
    }

    proptest! {
        /// Whatever happens, a cell goes only after two sweeps without a sign of life, twice.
        #[test]
        fn nothing_that_moved_goes(history in prop::collection::vec(prop::collection::vec(0_u8..4, 6), 1..40)) {
            let mut retirement = Retirement::new(6);
            let mut activity = [0_u64; 6];
            let mut quiet = [0_u32; 6];
            let mut unlisted = [false; 6];
            for tick in history {
                let sights: Vec<Sight> = (0..6_u32).map(|place| {
                    let index = place as usize;
                    let moves = tick[index] == 0;
                    let has_sockets = tick[index] == 1;
                    activity[index] += u64::from(moves);
                    quiet[index] = if moves || has_sockets { 0 } else { quiet[index] + 1 };
                    Sight { index: place + 1, activity: activity[index], has_sockets }
                }).collect();
                for act in retirement.swept(&sights) {
                    match act {
                        Act::Unlist(index) => {
                            let index = index as usize - 1;
                            prop_assert!(quiet[index] >= 2 && !unlisted[index]);
                            unlisted[index] = true;
                            quiet[index] = 0;
                        }
                        Act::Free(index) => {
                            let index = index as usize - 1;
                            prop_assert!(quiet[index] >= 2 && unlisted[index]);
                            unlisted[index] = false;
                        }
                    }
                }
            }
        }
    }
}
