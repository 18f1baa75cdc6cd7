//! What `tracer audit` found: the noun that text and JSON are made of.

use crate::imports::{Problem, Severity, SourceFile};
use crate::pools::{MemberAddress, Names, Role, WrittenMember, WrittenPool, WrittenPools};
use std::net::IpAddr;

/// An audit of all that was named or found.
#[derive(Debug, Default)]
pub struct AuditReport {
    /// A configuration each.
    pub origins: Vec<AuditedOrigin>,
    /// By severity, then by place.
    pub problems: Vec<Problem>,
    /// What the resolver says; `None`: nobody asked it.
    pub names: Option<Names>,
}

/// A configuration.
#[derive(Debug, Default)]
pub struct AuditedOrigin {
    /// What it is: `nginx`, `haproxy`, `envoy`, `pools file`.
    pub kind: &'static str,
    /// The files that were named, or found.
    pub named: Vec<String>,
    /// The process that runs with it, when that is how it was found.
    pub pid: Option<u32>,
    /// Everything that was read.
    pub files: Vec<SourceFile>,
    /// The pools; none when it could not be read.
    pub pools: WrittenPools,
    /// Whether it could be read.
    pub readable: bool,
}

impl AuditReport {
    /// How many problems are of this severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.problems.iter().filter(|problem| problem.severity == severity).count()
    }
}

/// What each member should get of new connections; `None` when that is not known.
pub(super) fn expected_shares(pool: &WrittenPool) -> Vec<Option<f64>> {
    let due = pool.due();
    let sum: f64 = due.iter().sum();
    let share = |due: f64| if sum > 0.0 { due / sum } else { 0.0 };
    due.into_iter().map(|due| pool.doubt.is_none().then(|| share(due))).collect()
}

/// What the name of a member resolves to; `None` when it is an address, or nobody asked.
pub(super) fn addresses(member: &WrittenMember, names: Option<&Names>) -> Option<Vec<IpAddr>> {
    match (&member.address, names) {
        (MemberAddress::Host { name, .. }, Some(names)) => Some(names.addresses(name).collect()),
        _ => None,
    }
}

/// What a member is for, in JSON and on the screen.
pub(super) const fn role(role: Role) -> &'static str {
    match role {
        Role::Active => "active",
        Role::Backup => "backup",
        Role::Down => "down",
    }
}
