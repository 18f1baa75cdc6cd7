use super::*;
use crate::pools::{Backups, Method, Role, WrittenMember, parse_address};
use proptest::prelude::*;

fn place(line: usize) -> Place {
    Place { file: "balancer.conf".into(), line, column: 5 }
}

/// Member `number` on line `number` with this weight.
fn member(number: usize, weight: f64) -> WrittenMember {
    let address = parse_address(&format!("10.0.0.{number}:80")).unwrap();
    WrittenMember::new(address, weight, place(number))
}

fn pool(name: &str, members: Vec<WrittenMember>) -> WrittenPool {
    WrittenPool {
        name: name.into(),
        balancer: Some("haproxy".into()),
        method: Method::RoundRobin,
        at: place(100),
        members,
        backups: Backups::All,
        health_check_interval: None,
        vouched: false,
        doubt: None,
    }
}

fn weights(weights: &[f64]) -> WrittenPool {
    pool("app", (1..).zip(weights).map(|(number, &weight)| member(number, weight)).collect())
}

fn of(pools: &WrittenPools) -> Audited<'_> {
    Audited { pools, established: None }
}

/// `code:line` of each problem.
fn found(pools: &[WrittenPool]) -> Vec<String> {
    let origin = WrittenPools { pools: pools.to_vec() };
    let shown = |problem: &Problem| format!("{} {}:{}", problem.severity, problem.code, problem.at.line);
    audit(&[of(&origin)], None).iter().map(shown).collect()
}

#[test]
fn problems_are_bounded_and_errors_come_first() {
    let lonely = |number: usize| {
        let mut one = weights(&[1.0]);
        one.name = format!("app{number}");
        one.at.line = number;
        one
    };
    let mut pools: Vec<_> = (0..3_000).map(lonely).collect();
    let all = found(&pools);
    assert_eq!(all.len(), 1_001);
    assert!(all[1_000].starts_with("note more-problems"), "{}", all[1_000]);
    pools.push(weights(&[0.0, 0.0]));
    assert!(found(&pools)[0].starts_with("error"), "{}", found(&pools)[0]);
}

#[test]
fn a_weight_out_of_line_is_told_once() {
    for (given, expected) in [
        (&[5.0, 5.0, 50.0, 5.0][..], &["warning weight-out-of-line:3"][..]),
        (&[10.0, 10.0, 1.0, 10.0], &["warning weight-out-of-line:3"]),
        (&[1.0, 3.0], &["warning weight-out-of-line:2"]),
        (&[1.0, 2.0], &[]),
        (&[5.0, 5.0, 5.0], &[]),
        (&[50.0, 5.0, 5.0, 50.0], &["warning weight-out-of-line:1", "warning weight-out-of-line:4"]),
        (&[50.0, 50.0, 5.0, 5.0, 50.0], &["warning weight-out-of-line:3", "warning weight-out-of-line:4"]),
        (&[7.0], &["note single-member:100"]),
        (&[1.0, 100.0, 0.0], &["warning weight-out-of-line:2", "note drained-member:3"]),
    ] {
        assert_eq!(found(&[weights(given)]), expected, "{given:?}");
    }
}

#[test]
fn who_vouches_is_not_asked_again() {
    let mut one = weights(&[5.0, 5.0, 50.0]);
    one.members[2].vouched = true;
    assert_eq!(found(&[one]), [""; 0], "on the member's line");
    let mut all = weights(&[5.0, 5.0, 50.0]);
    all.vouched = true;
    assert_eq!(found(&[all]), [""; 0], "on the pool's line");
    let mut another = weights(&[5.0, 5.0, 50.0, 5.0, 40.0]);
    another.members[2].vouched = true;
    assert_eq!(found(&[another]), ["warning weight-out-of-line:5"], "for itself alone");
    let mut drained = weights(&[5.0, 5.0, 0.0]);
    drained.members[2].vouched = true;
    assert_eq!(found(&[drained]), [""; 0]);
    let mut down = weights(&[0.0, 0.0]);
    down.vouched = true;
    assert!(found(&[down]).contains(&"error nothing-gets-traffic:100".into()), "an error stays one");
}

