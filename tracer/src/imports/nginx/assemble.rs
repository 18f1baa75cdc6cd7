//! What was found → pools.

use super::found::{Certainty, Found, Half, Member, Reference, Upstream};
use super::target::address;
use crate::imports::{Problem, Problems};
use crate::pools::{Backups, Family, MemberAddress, Method, Uses, WrittenMember, WrittenPool, WrittenPools};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

/// The upstreams, then what is passed to an address directly.
///
/// # Errors
/// When nginx refuses something that is passed to.
pub(super) fn pools(found: &Found, problems: &mut Problems) -> Result<WrittenPools, Problem> {
    let mut targets = Targets { used: vec![false; found.upstreams.len()], ..Targets::default() };
    for reference in &found.references {
        targets.take(found, reference, problems)?;
    }
    let checks = checks(found, &targets);
    let mut names = HashSet::new();
    let mut pools = Vec::new();
    for (index, upstream) in found.upstreams.iter().enumerate() {
        let used = targets.used.get(index) == Some(&true);
        let by_udp = targets.by_udp.contains(&index);
        note(found, upstream, used || by_udp, problems);
        // Those without a member, or with nothing that is counted, have been noted where that is written.
        if !upstream.members.is_empty() && (used || !by_udp) {
            let name = unlike(&mut names, upstream.name.clone(), upstream.half);
            pools.push(of_upstream(found, upstream, name, checks.get(&index).copied()));
        }
    }
    for (member, half) in targets.direct {
        let name = unlike(&mut names, member.address.to_string(), half);
        pools.push(of_address(name, member));
    }
    Ok(WrittenPools { pools })
}

/// What is passed to.
#[derive(Default)]
struct Targets {
    /// Upstreams that something is passed to.
    used: Vec<bool>,
    /// Upstreams that UDP is passed to.
    by_udp: HashSet<usize>,
    /// Upstreams by the block that passes to them.
    by_block: BTreeMap<usize, usize>,
    direct: Vec<(WrittenMember, Half)>,
    known: HashSet<MemberAddress>,
    /// The port that a host was first seen with: nginx takes it where none is written.
    ports: HashMap<(Half, Vec<u8>), u16>,
}

impl Targets {
    fn take(&mut self, found: &Found, reference: &Reference, problems: &mut Problems) -> Result<(), Problem> {
        let Reference { half, host, port, certainty, at, block, .. } = reference;
        let key = (*half, host.clone());
        let upstream = found.by_name.get(&key).copied();
        if found.udp.contains(block) {
            let message = "what is passed on here is UDP, which is not counted";
            problems.push(Problem::note("udp", at.clone(), message));
            if let Some(upstream) = upstream {
                self.by_udp.insert(upstream);
            }
            return Ok(());
        }
        if let Some(index) = upstream.filter(|_| port.is_none() || *certainty == Certainty::Guessed) {
            self.used.iter_mut().skip(index).take(1).for_each(|used| *used = true);
            self.by_block.insert(*block, index);
            return Ok(());
        }
        match certainty {
            Certainty::Guessed => return Ok(()),
            Certainty::Written if upstream.is_some() => {
                let message = "what is passed to is an upstream, which has no port";
                return Err(
                    Problem::error("upstream-with-port", at.clone(), message).hint("take the port away")
                );
            }
            Certainty::Written | Certainty::AtRunTime => {}
        }
        let port = port.or(reference.default_port).or_else(|| self.ports.get(&key).copied());
        let member = port
            .ok_or("is no upstream, and has no port")
            .and_then(|port| {
                self.ports.entry(key).or_insert(port);
                address(host, port)
            })
            .map(|address| WrittenMember::new(address, 1.0, at.clone()));
        match (member, certainty) {
            (Ok(member), _) => {
                if self.known.insert(member.address.clone()) {
                    self.direct.push((member, *half));
                }
            }
            (Err(what), Certainty::Written) => {
                let message = format!("what is passed to {what}");
                return Err(Problem::error("invalid-address", at.clone(), message)
                    .hint("write the name of an upstream, or host:port"));
            }
            (Err(what), _) => {
                let message = format!("what is passed to {what}, as far as it can be read");
                problems.push(
                    Problem::note("unresolvable-target", at.clone(), message)
                        .hint("if traffic goes there, say what is expected in a pools file"),
                );
            }
        }
        Ok(())
    }
}

