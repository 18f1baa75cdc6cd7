//! Going on from an agent before: what it left in the middle is put right, what it told is taken over.

use super::bpf;
use super::exchanges::Measuring;
use super::handing::Told;
use super::object::Tracer;
use super::repair;
use super::snapshot::Snapshot;
use super::tables::FIRST_SLOT;
use aya::maps::MapError;
use std::time::{Duration, Instant};
use tracer_ebpf::Cell;

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
        let most = self.settings.max_backends;
        if self.handing.unfinished().is_some() && self.cells.remap(most + 1).is_err() {
            // Without memory it stays as it is, one place less.
            return Ok(());
        }
        repair::finish(&mut self.ebpf, &mut self.cells, &mut self.tracked, &mut self.handing, most)?;
        let used: Vec<u32> = (FIRST_SLOT..self.places()).filter(|&index| self.is_used(index)).collect();
        for index in repair::unlisted(&mut self.ebpf, used)? {
            self.retirement.is_unlisted(index);
        }
        Ok(())
    }

    /// What an agent before this one has told; `None`: there was none. Asked once, before the first reading.
    pub fn inheritance(&mut self) -> Option<Inheritance> {
        self.kept.as_ref()?;
        let places = self.places();
        let cells = &self.cells;
        let told = self.handing.told(places, |index| cells.get(index as usize).generation)?;
        let now = (Instant::now(), bpf::ktime());
        let instant = |at: Duration| {
            let ago = now.1.saturating_sub(at);
            now.0.checked_sub(ago).unwrap_or(now.0)
        };
        let Told { at, cells, overflow, uncounted, retired } = told;
        let readings = cells.into_iter().map(|(slot, cell)| self.reading(slot, cell)).collect();
        let told = Snapshot {
            taken: instant(at),
            readings,
            overflow,
            uncounted,
            adopts: self.adopts(),
            exchanges: self.measuring == Measuring::Yes,
            sweep: None,
        };
        Some(Inheritance { began: instant(self.handing.began()), told, retired })
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
