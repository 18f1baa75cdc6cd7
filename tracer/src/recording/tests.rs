//! What is written is what is read, and nothing that is read makes anything but a message.

use super::{Event, Interval, LONGEST_LINE, Recorder, RecordingError, Replay};
use crate::agent::{Agent, Judged};
use crate::collect::{Counters, Histogram, Stock, Uncounted};
use crate::detect::Settings;
use crate::pools::{
    Exchanges, ExpectedSource, MemberSample, Method, Origin, PoolIdentity, PoolSample, Pools, Recorded,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use tracer_ebpf::histogram::BUCKETS;

fn agent() -> Agent {
    Agent::new(Pools::default(), Settings::default())
}

fn read(bytes: &[u8]) -> Vec<Result<Event, RecordingError>> {
    Replay::new(bytes).collect()
}

fn intervals(bytes: &[u8]) -> Vec<Interval<PoolSample>> {
    let only = |event| match event {
        Event::Interval(interval) => Some(*interval),
        Event::Begin { .. } | Event::Warning(..) => None,
    };
    read(bytes).into_iter().map(Result::unwrap).filter_map(only).collect()
}

/// As the line says it, on one line.
fn one(members: &str) -> MemberSample {
    let text = format!(
        r#"{{"schema":"tracer.sample/1","time":1,"pools":[{{"name":"app","members":[{members}]}}]}}"#
    );
    intervals(text.as_bytes()).remove(0).pools.remove(0).members.remove(0)
}

fn error(text: &str) -> RecordingError {
    read(text.as_bytes()).pop().unwrap().unwrap_err()
}

const COUNT: std::ops::RangeInclusive<u64> = 0..=(1 << 53);

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![4 => Just(0), 4 => 0_u64..1000, 1 => COUNT]
}

fn histogram() -> impl Strategy<Value = Histogram> {
    prop::collection::vec((0..BUCKETS, 0_u64..1000), 0..4).prop_map(|filled| {
        let mut histogram = Histogram::default();
        filled.into_iter().for_each(|(bucket, count)| histogram.counts_mut()[bucket] = count);
        histogram
    })
}

