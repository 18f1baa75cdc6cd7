//! Which arrivals at a member were health checks, and which the balancer's decisions. Pure: time is an argument.
//!
//! Three kinds of checks come from the same process as the traffic:
//!
//! - **probes** (TCP checks) are counted by the kernel side, when they end. An attempt may fall in one interval and its
//!   probe in the next: what cannot be taken out now is owed, and taken out later.
//! - **HTTP checks with a known interval** are a floor: one arrival per interval and member is taken out.
//! - **HTTP checks nobody told about** show at members that should get nothing. Arrivals there are held back until a
//!   timer explains them (then they are checks, and their interval is every member's floor) or cannot (then they are
//!   traffic, and released).
//!
//! A member that should get a share and gets far less than that may get nothing but checks: as long as that is so, its
//! arrivals are looked at like those of members that should get nothing.
//!
//! Where nobody declared what a member should get, it counts as a member until it turns out that only checks come, while
//! others get traffic: then it is left out, until traffic comes.
//!
//! Over any time: attempts = decisions + probes taken out + checks taken out + held back.
//!
//! The exchanges of checks are no requests of anybody's either: see [`CheckExchanges`].

use super::regularity::IdleArrivals;
use super::requests::CheckExchanges;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Checks that may be outstanding of one member, so that a late one is still recognised.
const MAX_CREDIT: f64 = 2.0;
/// A member is left out when another gets this many times as many arrivals, and `MORE_THAN_CHECKS` on top.
const TIMES_CHECKS: u64 = 3;
/// So that a few connections in an odd order leave nobody out.
const MORE_THAN_CHECKS: u64 = 10;
/// Checks come at least this often, seconds: so long a member whose arrivals are too few to tell gets the benefit.
const OPEN_SECONDS: f64 = 60.0;
/// Over so many seconds, arrivals are compared with what was due.
const RECENT_SECONDS: f64 = 30.0;
/// A member that gets less than this part of its due may get checks only; until it gets more than the second.
const FAR_BELOW: (f64, f64) = (1.0 / 3.0, 0.5);
/// Recent arrivals it must have been due, for that to mean anything.
const LEAST_DUE: f64 = 10.0;

/// What a member should get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A share of the traffic.
    Active,
    /// An equal share, as nobody said anything else; perhaps nothing but health checks.
    Assumed,
    /// Nothing but health checks: drained, or a backup.
    Idle,
    /// Nothing at all: it is not declared.
    Stranger,
}

/// What was counted of one member in one interval.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrivals {
    pub(super) backend: SocketAddr,
    pub(super) role: Role,
    /// Relative to the others'; 0 of those that are due nothing.
    pub(super) weight: f64,
    pub(super) attempts: u64,
    pub(super) probes: u64,
}

/// Where one member's attempts went, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    pub(super) attempts: u64,
    pub(super) decisions: u64,
    pub(super) probes: u64,
    pub(super) checks: u64,
    pub(super) held_back: u64,
}

/// The health checks of one pool of one balancer.
#[derive(Debug, Default)]
pub(super) struct HealthChecks {
    members: BTreeMap<SocketAddr, Member>,
}

/// Whether traffic has come to a member of which nothing is declared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Standing {
    /// Something came that no timer explains.
    served: bool,
    left_out: bool,
    /// Arrivals since the first member of the pool was served: before, all get checks alike.
    since_served: u64,
}

#[derive(Debug)]
struct Member {
    role: Role,
    /// Probes that ended after their attempt had been taken for a decision.
    owed: u64,
    /// Checks that should have come.
    credit: f64,
    idle: IdleArrivals,
    ledger: Ledger,
    exchanges: CheckExchanges,
    standing: Standing,
    last_arrival: f64,
    /// Arrivals of the last seconds.
    recent: f64,
    /// It gets far less than it is due.
    starved: bool,
}