#[test]
fn a_pool_that_nobody_can_serve_is_an_error() {
    let mut all_down = weights(&[1.0, 1.0]);
    all_down.members.iter_mut().for_each(|member| member.role = Role::Down);
    assert_eq!(
        found(&[all_down]),
        ["error nothing-gets-traffic:100", "note drained-member:1", "note drained-member:2"]
    );
    let mut backup = weights(&[1.0, 1.0]);
    backup.members[0].role = Role::Down;
    backup.members[1].role = Role::Backup;
    assert_eq!(found(&[backup]), ["note drained-member:1"], "the backup serves");
}

#[test]
fn a_backup_that_can_never_stand_in_is_told() {
    let with = |checked, weight| {
        let mut pool = weights(&[1.0, 1.0, weight]);
        pool.members.iter_mut().for_each(|member| member.checked = checked);
        pool.members[2].role = Role::Backup;
        found(&[pool])
    };
    assert_eq!(with(None, 1.0), [""; 0]);
    assert_eq!(with(Some(true), 1.0), [""; 0]);
    assert_eq!(with(Some(true), 0.0), ["warning unusable-backup:3"]);
    assert_eq!(with(Some(false), 1.0), ["warning unusable-backup:3", "note unchecked-servers:100"]);
}

#[test]
fn servers_without_a_check_among_others_are_told() {
    let mut pool = weights(&[1.0, 1.0, 1.0]);
    pool.members.iter_mut().for_each(|member| member.checked = Some(true));
    assert_eq!(found(&[pool.clone()]), [""; 0]);
    pool.members[1].checked = Some(false);
    assert_eq!(found(&[pool]), ["warning unchecked-servers:2"]);
}

#[test]
fn members_that_are_there_twice_are_told() {
    let twice =
        pool("app", vec![member(1, 1.0), member(2, 1.0), WrittenMember { at: place(9), ..member(1, 1.0) }]);
    assert_eq!(found(&[twice]), ["warning duplicate-member:9"]);
    let one = pool("one", vec![member(1, 1.0), member(2, 1.0)]);
    let other = pool("two", vec![member(2, 1.0), member(3, 1.0)]);
    assert_eq!(found(&[one.clone(), other.clone()]), ["note shared-address:2"]);
    let apart = [WrittenPools { pools: vec![one] }, WrittenPools { pools: vec![other] }];
    assert_eq!(audit(&[of(&apart[0]), of(&apart[1])], None), [], "of two balancers");
}

#[test]
fn a_server_that_is_another_machine_elsewhere_is_told() {
    let named = |number: usize, name: &str| WrittenMember { name: Some(name.into()), ..member(number, 1.0) };
    let pools = |third: usize| {
        [
            pool("a", vec![named(1, "web1"), named(2, "web2")]),
            pool("b", vec![named(1, "web1"), named(2, "web2")]),
            pool("c", vec![named(third, "web1"), named(2, "web2")]),
        ]
    };
    assert!(!found(&pools(1)).iter().any(|found| found.contains("unlike-addresses")));
    assert!(found(&pools(7)).contains(&"warning unlike-addresses:7".into()));
    let first_of_each =
        [pool("a", vec![named(1, "s1"), named(2, "s2")]), pool("b", vec![named(3, "s1"), named(4, "s2")])];
    assert!(found(&first_of_each).iter().all(|found| found.starts_with("note unlike-addresses")));
}

#[test]
fn a_limit_that_traffic_comes_near_is_told() {
    let mut pool = weights(&[1.0, 1.0, 1.0]);
    pool.members[0].max_connections = Some(100);
    pool.members[1].max_connections = Some(100);
    let pools = WrittenPools { pools: vec![pool] };
    let address = |number: usize| format!("10.0.0.{number}:80").parse().unwrap();
    let established = BTreeMap::from([(address(1), 79), (address(2), 80), (address(3), 1_000)]);
    let problems = audit(&[Audited { pools: &pools, established: Some(&established) }], None);
    let codes: Vec<_> = problems.iter().map(|problem| (problem.code, problem.at.line)).collect();
    assert_eq!(codes, [("limit-near", 2)]);
}

