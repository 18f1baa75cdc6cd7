//! Going on from an agent before: what it left in the middle is put right, what it told is taken over, and where its maps
//! are laid out otherwise, the switch is turned from its programs to these.

use super::bpf;
use super::error::KernelError;
use super::exchanges::Measuring;
use super::handing::Told;
use super::mapped::{Mapped, Words};
use super::object::Tracer;
use super::others::Others;
use super::pins::{PinError, Pins, Set};
use super::repair;
use super::snapshot::{Reading, Snapshot};
use super::tables::mapped;
use aya::Ebpf;
use aya::maps::MapError;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};
use tracer_ebpf::{Cell, Handover, Slot, SweepEnd, Switch, maps};

/// What there is of other layouts, before this agent's maps are made.
#[derive(Default)]
pub(super) struct Before {
    pub(super) others: Others,
    /// The set in which new attempts are counted, and what its agent has left; `None`: that is this layout's, or nobody's.
    pub(super) counting: Option<(Set, Handover)>,
    /// A set whose sockets are to be left alone: that, or one that drains.
    pub(super) sockets: Option<Set>,
    pub(super) notices: Vec<String>,
}

impl Before {
    /// Looks at what is pinned.
    ///
    /// # Errors
    /// When something cannot be looked at.
    pub(super) fn look(pins: Option<&Pins>, max_backends: u32) -> Result<Self, PinError> {
        let Some(pins) = pins else { return Ok(Self::default()) };
        let others = Others::open(pins, max_backends.saturating_add(1))?;
        let notices = others.missing().into_iter().map(|(set, counters)| {
            format!(
                "notice: the pins {set} of another version did not count {}: the totals have less of that",
                counters.join(", ")
            )
        });
        let notices = notices.collect();
        let switch = switched_to(pins)?;
        if switch.is_none() && others.draining().next().is_some() {
            return Err(PinError::Unusable { path: pins.switch(), problem: "it is missing".into() });
        }
        let counting = switch.filter(|switch| switch.layout != pins.layout());
        let counting = counting.and_then(|switch| others.counting(switch.layout));
        let counting = counting.map(|(set, left)| (set.clone(), left));
        let sockets = counting.as_ref().map(|(set, _)| set).or_else(|| others.draining().next()).cloned();
        Ok(Self { others, counting, sockets, notices })
    }
}

/// What the switch says; `None`: there is none yet.
fn switched_to(pins: &Pins) -> Result<Option<Switch>, PinError> {
    let Some(switch) = pins.open_switch()? else { return Ok(None) };
    let words = Words::new(switch.as_fd(), size_of::<u64>(), 1);
    let words = words.map_err(|source| PinError::Refused { path: pins.switch(), what: "map it", source })?;
    Ok(Some(Switch::of(words.get(0)[0])))
}

/// When the switch is turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Before the programs are attached: nobody else counts.
    Before,
    /// When they are: another layout counts up to now.
    After,
}

/// Has this layout's programs count new attempts.
pub(super) struct Turn {
    switch: Mapped<u64>,
    layout: u16,
    moment: Moment,
    /// What it said before it was turned.
    before: Option<u64>,
}

impl Turn {
    pub(super) fn new(ebpf: &Ebpf, layout: u16, follows: bool) -> Result<Self, KernelError> {
        let moment = if follows { Moment::After } else { Moment::Before };
        Ok(Self { switch: mapped(ebpf, maps::SWITCH, 1)?, layout, moment, before: None })
    }
}

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

    /// Turns the switch, if this is the moment for it.
    pub(super) fn turn(&mut self, moment: Moment) {
        let Some(turn) = self.switch.as_mut().filter(|turn| turn.moment == moment) else { return };
        let before = turn.switch.get(0);
        if Switch::of(before).layout != turn.layout {
            turn.before = Some(before);
            let since_us = u64::try_from(bpf::ktime().as_micros()).unwrap_or(u64::MAX);
            turn.switch.set_word(0, 0, Switch { layout: turn.layout, since_us }.word());
        }
    }

    /// Has those count who did, if nothing comes of this agent.
    pub(super) fn turn_back(&mut self) {
        if let Some((turn, before)) =
            self.switch.as_mut().and_then(|turn| turn.before.take().map(|before| (turn, before)))
        {
            turn.switch.set_word(0, 0, before);
        }
    }

    /// Adopts connections from before, but for those that another layout follows. Of one such layout it is known which they
    /// are.
    pub(super) fn adopt_what_is_nobodys(&mut self) {
        if self.others.draining().nth(1).is_none() {
            self.adopt();
            return;
        }
        self.pin_notices.push(
            "notice: connections from before that nobody followed are not looked for: more than one other version still follows some"
                .into(),
        );
    }

    /// Whether another layout counted up to the start of this agent.
    pub(super) fn follows(&self) -> bool {
        self.switch.as_ref().is_some_and(|turn| turn.moment == Moment::After)
    }

    /// Adds what other layouts count, takes down that it is told, and ends those that have nothing open any more.
    pub(super) fn read_others(
        &mut self,
        sweep: Option<SweepEnd>,
        readings: &mut Vec<Reading>,
        overflow: &mut Cell,
    ) {
        if self.others.is_empty() {
            return;
        }
        let session = sweep.map_or(0, |sweep| sweep.session);
        self.others.read();
        for (slot, cell) in self.others.cells(session) {
            readings.push(self.reading(slot, cell));
        }
        overflow.add_counters(&self.others.overflow());
        self.others.tell();
        if let Some(pins) = &self.pins {
            self.others.look(pins, &mut self.sweep_end);
        }
    }

    /// What an agent before this one has told; `None`: there was none. Asked once, before the first reading.
    pub fn inheritance(&mut self) -> Option<Inheritance> {
        if self.kept.is_none() && self.others.is_empty() {
            return None;
        }
        let mut told = self.handing.told(&mut self.cells)?;
        told.cells.extend(self.others.told());
        told.overflow.add_counters(&self.others.told_overflow());
        told.retired.add_counters(&self.others.retired());
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
