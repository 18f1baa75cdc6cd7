use super::*;
use crate::pools::{DeclaredMember, Method, PoolIdentity};
use Verdict::{BackendFailing, Balanced, InsufficientEvidence, Skewed, UnevenWeights};

fn judged(name: &str, balancer: Option<&str>, source: ExpectedSource, verdict: Option<Verdict>) -> Judged {
    let assessment = verdict.map(|verdict| Assessment {
        verdict,
        findings: Vec::new(),
        summary: String::new(),
        since_seconds: None,
        since_start: false,
        evidence: 0.0,
        needed: None,
        signal: crate::detect::Signal::Connections,
        members: Vec::new(),
    });
    let pool = PoolIdentity {
        name: name.into(),
        balancer: balancer.map(Into::into),
        source: "discovered".into(),
        expected_source: source,
        method: Method::RoundRobin,
        vouched: true,
        asked: true,
    };
    let (members, judged) = (Vec::new(), verdict.is_some());
    Judged { sample: PoolSample { pool, interval_seconds: 1.0, members, judged, note: None }, assessment }
}

fn declared(verdict: Verdict) -> Judged {
    judged("app", Some("nginx"), ExpectedSource::Declared, Some(verdict))
}

fn discovered(name: &str, verdict: Option<Verdict>) -> Judged {
    judged(name, Some("nginx"), ExpectedSource::Assumed, verdict)
}

/// The events of one interval after the other, each with the second it came in.
fn story(intervals: impl IntoIterator<Item = Vec<Judged>>) -> Vec<String> {
    let mut chronicle = Chronicle::default();
    let mut told = Vec::new();
    for (second, pools) in (0_u32..).zip(intervals) {
        let events = chronicle.take(f64::from(second), &pools, Some(&Uncounted::default()));
        told.extend(events.iter().map(|event| format!("{second} {}", short(&event.what))));
    }
    told
}

fn short(what: &What) -> String {
    let names = |names: &[PoolName]| names.iter().map(|name| name.pool.clone()).collect::<Vec<_>>().join(",");
    match what {
        What::Verdict { sample, assessment, previous } => {
            let (name, verdict) = (&sample.pool.name, assessment.verdict);
            format!("{name} {}->{verdict}", previous.map_or("", Verdict::as_str))
        }
        What::PoolsChanged(change) => format!("+{} -{}", names(&change.added), names(&change.removed)),
        other => format!("{other:?}"),
    }
}

fn verdicts(of: &[(Verdict, usize)]) -> Vec<String> {
    story(of.iter().flat_map(|&(verdict, times)| vec![vec![declared(verdict)]; times]))
}

#[test]
fn the_first_verdict_is_told_once_and_not_before_there_is_evidence() {
    assert_eq!(verdicts(&[(InsufficientEvidence, 100)]), [""; 0]);
    assert_eq!(verdicts(&[(InsufficientEvidence, 10), (Balanced, 100)]), ["12 app ->balanced"]);
    assert_eq!(verdicts(&[(Skewed, 2)]), [""; 0], "not before it has stood");
    assert_eq!(verdicts(&[(Skewed, 5)]), ["2 app ->skewed"]);
}

#[test]
fn a_change_that_stands_is_told_and_what_flickers_is_not() {
    assert_eq!(verdicts(&[(Balanced, 9), (Skewed, 9)]), ["2 app ->balanced", "11 app balanced->skewed"]);
    assert_eq!(verdicts(&[(Balanced, 9), (Skewed, 2), (Balanced, 9)]), ["2 app ->balanced"]);
    let failing = [(Balanced, 9), (Skewed, 2), (BackendFailing, 9)];
    assert_eq!(verdicts(&failing), ["2 app ->balanced", "13 app balanced->backend-failing"]);
    let vouched_for = [(UnevenWeights, 5), (Balanced, 5), (UnevenWeights, 5)];
    assert_eq!(
        verdicts(&vouched_for),
        ["2 app ->uneven-weights", "7 app uneven-weights->balanced", "12 app balanced->uneven-weights"]
    );
}

