//! What an agent before may have left in its maps, made up of any bytes: for the fuzz target `pins`, and the test that reads its
//! corpus again. The maps are files in memory; what is done with them is what an agent does that goes on from pins.
//!
//! Bytes are words to be put somewhere, [`WORD_BYTES`] each: which map, which element, which of its words (2 bytes), and the
//! word. What none is put into is zero. One for the map [`TICK`] says that everything before it was there when the agent
//! looked: the first time it starts, then a second is over.

use super::balancer::Balancers;
use super::cells::Cells;
use super::handing::Handing;
use super::mapped::{Mapped, SharedLayout};
use super::retirement::{Act, Retirement, Sight};
use super::snapshot::{Reading, Snapshot, backend};
use super::succession::{Inheritance, instant};
use super::vanished::Vanished;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::ftruncate;
use std::io;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};
use tracer_ebpf::{Cell, Handover, OVERFLOW_SLOT, Slot, SweepEnd, Tracked, Uncounted};

/// Few, so that they are soon taken.
pub const MAX_BACKENDS: u32 = 8;
/// Bytes of a word and where it is put.
pub const WORD_BYTES: usize = 12;
/// The map that is none.
pub const TICK: u8 = 7;

const PLACES: u32 = MAX_BACKENDS + 1;
/// When the next agent starts.
const KTIME: Duration = Duration::from_secs(1_000_000);

/// An agent that goes on from what was left.
pub struct Left<'a> {
    maps: Maps,
    rest: std::slice::Chunks<'a, u8>,
    cells: Cells,
    uncounted: Mapped<Uncounted>,
    sweep_end: Mapped<SweepEnd>,
    handing: Handing,
    balancers: Balancers,
    retirement: Retirement,
    vanished: Vanished,
    now: Instant,
}

impl<'a> Left<'a> {
    /// Starts; `None`: what was left is refused.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn found(input: &'a [u8]) -> io::Result<Option<Self>> {
        let maps = Maps::new()?;
        let cells = Cells::new(maps.cells.first(1)?, maps.tracked.first(1)?, MAX_BACKENDS);
        let handing =
            Handing::of(maps.handover.first(1)?, maps.told.first(1)?, maps.retired.first(2)?, PLACES);
        let mut left = Self {
            uncounted: maps.uncounted.first(1)?,
            sweep_end: maps.sweep_end.first(1)?,
            maps,
            rest: input.chunks(WORD_BYTES),
            cells,
            handing,
            balancers: Balancers::default(),
            retirement: Retirement::new(MAX_BACKENDS),
            vanished: Vanished::default(),
            now: Instant::now(),
        };
        left.put();
        if !left.handing.is_within(MAX_BACKENDS) {
            return Ok(None);
        }
        left.repair();
        Ok(Some(left))
    }

    /// What the agent before has told; `None`: never.
    pub fn inheritance(&mut self) -> Option<Inheritance> {
        let told = self.handing.told(&mut self.cells)?;
        let now = (self.now, KTIME);
        let began = instant(now, self.handing.began());
        let balancers = &mut self.balancers;
        Some(told.inherited(now, began, (true, true), |slot, cell| reading(balancers, slot, cell)))
    }

    /// Looks a second later; `None`: no more is put anywhere.
    pub fn read(&mut self) -> Option<Snapshot> {
        if self.rest.len() == 0 {
            return None;
        }
        self.put();
        self.now += Duration::from_secs(1);
        let end = &self.sweep_end;
        let look = self.cells.look(&mut self.vanished, || Some(end.get(0)).filter(|end| end.session != 0));
        let (overflow, cells): (Vec<_>, Vec<_>) =
            look.cells.into_iter().partition(|(slot, _)| slot.index == OVERFLOW_SLOT);
        let overflow = overflow.first().map_or(Cell::EMPTY, |(_, cell)| **cell);
        let balancers = &mut self.balancers;
        let readings: Vec<Reading> =
            cells.into_iter().map(|(slot, cell)| reading(balancers, slot, cell)).collect();
        let uncounted = self.uncounted.get(0);
        self.handing.tell(readings.iter().map(|of| (of.slot, &*of.cell)), &overflow, uncounted);
        if let Some(end) = look.sweep {
            self.retire(&readings, end);
        }
        Some(Snapshot {
            taken: self.now,
            readings,
            overflow,
            uncounted,
            adopts: true,
            exchanges: true,
            sweep: look.sweep,
        })
    }

    /// Without queue and hash: what is freed is in neither, and places with an even number are some key's.
    fn repair(&mut self) {
        if let Some(slot) = self.handing.unfinished()
            && self.cells.map_all()
        {
            self.cells.empty_once(slot);
            self.cells.any_may_be_in_use();
            self.handing.retired();
        }
        for index in self.cells.used().into_iter().filter(|index| index % 2 == 1) {
            self.retirement.is_unlisted(index);
        }
    }

    fn retire(&mut self, readings: &[Reading], end: SweepEnd) {
        let sights: Vec<Sight> = readings.iter().map(|reading| Sight::of(reading, end)).collect();
        for act in self.retirement.swept(&sights) {
            match act {
                // Now and then the kernel refuses.
                Act::Unlist(index) if self.cells.key(index).reserved != 0 => self.retirement.stays(index),
                Act::Unlist(_) => {}
                Act::Free(index) => {
                    let Some(of) = readings.iter().find(|of| of.slot.index == index) else { continue };
                    self.handing.retire(of.slot, &of.cell);
                    self.cells.empty(of.slot);
                    self.handing.retired();
                }
            }
        }
        self.balancers.keep(readings.iter().map(|of| &of.cell.key));
    }

    /// Puts words in their places until a second is over.
    fn put(&mut self) {
        for put in self.rest.by_ref() {
            let [map, element, low, high, word @ ..] = put else { continue };
            if map % (TICK + 1) == TICK {
                return;
            }
            let mut bytes = [0; size_of::<u64>()];
            bytes.iter_mut().zip(word).for_each(|(byte, from)| *byte = *from);
            let place = (usize::from(*element), usize::from(u16::from_le_bytes([*low, *high])));
            self.maps.put(map % (TICK + 1), place, u64::from_le_bytes(bytes));
        }
    }
}

