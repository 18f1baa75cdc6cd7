//! From a sample to the pools in it.

use super::assumed::{Tally, assume};
use super::balancer::{BalancerKey, Labels};
use super::declared::DeclaredPool;
use super::discovered::{Discovered, Remembered};
use super::filter::Filter;
use super::health_checks::{Arrivals, HealthChecks, Role};
use super::limits::{Limit, reached};
use super::matching::{Assignment, Through, assign};
use super::shared::left_out;
use super::sorted::{Counted, Traffic, sort};
use super::unmatched::unmatched;
use super::{Exchanges, ExpectedSource, MemberSample, Method, Origin, PoolIdentity, PoolSample, Recorded};
use crate::collect::{Counters, Sample};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// What sorts samples into pools. It remembers which backends have been members, what balancers are called, and which
/// arrivals may have been health checks.
#[derive(Debug, Default)]
pub struct Pools {
    declared: Vec<DeclaredPool>,
    filter: Filter,
    declared_only: bool,
    labels: Labels,
    discovered: Discovered,
    health_checks: HashMap<PoolKey, HealthChecks>,
    tallies: HashMap<PoolKey, Tally>,
    unmatched: Vec<String>,
    /// The balancer that each declared pool with a named balancer was seen with first.
    first_balancers: HashMap<String, BalancerKey>,
}

/// With more than one connection in so many of which nothing more is known, failures could be among them.
const MOST_UNTRACKED: u64 = 20;

/// One backend is no pool: it is listed, and becomes one when a second is seen.
const MIN_MEMBERS: usize = 2;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum PoolKey {
    Declared(String, Option<BalancerKey>),
    Discovered(BalancerKey, u16),
}

/// A pool of this interval, before it is measured.
struct Part<'a> {
    key: PoolKey,
    identity: PoolIdentity,
    traffic: Option<&'a Traffic>,
    members: BTreeMap<SocketAddr, Place>,
    /// Of those of which something is known.
    origins: BTreeMap<SocketAddr, Origin>,
    limits: Vec<Limit>,
    health_check_interval: Option<Duration>,
    judged: bool,
    notes: Vec<String>,
}

/// A member's place in a pool.
#[derive(Clone, Copy)]
enum Place {
    /// Its own member, with its weight; `None`: not declared.
    Exclusive(Option<f64>),
    /// Discovered: an equal share, if it gets more than health checks.
    Assumed,
    /// Also in other pools of the balancer: decides nothing. Its counters are shown in one of them only.
    Shared { counted_here: bool },
}

impl Place {
    fn weight(self) -> Option<f64> {
        match self {
            Self::Exclusive(weight) => weight,
            Self::Assumed => Some(1.0),
            Self::Shared { .. } => Some(0.0),
        }
    }

    fn has_share(self) -> bool {
        self.weight().is_some_and(|weight| weight > 0.0)
    }

    /// What is expected of it; `None` when its arrivals tell nothing about this pool.
    fn role(self) -> Option<Role> {
        match self {
            Self::Shared { .. } => None,
            Self::Assumed => Some(Role::Assumed),
            Self::Exclusive(None) => Some(Role::Stranger),
            Self::Exclusive(Some(weight)) if weight > 0.0 => Some(Role::Active),
            Self::Exclusive(Some(_)) => Some(Role::Idle),
        }
    }
}

impl Pools {
    /// Without declared pools and filter, everything discovered is given. Names of declared pools are unlike each other.
    #[must_use]
    pub fn new(declared: Vec<DeclaredPool>, filter: Filter) -> Self {
        let mut pools = Self { filter, ..Self::default() };
        pools.declare(declared);
        pools
    }

    /// The same, without what is merely discovered.
    #[must_use]
    pub fn declared_only(mut self) -> Self {
        self.declared_only = true;
        self
    }

    /// How many pools are declared.
    #[must_use]
    pub fn declared_count(&self) -> usize {
        self.declared.len()
    }

    /// What is known of pools that nobody declared, for an agent that goes on from here.
    #[must_use]
    pub fn remembered(&self) -> Remembered {
        self.discovered.remembered()
    }

    /// Goes on from what another agent knew.
    pub fn recall(&mut self, remembered: Remembered) {
        self.discovered.recall(remembered);
    }

    /// The declared pools, in their order.
    #[must_use]
    pub fn declared(&self) -> &[DeclaredPool] {
        &self.declared
    }

    /// Whether a filter selects what is looked at.
    #[must_use]
    pub fn is_filtered(&self) -> bool {
        !self.filter.is_empty()
    }

