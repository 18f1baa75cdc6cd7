//! What agents of other layouts count and have counted, read as they described it: totals go on when an agent of another
//! layout takes over.
//!
//! A set of maps of another layout drains: its programs count no new attempts ([`Switch`]), but follow what they have
//! counted to its end, and are detached when no socket is theirs any more. Its counters stay, and are added to
//! this layout's wherever these are told. Nothing is moved, so an end at any moment changes nothing.

use super::bpf;
use super::layout::Layout;
use super::mapped::{Mapped, Words};
use super::object::program;
use super::pins::{PinError, Pins, Set};
use super::refusal::refusal;
use aya::Ebpf;
use aya::programs::Iter;
use std::mem::offset_of;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};
use tracer_ebpf::{
    Cell, Handover, LAYOUT_BYTES, OVERFLOW_SLOT, Retiring, Slot, Stock, SweepEnd, Uncounted, maps, programs,
};

/// Between two looks whether a set still has sockets. It takes as long as a sweep of them.
const LOOK: Duration = Duration::from_secs(10);

/// Every set of another layout.
#[derive(Default)]
pub(super) struct Others {
    sets: Vec<Other>,
    /// Of which nothing is understood here, and why.
    strangers: Vec<(Set, String)>,
    looked: Option<Instant>,
}

struct Other {
    set: Set,
    layout: Layout,
    cells: Words,
    told: Words,
    retired: Words,
    uncounted: Words,
    handover: Words,
    tracked: Words,
    /// Places in all.
    places: u32,
    /// Place of its first cell among all that are read.
    first: u32,
    /// Goes over its sockets; `None`: it has ended, or that does not work.
    sockets: Option<OwnedFd>,
    /// What was read last: places, words as they are told, and cells.
    read: Vec<(u32, Vec<u64>, Cell)>,
    overflow: Cell,
    /// It has ended, and was read and told after that: nothing of it changes any more.
    is_final: bool,
}

impl Others {
    /// Opens what is there; `first`: the first place that is none of this layout's.
    ///
    /// # Errors
    /// When something cannot be looked at.
    pub(super) fn open(pins: &Pins, first: u32) -> Result<Self, PinError> {
        let (mut sets, mut strangers, mut first) = (Vec::new(), Vec::new(), first);
        for set in pins.others()? {
            if set.has_ended {
                pins.tidy(&set)?;
            }
            match Other::open(set.clone(), first) {
                Ok(mut other) => {
                    other.shrink();
                    first = first.saturating_add(other.places);
                    sets.push(other);
                }
                // What cannot be looked at now may be understood later.
                Err(PinError::Unusable { problem, .. }) => strangers.push((set, problem)),
                Err(error) => return Err(error),
            }
        }
        // Not at once: a program may be in the middle of an attempt that it has just counted.
        Ok(Self { sets, strangers, looked: Some(Instant::now()) })
    }

    /// Removes what is not understood, when nobody needs it any more. Gives a line for each.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn discard_strangers(&mut self, pins: &Pins) -> Result<Vec<String>, PinError> {
        let discard = |(set, reason): (Set, String)| {
            pins.discard(&set)?;
            Ok(format!(
                "notice: removed the pins {} of another version: what it had counted is not in the totals ({reason})",
                set.name
            ))
        };
        std::mem::take(&mut self.strangers).into_iter().map(discard).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// Sets whose programs are attached.
    pub(super) fn draining(&self) -> impl Iterator<Item = &Set> {
        self.sets.iter().map(|other| &other.set).filter(|set| !set.has_ended)
    }

    /// The set in which this layout counts, and what its last agent has left.
    pub(super) fn counting(&self, layout: u16) -> Option<(&Set, Handover)> {
        let other = self.sets.iter().find(|other| !other.set.has_ended && other.set.layout == layout)?;
        Some((&other.set, other.left()))
    }

    /// Counters that those layouts do not have: names of sets, and of counters.
    pub(super) fn missing(&self) -> Vec<(&str, Vec<&'static str>)> {
        let missing = self.sets.iter().map(|other| (other.set.name.as_str(), other.layout.missing()));
        missing.filter(|(_, counters)| !counters.is_empty()).collect()
    }

