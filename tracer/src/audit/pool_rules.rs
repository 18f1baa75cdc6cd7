//! What one pool says of itself.

use crate::imports::Problem;
use crate::input::Place;
use crate::pools::{
    MemberAddress, Method, Names, OutOfLine, Role, Uses, WrittenMember, WrittenPool, far_below, out_of_line,
};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// With fewer members than this, hashing leaves large steps when one goes.
const FEW_TO_HASH: usize = 4;

/// Part of a limit from which on the next peak reaches it, percent.
const LIMIT_NEAR_PERCENT: u64 = 80;

type Rule = fn(&WrittenPool) -> Vec<Problem>;

const RULES: [Rule; 8] = [
    weights_out_of_line,
    nothing_gets_traffic,
    drained,
    duplicate_members,
    single_member,
    backup_never_used,
    few_to_hash,
    unchecked_servers,
];

/// Every problem of a pool.
pub(super) fn all(pool: &WrittenPool, names: Option<&Names>) -> Vec<Problem> {
    let mut problems: Vec<Problem> = RULES.iter().flat_map(|rule| rule(pool)).collect();
    problems.extend(names.into_iter().flat_map(|names| unresolved(pool, names)));
    problems
}

fn active(pool: &WrittenPool) -> impl Iterator<Item = &WrittenMember> {
    pool.members.iter().filter(|member| member.role == Role::Active && member.weight > 0.0)
}

/// What a member is called in a message.
fn called(member: &WrittenMember) -> String {
    match &member.name {
        Some(name) => format!("{name} ({})", member.address),
        None => member.address.to_string(),
    }
}

fn weights_out_of_line(pool: &WrittenPool) -> Vec<Problem> {
    let typed = pool.typed();
    let found =
        if out_of_line(&typed).is_empty() && !pool.vouched { far_below(&typed) } else { pool.out_of_line() };
    let alone = typed.iter().filter(|weight| **weight > 0.0).count() == 2;
    let problem = |one: OutOfLine| {
        let member = &pool.members[one.index];
        let (name, weight) = (called(member), member.weight);
        let rest = if alone { "the other has" } else { "the others have about" };
        Problem::warning(
            "weight-out-of-line",
            member.at.clone(),
            format!("{name} has weight {weight} in pool {}, where {rest} {}", pool.name, one.others),
        )
        .hint("correct the weight, or write \"# tracer: intended\" on this line")
    };
    found.into_iter().filter(|one| !pool.members[one.index].vouched).map(problem).collect()
}

fn nothing_gets_traffic(pool: &WrittenPool) -> Vec<Problem> {
    if pool.members.is_empty() || pool.members.iter().any(takes_traffic) {
        return Vec::new();
    }
    let message =
        format!("no member of pool {} can get traffic: every one is down or has weight 0", pool.name);
    vec![
        Problem::error("nothing-gets-traffic", pool.at.clone(), message)
            .hint("enable a member, or remove the pool"),
    ]
}

fn takes_traffic(member: &WrittenMember) -> bool {
    member.role != Role::Down && member.weight > 0.0
}

fn drained(pool: &WrittenPool) -> Vec<Problem> {
    let out = pool
        .members
        .iter()
        .filter(|member| member.role == Role::Down || (member.role == Role::Active && member.weight <= 0.0));
    let problem = |member: &WrittenMember| {
        let why = if member.role == Role::Down { "is down, disabled or drained" } else { "has weight 0" };
        let message = format!("{} {why} and gets no traffic of pool {}", called(member), pool.name);
        Problem::note("drained-member", member.at.clone(), message)
            .hint("bring it back, or remove it once it is gone for good")
    };
    out.map(problem).collect()
}

fn duplicate_members(pool: &WrittenPool) -> Vec<Problem> {
    let mut first: BTreeMap<&MemberAddress, &Place> = BTreeMap::new();
    let mut problems = Vec::new();
    for member in &pool.members {
        match first.get(&member.address) {
            None => {
                first.insert(&member.address, &member.at);
            }
            // Two servers with one name may well get two of its addresses.
            Some(_) if member.uses == Uses::One && matches!(member.address, MemberAddress::Host { .. }) => {}
            Some(place) => problems.push(
                Problem::warning(
                    "duplicate-member",
                    member.at.clone(),
                    format!("{} is already in pool {}, at {place}", member.address, pool.name),
                )
                .hint("remove one: it gets both their shares"),
            ),
        }
    }
    problems
}

fn single_member(pool: &WrittenPool) -> Vec<Problem> {
    match pool.members.as_slice() {
        [only] if matches!(only.address, MemberAddress::Ip(_)) => vec![Problem::note(
            "single-member",
            pool.at.clone(),
            format!(
                "pool {} has one member, {}: nothing is spread and nothing stands in for it",
                pool.name, only.address
            ),
        )],
        _ => Vec::new(),
    }
}

