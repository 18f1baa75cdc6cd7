use super::*;
use crate::collect::{BackendSample, Balancer, Counters, Stock};
use crate::pools::{BackendRange, DeclaredMember, Names, parse_pools_file};
use proptest::prelude::*;
use std::fmt::Write as _;
use std::sync::Arc;

fn declared(text: &str) -> Vec<DeclaredPool> {
    let file = parse_pools_file("pools.toml", text.as_bytes()).unwrap();
    file.resolve(&Names::default(), true).pools
}

fn pool(name: &str, balancer: Option<&str>, members: &[(&str, f64)]) -> DeclaredPool {
    let members = members
        .iter()
        .map(|(address, weight)| DeclaredMember::new(address.parse().unwrap(), *weight))
        .collect();
    DeclaredPool {
        balancer: balancer.map(Into::into),
        source: "pools.toml:1".into(),
        members,
        ..DeclaredPool::named(name, Method::default())
    }
}

fn balancer(command: &str, unit: &str, listens: Option<bool>) -> Arc<Balancer> {
    Arc::new(Balancer {
        command: command.into(),
        cgroup: Some(format!("/system.slice/{unit}.service")),
        netns: 1,
        first_pid: 1,
        listens,
    })
}

fn seen(balancer: &Arc<Balancer>, backend: &str, attempts: u64) -> BackendSample {
    let counters = Counters { attempts, ..Counters::default() };
    BackendSample {
        balancer: Arc::clone(balancer),
        backend: backend.parse().unwrap(),
        delta: counters.clone(),
        total: counters,
        stock: Some(Stock::default()),
    }
}

fn sample(backends: Vec<BackendSample>) -> Sample {
    Sample { time_seconds: 1.0, interval_seconds: 1.0, backends, ..Sample::default() }
}

/// One line per pool: name, balancer, judged or listed, then backend=weight:decisions.
fn shown(pools: &[PoolSample]) -> Vec<String> {
    pools
        .iter()
        .map(|pool| {
            let balancer = pool.pool.balancer.as_deref().unwrap_or("-");
            let judged = if pool.judged { "judged" } else { "listed" };
            let mut line = format!("{} {balancer} {judged}", pool.pool.name);
            for member in &pool.members {
                let weight = member.weight.map_or("?".into(), |weight| weight.to_string());
                write!(line, " {}={weight}:{}", member.backend, member.decisions).unwrap();
            }
            line
        })
        .collect()
}

#[test]
fn without_declarations_everything_is_discovered() {
    let nginx = balancer("nginx", "nginx", None);
    let apt = balancer("apt", "apt", Some(false));
    let mine = balancer("mine", "mine", Some(true));
    let mut pools = Pools::new(Vec::new(), Filter::default());
    let found = pools.group(&sample(vec![
        seen(&nginx, "10.0.0.2:80", 5),
        seen(&nginx, "10.0.0.1:80", 4),
        seen(&nginx, "10.0.0.1:81", 1),
        seen(&apt, "192.0.2.1:80", 1),
        seen(&apt, "192.0.2.2:80", 1),
        seen(&mine, "10.0.0.1:80", 1),
        seen(&mine, "[::ffff:10.0.0.2]:80", 1),
    ]));
    assert_eq!(
        shown(&found),
        [
            "apt:80 apt listed 192.0.2.1:80=1:1 192.0.2.2:80=1:1",
            "mine:80 mine listed 10.0.0.1:80=1:1 10.0.0.2:80=1:1",
            "nginx:80 nginx judged 10.0.0.1:80=1:4 10.0.0.2:80=1:5",
            "nginx:81 nginx listed 10.0.0.1:81=1:1",
        ]
    );
    let unknown = "not a known proxy: select it with --balancer to have it judged";
    assert_eq!([&found[0].note, &found[1].note], [&Some(unknown.into()), &Some(unknown.into())]);
    assert_eq!(found[3].note.as_deref(), Some("one backend: nothing to spread"));
    assert_eq!(found[0].pool.expected_source, ExpectedSource::Assumed);
    assert_eq!(found[0].pool.source, "discovered");
    let later = pools.group(&sample(vec![seen(&nginx, "10.0.0.1:80", 4)]));
    assert_eq!(later.len(), 4, "members stay");
    assert_eq!(shown(&later)[2], "nginx:80 nginx judged 10.0.0.1:80=1:4 10.0.0.2:80=1:0");
}

#[test]
fn who_listens_and_calls_three_or_more_is_judged() {
    let mine = balancer("mine", "mine", Some(true));
    let three = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"].map(|to| seen(&mine, to, 5)).to_vec();
    let found = Pools::new(Vec::new(), Filter::default()).group(&sample(three));
    assert!(found[0].judged && found[0].note.is_none());
}

