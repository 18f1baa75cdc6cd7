//! What an agent leaves to the next one in the maps themselves, so that an end at any moment takes nothing away: what was
//! told of each backend, and what backends had counted that made room for others.

use super::bpf;
use super::cells::{Cells, FIRST_SLOT};
use super::error::KernelError;
use super::mapped::Mapped;
use super::tables::mapped;
use aya::Ebpf;
use std::mem::offset_of;
use std::time::Duration;
use tracer_ebpf::{Cell, Handover, OVERFLOW_SLOT, Retiring, Slot, Uncounted, maps};

/// How long a program may still run after its link was closed: the kernel takes it out later.
const LINGER: Duration = Duration::from_secs(10);

/// [`Handover`] and the maps that go with it.
pub(super) struct Handing {
    handover: Mapped<Handover>,
    /// `None`: nobody comes after this agent.
    kept: Option<Legacy>,
}

struct Legacy {
    told: Mapped<Cell>,
    retired: Mapped<Cell>,
    places: u32,
}

/// What the agent before told last.
pub(super) struct Told {
    /// When (`ktime`).
    pub(super) at: Duration,
    /// Every cell that is still its owner's.
    pub(super) cells: Vec<(Slot, Box<Cell>)>,
    pub(super) overflow: Cell,
    pub(super) uncounted: Uncounted,
    /// Of all that had made room for others.
    pub(super) retired: Cell,
}

impl Handing {
    /// The maps of an object. `keeps`: they outlive this agent, and have so many places.
    pub(super) fn new(ebpf: &Ebpf, keeps: Option<u32>) -> Result<Self, KernelError> {
        let handover = mapped(ebpf, maps::HANDOVER, 1)?;
        let Some(places) = keeps else { return Ok(Self { handover, kept: None }) };
        Ok(Self::of(handover, mapped(ebpf, maps::TOLD, 1)?, mapped(ebpf, maps::RETIRED, 2)?, places))
    }

    /// Maps that outlive this agent, and have so many places.
    pub(super) fn of(
        handover: Mapped<Handover>,
        told: Mapped<Cell>,
        retired: Mapped<Cell>,
        places: u32,
    ) -> Self {
        Self { handover, kept: Some(Legacy { told, retired, places }) }
    }

    /// New maps: which belong together, and that counting begins now.
    pub(super) fn begin(&mut self, ids: &[u32]) {
        let mut all = Handover { began_ns: ns(bpf::ktime()), ..Handover::default() };
        all.maps.iter_mut().zip(ids).for_each(|(place, id)| *place = *id);
        self.handover.set(0, &all);
    }

    /// Whether maps with these ids were made together.
    pub(super) fn belong_together(&self, ids: &[u32]) -> bool {
        self.handover.get(0).maps.starts_with(ids)
    }

    /// Goes on from an agent of another layout. Done again by the next agent if this one ends before its programs count.
    pub(super) fn inherit(&mut self, before: &Handover) {
        let Handover { adopted, began_ns, told_ns, told, .. } = *before;
        self.handover.set(0, &Handover { adopted, began_ns, told_ns, told, ..self.handover.get(0) });
    }

    /// Whether the place that was being freed, if there is one, is one of so many backends.
    pub(super) fn is_within(&self, max_backends: u32) -> bool {
        self.unfinished().is_none_or(|slot| slot.index <= max_backends)
    }

    /// When counting began (`ktime`).
    pub(super) fn began(&self) -> Duration {
        Duration::from_nanos(self.handover.get(0).began_ns)
    }

    /// From now on two programs may see one event, if there is an agent before or after this one.
    pub(super) fn overlap_begins(&mut self) {
        if self.kept.is_none() {
            return;
        }
        self.write(offset_of!(Handover, overlap_until_ns), u64::MAX);
    }

    /// The links of all but one are closed.
    pub(super) fn overlap_ends(&mut self) {
        if self.kept.is_none() {
            return;
        }
        self.write(offset_of!(Handover, overlap_until_ns), ns(bpf::ktime() + LINGER));
    }