    /// Has `owned` go over the sockets of each set that drains.
    ///
    /// # Errors
    /// What the kernel says; their programs then stay attached.
    pub(super) fn watch(&mut self, ebpf: &mut Ebpf, btf: &aya::Btf) -> Result<(), String> {
        let draining = self.sets.iter_mut().filter(|other| !other.set.has_ended);
        let mut draining = draining.peekable();
        if draining.peek().is_none() {
            return Ok(());
        }
        let owned: &mut Iter = program(ebpf, programs::OWNED)?;
        owned.load("bpf_sk_storage_map", btf).map_err(|error| refusal(&error))?;
        let owned = owned.fd().map_err(|error| refusal(&error))?;
        let mut refused = Vec::new();
        for other in draining {
            let link = |sockets: OwnedFd| {
                bpf::link_iterator(owned.as_fd(), sockets.as_fd()).map_err(|error| error.to_string())
            };
            match other.set.sockets().map_err(|error| error.to_string()).and_then(link) {
                Ok(link) => other.sockets = Some(link),
                Err(error) => refused.push(format!("{}: {error}", other.set.name)),
            }
        }
        if refused.is_empty() { Ok(()) } else { Err(refused.join("; ")) }
    }

    /// Ends sets that have no sockets any more, and drops those that have nothing to say. What cannot be done now is tried
    /// again.
    pub(super) fn look(&mut self, pins: &Pins, sweep_end: &mut Mapped<SweepEnd>) {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK) {
            return;
        }
        self.looked = Some(Instant::now());
        for other in &mut self.sets {
            let Some(sockets) = &other.sockets else { continue };
            sweep_end.set_word(0, offset_of!(SweepEnd, owned), 0);
            let run = bpf::open_iterator(sockets.as_fd()).and_then(bpf::run_iterator);
            if run.is_ok()
                && sweep_end.get(0).owned == 0
                && let Ok(ended) = pins.end(&other.set)
            {
                other.set = ended;
                other.sockets = None;
            }
        }
        self.sets.retain_mut(|other| {
            !(other.set.has_ended && other.is_empty() && pins.discard(&other.set).is_ok())
        });
    }

    /// Reads every counter: what the next calls give, and what is then taken down as told.
    pub(super) fn read(&mut self) {
        self.sets.iter_mut().for_each(Other::read);
    }

    /// Every cell in use. `session`: of the sweep that present sockets are to be of.
    pub(super) fn cells(&self, session: u64) -> Vec<(Slot, Box<Cell>)> {
        self.sets.iter().flat_map(|other| other.cells(session)).collect()
    }

    /// What was told of them.
    pub(super) fn told(&mut self) -> Vec<(Slot, Box<Cell>)> {
        self.sets.iter_mut().flat_map(Other::told_cells).collect()
    }

    /// What was counted for want of a place.
    pub(super) fn overflow(&self) -> Cell {
        self.sum(|other| other.overflow)
    }

    /// What was told of that.
    pub(super) fn told_overflow(&self) -> Cell {
        self.sum(|other| other.layout.cell(&other.told.get(OVERFLOW_SLOT as usize)))
    }

    /// What backends had counted that made room for others.
    pub(super) fn retired(&self) -> Cell {
        self.sum(|other| {
            other.layout.cell(&other.retired.get(Retiring::of(other.left().retiring).holds as usize))
        })
    }

    /// What they could not count where it belongs.
    pub(super) fn uncounted(&self) -> Uncounted {
        let each = self.sets.iter().map(|other| other.layout.uncounted(&other.uncounted.get(0)));
        each.fold(Uncounted::default(), Uncounted::and)
    }

    /// Takes down that everything was told.
    pub(super) fn tell(&mut self) {
        self.sets.iter_mut().for_each(Other::tell);
    }

    fn sum(&self, of: impl Fn(&Other) -> Cell) -> Cell {
        self.sets.iter().fold(Cell::EMPTY, |mut sum, other| {
            sum.add_counters(&of(other));
            sum
        })
    }
}

