//! What holds of every stream: of random stories, and of counts that no world would give.

use crate::story;
use crate::telling::{BEGIN_SECONDS, rewritten, stream};
use libtest_mimic::{Failed, Trial};
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};
use std::collections::BTreeMap;
use std::fmt;
use tracer::agent::Agent;
use tracer::collect::{Counters, Failures, Histogram, Stock};
use tracer::detect::{Assessment, PoolJudge, Settings, Verdict};
use tracer::pools::{Exchanges, MemberSample, PoolSample, Pools};
use tracer::recording::{Event, Interval, Recorder, Replay};

/// Streams that each property is tried on.
const CASES: u32 = 64;

/// Every property, as a test.
pub(crate) fn trials() -> Vec<Trial> {
    let seed = any::<u64>;
    vec![
        Trial::test("a_world_counts_every_attempt_and_every_connection_once", move || {
            holds(any_stream(), |told| told.stream.iter().try_for_each(adds_up))
        }),
        Trial::test("shares_sum_to_one_and_every_number_is_one", move || {
            holds(any_stream(), |told| judged(&told.stream).iter().try_for_each(sane))
        }),
        Trial::test("the_order_of_members_permutes_the_assessment_and_nothing_else", move || {
            holds((any_stream(), seed()), |(told, seed)| order_does_not_matter(&told.stream, seed))
        }),
        Trial::test("weights_in_another_unit_give_the_same_assessments", move || {
            holds((any_stream(), -8_i32..8), |(told, power)| {
                unit_does_not_matter(&told.stream, 2_f64.powi(power))
            })
        }),
        Trial::test("a_replay_gives_the_assessments_that_were_given_live", move || {
            holds(any_stream(), |told| replay_equals_live(&told.stream))
        }),
        Trial::test(
            "a_judge_that_is_written_down_at_any_second_goes_on_as_if_nothing_had_happened",
            move || {
                holds((any_stream(), any::<prop::sample::Index>()), |(told, cut)| {
                    restart_does_not_matter(&told.stream, cut.index(told.stream.len()))
                })
            },
        ),
        Trial::test("counts_that_cannot_be_give_no_panic_and_no_number_that_is_none", move || {
            holds((any_stream(), prop::collection::vec(garbage(), 1..20)), |(told, garbage)| {
                let mut stream = told.stream;
                for (place, (at, member, counts)) in garbage.into_iter().enumerate() {
                    let second = at.index(stream.len());
                    let members = &mut stream[second].members;
                    let member = member.index(members.len());
                    let member = &mut members[member];
                    member.decisions = if place % 2 == 0 { counts.delta.attempts } else { counts.decisions };
                    member.weight = counts.weight;
                    member.requests = counts.exchanges.count.map(|count| count / 2);
                    (member.delta, member.stock, member.exchanges) =
                        (counts.delta, counts.stock, counts.exchanges);
                }
                judged(&stream).iter().try_for_each(sane)
            })
        }),
    ]
}

/// Tries a property; the least input for which it does not hold is told.
fn holds<S: Strategy>(strategy: S, property: impl Fn(S::Value) -> Result<(), String>) -> Result<(), Failed> {
    let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
    let tried = TestRunner::new(config).run(&strategy, |value| property(value).map_err(TestCaseError::fail));
    tried.map_err(|error| match error {
        TestError::Fail(why, least) => format!("{why}\n{least:?}").into(),
        TestError::Abort(why) => why.message().into(),
    })
}

/// A random story, and what it gives.
struct Told {
    text: String,
    seed: u64,
    stream: Vec<PoolSample>,
}

impl fmt::Debug for Told {
    /// What it takes to tell it again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {} of this story:\n{}", self.seed, self.text)
    }
}

/// What random stories give. A member may fail, be slow or down, or get another share than is declared.
fn any_stream() -> impl Strategy<Value = Told> {
    (any_story(), any::<u64>()).prop_map(|(text, seed)| match story::read("a random story", &text) {
        Ok(story) => Told { stream: stream(&story, seed), text, seed },
        Err(error) => panic!("{error}\n{text}"),
    })
}

