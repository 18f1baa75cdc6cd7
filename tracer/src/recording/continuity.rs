//! A replay gives the verdicts that were given live: from the start, from every state on, and over a restart.

use super::{Event, Interval, Recorder, Replay};
use crate::agent::{Agent, DETECTOR_VERSION, Judged};
use crate::collect::{Counters, Uncounted};
use crate::detect::Settings;
use crate::pools::{
    Exchanges, ExpectedSource, MemberSample, Method, Origin, PoolIdentity, PoolSample, Pools, Recorded,
};

/// A tick that is long, so that hours pass within a test.
const TICK_SECONDS: f64 = 20.0;
const START_SECONDS: f64 = 1_767_225_600.5;

fn agent() -> Agent {
    Agent::new(Pools::default(), Settings::default())
}

/// What three pools do in a tick: one is even until its last member fails, the second's second gets too much, the third
/// follows weights that nobody vouches for and for a while goes on to where its members no longer are.
fn pools(tick: u64) -> Vec<PoolSample> {
    let member = |index: u64, attempts: u64, refused: u64| {
        let mut delta = Counters { attempts, established: attempts - refused, ..Counters::default() };
        delta.failed.refused = refused;
        delta.connect_time.counts_mut()[7] = attempts - refused;
        MemberSample {
            backend: format!("10.0.0.{}:8080", index + 1).parse().unwrap(),
            weight: Some(1.0),
            decisions: attempts,
            requests: None,
            total: delta.clone(),
            delta,
            stock: None,
            exchanges: Exchanges::default(),
            total_exchanges: Exchanges::default(),
            recorded: Recorded::default(),
            origin: Origin::Unknown,
        }
    };
    let weighted = |index: u64, weight: f64, attempts: u64, origin: Origin| MemberSample {
        weight: Some(weight),
        origin,
        ..member(index, attempts, 0)
    };
    let written = |line: u64| Origin::Written(format!("app.conf:{line}"));
    let astray = |when: std::ops::Range<u64>| u64::from(when.contains(&(tick % 400)));
    // Some scatter, the same in every run.
    let noise = |index: u64| (tick * 7 + index * 13) % 11;
    let fails = |index: u64| if index == 3 && tick % 400 > 250 { 9 } else { 0 };
    let much = |index: u64| if index == 1 && tick % 300 > 200 { 40 } else { 0 };
    let pool = |name: &str, members: Vec<MemberSample>| PoolSample {
        pool: PoolIdentity {
            name: name.into(),
            balancer: Some("nginx".into()),
            source: "pools.toml:1".into(),
            expected_source: ExpectedSource::Declared,
            method: Method::Random,
            vouched: name != "web",
            asked: true,
        },
        interval_seconds: TICK_SECONDS,
        members,
        judged: true,
        note: None,
    };
    vec![
        pool("app", (0..4).map(|index| member(index, 20 + noise(index), fails(index))).collect()),
        pool("db", (0..3).map(|index| member(index, 10 + noise(index) + much(index), 0)).collect()),
        pool(
            "web",
            vec![
                weighted(0, 50.0, 300 + noise(0), written(7)),
                weighted(1, 5.0, 30, written(8)),
                weighted(2, 5.0, 30, Origin::Unknown),
                weighted(3, 0.0, astray(150..200), written(10)),
                MemberSample {
                    weight: None,
                    ..weighted(4, 0.0, astray(250..300), Origin::Former("app.example.com".into()))
                },
            ],
        ),
    ]
}

/// A tracer that runs for so many ticks from `started` on: writes, and gives what it said of every tick.
fn run(file: &mut Vec<u8>, agent: &mut Agent, started: f64, ticks: std::ops::Range<u64>) -> Vec<String> {
    let mut recorder = Recorder::begin(file, Some("lb1".into()), started, agent).unwrap();
    let mut said = Vec::new();
    for (number, tick) in ticks.enumerate() {
        let time_seconds = started + (number + 1) as f64 * TICK_SECONDS;
        let judged = agent.judge(pools(tick), time_seconds);
        said.push(text(&judged));
        let uncounted = Some(Uncounted::default());
        let interval =
            Interval { time_seconds, interval_seconds: TICK_SECONDS, pools: judged, other: None, uncounted };
        recorder.record(&interval, agent).unwrap();
    }
    said
}

/// All that is said, to the last bit of every number.
fn text(judged: &[Judged]) -> String {
    format!("{:?}", judged.iter().map(|pool| &pool.assessment).collect::<Vec<_>>())
}

/// What a replay says of every tick.
fn replayed(file: &[u8]) -> Vec<String> {
    let mut agent = agent();
    let mut said = Vec::new();
    for event in Replay::new(file) {
        match event.unwrap() {
            Event::Begin { host, state } => {
                assert_eq!(host.as_deref(), Some("lb1"));
                agent.restore(state);
            }
            Event::Interval(interval) => said.push(text(&agent.judge(interval.pools, interval.time_seconds))),
            Event::Warning(line, message) => panic!("{line}: {message}"),
        }
    }
    said
}

