//! What may be assumed of a pool that nobody declared, from what its members got.

use super::MemberSample;
use super::health_checks::HealthChecks;

/// Takes the share of the members that get only health checks. Gives whether the pool can be judged on what is left,
/// and what to say about it.
pub(super) fn assume(checks: &HealthChecks, members: &mut [MemberSample]) -> (bool, Vec<String>) {
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
    let spread = members.iter().filter(|member| member.weight != Some(0.0)).count();
    // One that gets everything while the others are backups is as it should be, and there is nothing to compare.
    (spread > 1, notes)
}

#[cfg(test)]
#[path = "assumed_tests.rs"]
mod tests;