fn backup_never_used(pool: &WrittenPool) -> Vec<Problem> {
    let backups: Vec<&WrittenMember> =
        pool.members.iter().filter(|member| member.role == Role::Backup).collect();
    let never_down = active(pool).count() > 0 && active(pool).all(|member| member.checked == Some(false));
    let problem = |backup: &&WrittenMember| {
        let (why, hint) = if backup.weight <= 0.0 {
            ("its weight is 0", "give it a weight")
        } else if never_down {
            ("the active servers have no check, so that they never count as down", how_to_check(pool))
        } else {
            return None;
        };
        let message = format!("{} can never stand in as a backup: {why}", called(backup));
        Some(Problem::warning("unusable-backup", backup.at.clone(), message).hint(hint))
    };
    backups.iter().filter_map(problem).collect()
}

fn how_to_check(pool: &WrittenPool) -> &'static str {
    match pool.balancer.as_deref() {
        Some("haproxy") => "add \"check\" to its server lines",
        Some("envoy") => "add `health_checks` or `outlier_detection` to the cluster",
        _ => "have them checked",
    }
}

fn few_to_hash(pool: &WrittenPool) -> Vec<Problem> {
    let members = active(pool).count();
    if pool.method != Method::Hash || !(2..FEW_TO_HASH).contains(&members) {
        return Vec::new();
    }
    let message = format!(
        "pool {} hashes over {members} members: a few heavy clients on one of them make it uneven, and one that fails \
         moves a {} of all clients",
        pool.name,
        if members == 2 { "half" } else { "third" }
    );
    vec![Problem::note("few-members-to-hash", pool.at.clone(), message)]
}

fn unchecked_servers(pool: &WrittenPool) -> Vec<Problem> {
    let known = || pool.members.iter().filter(|member| member.checked.is_some());
    let unchecked: Vec<&WrittenMember> = known().filter(|member| member.checked == Some(false)).collect();
    let all = known().count();
    let Some(first) = unchecked.first() else { return Vec::new() };
    let hint = format!("{}, so that a server that is down gets nothing", how_to_check(pool));
    if unchecked.len() == all {
        let message = format!("no server of pool {} has a health check", pool.name);
        return vec![Problem::note("unchecked-servers", pool.at.clone(), message).hint(hint)];
    }
    let others =
        if unchecked.len() > 1 { format!(" and {} more", unchecked.len() - 1) } else { String::new() };
    let message = format!(
        "{}{others} in pool {} without a health check, while {} of {all} are checked",
        called(first),
        pool.name,
        all - unchecked.len()
    );
    vec![Problem::warning("unchecked-servers", first.at.clone(), message).hint(hint)]
}

/// Limits that the connections of this moment come near.
pub(super) fn limits(
    pools: &[WrittenPool],
    established: &BTreeMap<SocketAddr, u64>,
    names: Option<&Names>,
) -> Vec<Problem> {
    let members = || pools.iter().flat_map(|pool| &pool.members);
    let mut listed: BTreeMap<SocketAddr, usize> = BTreeMap::new();
    for address in members().flat_map(|member| addresses(member, names)) {
        *listed.entry(address).or_default() += 1;
    }
    // Whose connections they are cannot be told where an address is listed twice.
    let now =
        |address: &SocketAddr| established.get(address).copied().filter(|_| listed.get(address) == Some(&1));
    let problem = |member: &WrittenMember| {
        let most = member.max_connections?;
        let now = addresses(member, names).iter().filter_map(now).max()?;
        let is_near = now.saturating_mul(100) >= most.saturating_mul(LIMIT_NEAR_PERCENT);
        let message = format!("{} has {now} connections now, and its limit is {most}", called(member));
        is_near.then(|| {
            Problem::warning("limit-near", member.at.clone(), message)
                .hint("raise the limit: what it cannot take goes to the others, or waits")
        })
    };
    members().filter_map(problem).collect()
}

/// Where a member is, as far as that is known; a limit is for each of a name's addresses.
fn addresses(member: &WrittenMember, names: Option<&Names>) -> Vec<SocketAddr> {
    match &member.address {
        MemberAddress::Ip(address) => vec![*address],
        MemberAddress::Host { name, port } => {
            let known = names.into_iter().flat_map(|names| names.addresses(name));
            known.map(|ip| SocketAddr::new(ip, *port)).collect()
        }
    }
}

fn unresolved(pool: &WrittenPool, names: &Names) -> Vec<Problem> {
    let problem = |member: &WrittenMember| {
        let MemberAddress::Host { name, .. } = &member.address else { return None };
        let problem = names.problem(name)?;
        Some(Problem::error("unresolved-name", member.at.clone(), problem))
    };
    pool.members.iter().filter_map(problem).collect()
}