#[test]
fn a_replay_says_what_was_said_live_from_every_state_on() {
    let mut file = Vec::new();
    let said = run(&mut file, &mut agent(), START_SECONDS, 0..700);
    assert!(said.iter().any(|said| said.contains("BackendFailing")));
    assert!(said.iter().any(|said| said.contains("Skewed")));
    assert!(said.iter().any(|said| said.contains("Balanced")));
    for words in [
        "has weight 50 where the others have 5 (app.conf:7)",
        "weight is 0 (app.conf:10)",
        "app.example.com no longer",
    ] {
        assert!(said.iter().any(|said| said.contains(words)), "{words}: {}", said.last().unwrap());
    }
    assert_eq!(replayed(&file), said);
    let lines: Vec<&[u8]> = file.split_inclusive(|&byte| byte == b'\n').collect();
    let states: Vec<usize> =
        (0..lines.len()).filter(|&line| lines[line].starts_with(b"{\"schema\":\"tracer.state/1\"")).collect();
    assert_eq!(states.len(), 4, "at the start and after each of three hours");
    for (before, state) in states.into_iter().enumerate() {
        assert_eq!(replayed(&lines[state..].concat()), said[state - before..]);
    }
}

#[test]
fn a_tracer_that_was_restarted_begins_anew_whatever_its_clock() {
    let mut file = Vec::new();
    let mut said = run(&mut file, &mut agent(), START_SECONDS, 0..250);
    said.extend(run(&mut file, &mut agent(), START_SECONDS - 1e6, 250..300));
    let mut third = agent();
    let mut other = Vec::new();
    run(&mut other, &mut third, START_SECONDS, 0..220);
    let remembered = serde_json::to_string(&third.state()).unwrap();
    let mut third = agent();
    third.restore(serde_json::from_str(&remembered).unwrap());
    said.extend(run(&mut file, &mut third, START_SECONDS + 1e6, 220..300));
    assert_eq!(replayed(&file), said);
}

#[test]
fn a_state_of_another_version_is_left_out_and_said() {
    let mut file = Vec::new();
    let mut live = agent();
    live.judge(pools(0), START_SECONDS);
    run(&mut file, &mut live, START_SECONDS, 0..3);
    let this = DETECTOR_VERSION;
    let text = String::from_utf8(file).unwrap().replace(&format!("\"detector\":{this}"), "\"detector\":77");
    let events: Vec<Event> = Replay::new(text.as_bytes()).map(Result::unwrap).collect();
    assert!(
        matches!(&events[0], Event::Begin { state, .. } if serde_json::to_string(state).unwrap().ends_with("[]}"))
    );
    assert!(
        matches!(&events[1], Event::Warning(1, message) if message.contains(&format!("version 77, this is {this}")))
    );
    assert_eq!(events.len(), 5);
    let refused =
        serde_json::from_str::<crate::agent::AgentState>("{\"detector\":7,\"judges\":[5]}").unwrap_err();
    assert!(refused.to_string().contains(&format!("expected detector version {this}")), "{refused}");
}

#[test]
fn a_state_that_was_torn_is_refused() {
    let mut file = Vec::new();
    let mut live = agent();
    live.judge(pools(0), START_SECONDS);
    run(&mut file, &mut live, START_SECONDS, 0..1);
    let whole = String::from_utf8(file).unwrap();
    let torn = whole.replacen("\"eligible\":[true,", "\"eligible\":[", 1);
    assert_ne!(whole, torn);
    let error = Replay::new(torn.as_bytes()).next().unwrap().unwrap_err();
    assert!(error.line == 1 && error.message.contains("\"app\" does not hold together"), "{error}");
}

/// The state of the largest pool that can be counted fits into a line.
#[test]
fn the_largest_state_fits_into_a_line() {
    let mut agent = agent();
    let one = pools(0).remove(1);
    for tick in 0..600_u64 {
        let mut pool = one.clone();
        let member = |index: u64| {
            let mut member = one.members[0].clone();
            member.backend = format!("10.0.{}.{}:8080", index / 256, index % 256).parse().unwrap();
            member.decisions = 900 + (tick * 7 + index * 13) % 211;
            member.delta.attempts = member.decisions;
            member.delta.established = member.decisions;
            member
        };
        pool.members = (0..4096).map(member).collect();
        agent.judge(vec![pool], START_SECONDS + tick as f64);
    }
    Recorder::begin(Vec::new(), None, START_SECONDS + 600.0, &agent).unwrap();
}

/// Written once by every detector version, with `UPDATE_FIXTURES` set. Whoever changes what the detector remembers
/// changes the version, and this file.
#[test]
fn a_state_that_was_written_by_this_version_is_restored() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/replay/state.jsonl");
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        let (mut agent, mut file) = (agent(), Vec::new());
        let until = 560_u32;
        run(&mut Vec::new(), &mut agent, START_SECONDS, 0..until.into());
        let now = START_SECONDS + f64::from(until) * TICK_SECONDS;
        run(&mut file, &mut agent, now, until.into()..u64::from(until) + 3);
        std::fs::write(path, file).unwrap();
    }
    let file = std::fs::read(path).unwrap();
    let said = replayed(&file);
    assert_eq!(said.len(), 3);
    assert!(said.iter().all(|said| said.contains("Skewed")), "{}", said[0]);
    let samples: Vec<&[u8]> = file.split_inclusive(|&byte| byte == b'\n').skip(1).collect();
    assert!(
        !replayed(&samples.concat()).iter().any(|said| said.contains("Skewed")),
        "known from the state alone"
    );
}
