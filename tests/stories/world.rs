//! A story's pool at work: clients, balancer and members, arrival by arrival, and what the kernel would have counted.
//! Shares nothing with the detector but the nouns it is told in.

use crate::balancer::Worker;
use crate::member::{Member, fate};
use crate::plan::{Connection, Event, Plan};
use crate::story::{
    Acts, Arrivals, ByMember, Cause, Curve, Declare, HealthChecks, Phase, Rate, Story, Traffic,
};
use fastrand::Rng;
use std::cmp::Reverse;
use std::net::SocketAddr;
use toml::Spanned;
use tracer::pools::{ExpectedSource, Method, PoolIdentity, PoolSample};
use tracer_ebpf::histogram::bucket_of;

/// Microseconds of a second: the clock of a world.
const SECOND: u64 = 1_000_000;
/// Time from SYN to established, nanoseconds.
const CONNECT_NANOSECONDS: u64 = 300_000;
/// Payload of a request and of its response, bytes.
const REQUEST_BYTES: u64 = 300;
const RESPONSE_BYTES: u64 = 2000;
/// Response time where a story gives none, seconds.
const RESPONSE_SECONDS: f64 = 0.02;
/// Clients where a story gives none.
const CLIENTS: u32 = 5000;

/// The whole of it.
pub(crate) struct World<'a> {
    story: &'a Story,
    names: Vec<String>,
    members: Vec<Member>,
    workers: Vec<Worker>,
    /// Counts up when the workers are replaced.
    generation: u32,
    /// What the balancer gives every member, before health checks and ejections.
    given: Vec<f64>,
    traffic: Traffic,
    method: Method,
    clients: u32,
    heaviest: f64,
    ejects: Option<u64>,
    phase_began: u64,
    phase_ends: u64,
    now: u64,
    plan: Plan,
    /// When the arrival that is planned was planned for; older ones are void.
    next_arrival: u64,
    chance: Rng,
}

impl<'a> World<'a> {
    pub(crate) fn new(story: &'a Story, seed: u64) -> Self {
        let names = story.names();
        let declared = story.pool.members.names();
        let members =
            names.iter().enumerate().map(|(place, name)| Member::new(place, name, declared.contains(name)));
        let mut world = Self {
            members: members.collect(),
            workers: Vec::new(),
            generation: 0,
            given: Vec::new(),
            traffic: story.traffic.clone(),
            method: story.pool.method,
            clients: CLIENTS,
            heaviest: 0.0,
            ejects: None,
            phase_began: 0,
            phase_ends: 0,
            now: 0,
            plan: Plan::default(),
            next_arrival: 0,
            chance: Rng::with_seed(seed),
            names,
            story,
        };
        world.declare(&story.pool.weights);
        for (place, count) in world.each(&story.adopted) {
            world.adopt(place, count);
        }
        if let Some(checks) = &story.health_checks {
            for place in 0..world.members.len() {
                let first = world.chance.f64() * checks.every_seconds;
                world.plan.add(microseconds(first), Event::Checked(place));
            }
        }
        world
    }

    /// Address of a member, by its place.
    pub(crate) fn backend(&self, place: usize) -> SocketAddr {
        self.members[place].backend
    }

    /// A text in which `{name}` stands for the address of the member with that name.
    pub(crate) fn with_addresses(&self, text: &str) -> String {
        self.members.iter().filter(|_| text.contains('{')).fold(text.to_owned(), |text, member| {
            text.replace(&format!("{{{}}}", member.name), &member.backend.to_string())
        })
    }

    /// Who is meant, with what is said of each.
    pub(crate) fn each<T: Clone>(&self, said: &ByMember<T>) -> Vec<(usize, T)> {
        each(&self.names, said)
    }

    fn adopt(&mut self, place: usize, count: u64) {
        let worker = place % self.workers.len().max(1);
        let connection = Connection { worker, member: place, ..Connection::default() };
        let held = self.traffic.held_seconds.unwrap_or(0.0);
        for _ in 0..count {
            // Begun long ago, each at a time of its own.
            let end = microseconds(held * self.chance.f64());
            self.plan.add(end, Event::Ends(connection));
        }
        let member = &mut self.members[place];
        member.live += count;
        member.delta.adopted += count;
    }

    fn declare(&mut self, weights: &ByMember<f64>) {
        for (place, weight) in self.each(weights) {
            self.members[place].weight = Some(weight);
            self.members[place].present = true;
        }
    }