#[test]
fn a_finding_that_clears_is_told_and_little_evidence_after_balanced_is_not() {
    let cleared = [(Skewed, 5), (InsufficientEvidence, 9), (Balanced, 9)];
    assert_eq!(
        verdicts(&cleared),
        ["2 app ->skewed", "7 app skewed->insufficient-evidence", "16 app insufficient-evidence->balanced"]
    );
    let at_once = [(Skewed, 5), (InsufficientEvidence, 2), (Balanced, 9)];
    assert_eq!(verdicts(&at_once), ["2 app ->skewed", "9 app skewed->balanced"]);
    let night = [(Balanced, 5), (InsufficientEvidence, 99), (Balanced, 9), (Skewed, 3)];
    assert_eq!(verdicts(&night), ["2 app ->balanced", "115 app balanced->skewed"]);
}

#[test]
fn pools_that_are_seen_appear_and_disappear_together_and_what_is_declared_or_only_listed_does_not() {
    let some = |names: &[&str]| -> Vec<Judged> {
        let seen = names.iter().map(|name| discovered(name, Some(InsufficientEvidence)));
        let others = [declared(InsufficientEvidence), discovered("curl", None)];
        seen.chain(others).collect()
    };
    let told = story([some(&["a", "b"]), some(&["a", "b"]), some(&["b", "c"]), some(&["c"]), Vec::new()]);
    assert_eq!(told, ["0 +a,b -", "2 +c -a", "3 + -b", "4 + -c"]);
    // One that is listed for a while is still there.
    let listed = [Some(Balanced), None, Some(Balanced)].map(|verdict| vec![discovered("a", verdict)]);
    assert_eq!(story(listed), ["0 +a -"]);
}

#[test]
fn a_declared_pool_whose_balancer_is_seen_at_last_is_the_same_pool() {
    let unseen = judged("app", None, ExpectedSource::Declared, Some(InsufficientEvidence));
    let told =
        story([vec![unseen], vec![declared(Balanced)], vec![declared(Balanced)], vec![declared(Balanced)]]);
    assert_eq!(told, ["3 app ->balanced"]);
}

#[test]
fn what_is_not_counted_is_told_at_most_once_a_minute() {
    let mut chronicle = Chronicle::default();
    let mut told = Vec::new();
    for second in 0_u32..200 {
        let total = Uncounted {
            backends: u64::from(second >= 5),
            recursion_misses: u64::from(second.clamp(4, 150)),
            ..Uncounted::default()
        };
        for event in chronicle.take(f64::from(second), &[], Some(&total)) {
            let What::Uncounted { total, grew } = event.what else { panic!("{event:?}") };
            told.push((second, total.recursion_misses, grew));
        }
    }
    let (misses, both) = (vec!["recursion_misses"], vec!["backends", "recursion_misses"]);
    assert_eq!(
        told,
        [(0, 4, misses.clone()), (60, 60, both), (120, 120, misses.clone()), (180, 150, misses)]
    );
}

#[test]
fn declarations_are_compared_by_name_wherever_they_are_written() {
    let pool = |name: &str, weight: f64, line: usize| DeclaredPool {
        source: format!("pools.toml:{line}"),
        members: vec![DeclaredMember::new("10.0.0.1:80".parse().unwrap(), weight)],
        ..DeclaredPool::named(name, Method::RoundRobin)
    };
    let before = [pool("a", 1.0, 1), pool("b", 1.0, 2), pool("c", 1.0, 3)];
    let now = [pool("d", 1.0, 1), pool("a", 1.0, 2), pool("b", 2.0, 3)];
    let change = PoolsChanged::between(Cause::Reload, &before, &now);
    let names = |names: &[PoolName]| names.iter().map(|name| name.pool.clone()).collect::<Vec<_>>().join(",");
    assert_eq!([&change.added, &change.removed, &change.changed].map(|list| names(list)), ["d", "c", "b"]);
    assert!(PoolsChanged::between(Cause::Reload, &before, &before).is_empty());
}