fn counters() -> impl Strategy<Value = Counters> {
    let times = [histogram(), histogram(), histogram()];
    (prop::collection::vec(count(), 20), times).prop_map(|(counts, times)| {
        let [connect_time, cancelled_age, lifetime] = times;
        let mut counts = counts.into_iter();
        let mut next = || counts.next().unwrap_or_default();
        let mut counters = Counters { connect_time, cancelled_age, lifetime, ..Counters::default() };
        macro_rules! fill {
            ($($(#[$doc:meta])* $counter:ident,)*) => { $(counters.$counter = next();)* };
        }
        macro_rules! fail {
            ($($(#[$doc:meta])* $cause:ident,)*) => { $(counters.failed.$cause = next();)* };
        }
        crate::collect::each_counter!(fill);
        crate::collect::each_cause!(fail);
        counters
    })
}

fn backend() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        (any::<u8>(), any::<u16>()).prop_map(|(last, port)| SocketAddr::from(([10, 0, 0, last], port))),
        (any::<u8>(), any::<u16>())
            .prop_map(|(last, port)| SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, last.into()], port))),
    ]
}

fn stock() -> impl Strategy<Value = Stock> {
    (count(), count(), count(), count()).prop_map(|(pending, live, closing, rtt_sum_us)| Stock {
        pending,
        live,
        closing,
        rtt_sum_us,
    })
}

fn member() -> impl Strategy<Value = MemberSample> {
    let weight = prop::option::of(prop_oneof![4 => 0.0_f64..100.0, 1 => Just(0.0), 1 => 0.0..f64::MAX]);
    let decisions = prop::option::of(count());
    let origin = prop_oneof![
        2 => Just(Origin::Unknown),
        1 => any::<String>().prop_map(Origin::Written),
        1 => any::<String>().prop_map(Origin::Former),
    ];
    let measured = (count(), histogram(), prop::option::of(count()));
    let rest = (prop::option::of(stock()), origin, prop::option::of(measured));
    (backend(), weight, decisions, counters(), rest).prop_map(
        |(backend, weight, decisions, mut delta, (stock, origin, measured))| {
            if let Some((count, times, _)) = &measured {
                delta.exchanges = *count;
                delta.response_time = times.clone();
            }
            MemberSample {
                backend,
                weight,
                decisions: decisions.unwrap_or(delta.attempts),
                requests: measured.as_ref().map(|(count, _, requests)| requests.unwrap_or(*count)),
                exchanges: Exchanges::of(&delta, measured.is_some()),
                delta,
                total: Counters::default(),
                stock,
                total_exchanges: Exchanges::default(),
                recorded: Recorded::default(),
                origin,
            }
        },
    )
}

fn pool() -> impl Strategy<Value = PoolSample> {
    let text = || prop_oneof![3 => "[a-z:0-9 ]{1,9}", 1 => any::<String>()];
    let identity = (text(), prop::option::of(text()), text(), any::<bool>(), 0_usize..4, any::<bool>());
    (identity, prop::collection::vec(member(), 0..5), any::<bool>(), prop::option::of(text())).prop_map(
        |((name, balancer, source, declared, method, vouched), members, judged, note)| {
            let methods = [Method::RoundRobin, Method::LeastConnections, Method::Hash, Method::Random];
            let unique: BTreeMap<SocketAddr, MemberSample> =
                members.into_iter().map(|member| (member.backend, member)).collect();
            PoolSample {
                pool: PoolIdentity {
                    name,
                    balancer,
                    source,
                    expected_source: if declared {
                        ExpectedSource::Declared
                    } else {
                        ExpectedSource::Assumed
                    },
                    method: methods[method],
                    vouched,
                    asked: true,
                },
                interval_seconds: 1.0,
                members: unique.into_values().collect(),
                judged,
                note,
            }
        },
    )
}

/// What a kernel could give: pools of different names, and totals that are sums of the intervals.
fn live() -> impl Strategy<Value = Vec<Interval<PoolSample>>> {
    let pools = prop::collection::vec(pool(), 0..3);
    let interval = (pools, 0.000_001_f64..10.0, prop::collection::vec(0_u64..9, 3));
    prop::collection::vec(interval, 1..5).prop_map(|intervals| {
        let mut time_seconds = 1_767_225_600.125;
        let mut sum = Uncounted::default();
        let fill = |(mut pools, interval_seconds, more): (Vec<PoolSample>, f64, Vec<u64>)| {
            time_seconds += interval_seconds;
            sum.backends += more[0];
            sum.connections += more[1];
            sum.recursion_misses += more[2];
            for (index, pool) in pools.iter_mut().enumerate() {
                pool.pool.name = format!("{index} {}", pool.pool.name);
                pool.interval_seconds = interval_seconds;
            }
            Interval { time_seconds, interval_seconds, pools, other: None, uncounted: Some(sum) }
        };
        let mut intervals: Vec<Interval<PoolSample>> = intervals.into_iter().map(fill).collect();
        let mut sums = super::sums::Sums::default();
        intervals.iter_mut().for_each(|interval| sums.fill(&mut interval.pools));
        intervals
    })
}

/// What a recorder makes of intervals that nobody judged.
fn written(intervals: &[Interval<PoolSample>]) -> Vec<u8> {
    let mut file = Vec::new();
    let agent = agent();
    let mut recorder = Recorder::begin(&mut file, Some("lb1".into()), 1_767_225_600.0, &agent).unwrap();
    for interval in intervals {
        let judged = |sample: &PoolSample| Judged { sample: sample.clone(), assessment: None };
        let judged = Interval {
            time_seconds: interval.time_seconds,
            interval_seconds: interval.interval_seconds,
            pools: interval.pools.iter().map(judged).collect(),
            other: None,
            uncounted: interval.uncounted,
        };
        recorder.record(&judged, &agent).unwrap();
    }
    assert_eq!(recorder.lost(), 0);
    file
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(live in live()) {
        prop_assert_eq!(intervals(&written(&live)), live);
    }

    #[test]
    fn nothing_makes_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read(&bytes);
    }

    /// Lines that are nearly right.
    #[test]
    fn nothing_that_is_nearly_right_does_either(
        live in live(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        end in any::<prop::sample::Index>(),
    ) {
        let mut bytes = written(&live);
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes.truncate(end.index(bytes.len() + 1));
        let mut agent = agent();
        for event in read(&bytes).into_iter().flatten() {
            match event {
                Event::Begin { state, .. } => agent.restore(state),
                Event::Interval(interval) => drop(agent.judge(interval.pools, interval.time_seconds)),
                Event::Warning(..) => {}
            }
        }
    }

    /// Any fields may be absent: what was not measured stays not measured.
    #[test]
    fn a_recording_of_a_replay_says_the_same(live in live(), absent in prop::collection::vec(0_usize..40, 0..30)) {
        let text = String::from_utf8(written(&live)).unwrap();
        let mut lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for line in &mut lines[1..] {
            line.as_object_mut().unwrap().remove("complete");
            for member in line.pointer_mut("/pools").unwrap().as_array_mut().unwrap().iter_mut()
                .flat_map(|pool| pool["members"].as_array_mut().unwrap())
            {
                let member = member.as_object_mut().unwrap();
                let fields: Vec<String> = member.keys().filter(|key| *key != "backend").cloned().collect();
                absent.iter().filter_map(|&field| fields.get(field)).for_each(|field| drop(member.remove(field)));
            }
        }
        let holes: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let once = intervals(holes.as_bytes());
        prop_assert_eq!(intervals(&written(&once)), once);
    }
}

#[test]
fn the_example_of_the_documentation_is_read() {
    let page = include_str!("mod.rs");
    let example: String = page
        .lines()
        .skip_while(|line| !line.starts_with("//! {\"schema\""))
        .take_while(|line| !line.starts_with("//! ```"))
        .map(|line| line.trim_start_matches("//! "))
        .collect();
    let interval = intervals(example.as_bytes()).remove(0);
    assert_eq!((interval.time_seconds, interval.interval_seconds), (1_767_225_600.0, 1.0));
    assert_eq!(interval.uncounted, None);
    let pool = &interval.pools[0];
    assert_eq!((pool.pool.name.as_str(), pool.pool.balancer.as_deref()), ("app", Some("nginx")));
    assert_eq!(
        (pool.pool.source.as_str(), pool.pool.expected_source),
        ("recording", ExpectedSource::Declared)
    );
    assert!(pool.judged && pool.note.is_none());
    let member = &pool.members[0];
    assert_eq!((member.weight, member.decisions, member.delta.established), (Some(1.0), 12, 12));
    assert_eq!(member.recorded.known("timed_out", 0), None);
    assert_eq!(member.recorded.known("refused", 0), Some(0));
    assert_eq!((member.requests, member.total_exchanges.count), (Some(12), Some(12)));
    assert_eq!(member.total_exchanges.response_time.as_ref().unwrap().count(), 12);
}

#[test]
fn what_is_absent_is_taken_as_unknown_and_held_against_nobody() {
    let member = one(r#"{"backend":"[::ffff:10.0.0.1]:80","attempts":5}"#);
    assert_eq!(member.backend.to_string(), "10.0.0.1:80");
    assert_eq!((member.weight, member.decisions, member.stock), (Some(1.0), 5, None));
    assert_eq!((member.delta.established, member.delta.untracked), (0, 5), "of unknown fate");
    assert_eq!(member.recorded.known("established", 0), None);
    let failed = one(r#"{"backend":"10.0.0.1:80","attempts":5,"failed":{"refused":2}}"#);
    assert_eq!((failed.delta.untracked, failed.delta.failed.total()), (3, 2));
    let present = one(r#"{"backend":"10.0.0.1:80","attempts":5,"live":2}"#);
    assert_eq!(present.stock.unwrap().live, 2);
    assert!(["pending", "lifetime"].iter().all(|name| present.recorded.unmeasured.contains(name)));
    assert!(!one(r#"{"backend":"10.0.0.1:80","closed":0}"#).recorded.unmeasured.contains("lifetime"));
}

/// Nobody is accused of what nobody measured: half of the fields are absent, of one member or of all.
#[test]
fn absence_is_no_finding() {
    let full = r#","established":20,"failed":{"refused":0},"closed":20,"live":4"#;
    let (few, none) = (r#","failed":{"refused":0},"live":4"#, "");
    for (method, rest, last) in [
        ("round-robin", full, few),
        ("round-robin", full, none),
        ("round-robin", none, none),
        ("round-robin", few, full),
        ("least-connections", full, few),
        ("least-connections", few, full),
        ("least-connections", full, none),
    ] {
        let member =
            |index: u32, fields: &str| format!(r#"{{"backend":"10.0.0.{index}:80","attempts":20{fields}}}"#);
        let members = [member(1, rest), member(2, rest), member(3, rest), member(4, last)].join(",");
        let line = |time: u32| {
            format!(
                r#"{{"schema":"tracer.sample/1","time":{time},"pools":[{{"name":"a","method":"{method}","members":[{members}]}}]}}"#
            )
        };
        let text: String = (0..120).map(|time| line(time) + "\n").collect();
        let mut agent = agent();
        let mut verdict = None;
        for interval in intervals(text.as_bytes()) {
            let assessment = agent.judge(interval.pools, interval.time_seconds).remove(0).assessment.unwrap();
            assert!(!assessment.verdict.is_finding(), "{method} {rest} {last}: {}", assessment.summary);
            verdict = Some(assessment.verdict);
        }
        assert_eq!(verdict, Some(crate::detect::Verdict::Balanced), "{method} {rest} {last}");
    }
}

#[test]
fn weights_are_declared_by_all_or_by_nobody() {
    let pool = |members: &str, more: &str| {
        let text = format!(
            r#"{{"schema":"tracer.sample/1","time":1,"pools":[{{"name":"a"{more},"members":[{members}]}}]}}"#
        );
        intervals(text.as_bytes()).remove(0).pools.remove(0)
    };
    let none = r#"{"backend":"10.0.0.1:80","attempts":1},{"backend":"10.0.0.2:80","attempts":1}"#;
    let weights = |pool: &PoolSample| pool.members.iter().map(|member| member.weight).collect::<Vec<_>>();
    let equal = pool(none, "");
    assert_eq!(weights(&equal), [Some(1.0), Some(1.0)]);
    assert_eq!(
        (equal.pool.expected_source, equal.pool.source.as_str()),
        (ExpectedSource::Assumed, "discovered")
    );
    assert_eq!(pool(none, r#","expected_source":"declared""#).pool.expected_source, ExpectedSource::Declared);
    let one = pool(
        r#"{"backend":"10.0.0.1:80","weight":2,"attempts":1},{"backend":"10.0.0.2:80","attempts":1}"#,
        "",
    );
    assert_eq!(weights(&one), [Some(2.0), None]);
    assert_eq!(one.pool.expected_source, ExpectedSource::Declared);
    let blind = pool(r#"{"backend":"10.0.0.1:80","attempts":1},{"backend":"10.0.0.2:80","live":1}"#, "");
    assert!(!blind.judged && blind.note.unwrap().contains("10.0.0.2:80 were not measured"));
}

#[test]
fn intervals_are_the_time_since_the_line_before() {
    let line = |time: &str| format!("{{\"schema\":\"tracer.sample/1\",\"time\":{time},\"pools\":[]}}\r\n\n");
    let text = ["5", "7.5", "8,\"interval_seconds\":0.25"].map(line).concat();
    let seconds: Vec<f64> =
        intervals(text.as_bytes()).iter().map(|interval| interval.interval_seconds).collect();
    assert_eq!(seconds, [1.0, 2.5, 0.25]);
}

#[test]
fn what_cannot_be_is_refused_with_the_number_of_its_line() {
    let head = r#"{"schema":"tracer.sample/1","time":5,"pools":[]}"#;
    let with = |members: &str| {
        format!(r#"{{"schema":"tracer.sample/1","time":6,"pools":[{{"name":"a","members":[{members}]}}]}}"#)
    };
    let cases = [
        ("5".to_owned(), "expected a JSON object"),
        ("{}".to_owned(), "names no schema"),
        ("{\"schema\":\"tracer.sample/2\"}".to_owned(), "known are tracer.sample/1 and tracer.state/1"),
        ("{\"schema\":".to_owned(), "EOF"),
        ("nonsense".to_owned(), "expected ident"),
        (head.replace('5', "4"), "time runs backwards, from 5 to 4"),
        (head.to_owned(), "same time, 5"),
        (head.replace('5', "-1"), "seconds since the epoch"),
        (head.replace('5', "1e13"), "seconds since the epoch"),
        (head.replace('5', "1e999"), "out of range"),
        (head.replace('5', "NaN"), "expected"),
        (head.replace('5', "6,\"interval_seconds\":-1"), "interval_seconds is from 0"),
        (head.replace("\"pools\":[]", "\"pool\":[]"), "missing field `pools`"),
        (with(r#"{"backend":"10.0.0.1:80","attempts":-1}"#), "integer `-1`, expected a count"),
        (with(r#"{"backend":"10.0.0.1:80","attempts":1.5}"#), "expected a count"),
        (with(r#"{"backend":"10.0.0.1:80","attempts":9007199254740993}"#), "to 9007199254740992"),
        (with(r#"{"backend":"10.0.0.1:80","weight":-1}"#), "a weight is a number of 0 or more"),
        (with(r#"{"backend":"app:80"}"#), "host name"),
        (
            with(r#"{"backend":"10.0.0.1:80"},{"backend":"[::ffff:10.0.0.1]:80"}"#),
            "has the member 10.0.0.1:80 twice",
        ),
        (with(r#"{"backend":"10.0.0.1:80","connect_buckets":[[0,1]]}"#), "upper bound"),
        (
            with(r#"{"backend":"10.0.0.1:80","connect_buckets":[[1,9007199254740993]]}"#),
            "a histogram counts more",
        ),
        (
            head.replace('5', "6").replace("[]", r#"[{"name":"a","members":[]},{"name":"a","members":[]}]"#),
            "twice",
        ),
        (
            head.replace('5', "6").replace("[]", r#"[{"name":"a","method":"sticky","members":[]}]"#),
            "unknown variant",
        ),
    ];
    for (line, part) in cases {
        let found = error(&format!("{head}\n\n{line}\n{head}\n"));
        assert_eq!(found.line, 3, "{line}: {found}");
        assert!(found.message.contains(part), "{line}: {found}");
    }
    let mut bytes = format!("{head}\n").into_bytes();
    bytes.extend(b"{\"schema\":\"\xff\"}\n");
    assert!(read(&bytes)[1].as_ref().unwrap_err().to_string().contains("2: column 12: not UTF-8"));
}

#[test]
fn a_line_without_an_end_is_not_waited_for() {
    let found: Vec<_> = Replay::new(io::BufReader::new(io::repeat(b'x'))).collect();
    assert_eq!(found.len(), 1);
    assert!(found[0].as_ref().unwrap_err().message.contains("64 MiB"));
    let longest = vec![b' '; LONGEST_LINE];
    assert!(read(&longest).is_empty(), "blank, and as long as a line may be");
}

#[test]
fn a_last_line_that_was_cut_off_is_left_out() {
    let first = "{\"schema\":\"tracer.sample/1\",\"time\":5,\"pools\":[]}\n";
    let second = r#"{"schema":"tracer.sample/1","time":6,"pools":[{"name":"é","members":[]}]}"#;
    for cut in 1..second.len() {
        let mut bytes = first.as_bytes().to_vec();
        bytes.extend(&second.as_bytes()[..cut]);
        let found = read(&bytes);
        assert!(matches!(found[0], Ok(Event::Interval(_))));
        assert!(matches!(found[1], Ok(Event::Warning(2, _))), "{cut}: {:?}", found[1]);
        assert_eq!(found.len(), 2);
    }
    assert_eq!(intervals(format!("{first}{second}").as_bytes()).len(), 2, "only the newline is missing");
    assert!(read(format!("{first}{{\"schema\":\"x\"}}").as_bytes())[1].is_err(), "whole, and wrong");
}

#[test]
fn sums_stop_at_the_largest_number() {
    let line = |time: u32| {
        format!(
            r#"{{"schema":"tracer.sample/1","time":{time},"uncounted":{{"backends":9007199254740992}},
            "pools":[{{"name":"a","members":[{{"backend":"10.0.0.1:80","attempts":9007199254740992,"failed":{{"other":9007199254740992}},"exchanges":9007199254740992,"connect_buckets":[[1,9007199254740992]]}}]}}]}}"#
        )
        .replace('\n', " ")
    };
    let text: String = (0..2_100).map(|time| line(time) + "\n").collect();
    let mut judge = agent();
    for interval in intervals(text.as_bytes()) {
        let last = interval.time_seconds > 2_098.0;
        let member = interval.pools[0].members[0].clone();
        assert!(!last || member.total.attempts == u64::MAX && member.total.failed.total() == u64::MAX);
        assert!(!last || interval.uncounted.unwrap().backends == u64::MAX);
        judge.judge(interval.pools, interval.time_seconds);
    }
}

/// Takes so many bytes.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 =
            self.0.checked_sub(bytes.len()).ok_or_else(|| io::Error::from(io::ErrorKind::StorageFull))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_cannot_be_written_is_said_once_and_counted() {
    let agent = agent();
    assert!(Recorder::begin(Full(10), None, 1.0, &agent).is_err());
    let mut recorder = Recorder::begin(Full(300), None, 1.0, &agent).unwrap();
    let interval = |time: u32| Interval {
        time_seconds: f64::from(time),
        interval_seconds: 1.0,
        pools: Vec::new(),
        other: None,
        uncounted: Some(Uncounted::default()),
    };
    let failures = (2..12).filter(|&time| recorder.record(&interval(time), &agent).is_err()).count();
    assert_eq!(failures, 1);
    assert_eq!(recorder.lost(), 9, "one line had room");
}