#[test]
fn who_only_holds_old_connections_does_not_outrank_who_connects() {
    let app = || pool("app", None, &[("10.0.0.1:80", 1.0), ("10.0.0.2:80", 1.0)]);
    let holder = balancer("agent", "agent", Some(true));
    let worker = balancer("worker", "worker", Some(false));
    let both = |held| {
        sample(vec![
            seen(&holder, "10.0.0.1:80", held),
            seen(&worker, "10.0.0.1:80", 9),
            seen(&worker, "10.0.0.2:80", 9),
        ])
    };
    let judged = |held| {
        let found = Pools::new(vec![app()], Filter::default()).group(&both(held));
        found.iter().any(|pool| pool.judged && pool.pool.balancer.as_deref() == Some("worker"))
    };
    assert!(judged(0));
    assert!(!judged(1), "it listens and connects: the likely balancer");
}

#[test]
fn what_kernel_threads_open_is_listed_and_never_judged() {
    let kernel = balancer("kernel", "kernel", Some(false));
    let nginx = balancer("nginx", "nginx", None);
    let backends = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"];
    let filter = Filter { port: Some(80), ..Filter::default() };
    let all = || sample(backends.map(|backend| seen(&kernel, backend, 9)).to_vec());
    assert_eq!(
        shown(&Pools::new(Vec::new(), filter).group(&all())),
        ["kernel:80 kernel listed 10.0.0.1:80=1:9 10.0.0.2:80=1:9 10.0.0.3:80=1:9"]
    );
    let app = pool("app", None, &[("10.0.0.1:80", 1.0), ("10.0.0.2:80", 1.0)]);
    let mut both = all();
    both.backends.extend([seen(&nginx, "10.0.0.1:80", 5), seen(&nginx, "10.0.0.2:80", 5)]);
    assert_eq!(
        shown(&Pools::new(vec![app], Filter::default()).group(&both)),
        [
            "app nginx judged 10.0.0.1:80=1:5 10.0.0.2:80=1:5",
            "kernel:80 kernel listed 10.0.0.1:80=1:9 10.0.0.2:80=1:9 10.0.0.3:80=1:9",
        ]
    );
}

#[test]
fn what_a_filter_selects_is_judged() {
    let apt = balancer("apt", "apt", Some(false));
    let backends = vec![
        seen(&apt, "192.0.2.1:80", 1),
        seen(&apt, "192.0.2.2:80", 1),
        seen(&apt, "192.0.2.1:81", 1),
        seen(&apt, "192.0.2.2:81", 1),
    ];
    let filter = Filter { port: Some(80), ..Filter::default() };
    let found = Pools::new(Vec::new(), filter).group(&sample(backends));
    assert_eq!(shown(&found), ["apt:80 apt judged 192.0.2.1:80=1:1 192.0.2.2:80=1:1"]);
}

#[test]
fn a_declared_pool_is_there_without_traffic() {
    let pools = declared("[[pool]]\nname = \"app\"\nmembers = [{ address = \"10.0.0.1:80\" }]");
    let found = Pools::new(pools.clone(), Filter::default()).group(&Sample::default());
    assert_eq!(shown(&found), ["app - judged 10.0.0.1:80=1:0"]);
    assert_eq!(found[0].pool.source, "pools.toml:1");
    let named = vec![DeclaredPool { balancer: Some("nginx".into()), ..pools[0].clone() }];
    let found = Pools::new(named, Filter::default()).group(&Sample::default());
    assert_eq!(shown(&found), ["app nginx judged 10.0.0.1:80=1:0"]);
}

#[test]
fn an_undeclared_backend_on_the_members_port_is_unexpected() {
    let nginx = balancer("nginx", "nginx", None);
    let mut pools = Pools::new(
        vec![pool("app", None, &[("10.0.0.1:8080", 1.0), ("10.0.0.2:8080", 3.0)])],
        Filter::default(),
    );
    let found = pools.group(&sample(vec![
        seen(&nginx, "10.0.0.1:8080", 1),
        seen(&nginx, "10.0.0.9:8080", 2),
        seen(&nginx, "10.0.0.1:9090", 3),
        seen(&nginx, "10.0.0.2:9090", 4),
    ]));
    assert_eq!(
        shown(&found),
        [
            "app nginx judged 10.0.0.1:8080=1:1 10.0.0.2:8080=3:0 10.0.0.9:8080=?:2",
            "nginx:9090 nginx judged 10.0.0.1:9090=1:3 10.0.0.2:9090=1:4",
        ]
    );
}