    /// Goes on with another phase.
    pub(crate) fn begin(&mut self, phase: &Phase) {
        let story = self.story;
        self.phase_began = self.now;
        self.phase_ends = self.now + u64::from(phase.seconds) * SECOND;
        self.traffic = story.traffic.but(&phase.traffic);
        let (usual, now) = (&story.balancer, &phase.balancer);
        self.method = now.chooses.or(usual.chooses).unwrap_or(story.pool.method);
        self.clients = now.clients.or(usual.clients).unwrap_or(CLIENTS).max(1);
        self.heaviest = now.heaviest.or(usual.heaviest).unwrap_or(0.0);
        self.ejects = now.ejects_seconds.or(usual.ejects_seconds).map(microseconds);
        self.change_declaration(&phase.declare);
        let workers = now.workers.or(usual.workers).unwrap_or(1).max(1);
        if phase.reload || phase.restart || self.workers.len() != workers {
            self.replace_workers(workers);
        }
        if phase.restart {
            (0..self.members.len()).for_each(|place| self.cut(place, false));
        }
        self.given = self.members.iter().map(|member| member.weight.unwrap_or(0.0)).collect();
        for weights in [&usual.weights, &now.weights] {
            for (place, weight) in self.each(weights) {
                self.given[place] = weight;
            }
        }
        self.members.iter_mut().for_each(|member| member.acts = Acts::default());
        for (place, acts) in self.each(&phase.members) {
            if let Some(weight) = acts.weight {
                self.given[place] = weight;
            }
            if acts.down {
                self.cut(place, true);
            }
            self.members[place].acts = acts;
        }
        self.plan_arrival();
    }

    /// The old ones finish what is under way, and close what only waits.
    fn replace_workers(&mut self, count: usize) {
        self.generation += 1;
        let new = vec![Worker::new(self.members.len()); count];
        for worker in std::mem::replace(&mut self.workers, new) {
            for (place, idle) in worker.idle.iter().enumerate() {
                let epoch = self.members[place].epoch;
                idle.iter().filter(|idle| idle.1 == epoch).for_each(|idle| self.close(place, idle.2));
            }
        }
    }

    fn change_declaration(&mut self, declare: &Declare) {
        for name in &declare.join {
            if let Some(member) = self.members.iter_mut().find(|member| member.name == *name) {
                member.weight = Some(1.0);
                member.present = true;
            }
        }
        for name in declare.leave.iter().map(Spanned::get_ref) {
            if let Some(member) = self.members.iter_mut().find(|member| member.name == *name) {
                member.weight = None;
            }
        }
        self.declare(&declare.weights);
    }

    /// One second more, and what was counted in it.
    pub(crate) fn tick(&mut self) -> PoolSample {
        let end = self.now + SECOND;
        while let Some((at, event)) = self.plan.next(end) {
            self.now = at;
            self.happen(event);
        }
        self.now = end;
        self.sample()
    }

    /// Plans the next arrival, at the rate of this moment.
    fn plan_arrival(&mut self) {
        let rate = match self.traffic.rate() {
            Some(Rate::Connections(rate) | Rate::Requests(rate)) => rate,
            None => 0.0,
        };
        let length = (self.phase_ends - self.phase_began).max(1) as f64;
        let passed = (self.now - self.phase_began) as f64 / length;
        let level = match self.traffic.curve.unwrap_or(Curve::Steady) {
            Curve::Steady => 1.0,
            Curve::Night => 0.01 + 0.99 * (0.5 + 0.5 * (std::f64::consts::TAU * passed).cos()),
        };
        let mean = 1.0 / (rate * level);
        let wait = match self.traffic.arrivals.unwrap_or(Arrivals::Random) {
            Arrivals::Even => mean,
            Arrivals::Random => mean * self.exponential(),
        };
        if wait.is_finite() {
            self.next_arrival = self.now + microseconds(wait).max(1);
            self.plan.add(self.next_arrival, Event::Arrives);
        } else {
            self.next_arrival = u64::MAX;
        }
    }

    /// With a mean of 1.
    fn exponential(&mut self) -> f64 {
        -(1.0 - self.chance.f64()).ln()
    }

    fn happen(&mut self, event: Event) {
        match event {
            // One that was planned at another phase's rate is void.
            Event::Arrives if self.now == self.next_arrival => {
                let heavy = self.chance.f64() < self.heaviest;
                let client = if heavy { 0 } else { u64::from(self.chance.u32(1..=self.clients)) };
                let worker = self.chance.usize(0..self.workers.len());
                self.serve(worker, client);
                self.plan_arrival();
            }
            Event::Arrives => {}
            Event::Checked(place) => self.check(place),
            Event::Fails { worker, generation, member, cause, began, client } => {
                self.fail(member, cause, began);
                if generation == self.generation {
                    self.workers[worker].pending[member] -= 1;
                    self.passed_over(worker, member, client);
                }
            }
            Event::Responds { connection, asked } => self.respond(connection, asked),
            Event::Ends(connection) => {
                if self.members[connection.member].epoch == connection.epoch {
                    self.leave(connection);
                    self.close(connection.member, connection.began);
                }
            }
        }
    }