impl HealthChecks {
    /// The decisions of each member in the interval that ends at `now_seconds`, in the order of `arrivals`.
    pub(super) fn decisions(
        &mut self,
        now_seconds: f64,
        interval_seconds: f64,
        declared: Option<Duration>,
        arrivals: &[Arrivals],
    ) -> Vec<u64> {
        self.forget_absent(arrivals);
        let interval_seconds = if interval_seconds > 0.0 { interval_seconds } else { 0.0 };
        self.compare_with_due(interval_seconds, arrivals);
        // What idle members showed up to the interval before is this interval's floor: one pass, whatever the order.
        let floor = declared.map(|interval| interval.as_secs_f64()).or_else(|| self.learned(now_seconds));
        let mut decisions: Vec<u64> = arrivals
            .iter()
            .map(|arrival| {
                let member = self.members.entry(arrival.backend).or_insert_with(|| Member::new(arrival.role));
                // An idle member's own timer is recognised by its regularity; only a declared floor comes before.
                let floor = match arrival.role {
                    Role::Active | Role::Assumed if member.starved => {
                        declared.map(|interval| interval.as_secs_f64())
                    }
                    Role::Active => floor,
                    Role::Idle => declared.map(|interval| interval.as_secs_f64()),
                    Role::Assumed => floor.filter(|_| member.standing.served),
                    Role::Stranger => None,
                };
                member.decide(now_seconds, interval_seconds, floor, arrival)
            })
            .collect();
        self.leave_out(now_seconds, arrivals, &mut decisions);
        decisions
    }

    /// Of a member's `exchanges` in the interval whose decisions were asked for last, those that were no health check's:
    /// nobody's of a member that decides nothing. `None`: not measured.
    pub(super) fn requests(&mut self, backend: SocketAddr, exchanges: Option<u64>) -> Option<u64> {
        match self.members.get_mut(&backend) {
            Some(member) => {
                let checks = member.ledger.checks + member.ledger.held_back;
                member.exchanges.requests(checks, exchanges)
            }
            None => exchanges.map(|_| 0),
        }
    }

    /// Whether the member gets only health checks while others get traffic, and nobody declared what it should get.
    pub(super) fn is_left_out(&self, backend: SocketAddr) -> bool {
        self.members.get(&backend).is_some_and(|member| member.standing.left_out)
    }

    /// Whether nobody declared anything, and no member has got anything but health checks.
    pub(super) fn only_checks(&self) -> bool {
        let only = |member: &Member| {
            member.role == Role::Assumed && !member.standing.served && member.has_shown_checks()
        };
        !self.members.is_empty() && self.members.values().all(only)
    }

    /// Finds the members that get far less than their share of what the pool gets.
    fn compare_with_due(&mut self, interval: f64, arrivals: &[Arrivals]) {
        let (mut pool, mut weights) = (0.0, 0.0);
        for arrival in arrivals {
            let member = self.members.entry(arrival.backend).or_insert_with(|| Member::new(arrival.role));
            member.recent *= (-interval / RECENT_SECONDS).exp();
            member.recent += as_float(arrival.attempts.saturating_sub(arrival.probes));
            if arrival.weight > 0.0 && !member.standing.left_out {
                pool += member.recent;
                weights += arrival.weight;
            }
        }
        for arrival in arrivals.iter().filter(|arrival| arrival.weight > 0.0) {
            let Some(member) = self.members.get_mut(&arrival.backend) else { continue };
            let due = pool * arrival.weight / weights;
            let part = if member.starved { FAR_BELOW.1 } else { FAR_BELOW.0 };
            let served = arrival.role == Role::Active || member.standing.served;
            member.starved = served && due >= LEAST_DUE && member.recent < part * due;
        }
    }

    /// Finds the members that are left out, and calls what came to them checks.
    fn leave_out(&mut self, now: f64, arrivals: &[Arrivals], decisions: &mut [u64]) {
        if !self.members.values().any(|member| member.standing.served) {
            return;
        }
        for (arrival, count) in arrivals.iter().zip(&*decisions) {
            if let Some(member) = self.members.get_mut(&arrival.backend) {
                member.standing.since_served += count;
            }
        }
        let served = self.members.values().filter(|member| member.standing.served);
        let busiest = served.map(|member| member.standing.since_served).max().unwrap_or(0);
        for (arrival, count) in arrivals.iter().zip(decisions) {
            if let Some(member) = self.members.get_mut(&arrival.backend)
                && member.role == Role::Assumed
            {
                member.compare(now, busiest);
                if member.standing.left_out {
                    member.ledger.decisions -= *count;
                    member.ledger.checks += std::mem::take(count);
                }
            }
        }
    }

    /// Where a member's attempts went.
    #[cfg(test)]
    pub(super) fn ledger(&self, backend: SocketAddr) -> Ledger {
        self.members.get(&backend).map(|member| member.ledger).unwrap_or_default()
    }

    /// The longest interval at which an idle member is being checked: the least that is surely taken out.
    fn learned(&self, now_seconds: f64) -> Option<f64> {
        let told = |member: &&Member| member.holds_back() || member.standing.left_out;
        let members = self.members.values().filter(told);
        members.filter_map(|member| member.idle.timer_seconds(now_seconds)).reduce(f64::max)
    }