#[test]
fn on_a_port_of_several_pools_a_stranger_is_noted() {
    let nginx = balancer("nginx", "nginx", None);
    let two = vec![pool("app", None, &[("10.0.0.1:80", 1.0)]), pool("api", None, &[("10.0.0.2:80", 1.0)])];
    let found = Pools::new(two, Filter::default()).group(&sample(vec![
        seen(&nginx, "10.0.0.1:80", 1),
        seen(&nginx, "10.0.0.2:80", 1),
        seen(&nginx, "10.0.0.3:80", 1),
    ]));
    assert_eq!(
        shown(&found),
        [
            "app nginx judged 10.0.0.1:80=1:1",
            "api nginx judged 10.0.0.2:80=1:1",
            "nginx:80 nginx listed 10.0.0.3:80=1:1",
        ]
    );
    assert!(
        found[..2].iter().all(|pool| pool.note.as_ref().unwrap().starts_with("10.0.0.3:80 gets traffic"))
    );
}

#[test]
fn the_outside_world_is_no_stranger_of_a_private_web_pool() {
    let nginx = balancer("nginx", "nginx", None);
    let pools =
        vec![pool("app", None, &[("10.0.0.1:80", 1.0)]), pool("tls", None, &[("10.0.0.1:8443", 1.0)])];
    let found = Pools::new(pools, Filter::default()).group(&sample(vec![
        seen(&nginx, "10.0.0.1:80", 1),
        seen(&nginx, "192.0.2.7:80", 1),
        seen(&nginx, "192.0.2.7:8443", 1),
    ]));
    let expected = ["app nginx judged 10.0.0.1:80=1:1", "tls nginx listed"];
    assert_eq!(shown(&found)[0], expected[0]);
    assert_eq!(shown(&found)[1], "tls - judged 10.0.0.1:8443=1:0", "nobody has talked to its member");
}

#[test]
fn a_declaration_that_names_nobody_takes_the_likely_balancer() {
    let (nginx, curl) = (balancer("nginx", "nginx", None), balancer("curl", "user", Some(false)));
    let app = || vec![pool("app", None, &[("10.0.0.1:80", 1.0)])];
    let both = sample(vec![seen(&nginx, "10.0.0.1:80", 9), seen(&curl, "10.0.0.1:80", 1)]);
    let found = Pools::new(app(), Filter::default()).group(&both);
    assert_eq!(shown(&found), ["app curl listed 10.0.0.1:80=1:1", "app nginx judged 10.0.0.1:80=1:9"]);
    let found = Pools::new(app(), Filter::default()).group(&sample(vec![seen(&curl, "10.0.0.1:80", 1)]));
    assert_eq!(shown(&found), ["app curl judged 10.0.0.1:80=1:1"], "nobody else is there");
    let curl_only = Filter { balancer: Some("curl".into()), ..Filter::default() };
    let found = Pools::new(app(), curl_only).group(&both);
    assert_eq!(shown(&found), ["app curl judged 10.0.0.1:80=1:1"]);
}

#[test]
fn a_named_balancer_without_members_traffic_shows_what_it_does_on_their_port() {
    let (nginx, other) = (balancer("nginx", "edge", None), balancer("nginx", "other", None));
    let app = vec![pool("app", Some("edge"), &[("10.0.0.1:8080", 1.0)])];
    let found = Pools::new(app, Filter::default())
        .declared_only()
        .group(&sample(vec![seen(&nginx, "10.0.0.9:8080", 9), seen(&other, "10.0.0.1:8080", 1)]));
    assert_eq!(shown(&found), ["app edge judged 10.0.0.1:8080=1:0 10.0.0.9:8080=?:9"]);
}

#[test]
fn shared_members_decide_nothing_and_are_counted_once() {
    let haproxy = balancer("haproxy", "haproxy", None);
    let app = pool("app", None, &[("10.0.0.1:80", 1.0), ("10.0.0.2:80", 1.0), ("10.0.0.3:80", 1.0)]);
    let api = pool("api", None, &[("10.0.0.3:80", 1.0), ("10.0.0.4:80", 1.0)]);
    let found = Pools::new(vec![app, api], Filter::default()).group(&sample(
        ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80"].map(|to| seen(&haproxy, to, 5)).to_vec(),
    ));
    assert_eq!(
        shown(&found),
        [
            "app haproxy judged 10.0.0.1:80=1:5 10.0.0.2:80=1:5 10.0.0.3:80=0:0",
            "api haproxy listed 10.0.0.3:80=0:0 10.0.0.4:80=1:5",
        ]
    );
    assert_eq!(found[0].members[2].total.attempts, 5);
    assert_eq!(found[1].members[0].total.attempts, 0);
    assert_eq!(
        found[1].note.as_deref().unwrap(),
        "10.0.0.3:80 is left out: pool \"app\" of the same balancer has it too; \
         not judged: 1 of its members with a weight belong to it alone, two are needed"
    );
}

