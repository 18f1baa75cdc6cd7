//! The object: loaded, attached, read.

use super::adoption::Adoption;
use super::balancer::Balancers;
use super::btf::Btf;
use super::cells::{Cells, FEW_CELLS};
use super::error::KernelError;
use super::exchanges::{self, Exchanges, Measuring};
use super::handing::Handing;
use super::mapped::Mapped;
use super::memory::{Memory, Plan};
use super::offsets::{self, Need};
use super::others::Others;
use super::pins::{Kept, Pins};
use super::refusal::{chain, refusal};
use super::report::{Intent, Outcome, PROGRAMS, ProgramReport};
use super::retirement::{Act, Retirement, Sight};
use super::snapshot::{Reading, Snapshot, backend};
use super::succession::{Before, Moment, Turn};
use super::tables::{self, Lasting, map_error, mapped};
use super::vanished::Vanished;
use super::{bpf, capabilities, places};
use aya::Ebpf;
use aya::maps::Map;
use aya::programs::links::FdLink;
use aya::programs::{BtfTracePoint, Iter, Program, ProgramError};
use std::fs;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Instant;
use tracer_ebpf::{Cell, OVERFLOW_SLOT, Slot, SweepEnd, Uncounted, maps, programs};

const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

const OTHER_CONTEXT: &str = "its context is not as this build expects";
const NO_FIELDS: &str = "fields it needs are missing";
/// As long as both are attached, no attempt is missed.
const COUNTING: [&str; 2] = [programs::LIFECYCLE, programs::RELIEF];

/// How much is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Pairs of balancer and backend with counters of their own at once; what has none counts together.
    pub max_backends: u32,
    /// Connections that are followed at once; of others only the attempt is counted.
    pub max_connections: u32,
    /// Whether exchanges are measured.
    pub exchanges: Exchanges,
}

impl Default for Settings {
    fn default() -> Self {
        Self { max_backends: 4_096, max_connections: 262_144, exchanges: Exchanges::default() }
    }
}

/// The programs, attached and counting. Dropped, it leaves nothing in the kernel: programs, links and maps are held by
/// this process's descriptors only, and so go with it however it ends. With [`Pins`] they go on counting.
pub struct Tracer {
    /// Holds programs and links.
    pub(super) ebpf: Ebpf,
    pub(super) settings: Settings,
    sweep_link: Option<OwnedFd>,
    adoption: Adoption,
    pub(super) measuring: Measuring,
    pub(super) cells: Cells,
    uncounted: Mapped<Uncounted>,
    pub(super) sweep_end: Mapped<SweepEnd>,
    pub(super) handing: Handing,
    pub(super) pins: Option<Pins>,
    /// What was there before of this layout; `None`: nothing, or it is not to outlive this agent.
    pub(super) kept: Option<Kept>,
    /// What was there of other layouts.
    pub(super) others: Others,
    /// Where more than one layout may count.
    pub(super) switch: Option<Turn>,
    pub(super) pin_notices: Vec<String>,
    balancers: Balancers,
    pub(super) retirement: Retirement,
    vanished: Vanished,
    memory: Memory,
    reports: Vec<ProgramReport>,
    #[cfg(debug_assertions)]
    log: Option<aya_log::EbpfLogger<&'static dyn log::Log>>,
}

impl Tracer {
    /// Loads and attaches everything; counting has begun when it returns, and connections from before are adopted.
    ///
    /// # Errors
    /// When this host cannot be traced, and why.
    pub fn start(settings: Settings) -> Result<Self, KernelError> {
        Self::begin(settings, None)
    }

    /// The same, so that counting goes on when this process ends. Where it goes on from an agent before, it takes over
    /// without a gap.
    ///
    /// # Errors
    /// When this host cannot be traced, or what is pinned cannot be used; what counted before goes on then.
    pub fn start_pinned(settings: Settings, pins: Pins) -> Result<Self, KernelError> {
        Self::begin(settings, Some(pins))
    }