    /// Takes other declared pools from the next sample on: a reload, or names that resolve differently. What is
    /// remembered of pools that keep their name stays.
    pub fn declare(&mut self, declared: Vec<DeclaredPool>) {
        self.declared = declared.into_iter().map(DeclaredPool::normalised).collect();
    }

    /// What was asked for, by the filter or by declarations, and was not seen up to the last sample: a line each. Names
    /// in it are untrusted text. Empty before the first sample.
    #[must_use]
    pub fn unmatched(&self) -> Vec<String> {
        self.unmatched.clone()
    }

    /// The pools of one interval: the declared ones in their order, then the discovered ones by balancer and port. The
    /// order of the backends in the sample makes no difference.
    pub fn group(&mut self, sample: &Sample) -> Vec<PoolSample> {
        let sorted = sort(sample, &self.filter);
        self.labels.name(sorted.keys());
        let assignment = assign(&self.declared, &sorted, &self.filter);
        self.unmatched = unmatched(&self.declared, &self.filter, &assignment, sample);
        self.remember_first_balancers(&assignment);
        self.discovered.advance(sample.time_seconds);
        for (balancer, traffic) in &sorted {
            for (&backend, counted) in &traffic.backends {
                if !assignment.is_claimed(balancer, backend) {
                    self.discovered.see(balancer, backend, counted.is_active());
                }
            }
        }
        let mut parts = self.declared_parts(&sorted, &assignment);
        if !self.declared_only {
            parts.extend(self.discovered_parts(&sorted, &assignment));
        }
        let keys: HashSet<&PoolKey> = parts.iter().map(|part| &part.key).collect();
        self.health_checks.retain(|key, _| keys.contains(key));
        self.tallies.retain(|key, _| keys.contains(key));
        // A sweep covers all sockets or none: what had no connection yet has none now, if the sweep finished.
        let sweep_finished = sample.backends.iter().all(|backend| backend.stock.is_some());
        parts.into_iter().map(|part| self.measure(part, sample, sweep_finished)).collect()
    }