#[test]
fn thousands_of_pools_over_the_same_members_say_little() {
    let haproxy = balancer("haproxy", "haproxy", None);
    let members: Vec<String> = (1..=10).map(|host| format!("10.0.0.{host}:80")).collect();
    let weights: Vec<(&str, f64)> = members.iter().map(|member| (member.as_str(), 1.0)).collect();
    let declared = (0..2_000).map(|index| pool(&format!("app{index}"), None, &weights)).collect();
    let backends = members.iter().map(|member| seen(&haproxy, member, 5)).collect();
    let found = Pools::new(declared, Filter::default()).group(&sample(backends));
    let notes: Vec<&str> = found.iter().filter_map(|pool| pool.note.as_deref()).collect();
    assert_eq!(notes.len(), 2_000);
    assert!(notes[0].contains("10.0.0.3:80 and 7 more are left out: pools \"app1\""), "{}", notes[0]);
    assert!(notes.iter().map(|note| note.len()).sum::<usize>() < 2_000 * 300);
}

#[test]
fn a_filter_hides_what_it_does_not_select() {
    let pools = vec![
        pool("app", Some("nginx"), &[("10.0.0.1:80", 1.0), ("10.0.1.1:80", 1.0)]),
        pool("db", Some("haproxy"), &[("10.0.0.1:5432", 1.0)]),
    ];
    let by_port = Filter { port: Some(5432), ..Filter::default() };
    assert_eq!(
        shown(&Pools::new(pools.clone(), by_port).group(&Sample::default())),
        ["db haproxy judged 10.0.0.1:5432=1:0"]
    );
    let by_name = Filter { balancer: Some("nginx.service".into()), ..Filter::default() };
    assert_eq!(Pools::new(pools.clone(), by_name).group(&Sample::default()).len(), 1);
    let range: BackendRange = "10.0.0.0/24:80".parse().unwrap();
    let by_range = Filter { backend: Some(range), ..Filter::default() };
    let found = Pools::new(pools, by_range).group(&Sample::default());
    assert_eq!(shown(&found), ["app nginx judged 10.0.0.1:80=1:0"]);
    assert_eq!(found[0].note.as_deref(), Some("the filter leaves 1 of 2 members"));
}

#[test]
fn drained_members_make_no_verdict() {
    let app = vec![pool("app", None, &[("10.0.0.1:80", 0.0)])];
    let found = Pools::new(app, Filter::default()).group(&Sample::default());
    assert!(!found[0].judged && found[0].note.as_deref().unwrap().contains("every member is drained"));
}

#[test]
fn an_unfinished_sweep_is_unknown_for_every_member() {
    let nginx = balancer("nginx", "nginx", None);
    let mut backend = seen(&nginx, "10.0.0.1:80", 1);
    backend.stock = None;
    let app = vec![pool("app", None, &[("10.0.0.1:80", 1.0), ("10.0.0.2:80", 1.0)])];
    let found = Pools::new(app, Filter::default()).group(&sample(vec![backend]));
    assert!(found[0].members.iter().all(|member| member.stock.is_none()));
}

#[test]
fn a_reload_replaces_the_declarations() {
    let nginx = balancer("nginx", "nginx", None);
    let backends = sample(vec![seen(&nginx, "10.0.0.1:80", 1), seen(&nginx, "10.0.0.2:80", 1)]);
    let mut pools = Pools::new(Vec::new(), Filter::default());
    assert_eq!(pools.group(&backends)[0].pool.name, "nginx:80");
    pools.declare(vec![pool("app", None, &[("10.0.0.2:80", 1.0), ("10.0.0.1:80", 1.0)])]);
    assert_eq!(shown(&pools.group(&backends)), ["app nginx judged 10.0.0.1:80=1:1 10.0.0.2:80=1:1"]);
}