/// Nobody has the number 0: of such a process nothing is looked up.
fn reading(balancers: &mut Balancers, slot: Slot, cell: Box<Cell>) -> Reading {
    let balancer = balancers.resolve(&cell.key, 0);
    Reading { balancer, backend: backend(cell.key.address, cell.key.port), slot, cell }
}

/// The maps, as programs and whoever else may write to them have them.
struct Maps {
    handover: Mapped<Handover>,
    tracked: Mapped<Tracked>,
    uncounted: Mapped<Uncounted>,
    sweep_end: Mapped<SweepEnd>,
    retired: Mapped<Cell>,
    cells: Mapped<Cell>,
    told: Mapped<Cell>,
}

impl Maps {
    fn new() -> io::Result<Self> {
        Ok(Self {
            handover: array(1)?,
            tracked: array(1)?,
            uncounted: array(1)?,
            sweep_end: array(1)?,
            retired: array(2)?,
            cells: array(PLACES)?,
            told: array(PLACES)?,
        })
    }

    fn put(&mut self, map: u8, place: (usize, usize), word: u64) {
        match map {
            0 => put(&mut self.handover, place, word),
            1 => put(&mut self.tracked, place, word),
            2 => put(&mut self.uncounted, place, word),
            3 => put(&mut self.sweep_end, place, word),
            4 => put(&mut self.retired, place, word),
            5 => put(&mut self.cells, place, word),
            _ => put(&mut self.told, place, word),
        }
    }
}

fn array<T: SharedLayout>(elements: u32) -> io::Result<Mapped<T>> {
    let file = memfd_create("tracer-left", MFdFlags::MFD_CLOEXEC)?;
    let bytes = elements as usize * size_of::<T>();
    ftruncate(&file, i64::try_from(bytes).map_err(io::Error::other)?)?;
    Mapped::new(file.as_fd(), elements)
}

