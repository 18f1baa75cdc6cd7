//! Long runs of correct set-ups: nothing is found in them.

use super::balancer::Pool;
use crate::detect::Verdict;

/// Runs a healthy pool for some hours; episodes of findings.
fn episodes(name: &str, pool: &mut Pool, hours: u32) -> u32 {
    let (mut count, mut before, mut said, mut changes) = (0, false, Vec::new(), 0);
    let mut last = Verdict::InsufficientEvidence;
    for _ in 0..hours * 3600 {
        let assessment = pool.step();
        let finding = assessment.verdict.is_finding();
        if finding && !before {
            count += 1;
            said.push(format!("  tick {}: {} {}", pool.tick, assessment.verdict, assessment.summary));
        }
        changes += u32::from(assessment.verdict != last);
        last = assessment.verdict;
        before = finding;
    }
    println!("{name}: {count} in {hours} h, {changes} changes of verdict, at last {last}");
    said.iter().take(5).for_each(|line| println!("{line}"));
    count
}

#[test]
fn healthy_pools_have_no_findings_for_hours() {
    let mut count = 0;
    for round_robin in [true, false] {
        for (members, rate, hours) in
            [(4, 1.0, 8), (4, 20.0, 8), (4, 200.0, 2), (2, 20.0, 4), (20, 50.0, 4), (50, 200.0, 1)]
        {
            let mut pool = Pool::new(members, rate, round_robin, 17);
            count += episodes(
                &format!("round robin {round_robin}, {members} members, {rate}/s"),
                &mut pool,
                hours,
            );
        }
    }
    let mut weighted = Pool::new(4, 50.0, true, 17);
    weighted.actual = vec![8.0, 4.0, 2.0, 1.0];
    weighted.declared = weighted.actual.iter().map(|weight| Some(*weight)).collect();
    count += episodes("round robin 8:4:2:1, 50/s", &mut weighted, 4);
    assert_eq!(count, 0);
}