    /// A worker has something for a member to do.
    fn serve(&mut self, worker: usize, client: u64) {
        let now = self.now;
        let ejected = &self.workers[worker].ejected_until;
        let weights: Vec<f64> = (self.given.iter().zip(&self.members).zip(ejected))
            .map(|((given, member), until)| if member.marked_down || *until > now { 0.0 } else { *given })
            .collect();
        match self.workers[worker].choose(self.method, &weights, client, &mut self.chance) {
            Some(member) => self.send(worker, member, client),
            // Everybody is left out: all are tried again from the next arrival on.
            None => self.workers[worker].ejected_until.fill(0),
        }
    }

    fn send(&mut self, worker: usize, member: usize, client: u64) {
        let kept = matches!(self.traffic.rate(), Some(Rate::Requests(_)));
        let epoch = self.members[member].epoch;
        let idle = &mut self.workers[worker].idle[member];
        idle.retain(|idle| idle.1 == epoch);
        if let Some((left, epoch, began)) = idle.pop() {
            let generation = self.generation;
            self.workers[worker].busy[member] += 1;
            self.ask(Connection { worker, generation, member, epoch, left, kept, began }, 0.0);
            return;
        }
        self.members[member].decisions += 1;
        if let Some((cause, after)) = self.attempt(member) {
            self.workers[worker].pending[member] += 1;
            let (generation, began) = (self.generation, self.now);
            self.plan.add(began + after, Event::Fails { worker, generation, member, cause, began, client });
            return;
        }
        let acts = &self.members[member].acts;
        let left = acts.requests_per_connection.or(self.traffic.requests_per_connection).unwrap_or(1);
        let resets = acts.resets.unwrap_or(0.0);
        self.members[member].live += 1;
        self.workers[worker].busy[member] += 1;
        let (generation, began) = (self.generation, Some(self.now));
        let connection = Connection { worker, generation, member, epoch, left, kept, began };
        if self.chance.f64() < resets {
            let delta = &mut self.members[member].delta;
            delta.resets += 1;
            delta.resets_without_data += 1;
            delta.sent_bytes += REQUEST_BYTES;
            self.leave(connection);
            self.close(member, began);
        } else if left == 0 {
            self.hold(connection);
        } else {
            self.ask(connection, 0.0);
        }
    }

    /// An attempt to connect: why and after how many microseconds it fails, or `None` when it is established.
    fn attempt(&mut self, place: usize) -> Option<(Cause, u64)> {
        let member = &mut self.members[place];
        member.present = true;
        member.delta.attempts += 1;
        let fate = fate(&member.acts, &mut self.chance);
        if fate.is_some() {
            member.pending += 1;
        } else {
            member.delta.established += 1;
            member.delta.connect_time.counts_mut()[bucket_of(CONNECT_NANOSECONDS) as usize] += 1;
        }
        fate
    }

    /// An attempt has failed.
    fn fail(&mut self, place: usize, cause: Cause, began: u64) {
        let member = &mut self.members[place];
        member.pending -= 1;
        let failed = &mut member.delta.failed;
        match cause {
            Cause::Refused => failed.refused += 1,
            Cause::TimedOut => failed.timed_out += 1,
            Cause::Unreachable => failed.unreachable += 1,
            Cause::Local => failed.local += 1,
            Cause::Other => failed.other += 1,
            Cause::Cancelled => {
                failed.cancelled += 1;
                member.delta.cancelled_age.counts_mut()[bucket_of((self.now - began) * 1000) as usize] += 1;
            }
        }
    }

    /// What failed is tried on another member, where the balancer does so.
    fn passed_over(&mut self, worker: usize, member: usize, client: u64) {
        if let Some(ejects) = self.ejects {
            self.workers[worker].ejected_until[member] = self.now + ejects;
            self.serve(worker, client);
        }
    }

    fn ask(&mut self, connection: Connection, pause_seconds: f64) {
        let slow = self.members[connection.member].acts.slow.unwrap_or(1.0);
        let mean = self.traffic.response_seconds.unwrap_or(RESPONSE_SECONDS) * slow;
        let asked = self.now + microseconds(pause_seconds);
        let took = microseconds(mean * (0.2 + 0.8 * self.exponential())).max(1);
        self.plan.add(asked + took, Event::Responds { connection, asked });
    }