    fn begin(settings: Settings, pins: Option<Pins>) -> Result<Self, KernelError> {
        let mut tracer = Self::load(settings, pins)?;
        tracer.handing.overlap_begins();
        tracer.turn(Moment::Before);
        tracer.attach();
        let taken_over = tracer.take_over();
        match taken_over {
            Ok(()) => tracer.turn(Moment::After),
            Err(_) => tracer.turn_back(),
        }
        tracer.handing.overlap_ends();
        if let (Err(_), Some(pins)) = (&taken_over, &tracer.pins) {
            pins.withdraw(tracer.kept.is_some());
        }
        taken_over?;
        // What connected while something counted and has no entry by now is not from before.
        let counted =
            tracer.follows() || tracer.kept.as_ref().is_some_and(|kept| kept.are_attached(&COUNTING));
        if !(counted && tracer.handing.has_adopted()) {
            tracer.adopt_what_is_nobodys();
            tracer.handing.adopted();
        }
        Ok(tracer)
    }

    /// Whether this agent's programs count from now on, and no others.
    fn take_over(&mut self) -> Result<(), KernelError> {
        let refused =
            self.reports.iter().find(|report| report.intent == Intent::Required && !report.outcome.works());
        if let Some(report) = refused {
            return Err(KernelError::Program { program: report.name, reason: report.outcome.to_string() });
        }
        let Some(pins) = &self.pins else { return Ok(()) };
        pins.settle(false)?;
        self.pin_notices.extend(self.others.discard_strangers(pins)?);
        Ok(())
    }

    /// After everything else is attached: what connects from then on is counted by itself, so that none is missed and
    /// none counted twice.
    pub(super) fn adopt(&mut self) {
        let adopted = std::mem::take(&mut self.adoption).run(&mut self.ebpf);
        let report = self.reports.iter_mut().find(|report| report.name == programs::ADOPT);
        if let (Err(reason), Some(report)) = (adopted, report)
            && report.outcome.works()
        {
            report.outcome = Outcome::Refused(reason);
        }
    }

    /// What the user should know before the first figures: programs that do not work, and bounds that were lowered.
    #[must_use]
    pub fn notices(&self) -> Vec<String> {
        let refused = self.reports.iter().filter_map(|report| match (&report.outcome, report.intent) {
            (Outcome::Refused(reason), Intent::Optional(lost)) if !exchanges::are_seen_by(report.name) => {
                Some(format!(
                    "warning: without the program `{}`: {lost} ({reason}); `tracer doctor` tells more",
                    report.name
                ))
            }
            _ => None,
        });
        let exchanges = self.settings.exchanges.notice(&self.reports);
        refused.chain(exchanges).chain(self.memory.notice()).chain(self.pin_notices.iter().cloned()).collect()
    }

    /// Whether exchanges are not measured, and [`measure_exchanges`](Self::measure_exchanges) would begin to.
    #[must_use]
    pub fn can_measure_exchanges(&self) -> bool {
        self.measuring == Measuring::Prepared
    }

    /// Measures exchanges from now on, where [`Exchanges::Prepared`] was asked for. The other programs go on undisturbed.
    ///
    /// # Errors
    /// What the kernel says, in one line; nothing more is tried then, and exchanges stay unknown.
    pub fn measure_exchanges(&mut self) -> Result<(), String> {
        if !self.can_measure_exchanges() {
            return Ok(());
        }
        self.measuring = Measuring::No;
        exchanges::attach(&mut self.ebpf, &exchanges::BY_TRACEPOINTS, self.pins.as_ref())?;
        if let Some(pins) = &self.pins {
            pins.settle(true).map_err(|error| error.to_string())?;
        }
        self.measuring = Measuring::Yes;
        Ok(())
    }

    /// What the tables take of the kernel's memory.
    #[must_use]
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// What became of each program.
    #[must_use]
    pub fn reports(&self) -> &[ProgramReport] {
        &self.reports
    }