fn backends() -> impl Strategy<Value = Vec<BackendSample>> {
    let names = ["nginx", "haproxy", "curl"];
    let one = (0..3_usize, 0..2_usize, 1..6_u8, 80..82_u16, 0..9_u64).prop_map(
        move |(name, unit, host, port, attempts)| {
            let balancer = balancer(names[name], ["one", "two"][unit], None);
            seen(&balancer, &format!("10.0.0.{host}:{port}"), attempts)
        },
    );
    proptest::collection::vec(one, 0..30)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_the_backends_makes_no_difference(
        (one, other) in backends().prop_flat_map(|list| (Just(list.clone()), Just(list).prop_shuffle())),
    ) {
        let declared = || vec![
            pool("app", Some("nginx"), &[("10.0.0.1:80", 1.0), ("10.0.0.2:80", 2.0)]),
            pool("api", None, &[("10.0.0.2:80", 1.0), ("10.0.0.3:81", 0.0)]),
        ];
        let pools = || Pools::new(declared(), Filter::default());
        let (mut first, mut second) = (pools(), pools());
        for _ in 0..2 {
            let found = first.group(&sample(one.clone()));
            prop_assert_eq!(format!("{found:?}"), format!("{:?}", second.group(&sample(other.clone()))));
            // Every counter is in one place at most.
            let there: u64 = found.iter().flat_map(|pool| &pool.members).map(|member| member.delta.attempts).sum();
            prop_assert!(there <= one.iter().map(|backend| backend.delta.attempts).sum());
            let mut names: Vec<_> = found.iter().map(|pool| (&pool.pool.name, &pool.pool.balancer)).collect();
            names.sort();
            names.dedup();
            prop_assert_eq!(names.len(), found.len(), "each pool has a name of its own");
        }
    }
}

#[path = "declarations_tests.rs"]
mod declarations;

#[path = "unmatched_tests.rs"]
mod unmatched;

#[test]
fn a_discovered_member_that_is_idle_for_long_is_none_any_more() {
    let nginx = balancer("nginx", "nginx", Some(true));
    let mut pools = Pools::default();
    let mut at = |seconds: f64, counts: [u64; 3]| {
        let backends = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"];
        let mut seen: Vec<_> =
            backends.iter().zip(counts).map(|(backend, count)| seen(&nginx, backend, count)).collect();
        seen.iter_mut().for_each(|backend| backend.delta.attempts = backend.total.attempts);
        pools.group(&Sample { time_seconds: seconds, ..sample(seen) })[0].members.len()
    };
    assert_eq!(at(1.0, [5, 5, 5]), 3);
    assert_eq!(at(2.0, [5, 5, 0]), 3, "for a while it is one that gets nothing");
    assert_eq!(at(600.0, [5, 5, 0]), 3);
    assert_eq!(at(602.0, [5, 5, 0]), 2);
    assert_eq!(at(603.0, [5, 5, 1]), 3, "it is back");
}

#[test]
fn with_many_connections_of_unknown_fate_nothing_is_judged() {
    let nginx = balancer("nginx", "nginx", None);
    let app = pool("app", None, &[("10.0.0.1:80", 1.0), ("10.0.0.2:80", 1.0)]);
    let mut pools = Pools::new(vec![app], Filter::default());
    let mut judged = |untracked| {
        let mut one = seen(&nginx, "10.0.0.1:80", 50);
        one.delta.untracked = untracked;
        let found = pools.group(&sample(vec![one, seen(&nginx, "10.0.0.2:80", 50)]));
        (found[0].judged, found[0].note.clone().unwrap_or_default())
    };
    assert!(judged(5).0);
    let (is_judged, note) = judged(6);
    assert!(!is_judged && note.contains("--max-connections"), "{note}");
}

#[test]
fn exchanges_that_are_not_measured_are_unknown_and_not_zero() {
    let nginx = balancer("nginx", "nginx", None);
    let mut pools =
        Pools::new(vec![pool("app", None, &[("10.0.0.1:80", 1.0), ("10.0.0.2:80", 1.0)])], Filter::default());
    let mut one = seen(&nginx, "10.0.0.1:80", 4);
    one.delta.exchanges = 7;
    one.total.exchanges = 9;
    one.delta.response_time.counts_mut()[5] = 7;
    let unknown = sample(vec![one]);
    let measured = Sample { exchanges: true, ..unknown.clone() };
    let counts = |sample: &Sample, pools: &mut Pools| -> Vec<_> {
        let members = pools.group(sample).remove(0).members.into_iter();
        let count =
            |member: MemberSample| (member.exchanges.count, member.total_exchanges.count, member.requests);
        members.map(count).collect()
    };
    assert_eq!(counts(&unknown, &mut pools), [(None, None, None); 2]);
    let expected = [(Some(7), Some(9), Some(7)), (Some(0), Some(0), Some(0))];
    assert_eq!(counts(&measured, &mut pools), expected);
    let members = pools.group(&measured).remove(0).members;
    assert_eq!(members[0].exchanges.response_time.as_ref().map(crate::collect::Histogram::count), Some(7));
}