    fn declared_parts<'a>(
        &self,
        sorted: &'a BTreeMap<BalancerKey, Traffic>,
        assignment: &Assignment,
    ) -> Vec<Part<'a>> {
        let mut parts = Vec::new();
        for (index, (pool, assigned)) in self.declared.iter().zip(&assignment.pools).enumerate() {
            if assigned.hidden {
                continue;
            }
            if assigned.through.is_empty() {
                parts.push(self.declared_part(index, pool, None, None));
            }
            for through in &assigned.through {
                parts.push(self.declared_part(index, pool, Some(through), sorted.get(&through.balancer)));
            }
        }
        parts
    }

    fn declared_part<'a>(
        &self,
        index: usize,
        pool: &DeclaredPool,
        through: Option<&Through>,
        traffic: Option<&'a Traffic>,
    ) -> Part<'a> {
        let mut notes = Vec::new();
        let mut judged = true;
        let mut members: BTreeMap<SocketAddr, Place> = pool
            .members
            .iter()
            .filter(|member| self.filter.matches_backend(member.backend))
            .map(|member| (member.backend, Place::Exclusive(Some(member.weight))))
            .collect();
        if members.len() < pool.members.len() {
            notes.push(format!("the filter leaves {} of {} members", members.len(), pool.members.len()));
        }
        notes.extend(pool.remark.clone());
        if let Some(doubt) = &pool.doubt {
            judged = false;
            notes.push(format!("not judged: {doubt}"));
        } else if !members.values().any(|place| place.has_share()) {
            judged = false;
            notes.push("not judged: every member is drained or a backup".into());
        }
        if let Some(through) = through {
            let mut shared = Vec::new();
            for (backend, pools) in &through.shared {
                if let Some(place) = members.get_mut(backend) {
                    *place = Place::Shared { counted_here: pools.first() == Some(&index) };
                    shared.push((*backend, pools));
                }
            }
            notes.extend(self.shared_note(index, &shared));
            let own = members.values().filter(|place| place.has_share()).count();
            if !through.shared.is_empty() && own < 2 {
                judged = false;
                notes.push(format!(
                    "not judged: {own} of its members with a weight belong to it alone, two are needed"
                ));
            }
            if through.bystander {
                judged = false;
                notes.push("not judged: other processes are more likely this pool's balancer; name it with balancer = \"…\" if it is this one".into());
            }
            for stranger in &through.strangers {
                members.insert(*stranger, Place::Exclusive(None));
            }
            for (port, count) in &through.neighbours {
                let elsewhere = if self.declared_only {
                    "left out".into()
                } else {
                    format!("judged as {}:{port}", self.labels.get(&through.balancer))
                };
                notes.push(format!("{count} more backends on port {port} are not declared: {elsewhere}"));
            }
            notes.extend(through.homeless.iter().map(|backend| {
                format!("{backend} gets traffic and is in no declared pool; several have members on its port")
            }));
        }
        let balancer = through.map(|through| through.balancer.clone());
        Part {
            identity: PoolIdentity {
                name: pool.name.clone(),
                balancer: self.called(pool, balancer.as_ref()),
                source: pool.source.clone(),
                expected_source: ExpectedSource::Declared,
                method: pool.method,
                vouched: pool.vouched,
                asked: pool.asked,
            },
            key: PoolKey::Declared(pool.name.clone(), balancer),
            traffic,
            origins: origins(pool),
            limits: limits(pool, &members),
            members,
            health_check_interval: pool.health_check_interval,
            judged,
            notes,
        }
    }

    fn remember_first_balancers(&mut self, assignment: &Assignment) {
        for (pool, assigned) in self.declared.iter().zip(&assignment.pools) {
            let Some(name) = &pool.balancer else { continue };
            // The one whose label is what was declared, so that no other is called the same.
            let of_that_label = assigned.through.iter().find(|one| self.labels.get(&one.balancer) == *name);
            if let Some(first) = of_that_label.or(assigned.through.first()) {
                let key = first.balancer.clone();
                self.first_balancers.entry(pool.name.clone()).or_insert(key);
            }
        }
        let names: HashSet<&str> = self.declared.iter().map(|pool| pool.name.as_str()).collect();
        self.first_balancers.retain(|name, _| names.contains(name.as_str()));
    }

    /// What the pool's balancer is called: as declared, since labels depend on what else runs. Only if several answer to
    /// that, all but the first get their label.
    fn called(&self, pool: &DeclaredPool, balancer: Option<&BalancerKey>) -> Option<String> {
        let label = balancer.map(|key| self.labels.get(key));
        let Some(declared) = &pool.balancer else { return label };
        let another = self.first_balancers.get(&pool.name).is_some_and(|first| balancer != Some(first));
        match label {
            Some(label) if another && label != *declared => Some(label),
            Some(label) if another => Some(format!("{label} (another)")),
            _ => Some(declared.clone()),
        }
    }

    /// A note on the members of a pool that others have too, each with all the pools that have it.
    fn shared_note(&self, index: usize, shared: &[(SocketAddr, &Rc<[usize]>)]) -> Option<String> {
        if shared.is_empty() {
            return None;
        }
        let mut has_some = vec![false; self.declared.len()];
        // Most members have the list of the one before.
        for (_, pools) in shared.chunk_by(|one, next| Rc::ptr_eq(one.1, next.1)).filter_map(<[_]>::first) {
            for &pool in pools.iter() {
                has_some[pool] = true;
            }
        }
        let others = self.declared.iter().zip(has_some).enumerate();
        let others: Vec<&str> = others
            .filter(|&(other, (_, has))| has && other != index)
            .map(|(_, (pool, _))| pool.name.as_str())
            .collect();
        let members: Vec<SocketAddr> = shared.iter().map(|&(backend, _)| backend).collect();
        Some(left_out(&members, &others))
    }

    fn discovered_parts<'a>(
        &self,
        sorted: &'a BTreeMap<BalancerKey, Traffic>,
        assignment: &Assignment,
    ) -> Vec<Part<'a>> {
        let claimed = |balancer: &BalancerKey, backend| assignment.is_claimed(balancer, backend);
        let pools = self.discovered.pools(claimed).into_iter();
        pools
            .map(|(balancer, port, members)| {
                let label = self.labels.get(&balancer);
                let traffic = sorted.get(&balancer);
                let selected = !self.filter.is_empty();
                let trusted = selected || traffic.is_some_and(|traffic| traffic.spreads(members.len()));
                let note = if balancer.is_kernel() {
                    Some("opened by kernel threads (MPTCP subflows, network file systems): no balancer's")
                } else if members.len() < MIN_MEMBERS {
                    Some("one backend: nothing to spread")
                } else if !trusted {
                    Some("not a known proxy: select it with --balancer to have it judged")
                } else {
                    None
                };
                Part {
                    identity: PoolIdentity {
                        name: format!("{label}:{port}"),
                        balancer: Some(label),
                        source: "discovered".into(),
                        expected_source: ExpectedSource::Assumed,
                        method: Method::default(),
                        vouched: true,
                        asked: true,
                    },
                    key: PoolKey::Discovered(balancer, port),
                    traffic,
                    members: members.into_iter().map(|member| (member, Place::Assumed)).collect(),
                    origins: BTreeMap::new(),
                    limits: Vec::new(),
                    health_check_interval: None,
                    judged: note.is_none(),
                    notes: note.map(Into::into).into_iter().collect(),
                }
            })
            .collect()
    }

    fn measure(&mut self, mut part: Part<'_>, sample: &Sample, sweep_finished: bool) -> PoolSample {
        let counted = |backend: &SocketAddr, place: Place| {
            let here = !matches!(place, Place::Shared { counted_here: false });
            let seen = part.traffic.filter(|_| here).and_then(|traffic| traffic.backends.get(backend));
            seen.cloned().unwrap_or_else(|| Counted::nothing(sweep_finished))
        };
        let unseen = |(backend, place): (&SocketAddr, &Place)| {
            place.has_share() && !part.traffic.is_some_and(|traffic| traffic.backends.contains_key(backend))
        };
        if sample.crowded && part.members.iter().any(unseen) {
            part.judged = false;
            part.notes.push(
                "not judged: the table of backends is full: members not seen may have traffic that is counted elsewhere".into(),
            );
        }
        let mut members: Vec<MemberSample> = part
            .members
            .iter()
            .map(|(backend, &place)| {
                let Counted { delta, total, stock } = counted(backend, place);
                MemberSample {
                    backend: *backend,
                    weight: place.weight(),
                    decisions: 0,
                    requests: None,
                    exchanges: Exchanges::of(&delta, sample.exchanges),
                    total_exchanges: Exchanges::of(&total, sample.exchanges),
                    delta,
                    total,
                    stock,
                    recorded: if sample.adopted_unknown {
                        Recorded::without("adopted")
                    } else {
                        Recorded::default()
                    },
                    origin: part.origins.remove(backend).unwrap_or_default(),
                }
            })
            .collect();
        let sum = |of: fn(&Counters) -> u64| members.iter().map(|member| of(&member.delta)).sum::<u64>();
        let (attempts, untracked) = (sum(|delta| delta.attempts), sum(|delta| delta.untracked));
        if untracked > attempts / MOST_UNTRACKED {
            part.judged = false;
            part.notes.push(format!(
                "not judged: what became of {untracked} of {attempts} connections is not known; raise --max-connections, or the \
                 memory limits that `tracer doctor` names"
            ));
        }
        let arrivals: Vec<Arrivals> = members
            .iter()
            .zip(part.members.values())
            .filter_map(|(member, place)| {
                let (attempts, probes) = (member.delta.attempts, member.delta.probes);
                let (backend, weight) = (member.backend, member.weight.unwrap_or(0.0));
                place.role().map(|role| Arrivals { backend, role, weight, attempts, probes })
            })
            .collect();
        let checks = self.health_checks.entry(part.key.clone()).or_default();
        let decisions = checks.decisions(
            sample.time_seconds,
            sample.interval_seconds,
            part.health_check_interval,
            &arrivals,
        );
        let decisions: BTreeMap<SocketAddr, u64> =
            arrivals.iter().map(|arrival| arrival.backend).zip(decisions).collect();
        for member in &mut members {
            member.decisions = decisions.get(&member.backend).copied().unwrap_or(0);
            member.requests = checks.requests(member.backend, member.exchanges.count);
        }
        if part.identity.expected_source == ExpectedSource::Assumed {
            let (judged, notes) = assume(checks, self.tallies.entry(part.key).or_default(), &mut members);
            part.judged &= judged;
            part.notes.extend(notes);
        }
        part.notes.extend(reached(&part.limits, &members));
        PoolSample {
            pool: part.identity,
            interval_seconds: sample.interval_seconds,
            members,
            judged: part.judged,
            note: (!part.notes.is_empty()).then(|| part.notes.join("; ")),
        }
    }
}

fn origins(pool: &DeclaredPool) -> BTreeMap<SocketAddr, Origin> {
    let former = pool.former.iter().map(|former| (former.backend, Origin::Former(former.name.clone())));
    let members = pool.members.iter();
    let written =
        members.filter_map(|member| Some((member.backend, Origin::Written(member.at.as_ref()?.line()))));
    // An address that another name of the pool has now is a member.
    former.chain(written).collect()
}

/// The limits of the members that are in no other pool of the balancer: what they hold is this pool's.
fn limits(pool: &DeclaredPool, members: &BTreeMap<SocketAddr, Place>) -> Vec<Limit> {
    let own = |backend| matches!(members.get(&backend), Some(Place::Exclusive(_)));
    let limited = pool.members.iter().filter(|member| own(member.backend));
    limited
        .filter_map(|member| Some(Limit { backend: member.backend, connections: member.max_connections? }))
        .collect()
}

#[cfg(test)]
#[path = "grouping_tests.rs"]
mod tests;
