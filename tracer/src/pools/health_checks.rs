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
//! Over any time: attempts = decisions + probes taken out + checks taken out + held back.

use super::regularity::IdleArrivals;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Checks that may be outstanding of one member, so that a late one is still recognised.
const MAX_CREDIT: f64 = 2.0;

/// What a member should get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A share of the traffic.
    Active,
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

#[derive(Debug)]
struct Member {
    role: Role,
    /// Probes that ended after their attempt had been taken for a decision.
    owed: u64,
    /// Checks that should have come.
    credit: f64,
    idle: IdleArrivals,
    ledger: Ledger,
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
        // What idle members showed up to the interval before is this interval's floor: one pass, whatever the order.
        let floor = declared.map(|interval| interval.as_secs_f64()).or_else(|| self.learned(now_seconds));
        arrivals
            .iter()
            .map(|arrival| {
                let member = self.members.entry(arrival.backend).or_insert_with(|| Member::new(arrival.role));
                // An idle member's own timer is recognised by its regularity; only a declared floor comes before.
                let floor = match arrival.role {
                    Role::Active => floor,
                    Role::Idle => declared.map(|interval| interval.as_secs_f64()),
                    Role::Stranger => None,
                };
                member.decide(now_seconds, interval_seconds, floor, arrival)
            })
            .collect()
    }

    /// Where a member's attempts went.
    #[cfg(test)]
    pub(super) fn ledger(&self, backend: SocketAddr) -> Ledger {
        self.members.get(&backend).map(|member| member.ledger).unwrap_or_default()
    }

    /// The longest interval at which an idle member is being checked: the least that is surely taken out.
    fn learned(&self, now_seconds: f64) -> Option<f64> {
        self.members.values().filter_map(|member| member.idle.timer_seconds(now_seconds)).reduce(f64::max)
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
        Self { role, owed: 0, credit, idle: IdleArrivals::default(), ledger: Ledger::default() }
    }

    fn decide(&mut self, now: f64, interval: f64, floor: Option<f64>, arrival: &Arrivals) -> u64 {
        if arrival.role != self.role {
            // What was held back of a member in its old role stays undecided for good: count it as checks.
            self.ledger.checks += self.idle.held_back();
            *self = Self { owed: self.owed, ledger: self.ledger, ..Self::new(arrival.role) };
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

        if self.role == Role::Idle {
            let told = self.idle.explain(now, interval, rest);
            self.ledger.checks += told.settled;
            rest = told.released;
        }
        self.ledger.held_back = self.idle.held_back();
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
