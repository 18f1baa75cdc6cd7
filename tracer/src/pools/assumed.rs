//! What may be assumed of a pool that nobody declared, from what its members got.

use super::MemberSample;
use super::health_checks::HealthChecks;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Connections of every member before a pool is told to be two.
const ENOUGH: u64 = 30;
/// Members of one pool differ by less than this factor.
const EVEN: f64 = 1.5;
/// Pools differ by at least this factor.
const APART: f64 = 3.0;
/// Addresses that a note names of each group.
const NAMED: usize = 4;

/// What the members got since the last of them came or went.
#[derive(Debug, Default)]
pub(super) struct Tally {
    decisions: BTreeMap<SocketAddr, u64>,
}

/// Takes the share of the members that get only health checks. Gives whether the pool can be judged on what is left,
/// and what to say about it.
pub(super) fn assume(
    checks: &HealthChecks,
    tally: &mut Tally,
    members: &mut [MemberSample],
) -> (bool, Vec<String>) {
    if members.len() > 1 && checks.only_checks() {
        return (false, vec!["not judged: only health checks seen".into()]);
    }
    let mut notes = Vec::new();
    for member in members.iter_mut().filter(|member| checks.is_left_out(member.backend)) {
        member.weight = Some(0.0);
        notes.push(format!(
            "{} gets only health checks: backup, drained or left out; declare the pool to have it judged",
            member.backend
        ));
    }
    tally.add(members);
    if let Some(groups) = tally.groups() {
        let named: Vec<String> = groups.iter().map(|group| listed(group)).collect();
        notes.push(format!(
            "may be {} pools on one port ({}); declare them",
            groups.len(),
            named.join(" / ")
        ));
        return (false, notes);
    }
    let spread = members.iter().filter(|member| member.weight != Some(0.0)).count();
    // One that gets everything while the others are backups is as it should be, and there is nothing to compare.
    (spread > 1, notes)
}

impl Tally {
    fn add(&mut self, members: &[MemberSample]) {
        let due = || members.iter().filter(|member| member.weight != Some(0.0));
        // A member that came later has got less for that alone.
        if !due().map(|member| &member.backend).eq(self.decisions.keys()) {
            self.decisions.clear();
        }
        for member in due() {
            *self.decisions.entry(member.backend).or_default() += member.decisions;
        }
    }

    /// Two or more groups of members, each even within and very unlike the others, the busiest first. A single odd
    /// member is no group: its weight is odd, or it is ill.
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    fn groups(&self) -> Option<Vec<Vec<SocketAddr>>> {
        let mut members: Vec<(u64, SocketAddr)> =
            self.decisions.iter().map(|(backend, count)| (*count, *backend)).collect();
        members.sort_by_key(|&(count, backend)| (std::cmp::Reverse(count), backend));
        if members.last().is_none_or(|&(least, _)| least < ENOUGH) {
            return None;
        }
        let mut groups: Vec<Vec<(u64, SocketAddr)>> = Vec::new();
        for member in members {
            match groups.last_mut() {
                Some(group) if group[0].0 as f64 <= EVEN * member.0 as f64 => group.push(member),
                _ => groups.push(vec![member]),
            }
        }
        let apart = groups.windows(2).all(|pair| {
            let least = pair[0].last().map_or(0, |member| member.0);
            least as f64 >= APART * pair[1][0].0 as f64
        });
        let several = groups.len() > 1 && groups.iter().all(|group| group.len() > 1);
        (several && apart).then(|| {
            let addresses = |mut group: Vec<(u64, SocketAddr)>| {
                group.sort_by_key(|member| member.1);
                group.into_iter().map(|member| member.1).collect()
            };
            groups.into_iter().map(addresses).collect()
        })
    }
}

fn listed(group: &[SocketAddr]) -> String {
    let mut named: Vec<String> = group.iter().take(NAMED).map(ToString::to_string).collect();
    if group.len() > NAMED {
        named.push("…".into());
    }
    named.join(", ")
}

#[cfg(test)]
#[path = "assumed_tests.rs"]
pub(super) mod tests;