/// The shortest interval of the health checks of each upstream.
fn checks(found: &Found, targets: &Targets) -> HashMap<usize, Duration> {
    let mut checks = HashMap::new();
    for check in &found.health_checks {
        if let Some(&index) = targets.by_block.get(&check.block) {
            let interval = checks.entry(index).or_insert(check.interval);
            *interval = check.interval.min(*interval);
        }
    }
    checks
}

/// What is worth knowing of an upstream as a whole.
fn note(found: &Found, upstream: &Upstream, used: bool, problems: &mut Problems) {
    let name = &upstream.name;
    if !used && !found.any_upstream[upstream.half as usize] {
        let message = format!("nothing passes to upstream {name:?}");
        problems.push(
            Problem::note("unused-upstream", upstream.lines.at.clone(), message)
                .hint("take it away if nothing should"),
        );
    }
    let limited = upstream.members.iter().find(|member| member.written.max_connections.is_some());
    if let (Some(member), false, true) = (limited, upstream.zone, found.workers != Some(1)) {
        let message = format!("`max_conns` counts in each worker apart, since upstream {name:?} has no zone");
        problems.push(
            Problem::note("max-conns-per-worker", member.written.at.clone(), message)
                .hint("add `zone NAME SIZE;` if it is meant for all workers together"),
        );
    }
}

fn of_upstream(found: &Found, upstream: &Upstream, name: String, check: Option<Duration>) -> WrittenPool {
    let check = check.or(upstream.check);
    let family = upstream.family.unwrap_or(found.families[upstream.half as usize]);
    let member = |member: &Member| {
        let Member { written, lines, resolves } = member;
        let name = matches!(written.address, MemberAddress::Host { .. });
        WrittenMember {
            vouched: found.vouches(lines),
            // Without `resolve` the host's resolver is asked, once.
            family: if *resolves { family } else { Family::Any },
            uses: if upstream.consistent && name { Uses::Divided } else { Uses::Every },
            checked: check.map(|_| true),
            max_connections: limit(found, upstream, written),
            ..written.clone()
        }
    };
    WrittenPool {
        name,
        balancer: Some("nginx".to_owned()),
        method: if upstream.sticky { Method::Hash } else { upstream.method },
        at: upstream.lines.at.clone(),
        members: upstream.members.iter().map(member).collect(),
        backups: Backups::All,
        health_check_interval: check,
        vouched: found.vouches(&upstream.lines),
        doubt: upstream.doubt.clone(),
    }
}

/// The most connections of all workers together; `None` too where it is not known how many workers there are.
fn limit(found: &Found, upstream: &Upstream, member: &WrittenMember) -> Option<u64> {
    let counted_by = if upstream.zone { Some(1) } else { found.workers };
    Some(member.max_connections?.saturating_mul(counted_by?.max(1)))
}

/// What is passed to an address or name goes round all of its addresses.
fn of_address(name: String, member: WrittenMember) -> WrittenPool {
    WrittenPool {
        name,
        balancer: Some("nginx".to_owned()),
        method: Method::RoundRobin,
        at: member.at.clone(),
        members: vec![member],
        backups: Backups::All,
        health_check_interval: None,
        vouched: false,
        doubt: None,
    }
}

/// A name that no other pool has.
fn unlike(names: &mut HashSet<String>, name: String, half: Half) -> String {
    let of_half = || (half == Half::Stream).then(|| format!("{name} (stream)"));
    let numbered = (2_usize..).map(|number| format!("{name} ({number})"));
    let mut candidates = std::iter::once(name.clone()).chain(of_half()).chain(numbered);
    candidates.find(|candidate| names.insert(candidate.clone())).unwrap_or_default()
}
