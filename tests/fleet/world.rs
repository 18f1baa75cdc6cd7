//! A made-up fleet: balancers that spread over the same backends, and what their tracers would count.

use std::collections::BTreeMap;

/// How a balancer chooses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Spread {
    /// In turn, by weight: as even as whole numbers can be.
    Turns,
    /// At random, by weight.
    Random,
    /// By client: some clients do much, and each balancer has its own.
    Clients,
}

/// What a balancer and its backends do for a time.
#[derive(Clone, Debug)]
pub(crate) struct Phase {
    /// What it sends to each backend, in proportion; `None`: it does not know this one.
    pub(crate) weights: Vec<Option<f64>>,
    /// The part of connects to each backend that is refused.
    pub(crate) refused: Vec<f64>,
    /// Mean response time of each backend, seconds.
    pub(crate) response_seconds: Vec<f64>,
    /// What the tracer says of the pool.
    pub(crate) verdict: &'static str,
    pub(crate) up: bool,
    pub(crate) programs: f64,
    pub(crate) lag_seconds: f64,
    /// The part of connections that could not be counted where they belong.
    pub(crate) uncounted: f64,
    /// Alerts that wait since their Alertmanager does not take them.
    pub(crate) alerts_waiting: f64,
}

/// A balancer with its tracer.
#[derive(Clone, Debug)]
pub(crate) struct Balancer {
    pub(crate) instance: String,
    pub(crate) per_second: f64,
    /// Exchanges on each connection, by backend; `None`: they are not measured.
    pub(crate) exchanges: Option<Vec<f64>>,
    pub(crate) spread: Spread,
    pub(crate) method: &'static str,
    pub(crate) expected_source: &'static str,
    /// What each backend should get, in proportion.
    pub(crate) expected: Vec<f64>,
    pub(crate) before: Phase,
    /// From the middle on; `None`: as before.
    pub(crate) after: Option<Phase>,
    /// The tracer is started anew then, in steps.
    pub(crate) restarts_at: Option<usize>,
}

/// Balancers of one pool.
#[derive(Clone, Debug)]
pub(crate) struct Fleet {
    pub(crate) balancers: Vec<Balancer>,
    /// Between scrapes.
    pub(crate) step_seconds: u32,
    pub(crate) steps: usize,
}

/// What is scraped: each series with a value for every step, where there is one.
pub(crate) type Series = BTreeMap<String, Vec<Option<f64>>>;

impl Phase {
    fn well(backends: usize) -> Self {
        Self {
            weights: vec![Some(1.0); backends],
            refused: vec![0.0; backends],
            response_seconds: vec![0.01; backends],
            verdict: "balanced",
            up: true,
            programs: 6.0,
            lag_seconds: 0.002,
            uncounted: 0.0,
            alerts_waiting: 0.0,
        }
    }
}

impl Fleet {
    /// A good one, watched for twenty minutes.
    pub(crate) fn of(balancers: usize, backends: usize) -> Self {
        let balancer = |number: usize| Balancer {
            instance: format!("lb{}:9477", number + 1),
            per_second: 200.0,
            exchanges: None,
            spread: Spread::Turns,
            method: "round-robin",
            expected_source: "declared",
            expected: vec![1.0; backends],
            before: Phase::well(backends),
            after: None,
            restarts_at: None,
        };
        Self { balancers: (0..balancers).map(balancer).collect(), step_seconds: 15, steps: 81 }
    }

    /// Changes every balancer.
    pub(crate) fn each(mut self, change: impl Fn(&mut Balancer)) -> Self {
        self.balancers.iter_mut().for_each(change);
        self
    }

    /// Has one balancer do otherwise from the middle on.
    pub(crate) fn fault_at(mut self, number: usize, fault: impl Fn(&mut Phase)) -> Self {
        let balancer = &mut self.balancers[number];
        let mut after = balancer.after.clone().unwrap_or_else(|| balancer.before.clone());
        fault(&mut after);
        balancer.after = Some(after);
        self
    }

    /// Has every balancer do otherwise from the middle on.
    pub(crate) fn fault(self, fault: impl Fn(&mut Phase)) -> Self {
        (0..self.balancers.len()).fold(self, |fleet, number| fleet.fault_at(number, &fault))
    }

    /// What is scraped of it; the same each time.
    pub(crate) fn series(&self) -> Series {
        let mut series = Series::new();
        for (number, balancer) in self.balancers.iter().enumerate() {
            let mut random = fastrand::Rng::with_seed(number as u64 + 1);
            Counting { fleet: self, balancer, random: &mut random }.write(&mut series);
        }
        series
    }
}

/// Name of a backend.
pub(crate) fn backend(number: usize) -> String {
    format!("10.0.{}.{}:8080", number / 250, number % 250 + 1)
}

/// One balancer's counters as they grow.
struct Counting<'a> {
    fleet: &'a Fleet,
    balancer: &'a Balancer,
    random: &'a mut fastrand::Rng,
}