#[test]
fn a_limit_is_compared_with_what_is_surely_its_own() {
    let limited = |address: &str, line| WrittenMember {
        max_connections: Some(100),
        ..WrittenMember::new(parse_address(address).unwrap(), 1.0, place(line))
    };
    let one = pool("one", vec![limited("10.0.0.1:80", 1), limited("app.example:80", 2)]);
    let other = pool("two", vec![member(1, 1.0), member(3, 1.0)]);
    let pools = WrittenPools { pools: vec![one, other] };
    let established = [("10.0.0.1:80", 99), ("10.0.0.7:80", 10), ("10.0.0.8:80", 90)];
    let established = established.map(|(address, count)| (address.parse().unwrap(), count)).into();
    let near = |names: Option<&Names>| -> Vec<usize> {
        let audited = Audited { pools: &pools, established: Some(&established) };
        let problems = audit(&[audited], names).into_iter().filter(|problem| problem.code == "limit-near");
        problems.map(|problem| problem.at.line).collect()
    };
    assert_eq!(near(None), [0; 0], "in two pools, and a name that nobody resolved");
    let mut names = Names::default();
    let known = ["10.0.0.7", "10.0.0.8"].map(|ip| ip.parse().unwrap());
    names.take([("app.example".to_owned(), Ok(known.into_iter().collect()))].into());
    assert_eq!(near(Some(&names)), [2]);
}

#[test]
fn a_hint_is_in_the_words_of_the_balancer() {
    for (balancer, word) in [("haproxy", "\"check\""), ("envoy", "health_checks"), ("nginx", "have them")] {
        let mut pool = weights(&[1.0, 1.0]);
        pool.members.iter_mut().for_each(|member| member.checked = Some(false));
        pool.balancer = Some(balancer.into());
        let pools = WrittenPools { pools: vec![pool] };
        let problems = audit(&[of(&pools)], None);
        assert!(problems[0].hint.as_ref().unwrap().contains(word), "{problems:?}");
    }
}

#[test]
fn hashing_over_few_is_a_note() {
    for (count, expected) in [(2, 1), (3, 1), (4, 0)] {
        let hashed = WrittenPool { method: Method::Hash, ..weights(&vec![1.0; count]) };
        assert_eq!(found(&[hashed]).len(), expected, "{count}");
    }
}

#[test]
fn names_are_a_problem_only_when_somebody_asked_for_them() {
    let address = parse_address("app.example:80").unwrap();
    let named = WrittenPools {
        pools: vec![pool("app", vec![WrittenMember::new(address, 1.0, place(4)), member(2, 1.0)])],
    };
    assert_eq!(audit(&[of(&named)], None), []);
    let mut names = Names::default();
    names.take([("app.example".to_owned(), Err("does not resolve: not known".to_owned()))].into());
    let problems = audit(&[of(&named)], Some(&names));
    assert_eq!((problems[0].code, problems[0].at.line), ("unresolved-name", 4));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn equal_weights_are_in_line_and_order_makes_no_difference(
        weight in 1.0..256.0_f64,
        odd in 1.0..256.0_f64,
        count in 3_usize..20,
        at in 0_usize..20,
    ) {
        prop_assert!(found(&[weights(&vec![weight; count])]).is_empty());
        let mut given = vec![weight; count];
        given[at % count] = odd;
        let out = odd >= 3.0 * weight || odd * 3.0 <= weight;
        let expected: Vec<String> =
            out.then(|| format!("warning weight-out-of-line:{}", at % count + 1)).into_iter().collect();
        prop_assert_eq!(found(&[weights(&given)]), expected);
    }
}
