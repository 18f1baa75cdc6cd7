//! Going on from an agent before: what it left in the middle is put right, what it told is taken over.

use super::bpf;
use super::exchanges::Measuring;
use super::handing::Told;
use super::object::Tracer;
use super::repair;
use super::snapshot::{Reading, Snapshot};
use aya::maps::MapError;
use std::time::{Duration, Instant};
use tracer_ebpf::{Cell, Slot};

/// What an agent before this one has told.
pub struct Inheritance {
    /// When its counting began.
    pub began: Instant,
    /// Every counter as it was told last.
    pub told: Snapshot,
    /// What backends had counted that made room for others.
    pub retired: Cell,
}

impl Tracer {
    /// Puts right what the agent before left in the middle.
    pub(super) fn repair(&mut self) -> Result<(), MapError> {
        if self.handing.unfinished().is_some() && !self.cells.map_all() {
            // Without memory it stays as it is, one place less.
            return Ok(());
        }
        let most = self.settings.max_backends;
        repair::finish(&mut self.ebpf, &mut self.cells, &mut self.handing, most)?;
        for index in repair::unlisted(&mut self.ebpf, self.cells.used())? {
            self.retirement.is_unlisted(index);
        }
        Ok(())
    }

    /// What an agent before this one has told; `None`: there was none. Asked once, before the first reading.
    pub fn inheritance(&mut self) -> Option<Inheritance> {
        self.kept.as_ref()?;
        let told = self.handing.told(&mut self.cells)?;
        let now = (Instant::now(), bpf::ktime());
        let began = instant(now, self.handing.began());
        let (adopts, exchanges) = (self.adopts(), self.measuring == Measuring::Yes);
        Some(told.inherited(now, began, (adopts, exchanges), |slot, cell| self.reading(slot, cell)))
    }

    /// What tells these counters from others since the host was booted: when counting began (`ktime`).
    #[must_use]
    pub fn began(&self) -> Duration {
        self.handing.began()
    }

    /// How long connections have been counted.
    #[must_use]
    pub fn counts_since(&self) -> Duration {
        bpf::ktime().saturating_sub(self.handing.began())
    }
}

impl Told {
    /// For the next agent: its clocks say `now`, connections have been counted since `began`, and it is known whether those
    /// from before were adopted and exchanges measured.
    pub(super) fn inherited(
        self,
        now: (Instant, Duration),
        began: Instant,
        (adopts, exchanges): (bool, bool),
        mut reading: impl FnMut(Slot, Box<Cell>) -> Reading,
    ) -> Inheritance {
        let told = Snapshot {
            taken: instant(now, self.at),
            readings: self.cells.into_iter().map(|(slot, cell)| reading(slot, cell)).collect(),
            overflow: self.overflow,
            uncounted: self.uncounted,
            adopts,
            exchanges,
            sweep: None,
        };
        Inheritance { began, told, retired: self.retired }
    }
}

/// When the `ktime` of maps was, by what both clocks say now: that of a map that says nonsense is now.
pub(super) fn instant((now, ktime): (Instant, Duration), at: Duration) -> Instant {
    now.checked_sub(ktime.saturating_sub(at)).unwrap_or(now)
}