fn any_story() -> impl Strategy<Value = String> {
    const METHODS: [&str; 4] = ["round-robin", "least-connections", "hash", "random"];
    let act = prop_oneof![
        (0_u32..20).prop_map(|weight| format!("weight = {weight}")),
        (2_u32..20).prop_map(|slow| format!("slow = {slow}")),
        (0_u32..10).prop_map(|tenths| format!("fails = 'refused', rate = 0.{tenths}")),
        (1_u32..9).prop_map(|tenths| format!("fails = 'cancelled', rate = 0.5, after_seconds = {tenths}")),
        (1_u32..9).prop_map(|tenths| format!("resets = 0.{tenths}")),
        Just("down = true".to_owned()),
    ];
    let phase = (5_u32..60, prop::collection::btree_map(0_usize..6, act, 0..3), 0_u32..4);
    let traffic = prop_oneof![
        (1_u32..150).prop_map(|rate| format!("connections_per_second = {rate}")),
        (1_u32..30).prop_map(|rate| format!("connections_per_minute = {rate}")),
        (1_u32..150).prop_map(|rate| format!("requests_per_second = {rate}, requests_per_connection = 20")),
        (1_u32..20).prop_map(|rate| {
            format!("connections_per_second = {rate}, requests_per_connection = 0, held_seconds = 30")
        }),
    ];
    let pool = (prop::sample::select(&METHODS[..]), prop::collection::vec(0_u32..6, 2..7), any::<bool>());
    (pool, traffic, 1_usize..4, any::<bool>(), prop::collection::vec(phase, 1..4)).prop_map(
        |((method, weights, exchanges), traffic, workers, ejects, phases)| {
            let weight = |(place, weight): (usize, &u32)| format!("m{} = {weight}", place + 1);
            let listed: Vec<String> = weights.iter().enumerate().map(weight).collect();
            let ejects = if ejects { ", ejects_seconds = 10" } else { "" };
            let mut text = format!(
                "what = 'random'\nbalancer = {{ workers = {workers}{ejects} }}\ntraffic = {{ {traffic} }}\n\
                 [pool]\nmethod = '{method}'\nmembers = {}\nvouched = false\nexchanges = {exchanges}\nweights = {{ {} }}\n",
                weights.len(),
                listed.join(", "),
            );
            for (number, (seconds, acts, change)) in phases.into_iter().enumerate() {
                text.push_str(&format!("[[phase]]\nname = '{number}'\nseconds = {seconds}\n"));
                // Fewer members than numbers: what comes last of the same member stays.
                let acts: BTreeMap<usize, String> =
                    acts.into_iter().map(|(number, act)| (1 + number % weights.len(), act)).collect();
                for (member, act) in acts {
                    text.push_str(&format!("members.m{member} = {{ {act} }}\n"));
                }
                text.push_str(match change {
                    0 => "reload = true\n",
                    1 => "declare = { weights = { m1 = 3 } }\n",
                    2 => "declare = { leave = ['m2'] }\n",
                    _ => "",
                });
            }
            text
        },
    )
}

fn seconds(index: usize) -> f64 {
    BEGIN_SECONDS + (index + 1) as f64
}

fn judged(stream: &[PoolSample]) -> Vec<Assessment> {
    let mut judge = PoolJudge::new(Settings::default());
    stream.iter().enumerate().map(|(index, sample)| judge.judge(sample, seconds(index))).collect()
}

/// All that is said, to the last bit of every number.
fn text(assessments: &[Assessment]) -> Vec<String> {
    assessments.iter().map(|assessment| format!("{assessment:?}")).collect()
}

