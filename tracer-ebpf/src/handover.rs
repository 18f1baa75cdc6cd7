//! What one agent leaves to the next one, where maps and programs outlive it.

use crate::{Uncounted, maps};

/// What one agent leaves to the next one of its layout. Programs read no more than `overlap_until_ns`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handover {
    /// Until then (`ktime`, nanoseconds) the programs of two agents may be attached, and one event may be seen by both.
    pub overlap_until_ns: u64,
    /// Whether connections from before were adopted, 1: what has no [`Connection`](crate::Connection) since then is not to
    /// be adopted.
    pub adopted: u64,
    /// [`Retiring`].
    pub retiring: u64,
    /// When counting began (`ktime`, nanoseconds), in whatever layout.
    pub began_ns: u64,
    /// When [`TOLD`](maps::TOLD) was written (`ktime`, nanoseconds); 0: never.
    pub told_ns: u64,
    /// [`Uncounted`] as it was then.
    pub told: Uncounted,
    /// Which maps belong together: the kernel's ids of [`maps::KEPT`], in that order, and zeros.
    pub maps: [u32; maps::KEPT.len().next_multiple_of(2)],
}

/// A place that is being emptied, in one word: how far that came is known after an end at any moment.
///
/// What a cell has counted is added to that element of [`RETIRED`](maps::RETIRED) which holds the lesser sum, then this word
/// is written, which makes that element the one that holds; then the cell is emptied, its generation last, and its place
/// put into the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retiring {
    /// Which element of [`RETIRED`](maps::RETIRED) holds: 0 or 1.
    pub holds: u32,
    /// The place that was emptied last, and the generation that it had; index 0: none.
    pub place: (u32, u32),
}

impl Retiring {
    const HOLDS: u64 = 1 << 63;

    /// As it is in [`Handover::retiring`].
    #[must_use]
    pub const fn word(self) -> u64 {
        let (index, generation) = self.place;
        let holds = if self.holds == 0 { 0 } else { Self::HOLDS };
        holds | ((index as u64) << 32) | generation as u64
    }

    /// From [`Handover::retiring`].
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "halves of a word")]
    pub const fn of(word: u64) -> Self {
        let place = (((word & !Self::HOLDS) >> 32) as u32, word as u32);
        Self { holds: (word >> 63) as u32, place }
    }
}

/// Which layout's programs count new attempts, and since when: one word, so that whoever reads it has both. Agents of every
/// layout share it, so its form never changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Switch {
    /// [`ABI_VERSION`](crate::ABI_VERSION) of these programs; 0: none yet.
    pub layout: u16,
    /// `ktime`, microseconds: 48 bits are nine years.
    pub since_us: u64,
}

impl Switch {
    const LAYOUT: u32 = 48;

    /// As it is in [`SWITCH`](maps::SWITCH).
    #[inline(always)]
    #[must_use]
    pub const fn word(self) -> u64 {
        ((self.layout as u64) << Self::LAYOUT) | (self.since_us & ((1 << Self::LAYOUT) - 1))
    }

    /// From [`SWITCH`](maps::SWITCH).
    #[inline(always)]
    #[must_use]
    pub const fn of(word: u64) -> Self {
        Self { layout: (word >> Self::LAYOUT) as u16, since_us: word & ((1 << Self::LAYOUT) - 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_is_being_emptied_is_one_word() {
        for holds in [0, 1] {
            for place in [(0, 0), (1, u32::MAX), (i32::MAX as u32, 7)] {
                let retiring = Retiring { holds, place };
                assert_eq!(Retiring::of(retiring.word()), retiring);
            }
        }
        assert_eq!(Retiring::of(0), Retiring::default(), "a new map");
    }

    #[test]
    fn the_switch_is_one_word() {
        for layout in [0, 7, u16::MAX] {
            for since_us in [0, 1, (1 << 48) - 1] {
                let switch = Switch { layout, since_us };
                assert_eq!(Switch::of(switch.word()), switch);
            }
        }
        assert_eq!(Switch::of(0), Switch::default(), "a new map");
    }
}