impl Other {
    /// Opens its maps.
    ///
    /// # Errors
    /// [`PinError::Unusable`]: they say nothing that is understood here; others: they cannot be looked at.
    fn open(set: Set, first: u32) -> Result<Self, PinError> {
        let unusable = |name, problem: String| PinError::Unusable { path: set.pin(name), problem };
        let mapped = |name, bytes: usize, elements: u32| {
            let (map, shape) = set.open(name)?;
            if shape.value as usize != bytes || shape.max_entries < elements {
                return Err(unusable(name, format!("{name} is not as its description has it")));
            }
            let words = Words::new(map.as_fd(), bytes, elements);
            words.map_err(|source| PinError::Refused { path: set.pin(name), what: "map it", source })
        };
        let text = mapped(maps::LAYOUT, LAYOUT_BYTES, 1)?.get(0);
        let text: Vec<u8> = text.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let layout = Layout::parse(&text)
            .map_err(|problem| unusable(maps::LAYOUT, format!("of its description: {problem}")))?;
        if !set.has_ended {
            set.sockets()?;
        }
        let cell = layout.cell_bytes();
        let (_, shape) = set.open(maps::CELLS)?;
        Ok(Self {
            cells: mapped(maps::CELLS, cell, 1)?,
            told: mapped(maps::TOLD, cell, 1)?,
            retired: mapped(maps::RETIRED, cell, 2)?,
            uncounted: mapped(maps::UNCOUNTED, layout.uncounted_bytes(), 1)?,
            handover: mapped(maps::HANDOVER, layout.handover_bytes(), 1)?,
            tracked: mapped(maps::TRACKED, layout.tracked_bytes(), 1)?,
            places: shape.max_entries,
            layout,
            set,
            first,
            sockets: None,
            read: Vec::new(),
            overflow: Cell::EMPTY,
            is_final: false,
        })
    }

    /// What has ended keeps no more places than were in use. Where the kernel refuses that, it stays as it is.
    fn shrink(&mut self) {
        let used = self.used();
        // Places that could not be mapped are not there to be copied.
        if !self.set.has_ended || used >= self.places || self.places() < used {
            return;
        }
        let bytes = self.layout.cell_bytes();
        for (name, array) in [(maps::CELLS, &mut self.cells), (maps::TOLD, &mut self.told)] {
            match array.copied(bytes) {
                Ok(smaller) if self.set.replace(name, smaller.array()).is_ok() => *array = smaller,
                _ => return,
            }
        }
        self.places = used;
    }

    fn left(&self) -> Handover {
        self.layout.handover(&self.handover.get(0))
    }

    /// Whether nothing was ever counted in it.
    fn is_empty(&self) -> bool {
        let retired = |index| self.layout.cell(&self.retired.get(index));
        let counted = [self.overflow, retired(0), retired(1)];
        counted.iter().all(|cell| cell.attempts == 0 && cell.adopted == 0)
            && self.layout.uncounted(&self.uncounted.get(0)) == Uncounted::default()
            && self.cells(0).is_empty()
    }

    /// How many places were ever in use, the first included.
    fn used(&self) -> u32 {
        let used = self.layout.tracked(&self.tracked.get(0)).places;
        u32::try_from(used).map_or(self.places, |used| self.places.min(used.saturating_add(1)))
    }

    /// How many places are to be looked at; where the kernel refuses to map them, those that are mapped.
    fn places(&mut self) -> u32 {
        let used = self.used();
        for array in [&mut self.cells, &mut self.told] {
            if used as usize > array.len() {
                let _ = array.remap(used);
            }
        }
        let mapped = self.cells.len().min(self.told.len());
        used.min(u32::try_from(mapped).unwrap_or(used))
    }

    fn read(&mut self) {
        if self.is_final {
            return;
        }
        // What an agent that ended in the middle has put among what is retired already.
        let retiring = Retiring::of(self.left().retiring).place;
        self.read.clear();
        for index in OVERFLOW_SLOT..self.places() {
            let mut words = self.now(index);
            let cell = self.layout.cell(&words);
            let is_retired = index != OVERFLOW_SLOT && retiring == (index, cell.generation);
            if !is_used(&cell) || is_retired {
                continue;
            }
            let cell = if self.set.has_ended { ended(cell) } else { cell };
            if index == OVERFLOW_SLOT {
                self.overflow = cell;
            }
            for (name, count) in
                [("closed", cell.closed), ("untracked", cell.untracked), ("repaired", cell.repaired)]
            {
                self.layout.set_counter(&mut words, name, count);
            }
            self.read.push((index, words, cell));
        }
    }