    fn forget_absent(&mut self, arrivals: &[Arrivals]) {
        if self.members.len() > arrivals.len() {
            let present: std::collections::BTreeSet<SocketAddr> =
                arrivals.iter().map(|arrival| arrival.backend).collect();
            self.members.retain(|backend, _| present.contains(backend));
        }
    }
}

impl Member {
    fn new(role: Role) -> Self {
        // The first check of an idle member may come at once.
        let credit = if role == Role::Idle { 1.0 } else { 0.0 };
        Self {
            role,
            owed: 0,
            credit,
            idle: IdleArrivals::default(),
            ledger: Ledger::default(),
            exchanges: CheckExchanges::default(),
            standing: Standing::default(),
            last_arrival: f64::NEG_INFINITY,
            recent: 0.0,
            starved: false,
        }
    }

    /// Whether what comes to it is held back until it is explained.
    fn holds_back(&self) -> bool {
        self.role == Role::Idle || self.starved
    }

    /// Whether its arrivals are probes, or a timer's.
    fn has_shown_checks(&self) -> bool {
        let probes = self.ledger.probes > 0 && 2 * self.ledger.probes >= self.ledger.attempts;
        probes || self.idle.has_timer()
    }

    /// Whether it is left out, next to the `busiest` member's arrivals. What has shown that it is checked stays left
    /// out until it is served, also when the checks end.
    fn compare(&mut self, now: f64, busiest: u64) {
        let standing = &self.standing;
        let far_less = busiest >= TIMES_CHECKS * standing.since_served + MORE_THAN_CHECKS;
        let open = self.has_shown_checks() || now - self.last_arrival <= OPEN_SECONDS;
        let left_out = !standing.served && self.ledger.attempts > 0 && open;
        self.standing.left_out = left_out && (standing.left_out || far_less);
    }

    fn decide(&mut self, now: f64, interval: f64, floor: Option<f64>, arrival: &Arrivals) -> u64 {
        if arrival.role != self.role {
            // What was held back of a member in its old role stays undecided for good: count it as checks.
            self.ledger.checks += self.idle.held_back();
            *self = Self {
                owed: self.owed,
                ledger: self.ledger,
                exchanges: self.exchanges,
                ..Self::new(arrival.role)
            };
        }
        self.ledger.attempts += arrival.attempts;
        let mut rest = arrival.attempts;

        // Of what was called a decision at most all can have been probes; more are of connections from before.
        let owable = rest + self.ledger.decisions + self.idle.held_back();
        self.owed = (self.owed + arrival.probes).min(owable);
        let probes_now = self.owed.min(rest);
        rest -= probes_now;
        let probes_held = self.idle.withdraw(self.owed - probes_now);
        let probes = probes_now + probes_held;
        self.owed -= probes;
        self.ledger.probes += probes;

        if let Some(floor) = floor.filter(|&seconds| seconds > 0.0) {
            // A probe is a check too: where checks are TCP ones after all, they are not taken out twice.
            self.credit = (self.credit + interval / floor - as_float(probes)).max(0.0);
            let checks = whole(self.credit).min(rest);
            rest -= checks;
            self.credit = (self.credit - as_float(checks)).min(MAX_CREDIT);
            self.ledger.checks += checks;
        }

        if rest > 0 {
            self.last_arrival = now;
        }
        if self.role == Role::Assumed && !self.standing.served {
            // Nothing is held back: what comes to a member that is not left out are decisions.
            self.standing.served = self.idle.explain(now, interval, rest).released > 0;
            if self.standing.served {
                self.idle = IdleArrivals::default();
            }
        }
        if self.holds_back() {
            let told = self.idle.explain(now, interval, rest);
            self.ledger.checks += told.settled;
            rest = told.released;
        } else if self.role == Role::Active || self.standing.served {
            // It has been starved, and gets its share again.
            rest += std::mem::take(&mut self.idle).held_back();
        }
        self.ledger.held_back = if self.holds_back() { self.idle.held_back() } else { 0 };
        self.ledger.decisions += rest;
        rest
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of one interval, far below 2^53")]
fn as_float(count: u64) -> f64 {
    count as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative, and `as` saturates"
)]
fn whole(number: f64) -> u64 {
    number.floor() as u64
}

#[cfg(test)]
#[path = "health_checks_tests.rs"]
mod tests;