    /// How long each program has run, seconds, by its name; without those of which the kernel does not say it: it measures
    /// that only while `kernel.bpf_stats_enabled` is set.
    #[must_use]
    pub fn run_seconds(&self) -> Vec<(&'static str, f64)> {
        let seconds = |report: &ProgramReport| {
            let program = self.ebpf.program(report.name)?.fd().ok()?;
            Some((report.name, bpf::run_time(program.as_fd()).ok()??.as_secs_f64()))
        };
        self.reports.iter().filter_map(seconds).collect()
    }

    /// Creates the maps, with what this kernel's structures look like.
    pub(super) fn load(settings: Settings, pins: Option<Pins>) -> Result<Self, KernelError> {
        let missing = capabilities::missing();
        if !missing.is_empty() {
            return Err(KernelError::Capabilities(missing));
        }
        let data = fs::read(BTF_PATH).map_err(|source| KernelError::NoBtf { path: BTF_PATH, source })?;
        let btf = Btf::parse(&data).map_err(|error| KernelError::BrokenBtf(error.to_string()))?;
        let (offsets, missing) = offsets::read(&btf);
        let required: Vec<_> = missing
            .iter()
            .filter(|field| field.need == Need::Required)
            .map(|field| field.name.clone())
            .collect();
        if !required.is_empty() {
            return Err(KernelError::MissingFields(required));
        }
        let kept = pins.as_ref().map(Pins::kept).transpose()?.flatten();
        let mut pin_notices = Vec::new();
        let mut wanted = settings;
        if let Some(kept) = &kept {
            wanted.max_backends = kept.max_backends;
            pin_notices.extend((wanted != settings).then(|| {
                format!(
                    "notice: --max-backends stays {} as it was when the pins were made: `tracer watch --unpin` removes them, \
                     and with them what was counted",
                    kept.max_backends
                )
            }));
        }
        let plan = Plan::new(wanted, pins.is_some(), &btf)?;
        let settings = plan.settings;
        let Before { others, counting, sockets, notices } =
            Before::look(pins.as_ref(), settings.max_backends)?;
        pin_notices.extend(notices);
        let before = sockets.as_ref();
        let lasting = pins.as_ref().map(|pins| Lasting { pins, kept: kept.as_ref(), before });
        let (ebpf, mut handing) = tables::made_or_kept(&offsets, settings, lasting)?;
        if let Some((_, left)) = &counting {
            handing.inherit(left);
        }
        let switch =
            lasting.map(|lasting| Turn::new(&ebpf, lasting.pins.layout(), counting.is_some())).transpose()?;
        #[cfg(debug_assertions)]
        let mut ebpf = ebpf;
        let reports = PROGRAMS
            .iter()
            .map(|&(name, intent)| {
                let lost = missing.iter().map(|field| format!("no {}", field.name)).collect();
                let adopts = matches!(name, programs::LISTENERS | programs::ADOPT);
                let lacks = |need| missing.iter().any(|field| field.need == need);
                let refusal = match name {
                    programs::SWEEP if !offsets::sweep_context_fits(&btf) => Some(OTHER_CONTEXT),
                    _ if adopts && !offsets::task_file_context_fits(&btf) => Some(OTHER_CONTEXT),
                    _ if adopts && lacks(offsets::ADOPTION) => Some(NO_FIELDS),
                    _ if exchanges::are_seen_by(name) && lacks(offsets::EXCHANGES) => Some(NO_FIELDS),
                    _ => None,
                };
                let outcome = refusal.map_or(Outcome::NotTried, |reason| Outcome::Refused(reason.into()));
                ProgramReport { name, intent, outcome, notes: lost, verified_instructions: None }
            })
            .collect();
        let few = FEW_CELLS.min(settings.max_backends + 1);
        let (cells, tracked) = (mapped(&ebpf, maps::CELLS, few)?, mapped(&ebpf, maps::TRACKED, 1)?);
        let mut tracer = Self {
            #[cfg(debug_assertions)]
            log: super::log::open(&mut ebpf),
            cells: Cells::new(cells, tracked, settings.max_backends),
            uncounted: mapped(&ebpf, maps::UNCOUNTED, 1)?,
            sweep_end: mapped(&ebpf, maps::SWEEP_END, 1)?,
            memory: Memory::of(&ebpf, &plan),
            handing,
            pins,
            kept,
            others,
            switch,
            pin_notices,
            ebpf,
            settings,
            sweep_link: None,
            adoption: Adoption::default(),
            measuring: Measuring::default(),
            balancers: Balancers::new(),
            retirement: Retirement::new(settings.max_backends),
            vanished: Vanished::default(),
            reports,
        };
        if tracer.kept.is_some() {
            tracer.repair().map_err(map_error)?;
        }
        Ok(tracer)
    }