    /// What a cell says. Its last agent knew of ends that its programs had missed, and told of them: what was told is not
    /// taken back.
    fn now(&self, index: u32) -> Vec<u64> {
        let (counted, told) = (self.cells.get(index as usize), self.told.get(index as usize));
        if self.layout.generation(&counted) != self.layout.generation(&told) {
            return counted;
        }
        counted.iter().zip(told).map(|(counted, told)| (*counted).max(told)).collect()
    }

    fn cells(&self, session: u64) -> Vec<(Slot, Box<Cell>)> {
        let cells = self.read.iter().filter(|(index, ..)| *index != OVERFLOW_SLOT);
        cells
            .map(|(index, _, cell)| {
                let stock = if self.set.has_ended { Stock::EMPTY } else { stock(cell, session) };
                (self.slot(*index, cell), Box::new(Cell { stock, ..*cell }))
            })
            .collect()
    }

    fn told_cells(&mut self) -> Vec<(Slot, Box<Cell>)> {
        let retiring = Retiring::of(self.left().retiring).place;
        let told = (OVERFLOW_SLOT + 1..self.places()).filter_map(|index| {
            let cell = self.layout.cell(&self.told.get(index as usize));
            let is_current = cell.generation == self.layout.generation(&self.cells.get(index as usize));
            let is_own = is_current && retiring != (index, cell.generation);
            (is_used(&cell) && is_own).then(|| (self.slot(index, &cell), Box::new(cell)))
        });
        told.collect()
    }

    fn slot(&self, index: u32, cell: &Cell) -> Slot {
        Slot { index: self.first.saturating_add(index), generation: cell.generation }
    }

    /// Takes down what was read.
    fn tell(&mut self) {
        if self.is_final {
            return;
        }
        for (index, words, _) in &self.read {
            self.told.set(*index as usize, words);
        }
        self.is_final = self.set.has_ended;
    }
}

fn is_used(cell: &Cell) -> bool {
    cell.attempts != 0 || cell.adopted != 0
}

/// Attempts without an outcome, and connections that are open, as they follow from what was counted.
fn open(cell: &Cell) -> (u64, u64) {
    let outcomes = cell.failed.iter().fold(cell.untracked, |sum, count| sum.saturating_add(*count));
    let pending = cell.attempts.saturating_sub(outcomes).saturating_sub(cell.established);
    (pending, cell.established.saturating_add(cell.adopted).saturating_sub(cell.closed))
}

fn stock(cell: &Cell, session: u64) -> Stock {
    let (pending, live) = open(cell);
    let number = |count| u32::try_from(count).unwrap_or(u32::MAX);
    Stock { session, pending: number(pending), live: number(live), ..Stock::EMPTY }
}

/// Where no socket is left, what seems open ended without being seen.
fn ended(cell: Cell) -> Cell {
    let (pending, live) = open(&cell);
    Cell {
        closed: cell.closed.saturating_add(live),
        untracked: cell.untracked.saturating_add(pending),
        repaired: cell.repaired.saturating_add(live).saturating_add(pending),
        ..cell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_over_where_no_socket_is_has_ended() {
        let cell = Cell { attempts: 10, established: 7, adopted: 2, closed: 6, ..Cell::EMPTY };
        let cell = Cell { failed: [1, 0, 0, 0, 0, 1], ..cell };
        assert_eq!(open(&cell), (1, 3));
        assert_eq!((stock(&cell, 4).pending, stock(&cell, 4).live, stock(&cell, 4).session), (1, 3, 4));
        let cell = ended(cell);
        assert_eq!((cell.closed, cell.untracked, cell.repaired), (9, 1, 4));
        assert_eq!(open(&cell), (0, 0));
        assert_eq!(ended(cell).repaired, 4, "once");
    }

    #[test]
    fn counters_that_no_agent_wrote_end_nobody() {
        let most = u64::MAX;
        let cell =
            Cell { attempts: most, established: most, adopted: most, failed: [most; 6], ..Cell::EMPTY };
        assert_eq!(open(&cell), (0, most));
        ended(Cell { closed: most, untracked: most, repaired: most, ..cell });
    }
}