/// The first second at which two differ.
fn same(one: &[Assessment], other: &[Assessment]) -> Result<(), String> {
    let (one, other) = (text(one), text(other));
    if one.len() != other.len() {
        return Err(format!("{} seconds, and {}", one.len(), other.len()));
    }
    match one.iter().zip(&other).position(|(one, other)| one != other) {
        None => Ok(()),
        Some(index) => Err(format!("second {}:\n{}\n{}", index + 1, one[index], other[index])),
    }
}

/// The sums of what the kernel counts: a story about numbers that cannot be would say nothing of the detector.
fn adds_up(sample: &PoolSample) -> Result<(), String> {
    let good = |member: &MemberSample| {
        let (total, stock) = (&member.total, member.stock.unwrap_or_default());
        total.attempts == total.established + total.failed.total() + stock.pending
            && total.established + total.adopted == stock.live + stock.closing + total.closed
            && total.lifetime.count() + total.probes <= total.closed
            && member.decisions <= member.delta.attempts
            && member.exchanges.response_time.as_ref().map(Histogram::count) == member.exchanges.count
    };
    sample.members.iter().find(|member| !good(member)).map_or(Ok(()), |member| Err(format!("{member:?}")))
}

fn sane(assessment: &Assessment) -> Result<(), String> {
    let members = &assessment.members;
    let numbers = members.iter().flat_map(|member| {
        let interval = member.share_interval.into_iter().flatten();
        member.expected_share.into_iter().chain(member.observed_share).chain(interval)
    });
    let sums_to_one = |shares: &mut dyn Iterator<Item = f64>| {
        let shares: Vec<f64> = shares.collect();
        let sum: f64 = shares.iter().sum();
        shares.iter().all(|share| *share == 0.0) || (sum - 1.0).abs() < 1e-6
    };
    let good = numbers.into_iter().all(|number| (0.0..=1.0).contains(&number))
        && assessment.evidence >= 0.0
        && assessment.since_seconds.is_none_or(f64::is_finite)
        && !assessment.summary.is_empty()
        && !assessment.summary.contains("NaN")
        && sums_to_one(&mut members.iter().filter_map(|member| member.expected_share))
        && sums_to_one(&mut members.iter().filter_map(|member| member.observed_share));
    if good { Ok(()) } else { Err(format!("{assessment:?}")) }
}

fn order_does_not_matter(stream: &[PoolSample], seed: u64) -> Result<(), String> {
    let mut chance = fastrand::Rng::with_seed(seed);
    let shuffled: Vec<PoolSample> = stream
        .iter()
        .map(|sample| {
            let mut sample = sample.clone();
            chance.shuffle(&mut sample.members);
            sample
        })
        .collect();
    let mut back = judged(&shuffled);
    for (assessment, sample) in back.iter_mut().zip(&shuffled) {
        let asked: Vec<_> = sample.members.iter().map(|member| member.backend).collect();
        let answered: Vec<_> = assessment.members.iter().map(|member| member.backend).collect();
        if asked != answered {
            return Err(format!("asked about {asked:?}, answered about {answered:?}"));
        }
        assessment.members.sort_by_key(|member| member.backend);
    }
    same(&judged(stream), &back)
}

/// Powers of two change no share by a bit. Weights themselves are said where these are uneven.
fn unit_does_not_matter(stream: &[PoolSample], unit: f64) -> Result<(), String> {
    let mut scaled = stream.to_vec();
    for member in scaled.iter_mut().flat_map(|sample| &mut sample.members) {
        member.weight = member.weight.map(|weight| weight * unit);
    }
    let without_weights = |stream: &[PoolSample]| {
        let mut said = judged(stream);
        let uneven = said.iter_mut().filter(|assessment| assessment.verdict == Verdict::UnevenWeights);
        uneven.for_each(|assessment| assessment.summary.clear());
        said
    };
    same(&without_weights(stream), &without_weights(&scaled))
}

