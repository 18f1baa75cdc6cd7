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
    /// Nothing is told of it any more that was not.
    is_told: bool,
}

impl Others {
    /// Opens what is there; `first`: the first place that is none of this layout's.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub(super) fn open(pins: &Pins, first: u32) -> Result<Self, PinError> {
        let (mut sets, mut strangers, mut first) = (Vec::new(), Vec::new(), first);
        for set in pins.others()? {
            if set.has_ended {
                pins.tidy(&set)?;
            }
            match Other::open(set.clone(), first) {
                Ok(other) => {
                    first = first.saturating_add(other.places);
                    sets.push(other);
                }
                Err(reason) => strangers.push((set, reason)),
            }
        }
        Ok(Self { sets, strangers, looked: None })
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
        for other in draining {
            let (sockets, _) = other.set.open(maps::CONNECTIONS).map_err(|error| error.to_string())?;
            let link = bpf::link_iterator(owned.as_fd(), sockets.as_fd());
            other.sockets = Some(link.map_err(|error| format!("attaching it: {error}"))?);
        }
        Ok(())
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

    /// Every cell in use. `session`: of the sweep that present sockets are to be of.
    pub(super) fn cells(&mut self, session: u64) -> Vec<(Slot, Box<Cell>)> {
        self.sets.iter_mut().flat_map(|other| other.cells(session)).collect()
    }

    /// What was told of them.
    pub(super) fn told(&mut self) -> Vec<(Slot, Box<Cell>)> {
        self.sets.iter_mut().flat_map(Other::told_cells).collect()
    }

    /// What was counted for want of a place.
    pub(super) fn overflow(&self) -> Cell {
        self.sum(|other| other.layout.cell(&other.now(OVERFLOW_SLOT)))
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
    fn open(set: Set, first: u32) -> Result<Self, String> {
        let mapped = |name, bytes: usize, elements: u32| {
            let (map, shape) = set.open(name).map_err(|error| error.to_string())?;
            if shape.value as usize != bytes || shape.max_entries < elements {
                return Err(format!("{} is not as it says of itself", set.pin(name).display()));
            }
            Words::new(map.as_fd(), bytes, elements).map_err(|error| format!("mapping {name}: {error}"))
        };
        let text = mapped(maps::LAYOUT, LAYOUT_BYTES, 1)?.get(0);
        let text: Vec<u8> = text.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let layout = Layout::parse(&text).map_err(|problem| format!("of its description: {problem}"))?;
        let cell = layout.cell_bytes();
        let (_, shape) = set.open(maps::CELLS).map_err(|error| error.to_string())?;
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
            is_told: false,
        })
    }

    fn left(&self) -> Handover {
        self.layout.handover(&self.handover.get(0))
    }

    /// Whether nothing was ever counted in it.
    fn is_empty(&mut self) -> bool {
        let retired = |index| self.layout.cell(&self.retired.get(index));
        let counted = [self.layout.cell(&self.now(OVERFLOW_SLOT)), retired(0), retired(1)];
        counted.iter().all(|cell| cell.attempts == 0 && cell.adopted == 0)
            && self.layout.uncounted(&self.uncounted.get(0)) == Uncounted::default()
            && self.cells(0).is_empty()
    }

    /// How many places are to be looked at; where the kernel refuses to map them, those that are mapped.
    fn places(&mut self) -> u32 {
        let used = self.layout.tracked(&self.tracked.get(0)).places;
        let used = u32::try_from(used).map_or(self.places, |used| self.places.min(used.saturating_add(1)));
        for array in [&mut self.cells, &mut self.told] {
            if used as usize > array.len() {
                let _ = array.remap(used);
            }
        }
        let mapped = self.cells.len().min(self.told.len());
        used.min(u32::try_from(mapped).unwrap_or(used))
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

    fn cells(&mut self, session: u64) -> Vec<(Slot, Box<Cell>)> {
        // What an agent that ended in the middle has put among what is retired already.
        let retiring = Retiring::of(self.left().retiring).place;
        let cells = (OVERFLOW_SLOT + 1..self.places()).filter_map(|index| {
            let cell = self.layout.cell(&self.now(index));
            let is_used = (cell.attempts != 0 || cell.adopted != 0) && retiring != (index, cell.generation);
            is_used.then(|| (self.slot(index, &cell), Box::new(self.present(cell, session))))
        });
        cells.collect()
    }

    fn told_cells(&mut self) -> Vec<(Slot, Box<Cell>)> {
        let told = (OVERFLOW_SLOT + 1..self.places()).filter_map(|index| {
            let cell = self.layout.cell(&self.told.get(index as usize));
            let is_current = cell.generation == self.layout.generation(&self.cells.get(index as usize));
            let is_used = cell.attempts != 0 || cell.adopted != 0;
            (is_used && is_current).then(|| (self.slot(index, &cell), Box::new(self.present(cell, 0))))
        });
        told.collect()
    }

    fn slot(&self, index: u32, cell: &Cell) -> Slot {
        Slot { index: self.first.saturating_add(index), generation: cell.generation }
    }

    /// With its present sockets, as they follow from what was counted. Where nothing is open any more, what is left over
    /// ended without being seen.
    fn present(&self, cell: Cell, session: u64) -> Cell {
        let failed: u64 = cell.failed.iter().sum();
        let pending = cell.attempts.saturating_sub(cell.untracked + cell.established + failed);
        let live = (cell.established + cell.adopted).saturating_sub(cell.closed);
        if self.set.has_ended {
            return Cell {
                closed: cell.closed + live,
                untracked: cell.untracked + pending,
                repaired: cell.repaired + live + pending,
                stock: Stock::EMPTY,
                ..cell
            };
        }
        let number = |count| u32::try_from(count).unwrap_or(u32::MAX);
        Cell {
            stock: Stock { session, pending: number(pending), live: number(live), ..Stock::EMPTY },
            ..cell
        }
    }

    fn tell(&mut self) {
        if self.is_told {
            return;
        }
        self.is_told = self.set.has_ended;
        for index in OVERFLOW_SLOT..self.places() {
            let now = self.now(index);
            self.told.set(index as usize, &now);
        }
    }
}