    /// Loads and attaches every program, and notes what the kernel says of each.
    pub(super) fn attach(&mut self) {
        let btf = match aya::Btf::from_sys_fs() {
            Ok(btf) => btf,
            Err(error) => {
                for report in &mut self.reports {
                    report.outcome = Outcome::Refused(chain(&error));
                }
                return;
            }
        };
        // First, so that of every connection that is counted the exchanges are, too.
        let goes_on = self.kept.as_ref().is_some_and(|kept| kept.are_attached(&exchanges::BY_TRACEPOINTS));
        let wanted = match self.settings.exchanges {
            Exchanges::Prepared if goes_on => Exchanges::Measured,
            wanted => wanted,
        };
        let pins = self.pins.as_ref();
        self.measuring = exchanges::prepare(&mut self.ebpf, &btf, wanted, &mut self.reports, pins);
        for report in &mut self.reports {
            if report.outcome != Outcome::NotTried || exchanges::are_seen_by(report.name) {
                continue;
            }
            let attached = match report.name {
                programs::SWEEP => {
                    attach_sweep(&mut self.ebpf, &btf).map(|link| self.sweep_link = Some(link))
                }
                programs::DESTROY => {
                    attach_tracepoint(&mut self.ebpf, programs::DESTROY, "tcp_destroy_sock", &btf, pins)
                }
                name @ (programs::LISTENERS | programs::ADOPT) => {
                    self.adoption.attach(&mut self.ebpf, name, &btf)
                }
                name => attach_tracepoint(&mut self.ebpf, name, "inet_sock_set_state", &btf, pins),
            };
            match attached {
                Ok(()) => report.works_in(&self.ebpf),
                Err(reason) => report.outcome = Outcome::Refused(reason),
            }
        }
        if let Err(reason) = self.others.watch(&mut self.ebpf, &btf) {
            self.pin_notices.push(format!(
                "notice: programs of another version stay attached until `tracer watch --unpin`: {reason}"
            ));
        }
    }

    /// Sweeps, then reads every counter. A sweep that fails only makes the snapshot's `sweep` unknown.
    pub fn read(&mut self) -> Snapshot {
        #[cfg(debug_assertions)]
        self.log.iter_mut().for_each(aya_log::EbpfLogger::flush);
        let (link, end) = (self.sweep_link.as_ref(), &self.sweep_end);
        let look = self.cells.look(&mut self.vanished, || sweep(link?.as_fd(), end));
        let taken = Instant::now();
        let mut overflow = Cell::EMPTY;
        let mut readings = Vec::with_capacity(look.cells.len());
        for (slot, cell) in look.cells {
            if slot.index == OVERFLOW_SLOT {
                overflow = *cell;
                continue;
            }
            readings.push(self.reading(slot, cell));
        }
        let uncounted = self.uncounted.get(0);
        // Before anything makes room: what is emptied was told.
        let told = readings.iter().map(|reading| (reading.slot, &*reading.cell));
        let all_uncounted = self.others.uncounted().and(uncounted);
        self.handing.tell(told, &overflow, all_uncounted);
        self.read_others(look.sweep, &mut readings, &mut overflow);
        if let Some(end) = look.sweep {
            self.retire(&readings, end);
        }
        Snapshot {
            taken,
            readings,
            overflow,
            uncounted: all_uncounted,
            sweep: look.sweep,
            adopts: self.adopts(),
            exchanges: self.measuring == Measuring::Yes,
        }
    }

