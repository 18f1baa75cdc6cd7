use super::*;
use proptest::prelude::*;

const INTERVAL: f64 = 1.0;

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 8080))
}

fn arrivals(last: u8, role: Role, attempts: u64, probes: u64) -> Arrivals {
    let weight = if role == Role::Active { 1.0 } else { 0.0 };
    Arrivals { backend: address(last), role, weight, attempts, probes }
}

/// Random numbers between 0 and 1, the same in every run.
struct Dice(u64);

impl Dice {
    #[expect(clippy::cast_precision_loss, reason = "53 bits")]
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// How many of `times` lie in the interval that ends at `now`.
fn count(times: &[f64], now: f64, interval: f64) -> u64 {
    times.iter().filter(|&&time| time > now - interval && time <= now).count() as u64
}

/// Arrivals of a timer with some jitter.
fn timer(dice: &mut Dice, every: f64, jitter: f64, until: f64) -> Vec<f64> {
    let mut times = vec![dice.roll() * every];
    while times[times.len() - 1] < until {
        times.push(times[times.len() - 1] + every * (1.0 + jitter * (dice.roll() - 0.5)));
    }
    times
}

/// Arrivals at random.
fn poisson(dice: &mut Dice, per_second: f64, until: f64) -> Vec<f64> {
    let mut times = vec![-(1.0 - dice.roll()).ln() / per_second];
    while times[times.len() - 1] < until {
        times.push(times[times.len() - 1] - (1.0 - dice.roll()).ln() / per_second);
    }
    times
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
fn ticks(until: f64, interval: f64) -> impl Iterator<Item = f64> {
    (1..=(until / interval) as u32).map(move |tick| f64::from(tick) * interval)
}

#[test]
fn a_probe_of_a_later_interval_is_taken_out_there() {
    let mut checks = HealthChecks::default();
    let mut tick = |attempts, probes| {
        checks.decisions(0.0, INTERVAL, None, &[arrivals(1, Role::Active, attempts, probes)])[0]
    };
    assert_eq!(tick(10, 2), 8);
    assert_eq!(tick(1, 0), 1);
    assert_eq!(tick(0, 3), 0, "never negative");
    assert_eq!(tick(2, 0), 0);
    assert_eq!(tick(5, 0), 4);
}

#[test]
fn probes_of_connections_from_before_the_tracer_are_not_owed() {
    let mut checks = HealthChecks::default();
    assert_eq!(checks.decisions(0.0, 1.0, None, &[arrivals(1, Role::Active, 0, 50)]), [0]);
    assert_eq!(checks.decisions(1.0, 1.0, None, &[arrivals(1, Role::Active, 4, 0)]), [4]);
}

#[test]
fn a_declared_interval_is_taken_out_of_every_member() {
    let mut checks = HealthChecks::default();
    let (mut sum, mut only_checks, mut backup) = (0, 0, 0);
    for tick in 0..1_000_u32 {
        let check = u64::from(tick % 2 == 0);
        let arrivals = [
            arrivals(1, Role::Active, 3 + check, 0),
            arrivals(2, Role::Active, check, 0),
            arrivals(3, Role::Idle, check, 0),
        ];
        let decisions = checks.decisions(f64::from(tick), 1.0, Some(Duration::from_secs(2)), &arrivals);
        sum += decisions[0];
        only_checks += decisions[1];
        backup += decisions[2];
    }
    assert!((2_998..=3_002).contains(&sum), "{sum}");
    assert!(only_checks <= 1, "{only_checks}");
    assert_eq!(backup, 0);
}

#[test]
fn tcp_checks_are_not_taken_out_twice() {
    let mut checks = HealthChecks::default();
    let mut sum = 0;
    for tick in 0..1_000_u32 {
        let check = u64::from(tick % 2 == 0);
        let arrivals = [arrivals(1, Role::Active, 3 + check, check)];
        sum += checks.decisions(f64::from(tick), 1.0, Some(Duration::from_secs(2)), &arrivals)[0];
    }
    assert!((2_996..=3_000).contains(&sum), "{sum}");
}

#[test]
fn checks_of_a_backup_are_never_unexpected() {
    for seed in 0..200 {
        for every in [1.0, 2.0, 3.7, 10.0] {
            for interval in [0.25, 1.0] {
                let mut dice = Dice(seed);
                let times = timer(&mut dice, every, 0.3, 300.0);
                let mut checks = HealthChecks::default();
                for now in ticks(300.0, interval) {
                    let arrivals = [arrivals(1, Role::Idle, count(&times, now, interval), 0)];
                    let decisions = checks.decisions(now, interval, None, &arrivals);
                    assert_eq!(decisions, [0], "seed {seed}, every {every} s, at {now}");
                }
            }
        }
    }
}

#[test]
fn checks_that_pause_are_still_checks() {
    let mut dice = Dice(7);
    let mut times = timer(&mut dice, 2.0, 0.1, 60.0);
    times.extend(timer(&mut dice, 2.0, 0.1, 60.0).into_iter().map(|time| time + 200.0));
    let mut checks = HealthChecks::default();
    for now in ticks(260.0, 1.0) {
        assert_eq!(
            checks.decisions(now, 1.0, None, &[arrivals(1, Role::Idle, count(&times, now, 1.0), 0)]),
            [0]
        );
    }
}

/// Found by the property below: the checks from before the pause were lost when a burst followed it.
#[test]
fn a_burst_after_a_pause_releases_only_itself() {
    let mut checks = HealthChecks::default();
    for tick in 0..20_u32 {
        let arrivals = [arrivals(1, Role::Idle, u64::from(tick % 2), 0)];
        assert_eq!(checks.decisions(f64::from(tick), 1.0, None, &arrivals), [0]);
    }
    assert_eq!(checks.ledger(address(1)).held_back, 10);
    assert_eq!(checks.decisions(100.0, 1.0, None, &[arrivals(1, Role::Idle, 6, 0)]), [6]);
    let ledger = checks.ledger(address(1));
    assert_eq!((ledger.checks, ledger.held_back), (10, 0));
}

#[test]
fn traffic_to_a_drained_member_is_released_soon() {
    let (mut late, mut very_late, mut seen, mut came) = (0, 0, 0, 0);
    for seed in 0..500 {
        let times = poisson(&mut Dice(seed), 0.5, 120.0);
        let mut checks = HealthChecks::default();
        let mut first = None;
        let before = seen;
        for now in ticks(120.0, 1.0) {
            let arrivals = [arrivals(1, Role::Idle, count(&times, now, 1.0), 0)];
            seen += checks.decisions(now, 1.0, None, &arrivals)[0];
            if seen > before {
                first.get_or_insert(now);
            }
        }
        came += checks.ledger(address(1)).attempts;
        late += u32::from(first.is_none_or(|first| first > 20.0));
        very_late += u32::from(first.is_none_or(|first| first > 40.0));
    }
    assert!(late <= 75, "{late} of 500 later than 20 s");
    assert!(seen * 100 > came * 98, "{seen} of {came}");
    assert!(very_late <= 10, "{very_late} of 500 later than 40 s");
}

#[test]
fn a_burst_is_released_at_once() {
    let mut checks = HealthChecks::default();
    assert_eq!(checks.decisions(1.0, 1.0, None, &[arrivals(1, Role::Idle, 3, 0)]), [0]);
    assert_eq!(checks.decisions(2.0, 1.0, None, &[arrivals(1, Role::Idle, 4, 0)]), [7]);
    assert_eq!(checks.decisions(3.0, 1.0, None, &[arrivals(1, Role::Idle, 5, 0)]), [5]);
}

#[test]
fn what_is_even_but_too_frequent_is_traffic() {
    let mut checks = HealthChecks::default();
    let mut last = 0;
    for now in ticks(60.0, 1.0) {
        last = checks.decisions(now, 1.0, None, &[arrivals(1, Role::Idle, 2, 0)])[0];
    }
    assert_eq!(last, 2);
    assert_eq!(checks.ledger(address(1)).decisions, 120);
}

#[test]
fn tcp_checks_of_a_backup_are_probes_even_when_they_end_later() {
    let mut checks = HealthChecks::default();
    for tick in 0..100_u32 {
        let arrivals = [arrivals(1, Role::Idle, u64::from(tick % 2 == 0), u64::from(tick % 2 == 1))];
        assert_eq!(checks.decisions(f64::from(tick), 1.0, None, &arrivals), [0]);
    }
    let ledger = checks.ledger(address(1));
    assert_eq!((ledger.probes, ledger.held_back), (50, 0));
}

#[test]
fn the_timer_of_a_backup_is_the_floor_of_all() {
    let mut dice = Dice(3);
    let times = timer(&mut dice, 2.0, 0.1, 600.0);
    let (mut dead, mut alive) = (0, 0);
    let mut checks = HealthChecks::default();
    for now in ticks(600.0, 1.0) {
        let check = count(&times, now, 1.0);
        let arrivals = [
            arrivals(1, Role::Idle, check, 0),
            arrivals(2, Role::Active, check, 0),
            arrivals(3, Role::Active, 10 + check, 0),
        ];
        let decisions = checks.decisions(now, 1.0, None, &arrivals);
        dead += decisions[1];
        alive += decisions[2];
    }
    assert!(dead <= 10, "{dead}: those before the timer was known, and a few");
    assert!((5_995..=6_012).contains(&alive), "{alive}");
}

#[test]
fn traffic_to_an_undeclared_backend_is_never_held_back() {
    let mut checks = HealthChecks::default();
    let every = Some(Duration::from_secs(1));
    assert_eq!(checks.decisions(1.0, 1.0, every, &[arrivals(1, Role::Stranger, 1, 0)]), [1]);
}

fn tick() -> impl Strategy<Value = Vec<(u64, u64)>> {
    proptest::collection::vec((0..6_u64, 0..3_u64), 3)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_nothing_invented(
        series in proptest::collection::vec(tick(), 1..200),
        interval in 0.1..5.0_f64,
        declared in proptest::option::of(100..5_000_u64),
        changes in 1..50_usize,
    ) {
        let mut checks = HealthChecks::default();
        let mut sums = [(0, 0, 0); 3];
        let mut now = 0.0;
        for (number, tick) in series.iter().enumerate() {
            now += interval;
            let first = if (number / changes) % 2 == 0 { Role::Idle } else { Role::Active };
            let roles = [first, Role::Active, Role::Stranger];
            let arrivals: Vec<Arrivals> = (0_u8..3).zip(roles).zip(tick)
                .map(|((last, role), &(attempts, probes))| arrivals(last, role, attempts, probes))
                .collect();
            let decisions = checks.decisions(now, interval, declared.map(Duration::from_millis), &arrivals);
            for ((sum, arrival), decisions) in sums.iter_mut().zip(&arrivals).zip(decisions) {
                *sum = (sum.0 + arrival.attempts, sum.1 + arrival.probes, sum.2 + decisions);
            }
            for (last, sum) in (0_u8..3).zip(sums) {
                let ledger = checks.ledger(address(last));
                prop_assert_eq!(ledger.attempts, sum.0);
                prop_assert_eq!(ledger.decisions, sum.2);
                prop_assert!(ledger.probes <= sum.1);
                prop_assert_eq!(
                    ledger.decisions + ledger.probes + ledger.checks + ledger.held_back, ledger.attempts
                );
            }
        }
    }

    /// Each probe ends some intervals after its attempt: in the long run exactly the probes are taken out.
    #[test]
    fn probes_are_kept_out_exactly(
        series in proptest::collection::vec((0..20_u64, 0..3_u64, 0..4_usize), 1..100),
    ) {
        let mut probes = vec![0; series.len() + 4];
        for (tick, &(_, count, delay)) in series.iter().enumerate() {
            probes[tick + delay] += count;
        }
        let mut checks = HealthChecks::default();
        let traffic: u64 = series.iter().map(|(traffic, ..)| traffic).sum();
        let mut decided = 0;
        for (tick, &probes) in probes.iter().enumerate() {
            let attempts = series.get(tick).map_or(0, |(traffic, count, _)| traffic + count);
            decided += checks.decisions(0.0, 1.0, None, &[arrivals(1, Role::Active, attempts, probes)])[0];
        }
        // Enough traffic afterwards to pay what is owed.
        decided += checks.decisions(0.0, 1.0, None, &[arrivals(1, Role::Active, 1_000, 0)])[0];
        prop_assert_eq!(decided, traffic + 1_000);
    }
}

#[test]
fn a_member_with_a_share_that_gets_only_checks_gets_nothing() {
    for every in [1, 2, 5] {
        let mut checks = HealthChecks::default();
        let mut late = 0;
        for second in 1..=300_u32 {
            let check = u64::from(second.is_multiple_of(every));
            // Traffic until a minute has passed, and again in the last.
            let traffic = if (60..240).contains(&second) { 0 } else { 25 };
            let arrivals = [
                arrivals(1, Role::Active, 25 + check, 0),
                arrivals(2, Role::Active, traffic + check, 0),
                arrivals(3, Role::Active, check, 0),
            ];
            let decisions = checks.decisions(f64::from(second), 1.0, None, &arrivals);
            assert_eq!(decisions[2], 0, "every {every} s, at {second}");
            late += if (150..240).contains(&second) { decisions[1] } else { 0 };
            assert!(second < 260 || decisions[1] >= 24, "every {every} s, at {second}: {decisions:?}");
        }
        assert_eq!(late, 0, "every {every} s");
    }
}

#[test]
fn a_starved_members_traffic_is_counted_all_the_same() {
    for seed in 0..100 {
        let mut dice = Dice(seed);
        let times = poisson(&mut dice, 0.8, 300.0);
        let mut checks = HealthChecks::default();
        for now in ticks(300.0, 1.0) {
            let arrivals =
                [arrivals(1, Role::Active, 25, 0), arrivals(2, Role::Active, count(&times, now, 1.0), 0)];
            checks.decisions(now, 1.0, None, &arrivals);
        }
        let ledger = checks.ledger(address(2));
        assert!(ledger.decisions * 2 > ledger.attempts, "seed {seed}: {ledger:?}");
        assert_eq!(ledger.attempts, ledger.decisions + ledger.probes + ledger.checks + ledger.held_back);
    }
}

#[test]
fn exchanges_of_checks_are_no_requests() {
    let every = Some(Duration::from_secs(2));
    let mut checks = HealthChecks::default();
    let mut requests = [0, 0];
    for second in 1..=100_u32 {
        let check = u64::from(second.is_multiple_of(2));
        // Kept connections: only checks open new ones. The second member is drained.
        let arrivals = [arrivals(1, Role::Active, check, 0), arrivals(2, Role::Idle, check, 0)];
        checks.decisions(f64::from(second), 1.0, every, &arrivals);
        for (member, (sum, traffic)) in requests.iter_mut().zip([25, 0]).enumerate() {
            let backend = arrivals[member].backend;
            *sum += checks.requests(backend, Some(traffic + check)).unwrap();
        }
    }
    assert_eq!(requests, [2_500, 0]);
    assert_eq!(checks.requests(address(1), None), None, "not measured");
    assert_eq!(checks.requests(address(9), Some(3)), Some(0), "decides nothing");
}
