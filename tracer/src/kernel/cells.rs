//! The cells that programs count in, and how many of them were ever in use.
//!
//! With pins both may be of an agent before, or of whoever could write to its maps: no place beyond the last is looked for, and
//! no sum overflows, whatever stands there.

use super::mapped::Mapped;
use super::snapshot::sum;
use super::vanished::{Balance, Bounds, Vanished};
use std::mem::offset_of;
use tracer_ebpf::transition::CAUSES;
use tracer_ebpf::{Cell, CellKey, OVERFLOW_SLOT, Slot, SweepEnd, Tracked};

/// Place of the first cell that belongs to one backend.
pub(super) const FIRST_SLOT: u32 = OVERFLOW_SLOT + 1;

/// Cells that are mapped from the start.
pub(super) const FEW_CELLS: u32 = 64;

/// Every cell, mapped as far as there is need.
pub(super) struct Cells {
    cells: Mapped<Cell>,
    tracked: Mapped<Tracked>,
    max_backends: u32,
}

/// What one sweep and one reading after it found.
pub(super) struct Look {
    pub(super) sweep: Option<SweepEnd>,
    /// Those in use.
    pub(super) cells: Vec<(Slot, Box<Cell>)>,
    losses: Vec<(Slot, Bounds)>,
}

impl Cells {
    /// Of maps in which so many backends have a place.
    pub(super) fn new(cells: Mapped<Cell>, tracked: Mapped<Tracked>, max_backends: u32) -> Self {
        Self { cells, tracked, max_backends }
    }

    /// How many places are to be looked at: those beyond were never in use. What is mapped counts as this process's memory,
    /// so more is mapped only when there is need. Where the kernel refuses that, counters stay with it, and are read as soon
    /// as it does not.
    pub(super) fn places(&mut self) -> u32 {
        let all = self.max_backends + 1;
        let used =
            u32::try_from(self.tracked.get(0).places).map_or(all, |given| all.min(given.saturating_add(1)));
        if used as usize > self.cells.len() {
            let _ = self.cells.remap(all.min(used.next_power_of_two()));
        }
        used.min(u32::try_from(self.cells.len()).unwrap_or(all))
    }

    /// Maps every place. `false`: the kernel refuses.
    pub(super) fn map_all(&mut self) -> bool {
        self.cells.remap(self.max_backends + 1).is_ok()
    }

    /// From now on any place may be in use.
    pub(super) fn any_may_be_in_use(&mut self) {
        self.tracked.set_word(0, offset_of!(Tracked, places), self.max_backends.into());
    }

    /// Places of backends that are in use.
    pub(super) fn used(&mut self) -> Vec<u32> {
        (FIRST_SLOT..self.places()).filter(|&index| self.is_used(index)).collect()
    }

    /// Which owner a place has.
    ///
    /// # Panics
    /// When it is not mapped.
    pub(super) fn generation(&self, index: u32) -> u32 {
        self.cells.get(index as usize).generation
    }

    /// Whose a place is.
    ///
    /// # Panics
    /// When it is not mapped.
    pub(super) fn key(&self, index: u32) -> CellKey {
        self.cells.get(index as usize).key
    }

    /// Empties a cell, under a new generation. That is written last: as long as a place has the old one, it is not done.
    ///
    /// # Panics
    /// When it is not mapped.
    pub(super) fn empty(&mut self, slot: Slot) -> Slot {
        let generation = slot.generation.wrapping_add(1);
        let cell = Cell { generation, ..Cell::EMPTY };
        self.cells.set_with_last(slot.index as usize, &cell, offset_of!(Cell, generation));
        Slot { generation, ..slot }
    }

    /// Empties a cell that may be empty already.
    ///
    /// # Panics
    /// When it is not mapped.
    pub(super) fn empty_once(&mut self, slot: Slot) -> Slot {
        let generation = self.generation(slot.index);
        if generation == slot.generation { self.empty(slot) } else { Slot { generation, ..slot } }
    }

    /// Every cell in use after a sweep, or after two if the first shows more or less than is known to have vanished, with
    /// what has.
    pub(super) fn look(
        &mut self,
        vanished: &mut Vanished,
        mut sweep: impl FnMut() -> Option<SweepEnd>,
    ) -> Look {
        let mut look = self.look_once(&mut sweep);
        if vanished.is_news(&look.losses) {
            let again = self.look_once(&mut sweep);
            // A sweep that did not end says nothing of losses.
            if again.sweep.is_some() {
                vanished.confirm(&look.losses, &again.losses);
                look = again;
            }
        }
        look.cells.iter_mut().for_each(|(slot, cell)| vanished.make_up(*slot, cell));
        look
    }

    /// One sweep, and every cell in use after it.
    fn look_once(&mut self, sweep: impl FnOnce() -> Option<SweepEnd>) -> Look {
        let before: Vec<(u32, Balance)> = (OVERFLOW_SLOT..self.places())
            .filter(|&index| self.is_used(index))
            .map(|index| (index, self.balance(index)))
            .collect();
        let sweep = sweep();
        let mut cells = Vec::with_capacity(before.len());
        let mut losses = Vec::new();
        let mut before = before.into_iter().peekable();
        for index in OVERFLOW_SLOT..self.places() {
            let earlier = before.next_if(|(place, _)| *place == index);
            if earlier.is_none() && !self.is_used(index) {
                continue;
            }
            let cell = Box::new(self.cells.get(index as usize));
            let slot = Slot { index, generation: cell.generation };
            if let (Some((_, earlier)), Some(end)) = (earlier, sweep) {
                losses.push((slot, Bounds::new(earlier, &cell, end.session)));
            }
            cells.push((slot, cell));
        }
        Look { sweep, cells, losses }
    }

    fn is_used(&self, index: u32) -> bool {
        let word = |offset| self.cells.word(index as usize, offset);
        word(offset_of!(Cell, attempts)) != 0 || word(offset_of!(Cell, adopted)) != 0
    }

    /// Without copying the whole cell. What has come is read before what has gone, so that it is never ahead.
    fn balance(&self, index: u32) -> Balance {
        let word = |offset| self.cells.word(index as usize, offset);
        let attempts = word(offset_of!(Cell, attempts));
        let established = word(offset_of!(Cell, established));
        let connections = sum([established, word(offset_of!(Cell, adopted))]);
        let failed = sum((0..CAUSES).map(|cause| word(offset_of!(Cell, failed) + cause * size_of::<u64>())));
        Balance {
            attempts: attempts.saturating_sub(word(offset_of!(Cell, untracked))),
            outcomes: sum([established, failed]),
            connections,
            closed: word(offset_of!(Cell, closed)),
        }
    }
}