    pub(super) fn reading(&mut self, slot: Slot, cell: Box<Cell>) -> Reading {
        let balancer = self.balancers.resolve(&cell.key, cell.last_pid);
        Reading { balancer, backend: backend(cell.key.address, cell.key.port), slot, cell }
    }

    pub(super) fn adopts(&self) -> bool {
        self.reports.iter().any(|report| report.name == programs::ADOPT && report.outcome.works())
    }

    /// Makes room for other backends, when there is little left.
    fn retire(&mut self, readings: &[Reading], sweep: SweepEnd) {
        let own = readings.iter().filter(|reading| reading.slot.index <= self.settings.max_backends);
        let sights: Vec<Sight> = own.map(|reading| Sight::of(reading, sweep)).collect();
        let acts = self.retirement.swept(&sights);
        for act in &acts {
            // bpf(2) on a map, which is avoided otherwise: it happens only when the table is nearly full.
            match *act {
                Act::Unlist(index) => {
                    let key = self.cells.key(index);
                    if !places::unlist(&mut self.ebpf, key) {
                        self.retirement.stays(index);
                    }
                }
                Act::Free(index) => {
                    let Some(reading) = readings.iter().find(|reading| reading.slot.index == index) else {
                        continue;
                    };
                    self.handing.retire(reading.slot, &reading.cell);
                    let slot = self.cells.empty(reading.slot);
                    // The queue holds as many as there are places.
                    let _ = places::free(&mut self.ebpf, slot);
                    self.handing.retired();
                }
            }
        }
        if acts.iter().any(|act| matches!(act, Act::Free(_))) {
            self.balancers.keep(readings.iter().map(|reading| &reading.cell.key));
        }
    }
}

/// Runs the sweep to its end; `None` when it does not get there.
fn sweep(link: BorrowedFd<'_>, end: &Mapped<SweepEnd>) -> Option<SweepEnd> {
    let before = end.get(0);
    let run = bpf::open_iterator(link).ok()?;
    bpf::run_iterator(run).ok()?;
    let after = end.get(0);
    (after.session != before.session).then_some(after)
}

/// Loads a program and attaches it to a tracepoint.
fn attach_tracepoint(
    ebpf: &mut Ebpf,
    name: &str,
    tracepoint: &str,
    btf: &aya::Btf,
    pins: Option<&Pins>,
) -> Result<(), String> {
    let program: &mut BtfTracePoint = program(ebpf, name)?;
    program.load(tracepoint, btf).map_err(|error| refusal(&error))?;
    let link = program.attach().map_err(|error| refusal(&error))?;
    let Some(pins) = pins else { return Ok(()) };
    let link: FdLink = program.take_link(link).map_err(|error| refusal(&error))?.into();
    pins.attached(name, link).map_err(|error| error.to_string())
}

/// aya links an iterator to no map, so the link is made here.
fn attach_sweep(ebpf: &mut Ebpf, btf: &aya::Btf) -> Result<OwnedFd, String> {
    let program: &mut Iter = program(ebpf, programs::SWEEP)?;
    program.load("bpf_sk_storage_map", btf).map_err(|error| refusal(&error))?;
    let program: &Iter = program;
    let program =
        program.fd().map_err(|error| refusal(&error))?.try_clone().map_err(|error| error.to_string())?;
    let Some(Map::SkStorage(connections)) = ebpf.map(maps::CONNECTIONS) else {
        return Err("the object has no socket storage".into());
    };
    let map: BorrowedFd<'_> = connections.fd().as_fd();
    bpf::link_iterator(program.as_fd(), map).map_err(|error| format!("attaching it: {error}"))
}

pub(super) fn program<'a, T>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut T, String>
where
    &'a mut T: TryFrom<&'a mut Program, Error = ProgramError>,
{
    let program = ebpf.program_mut(name).ok_or_else(|| format!("the object has no program {name}"))?;
    program.try_into().map_err(|error: ProgramError| error.to_string())
}