impl Counting<'_> {
    fn write(&mut self, series: &mut Series) {
        let Balancer { instance, expected, .. } = self.balancer;
        let own = format!("job=\"tracer\",instance=\"{instance}\"");
        let pool = format!("{own},pool=\"app\",balancer=\"nginx\"");
        let clients: Vec<f64> = expected.iter().map(|_| -(1.0 - self.random.f64()).ln()).collect();
        // Attempts, refused and uncounted so far, and what was left over when they were made whole.
        let mut attempts = vec![0.0; expected.len()];
        let mut refused = attempts.clone();
        let mut answered = attempts.clone();
        let mut seconds = attempts.clone();
        let mut left = attempts.clone();
        let (mut uncounted, mut failed_alerts) = (0.0, 0.0);
        for step in 0..self.fleet.steps {
            let phase = match &self.balancer.after {
                Some(after) if step > self.fleet.steps / 2 => after,
                _ => &self.balancer.before,
            };
            if self.balancer.restarts_at == Some(step) {
                for counter in [&mut attempts, &mut refused, &mut answered, &mut seconds] {
                    counter.fill(0.0);
                }
            }
            let mut set = |name: String, value: f64| {
                let values = series.entry(name).or_insert_with(|| vec![None; self.fleet.steps]);
                values[step] = Some(value);
            };
            set(format!("up{{{own}}}"), f64::from(u8::from(phase.up)));
            if !phase.up {
                continue;
            }
            let decided =
                decisions(self.balancer, phase, &clients, self.fleet.step_seconds, &mut left, self.random);
            for (at, wanted) in expected.iter().enumerate() {
                let Some(decided) = decided[at] else { continue };
                let labels = format!("{pool},backend=\"{}\"", backend(at));
                let here_refused = (decided * phase.refused[at]).round();
                attempts[at] += decided;
                refused[at] += here_refused;
                set(format!("tracer_connection_attempts_total{{{labels}}}"), attempts[at]);
                for cause in ["refused", "timed_out", "unreachable", "cancelled", "local"] {
                    let count = if cause == "refused" { refused[at] } else { 0.0 };
                    set(format!("tracer_connection_failures_total{{{labels},cause=\"{cause}\"}}"), count);
                }
                set(format!("tracer_connections_live{{{labels}}}"), (decided / 15.0).floor());
                let sum: f64 = expected.iter().sum();
                set(format!("tracer_expected_share{{{labels}}}"), wanted / sum);
                if let Some(exchanges) = &self.balancer.exchanges {
                    let more = (decided - here_refused) * exchanges[at];
                    answered[at] += more;
                    seconds[at] += more * phase.response_seconds[at];
                    set(format!("tracer_exchanges_total{{{labels}}}"), answered[at]);
                    set(format!("tracer_response_duration_seconds_count{{{labels}}}"), answered[at]);
                    set(format!("tracer_response_duration_seconds_sum{{{labels}}}"), seconds[at]);
                }
            }
            for verdict in VERDICTS {
                let is = f64::from(u8::from(phase.verdict == verdict));
                set(format!("tracer_pool_verdict{{{pool},verdict=\"{verdict}\"}}"), is);
            }
            let (source, method) = (self.balancer.expected_source, self.balancer.method);
            set(format!("tracer_pool_info{{{pool},expected_source=\"{source}\",method=\"{method}\"}}"), 1.0);
            uncounted += phase.uncounted * self.balancer.per_second * f64::from(self.fleet.step_seconds);
            set(format!("tracer_uncounted_connections_total{{{own},reason=\"limit\"}}"), uncounted.round());
            set(format!("tracer_programs{{{own},state=\"works\"}}"), phase.programs);
            set(format!("tracer_tick_lag_seconds{{{own}}}"), phase.lag_seconds);
            failed_alerts += phase.alerts_waiting;
            let to = format!("{own},alertmanager=\"http://am:9093\"");
            set(format!("tracer_alerts_waiting{{{to}}}"), phase.alerts_waiting);
            set(format!("tracer_alerts_failed_total{{{to}}}"), failed_alerts);
        }
    }
}

const VERDICTS: [&str; 10] = [
    "pool-failing",
    "backend-failing",
    "member-missing",
    "unexpected-backend",
    "skewed",
    "pool-slow",
    "backend-slow",
    "uneven-weights",
    "balanced",
    "insufficient-evidence",
];

/// What is sent to each backend in one step; `None` to those that the balancer does not know.
fn decisions(
    balancer: &Balancer,
    phase: &Phase,
    clients: &[f64],
    step_seconds: u32,
    left: &mut [f64],
    random: &mut fastrand::Rng,
) -> Vec<Option<f64>> {
    let weights = phase.weights.iter().zip(clients).map(|(weight, clients)| {
        weight.map(|weight| if balancer.spread == Spread::Clients { weight * clients } else { weight })
    });
    let weights: Vec<Option<f64>> = weights.collect();
    let sum: f64 = weights.iter().flatten().sum();
    let total = balancer.per_second * f64::from(step_seconds);
    let share = |weight: f64| if sum > 0.0 { weight / sum } else { 0.0 };
    if balancer.spread == Spread::Turns {
        let whole = weights.iter().zip(left).map(|(weight, left)| {
            let due = total * share((*weight)?) + *left;
            *left = due.fract();
            Some(due.floor())
        });
        return whole.collect();
    }
    let mut counts = vec![0.0; weights.len()];
    let mut left_over = total;
    while left_over >= 0.5 {
        left_over -= 1.0;
        let mut at = random.f64() * sum;
        let chosen = weights.iter().position(|weight| {
            at -= weight.unwrap_or(0.0);
            at < 0.0
        });
        counts[chosen.unwrap_or(0)] += 1.0;
    }
    weights.iter().zip(counts).map(|(weight, count)| weight.map(|_| count)).collect()
}