fn put<T: SharedLayout>(map: &mut Mapped<T>, (element, at): (usize, usize), word: u64) {
    let words = size_of::<T>() / size_of::<u64>();
    map.set_word(element % map.len(), at % words * size_of::<u64>(), word);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    const HANDOVER: u8 = 0;
    const TRACKED: u8 = 1;
    const SWEEP_END: u8 = 3;
    const RETIRED: u8 = 4;
    const CELLS: u8 = 5;
    const TOLD: u8 = 6;
    const LOOK: [u8; WORD_BYTES] = [TICK, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    fn word(map: u8, element: u8, offset: usize, word: u64) -> [u8; WORD_BYTES] {
        let mut bytes = [map, element, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes[2..4].copy_from_slice(&u16::try_from(offset / 8).unwrap().to_le_bytes());
        bytes[4..].copy_from_slice(&word.to_le_bytes());
        bytes
    }

    fn attempts(map: u8, element: u8, count: u64) -> [u8; WORD_BYTES] {
        word(map, element, offset_of!(Cell, attempts), count)
    }

    fn given_out(places: u64) -> [u8; WORD_BYTES] {
        word(TRACKED, 0, offset_of!(Tracked, places), places)
    }

    #[test]
    fn an_agent_goes_on_from_what_was_told_and_finds_what_came_since() {
        let input = [
            given_out(2),
            word(HANDOVER, 0, offset_of!(Handover, told_ns), 999_990_000_000_000),
            attempts(TOLD, 2, 5),
            attempts(CELLS, 2, 8),
            attempts(RETIRED, 0, 11),
            LOOK,
            LOOK,
        ];
        let input = input.concat();
        let mut left = Left::found(&input).unwrap().unwrap();
        let before = left.inheritance().unwrap();
        assert_eq!(left.now - before.told.taken, Duration::from_secs(10));
        assert_eq!((before.told.readings[0].cell.attempts, before.retired.attempts), (5, 11));
        let now = left.read().unwrap();
        assert_eq!((now.readings[0].slot.index, now.readings[0].cell.attempts), (2, 8));
        assert!(left.read().is_none());
    }

    #[test]
    fn the_place_of_another_owner_has_told_nothing() {
        let generation = word(CELLS, 1, offset_of!(Cell, generation), 1);
        let input = [given_out(1), attempts(TOLD, 1, 5), attempts(CELLS, 1, 8), generation, LOOK].concat();
        let mut left = Left::found(&input).unwrap().unwrap();
        assert!(left.inheritance().unwrap().told.readings.is_empty());
    }

    #[test]
    fn a_place_that_was_being_freed_is_emptied_and_one_that_there_is_none_of_is_refused() {
        let freeing = |index: u64| {
            let retiring = word(HANDOVER, 0, offset_of!(Handover, retiring), index << 32);
            [given_out(3), attempts(CELLS, 3, 8), retiring, LOOK, LOOK].concat()
        };
        let input = freeing(3);
        let mut left = Left::found(&input).unwrap().unwrap();
        assert!(left.handing.unfinished().is_none());
        assert!(left.read().unwrap().readings.is_empty());
        assert!(Left::found(&freeing(u64::from(MAX_BACKENDS) + 1)).unwrap().is_none());
        assert!(Left::found(&freeing(u64::MAX >> 33)).unwrap().is_none());
    }

    #[test]
    fn however_many_places_are_said_to_be_given_out_those_that_there_are_are_read() {
        for places in [8, 9, u64::from(u32::MAX) - 1, u64::from(u32::MAX), u64::from(u32::MAX) + 1, u64::MAX]
        {
            let input = [given_out(places), attempts(CELLS, 8, 1), LOOK, LOOK].concat();
            let mut left = Left::found(&input).unwrap().unwrap();
            assert_eq!(left.read().unwrap().readings.len(), 1, "{places}");
        }
    }

    #[test]
    fn the_largest_numbers_stay_the_largest() {
        let mut input = [given_out(2), word(SWEEP_END, 0, 0, 1)].concat();
        for offset in (offset_of!(Cell, attempts)..size_of::<Cell>()).step_by(8) {
            input.extend(word(CELLS, 0, offset, u64::MAX));
            input.extend(word(CELLS, 1, offset, u64::MAX));
        }
        input.extend(word(CELLS, 1, offset_of!(Cell, closed), 0));
        input.extend([LOOK, LOOK].concat());
        let mut left = Left::found(&input).unwrap().unwrap();
        let now = left.read().unwrap();
        assert_eq!((now.readings[0].cell.attempts, now.readings[0].cell.closed), (u64::MAX, u64::MAX));
        assert_eq!(now.overflow.repaired, u64::MAX);
    }

    #[test]
    fn what_was_on_its_way_out_makes_room_and_is_kept_for_the_next_agent() {
        let mut input = given_out(8).to_vec();
        (1..=8).for_each(|place| input.extend(attempts(CELLS, place, 10)));
        // An end for each, so that nothing has vanished.
        let refused = |place| word(CELLS, place, offset_of!(Cell, failed), 10);
        (1..=8).for_each(|place| input.extend(refused(place)));
        input.extend(LOOK);
        for session in 1..=8 {
            input.extend([word(SWEEP_END, 0, 0, session), LOOK].concat());
        }
        let mut left = Left::found(&input).unwrap().unwrap();
        let readings: Vec<usize> = std::iter::from_fn(|| left.read()).map(|now| now.readings.len()).collect();
        assert_eq!((readings[0], readings.last()), (8, Some(&4)), "{readings:?}");
        assert_eq!(left.handing.told(&mut left.cells).unwrap().retired.attempts, 40);
    }
}
