//! Members that take no more connections: why others get more than their share, in a note. It changes no
//! verdict: a limit that is always reached makes shares that nobody declared.

use super::MemberSample;
use std::net::SocketAddr;

/// Members that are named.
const NAMED: usize = 3;

/// Most connections that the balancer keeps to a member.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    pub(super) backend: SocketAddr,
    pub(super) connections: u64,
}

/// A note for each of the first members that hold as many connections as they may, and one for the rest. Both lists are
/// in the order of addresses.
pub(super) fn reached(limits: &[Limit], members: &[MemberSample]) -> Vec<String> {
    let held = |limit: &Limit| {
        let place = members.binary_search_by_key(&limit.backend, |member| member.backend).ok()?;
        let member = members.get(place)?;
        let stock = member.stock?;
        let held = stock.live.saturating_add(stock.pending);
        (limit.connections > 0 && held >= limit.connections).then_some((member, limit.connections, held))
    };
    let full: Vec<_> = limits.iter().filter_map(held).collect();
    let mut notes: Vec<String> = full
        .iter()
        .take(NAMED)
        .map(|(member, limit, held)| {
            format!(
                "{} holds {held} connections and has reached its limit of {limit}{}: what it cannot take goes to the \
                 others",
                member.backend,
                member.origin.in_brackets()
            )
        })
        .collect();
    match full.len().saturating_sub(NAMED) {
        0 => {}
        1 => notes.push("1 more member has reached its limit".into()),
        more => notes.push(format!("{more} more members have reached their limits")),
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::{Counters, Stock};
    use crate::pools::{Origin, Recorded};

    fn member(last: u8, live: u64, pending: u64) -> MemberSample {
        MemberSample {
            backend: SocketAddr::from(([10, 0, 0, last], 80)),
            weight: Some(1.0),
            decisions: 0,
            requests: None,
            delta: Counters::default(),
            total: Counters::default(),
            stock: Some(Stock { live, pending, ..Stock::default() }),
            exchanges: crate::pools::Exchanges::default(),
            total_exchanges: crate::pools::Exchanges::default(),
            recorded: Recorded::default(),
            origin: Origin::Written("nginx.conf:12".into()),
        }
    }

    fn limit(last: u8, connections: u64) -> Limit {
        Limit { backend: SocketAddr::from(([10, 0, 0, last], 80)), connections }
    }

    #[test]
    fn a_member_that_holds_as_many_as_it_may_is_named() {
        let limits = [limit(1, 100), limit(2, 100), limit(3, 0)];
        assert_eq!(reached(&limits, &[member(1, 90, 9), member(2, 99, 0), member(3, 7, 0)]), [""; 0]);
        assert_eq!(
            reached(&limits, &[member(1, 90, 10), member(2, 99, 0), member(3, 7, 0)]),
            [
                "10.0.0.1:80 holds 100 connections and has reached its limit of 100 (nginx.conf:12): what it cannot take \
              goes to the others"
            ]
        );
    }

    #[test]
    fn what_was_not_counted_has_reached_nothing() {
        let unknown = MemberSample { stock: None, ..member(1, 100, 0) };
        assert_eq!(reached(&[limit(1, 1), limit(9, 1)], &[unknown]), [""; 0]);
    }

    #[test]
    fn a_pool_of_many_names_a_few() {
        let notes = |count: u8| {
            let limits: Vec<Limit> = (0..count).map(|last| limit(last, 5)).collect();
            let members: Vec<MemberSample> = (0..count).map(|last| member(last, 5, 0)).collect();
            reached(&limits, &members)
        };
        assert_eq!(notes(3).len(), 3);
        assert_eq!(notes(4)[3], "1 more member has reached its limit");
        assert_eq!(
            (notes(200).len(), notes(200)[3].as_str()),
            (4, "197 more members have reached their limits")
        );
    }
}