fn replay_equals_live(stream: &[PoolSample]) -> Result<(), String> {
    let agent = || Agent::new(Pools::default(), Settings::default());
    let mut live = agent();
    let mut file = Vec::new();
    let mut recorder =
        Recorder::begin(&mut file, None, BEGIN_SECONDS, &live).map_err(|error| error.to_string())?;
    let mut said = Vec::new();
    for (index, sample) in stream.iter().enumerate() {
        let time_seconds = seconds(index);
        let pools = live.judge(vec![sample.clone()], time_seconds);
        said.extend(pools.iter().filter_map(|pool| pool.assessment.clone()));
        let interval = Interval { time_seconds, interval_seconds: 1.0, pools, other: None, uncounted: None };
        recorder.record(&interval, &live).map_err(|error| error.to_string())?;
    }
    let mut replayed = Vec::new();
    let mut again = agent();
    for event in Replay::new(file.as_slice()) {
        match event.map_err(|error| error.to_string())? {
            Event::Begin { state, .. } => again.restore(state),
            Event::Interval(interval) => {
                let pools = again.judge(interval.pools, interval.time_seconds);
                replayed.extend(pools.into_iter().filter_map(|pool| pool.assessment));
            }
            Event::Warning(line, message) => return Err(format!("{line}: {message}")),
        }
    }
    same(&said, &judged(stream))?;
    same(&said, &replayed)
}

fn restart_does_not_matter(stream: &[PoolSample], cut: usize) -> Result<(), String> {
    let mut judge = PoolJudge::new(Settings::default());
    let mut said = Vec::new();
    for (index, sample) in stream.iter().enumerate() {
        if index == cut {
            judge = rewritten(&judge).map_err(|error| error.to_string())?;
        }
        said.push(judge.judge(sample, seconds(index)));
    }
    same(&judged(stream), &said)
}

/// What one member is said to have done in one second, anything at all.
#[derive(Clone, Debug)]
struct Garbage {
    weight: Option<f64>,
    decisions: u64,
    delta: Counters,
    stock: Option<Stock>,
    exchanges: Exchanges,
}

fn garbage() -> impl Strategy<Value = (prop::sample::Index, prop::sample::Index, Garbage)> {
    let count = || prop_oneof![Just(0), 0_u64..1000, Just(u64::MAX), any::<u64>()];
    let histogram = move || {
        prop::collection::vec((any::<prop::sample::Index>(), count()), 0..4).prop_map(|filled| {
            let mut histogram = Histogram::default();
            let buckets = histogram.counts().len();
            filled
                .into_iter()
                .for_each(|(bucket, count)| histogram.counts_mut()[bucket.index(buckets)] = count);
            histogram
        })
    };
    let delta = (prop::array::uniform12(count()), histogram(), histogram(), histogram()).prop_map(
        |(
            [
                attempts,
                untracked,
                established,
                adopted,
                closed,
                resets,
                without,
                probes,
                sent,
                refused,
                timed_out,
                cancelled,
            ],
            connect_time,
            cancelled_age,
            lifetime,
        )| {
            Counters {
                attempts,
                untracked,
                established,
                adopted,
                closed,
                resets,
                resets_without_data: without,
                probes,
                sent_bytes: sent,
                failed: Failures { refused, timed_out, cancelled, ..Failures::default() },
                connect_time,
                cancelled_age,
                lifetime,
                ..Counters::default()
            }
        },
    );
    let stock = prop::option::of((count(), count()).prop_map(|(pending, live)| Stock {
        pending,
        live,
        ..Stock::default()
    }));
    let exchanges = (prop::option::of(count()), prop::option::of(histogram()))
        .prop_map(|(count, response_time)| Exchanges { count, response_time });
    let weight = prop::option::of(prop_oneof![0.0_f64..20.0, any::<f64>()]);
    let one = (weight, count(), delta, stock, exchanges).prop_map(
        |(weight, decisions, delta, stock, exchanges)| Garbage { weight, decisions, delta, stock, exchanges },
    );
    (any::<prop::sample::Index>(), any::<prop::sample::Index>(), one)
}