    fn respond(&mut self, mut connection: Connection, asked: u64) {
        let member = &mut self.members[connection.member];
        if member.epoch != connection.epoch {
            return;
        }
        let times = member.exchanges.response_time.get_or_insert_default();
        times.counts_mut()[bucket_of((self.now - asked) * 1000) as usize] += 1;
        *member.exchanges.count.get_or_insert(0) += 1;
        member.delta.sent_bytes += REQUEST_BYTES;
        member.delta.received_bytes += RESPONSE_BYTES;
        connection.left -= 1;
        match (connection.left, connection.kept) {
            (0, true) => {
                self.leave(connection);
                self.close(connection.member, connection.began);
            }
            (0, false) => self.hold(connection),
            (left, true) => {
                self.leave(connection);
                if connection.generation == self.generation {
                    let idle = &mut self.workers[connection.worker].idle[connection.member];
                    idle.push((left, connection.epoch, connection.began));
                } else {
                    self.close(connection.member, connection.began);
                }
            }
            (_, false) => {
                let pause = self.traffic.pause_seconds.unwrap_or(0.0) * self.exponential();
                self.ask(connection, pause);
            }
        }
    }

    /// Nothing more is asked: it ends, or is held.
    fn hold(&mut self, connection: Connection) {
        let held = self.traffic.held_seconds.unwrap_or(0.0) * self.exponential();
        self.plan.add(self.now + microseconds(held), Event::Ends(connection));
    }

    /// The worker has no more to do with it, if it still is that worker.
    fn leave(&mut self, connection: Connection) {
        if connection.generation == self.generation {
            let busy = &mut self.workers[connection.worker].busy[connection.member];
            *busy = busy.saturating_sub(1);
        }
    }

    fn close(&mut self, place: usize, began: Option<u64>) {
        let member = &mut self.members[place];
        member.live -= 1;
        member.delta.closed += 1;
        if let Some(began) = began {
            member.delta.lifetime.counts_mut()[bucket_of((self.now - began) * 1000) as usize] += 1;
        }
    }

    /// All connections of a member end at once, reset by it or closed by the balancer; nobody noted when they began.
    fn cut(&mut self, place: usize, reset: bool) {
        let member = &mut self.members[place];
        member.epoch += 1;
        member.delta.closed += member.live;
        member.delta.resets += if reset { member.live } else { 0 };
        member.live = 0;
        for worker in &mut self.workers {
            worker.busy[place] = 0;
            worker.idle[place].clear();
        }
    }

    /// A health check of the balancer's: an attempt, and no decision.
    fn check(&mut self, place: usize) {
        let Some(HealthChecks { every_seconds, fall, rise }) = self.story.health_checks.clone() else {
            return;
        };
        if self.members[place].weight.is_some() {
            let fate = self.attempt(place);
            if let Some((cause, _)) = fate {
                self.fail(place, cause, self.now);
            }
            let member = &mut self.members[place];
            if fate.is_none() {
                member.delta.closed += 1;
                member.delta.probes += 1;
            }
            let turns = fate.is_none() == member.marked_down;
            member.checks_in_a_row = if turns { member.checks_in_a_row + 1 } else { 0 };
            if member.checks_in_a_row >= if member.marked_down { rise } else { fall } {
                member.marked_down = !member.marked_down;
                member.checks_in_a_row = 0;
            }
        }
        self.plan.add(self.now + microseconds(every_seconds), Event::Checked(place));
    }

    fn sample(&mut self) -> PoolSample {
        let pool = &self.story.pool;
        let measured = pool.exchanges;
        let members = self.members.iter_mut().filter(|member| member.present);
        PoolSample {
            pool: PoolIdentity {
                name: "app".to_owned(),
                balancer: Some("nginx".to_owned()),
                source: match pool.expected {
                    ExpectedSource::Declared => "pools.toml:1".to_owned(),
                    ExpectedSource::Assumed => "discovered".to_owned(),
                },
                expected_source: pool.expected,
                method: pool.method,
                vouched: pool.vouched,
                asked: true,
            },
            interval_seconds: 1.0,
            members: members.map(|member| member.sample(measured)).collect(),
            judged: true,
            note: None,
        }
    }
}

/// Microseconds of so many seconds.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
pub(crate) fn microseconds(seconds: f64) -> u64 {
    (seconds * SECOND as f64) as u64
}

/// Who is meant among `names`, with what is said of each; who is named alone counts more than ranges do.
pub(crate) fn each<T: Clone>(names: &[String], said: &ByMember<T>) -> Vec<(usize, T)> {
    let mut all: Vec<_> = said
        .iter()
        .filter_map(|(who, what)| Some((crate::story::meant(names, who.get_ref())?, what)))
        .collect();
    all.sort_by_key(|(places, _)| Reverse(places.end() - places.start()));
    all.into_iter().flat_map(|(places, what)| places.map(|place| (place, what.clone()))).collect()
}
