//! Which pools and members are shown, and in what order.

use super::share::{Measure, Share, shares};
use super::view::View;
use super::words;
use super::world::{Pool, World};
use crate::detect::Finding;
use std::cmp::Reverse;
use std::net::SocketAddr;

/// Order of the pools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum PoolOrder {
    #[default]
    Severity,
    Name,
    Traffic,
}

/// Order of a pool's members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum MemberOrder {
    #[default]
    Finding,
    Address,
    Share,
    Failures,
    Response,
}

impl PoolOrder {
    pub(super) const fn next(self) -> Self {
        match self {
            Self::Severity => Self::Name,
            Self::Name => Self::Traffic,
            Self::Traffic => Self::Severity,
        }
    }

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Severity => "severity",
            Self::Name => "name",
            Self::Traffic => "traffic",
        }
    }
}

impl MemberOrder {
    pub(super) const fn next(self) -> Self {
        match self {
            Self::Finding => Self::Address,
            Self::Address => Self::Share,
            Self::Share => Self::Failures,
            Self::Failures => Self::Response,
            Self::Response => Self::Finding,
        }
    }

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Finding => "finding",
            Self::Address => "address",
            Self::Share => "share",
            Self::Failures => "failures",
            Self::Response => "response",
        }
    }
}

/// The pools that are shown.
pub(super) fn pools<'a>(world: &'a World, view: &View) -> Vec<&'a Pool> {
    let mut pools: Vec<&Pool> = world.pools.iter().filter(|pool| is_shown(pool, &view.filter)).collect();
    match view.pool_order {
        // As the world has them.
        PoolOrder::Severity => {}
        PoolOrder::Name => pools.sort_by(|a, b| a.name.cmp(&b.name)),
        PoolOrder::Traffic => pools.sort_by(|a, b| {
            let rate = |pool: &Pool| pool.traffic().now().unwrap_or(-1.0);
            rate(b).total_cmp(&rate(a))
        }),
    }
    pools
}

/// Whether the filter lets a pool through: by its name, its balancer, its verdict or a member.
fn is_shown(pool: &Pool, filter: &str) -> bool {
    filter.is_empty()
        || is_named(pool, filter)
        || pool.judged.sample.members.iter().any(|member| has(member.backend, filter))
}

fn is_named(pool: &Pool, filter: &str) -> bool {
    let says = |text: &str| text.to_lowercase().contains(&filter.to_lowercase());
    says(&pool.name.pool)
        || pool.name.balancer.as_deref().is_some_and(says)
        || says(words::verdict(pool.verdict()))
        || pool.verdict().is_some_and(|verdict| says(verdict.as_str()))
}

fn has(backend: SocketAddr, filter: &str) -> bool {
    backend.to_string().contains(filter)
}

/// A member that is shown: its place in the pool's sample.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) member: usize,
    pub(super) share: Share,
}

/// A pool's members as they are shown, and the shares of all.
pub(super) struct Members {
    pub(super) rows: Vec<Row>,
    /// What a bar of full length means.
    pub(super) scale: f64,
}

/// The members of a pool that are shown.
pub(super) fn members(pool: &Pool, view: &View, measure: Measure) -> Members {
    let shares = shares(pool, measure);
    let scale = super::share::scale(&shares);
    let samples = &pool.judged.sample.members;
    // A filter that names the pool means all of it.
    let all = view.filter.is_empty() || is_named(pool, &view.filter);
    let rows = samples.iter().enumerate().filter(|(_, sample)| all || has(sample.backend, &view.filter));
    let mut rows: Vec<Row> = rows
        .map(|(member, _)| Row { member, share: shares.get(member).copied().unwrap_or_default() })
        .collect();
    match view.member_order {
        MemberOrder::Address => {}
        MemberOrder::Finding => rows.sort_by_cached_key(|row| severity(finding(pool, row.member), row.share)),
        MemberOrder::Share => rows.sort_by(|a, b| {
            let share = |row: &Row| row.share.observed.unwrap_or(-1.0);
            share(b).total_cmp(&share(a))
        }),
        MemberOrder::Failures => rows.sort_by_cached_key(|row| {
            let failures = pool.members.get(row.member).and_then(super::trend::Trend::failures);
            Reverse(
                failures
                    .map(|causes| causes.iter().fold(0_u64, |sum, (_, count)| sum.saturating_add(*count))),
            )
        }),
        MemberOrder::Response => rows.sort_by_cached_key(|row| {
            let times = pool.members.get(row.member).and_then(|trend| trend.exchanges().response_time);
            let median = times.and_then(|times| times.quantile(0.5));
            // Whole microseconds, so that they can be compared.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a minute at most")]
            Reverse(median.map(|seconds| (seconds * 1e6) as u64))
        }),
    }
    Members { rows, scale }
}

/// What is found of a member.
pub(super) fn finding(pool: &Pool, member: usize) -> Option<Finding> {
    pool.judged.assessment.as_ref()?.members.get(member)?.finding
}

/// Members with a finding first, of these the one that is furthest from its due; the others by address.
fn severity(finding: Option<Finding>, share: Share) -> (bool, Reverse<u64>) {
    let away = share.observed.unwrap_or(0.0) - share.expected.unwrap_or(0.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share in millionths")]
    let away = if finding.is_some() { (away.abs() * 1e6) as u64 } else { 0 };
    (finding.is_none(), Reverse(away))
}