    /// Whether connections from before were adopted.
    pub(super) fn has_adopted(&self) -> bool {
        self.handover.get(0).adopted != 0
    }

    /// Connections from before are adopted.
    pub(super) fn adopted(&mut self) {
        self.write(offset_of!(Handover, adopted), 1);
    }

    /// Keeps what a cell has counted; then it may be emptied.
    pub(super) fn retire(&mut self, slot: Slot, cell: &Cell) {
        let before = self.retiring();
        let Some(kept) = &mut self.kept else { return };
        let mut sum = kept.retired.get(before.holds as usize);
        sum.add_counters(cell);
        let holds = 1 - before.holds;
        kept.retired.set(holds as usize, &sum);
        let retiring = Retiring { holds, place: (slot.index, slot.generation) };
        self.write(offset_of!(Handover, retiring), retiring.word());
    }

    /// The place of that cell is free.
    pub(super) fn retired(&mut self) {
        let retiring = Retiring { place: (0, 0), ..self.retiring() };
        self.write(offset_of!(Handover, retiring), retiring.word());
    }

    /// What an agent that ended in the middle was about to free.
    pub(super) fn unfinished(&self) -> Option<Slot> {
        let (index, generation) = self.retiring().place;
        (index != 0).then_some(Slot { index, generation })
    }

    /// Takes down what is being told.
    pub(super) fn tell<'a>(
        &mut self,
        cells: impl Iterator<Item = (Slot, &'a Cell)>,
        overflow: &'a Cell,
        uncounted: Uncounted,
    ) {
        let Some(kept) = &mut self.kept else { return };
        for (slot, cell) in cells.chain([(Slot { index: OVERFLOW_SLOT, generation: 0 }, overflow)]) {
            let has_room = kept.make_room(slot.index);
            if has_room {
                // As long as the generation is another one's, the rest says nothing.
                kept.told.set_with_last(slot.index as usize, cell, offset_of!(Cell, generation));
            }
        }
        let told = Handover { told: uncounted, told_ns: ns(bpf::ktime()), ..self.handover.get(0) };
        self.handover.set(0, &told);
    }

    /// What the agent before told last of cells that are still their owners'. Where it told nothing, that was nothing when
    /// counting began.
    pub(super) fn told(&mut self, now: &mut Cells) -> Option<Told> {
        let handover = self.handover.get(0);
        let kept = self.kept.as_mut()?;
        let places = now.places();
        kept.make_room(places.saturating_sub(1));
        let places = places.min(u32::try_from(kept.told.len()).unwrap_or(places));
        let cells = (FIRST_SLOT..places).filter_map(|index| {
            let cell = Box::new(kept.told.get(index as usize));
            let slot = Slot { index, generation: cell.generation };
            let is_used = cell.attempts != 0 || cell.adopted != 0;
            (is_used && slot.generation == now.generation(index)).then_some((slot, cell))
        });
        let at_ns = if handover.told_ns == 0 { handover.began_ns } else { handover.told_ns };
        Some(Told {
            at: Duration::from_nanos(at_ns),
            cells: cells.collect(),
            overflow: kept.told.get(OVERFLOW_SLOT as usize),
            uncounted: handover.told,
            retired: kept.retired.get(Retiring::of(handover.retiring).holds as usize),
        })
    }

    fn retiring(&self) -> Retiring {
        Retiring::of(self.handover.get(0).retiring)
    }

    fn write(&mut self, offset: usize, word: u64) {
        self.handover.set_word(0, offset, word);
    }
}

impl Legacy {
    /// What is mapped counts as this process's memory: as much as is in use. `false`: the kernel refuses more.
    fn make_room(&mut self, index: u32) -> bool {
        let enough = |kept: &Self| (index as usize) < kept.told.len();
        if !enough(self) && index < self.places {
            let _ = self.told.remap(self.places.min((index + 1).next_power_of_two()));
        }
        enough(self)
    }
}

/// Nanoseconds, as programs have them.
fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
