//! Every family of metrics: its name, its unit, what it means, and its samples.

use super::durations::Durations;
use super::ledger::{Labelled, Ledger, Row};
use crate::agent::Judged;
use crate::alerts::Figures;
use crate::collect::Uncounted;
use crate::detect::{Assessment, Verdict};
use crate::history::Health;
use crate::kernel::{Outcome, ProgramReport};
use crate::outputs::Latest;
use crate::outputs::escape::for_terminal;
use crate::pools::PoolIdentity;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeLabel as _, EncodeLabelSet, LabelSetEncoder, MetricEncoder,
    NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use std::collections::BTreeMap;
use std::fmt::Error;
use std::sync::Arc;

/// What is told of the latest.
#[derive(Debug)]
pub(super) struct Families(pub(super) Arc<Latest>);

/// The backend that stands for all that have no series of their own.
const OTHER: &str = "other";

/// A family: its name and unit, and what it means. The name is whole, since a prefix would be written for each sample anew.
struct Family(&'static str, Option<Unit>, &'static str);

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let Latest { report, ledger, own, .. } = &*self.0;
        let mut out = Out(&mut encoder);
        of_backends(&mut out, ledger)?;
        of_pools(&mut out, &report.pools)?;
        of_itself(&mut out, report.uncounted)?;
        of_programs(&mut out, &own.programs, &own.run_seconds)?;
        of_alerts(&mut out, &own.alerts)?;
        let lag = Family("tracer_tick_lag", Some(Unit::Seconds), "How late the last tick came.");
        out.family(&lag, MetricType::Gauge)?.encode_gauge(&own.tick_lag_seconds)?;
        if let Some(history) = own.history {
            of_history(&mut out, history)?;
        }
        let build = Family("tracer_build", None, "What is running.");
        out.family(&build, MetricType::Info)?.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])
    }
}

fn of_backends(out: &mut Out<'_, '_>, ledger: &Ledger) -> Result<(), Error> {
    let labels: Vec<BackendLabels> = ledger.rows().map(|row| BackendLabels::of(&row)).collect();
    let rows = || labels.iter().zip(ledger.rows().map(|labelled| labelled.row));
    let mut counter = |name, unit, help, value: fn(&Row) -> Option<u64>| {
        let known = rows().filter_map(|(labels, row)| Some((labels, value(row)?)));
        out.counters(&Family(name, unit, help), known)
    };
    counter("tracer_connection_attempts", None, "Sockets that began to connect.", |row| {
        Some(row.counted.attempts)
    })?;
    counter("tracer_connections_established", None, "Attempts that were established.", |row| {
        Some(row.counted.established)
    })?;
    let closed = "Connections that ended, those from before the tracer among them.";
    counter("tracer_connections_closed", None, closed, |row| Some(row.counted.closed))?;
    counter("tracer_sent", Some(Unit::Bytes), "Payload to the backend.", |row| Some(row.counted.sent_bytes))?;
    counter("tracer_received", Some(Unit::Bytes), "Payload from the backend.", |row| {
        Some(row.counted.received_bytes)
    })?;
    let retransmits = "Segments sent again after the connection was established.";
    counter("tracer_retransmits", None, retransmits, |row| Some(row.counted.retransmits))?;
    let exchanges = "Requests with their responses; several at once on a connection count as fewer.";
    counter("tracer_exchanges", None, exchanges, |row| row.counted.exchanges)?;
    let failures = rows().flat_map(|(labels, row)| {
        let causes = row.counted.failed.by_cause().into_iter();
        causes.map(move |(cause, count)| (WithCause { labels, cause }, count))
    });
    out.counters(&Family("tracer_connection_failures", None, "Attempts that failed, by cause."), failures)?;

    let mut gauge = |name, help, value: fn(&Row) -> Option<f64>| {
        let known = rows().filter_map(|(labels, row)| Some((labels, value(row)?)));
        out.gauges(&Family(name, None, help), known)
    };
    let live = |row: &Row| row.live.map(|live| live as f64);
    gauge("tracer_connections_live", "Connections open now, counted from the sockets.", live)?;
    gauge("tracer_expected_share", "Share that the member should get.", |row| row.expected_share)?;
    gauge("tracer_observed_share", "Share that it got over the time that is judged.", |row| {
        row.observed_share
    })?;

    let mut histogram = |name, help, value: fn(&Row) -> Option<&Durations>| {
        let known = rows().filter_map(|(labels, row)| Some((labels, value(row)?)));
        out.histograms(&Family(name, Some(Unit::Seconds), help), known)
    };
    let connect = "From SYN to established. The sum is estimated from finer buckets.";
    histogram("tracer_connect_duration", connect, |row| Some(&row.counted.connect))?;
    let response = "From the last send before a response to the first read of it. The sum is estimated from finer buckets.";
    histogram("tracer_response_duration", response, |row| row.counted.response.as_ref())
}

/// The labels of a backend. There are as many lines with them as there are metrics and buckets, so they are written once:
/// all but the end of them goes for a name, which the encoder takes as it is.
struct BackendLabels {
    /// `pool="…",balancer="…",backend`, escaped.
    name: String,
    backend: String,
}

impl BackendLabels {
    fn of(row: &Labelled<'_>) -> Self {
        let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let (pool, balancer) = (escaped(row.pool), escaped(row.balancer));
        Self {
            name: format!("pool=\"{pool}\",balancer=\"{balancer}\",backend"),
            backend: row.backend.map_or_else(|| OTHER.to_owned(), |backend| backend.to_string()),
        }
    }
}

impl EncodeLabelSet for &BackendLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), Error> {
        let label = (self.name.as_str(), self.backend.as_str());
        label.encode(encoder.encode_label())
    }
}

/// The same with the cause of failures.
struct WithCause<'a> {
    labels: &'a BackendLabels,
    cause: &'static str,
}

impl EncodeLabelSet for WithCause<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), Error> {
        self.labels.encode(encoder)?;
        ("cause", self.cause).encode(encoder.encode_label())
    }
}

fn of_pools(out: &mut Out<'_, '_>, pools: &[Judged]) -> Result<(), Error> {
    // Two whose names are shown alike are one series: of them the more severe.
    let mut judged: BTreeMap<(String, String), (&Assessment, &PoolIdentity)> = BTreeMap::new();
    for Judged { sample, assessment } in pools {
        let Some(assessment) = assessment else { continue };
        let PoolIdentity { name, balancer, .. } = &sample.pool;
        let shown = |name: &str| for_terminal(name).into_owned();
        let of = judged.entry((shown(name), shown(balancer.as_deref().unwrap_or_default())));
        let of = of.or_insert((assessment, &sample.pool));
        if assessment.verdict < of.0.verdict {
            *of = (assessment, &sample.pool);
        }
    }
    let pools = || {
        judged.iter().map(|((pool, balancer), (assessment, _))| {
            ([("pool", pool.as_str()), ("balancer", balancer.as_str())], *assessment)
        })
    };
    let verdicts = pools().flat_map(|([pool, balancer], assessment)| {
        Verdict::ALL.map(|verdict| {
            let labels = [pool, balancer, ("verdict", verdict.as_str())];
            (labels, f64::from(u8::from(assessment.verdict == verdict)))
        })
    });
    out.gauges(
        &Family("tracer_pool_verdict", None, "1 for the verdict on the pool, 0 for every other."),
        verdicts,
    )?;
    let evidence = "Strength of the evidence for the verdict, nats.";
    out.gauges(
        &Family("tracer_pool_evidence", None, evidence),
        pools().map(|(labels, assessment)| (labels, assessment.evidence)),
    )?;
    let info =
        "What the pool is compared with: shares that somebody declared, or equal ones that are assumed.";
    let family = Family("tracer_pool", None, info);
    let mut infos = out.family(&family, MetricType::Info)?;
    for ((pool, balancer), (_, PoolIdentity { expected_source, method, .. })) in &judged {
        let of = [("pool", pool.as_str()), ("balancer", balancer.as_str())];
        let says = [("expected_source", expected_source.as_str()), ("method", method.as_str())];
        infos.encode_family(&of)?.encode_info(&says)?;
    }
    Ok(())
}

fn of_itself(out: &mut Out<'_, '_>, uncounted: Option<Uncounted>) -> Result<(), Error> {
    let help = "What could not be counted where it belongs, by reason. `backends` is counted as backend other; \
                `recursion_misses` are events, made up for later.";
    let reasons = uncounted.into_iter().flat_map(|uncounted| {
        // `connections` is the sum of `memory`, `limit` and of those that outlived their backend's counters.
        let told = uncounted.memory.saturating_add(uncounted.limit);
        let outlived = uncounted.connections.saturating_sub(told);
        let others = uncounted.by_name().filter(|(reason, _)| *reason != "connections");
        others.chain([("outlived", outlived)])
    });
    let samples = reasons.map(|(reason, count)| ([("reason", reason)], count));
    out.counters(&Family("tracer_uncounted_connections", None, help), samples)
}

fn of_history(out: &mut Out<'_, '_>, history: Health) -> Result<(), Error> {
    let mut counter = |name, help, count: u64| {
        let family = Family(name, None, help);
        out.family(&family, MetricType::Counter)?.encode_counter::<NoLabelSet, _, f64>(&count, None)
    };
    let failures = "Times that the history could not be written.";
    counter("tracer_history_write_failures", failures, history.failures)?;
    let lost = "Intervals that are not in the history and never will be.";
    counter("tracer_history_lost_intervals", lost, history.lost)?;
    let mut gauge = |name, unit, help, value: u64| {
        out.family(&Family(name, unit, help), MetricType::Gauge)?.encode_gauge(&value)
    };
    let failing = "1 while the history cannot be written.";
    gauge("tracer_history_failing", None, failing, u64::from(history.failing))?;
    let waiting = "Intervals that are not written yet.";
    gauge("tracer_history_waiting_intervals", None, waiting, history.waiting)?;
    let bytes = history
        .bytes
        .map(|bytes| gauge("tracer_history_size", Some(Unit::Bytes), "Bytes of its file.", bytes));
    bytes.unwrap_or(Ok(()))
}

fn of_programs(
    out: &mut Out<'_, '_>,
    programs: &[ProgramReport],
    run_seconds: &[(&'static str, f64)],
) -> Result<(), Error> {
    let run = "Time that programs in the kernel have run; known while kernel.bpf_stats_enabled is set.";
    let samples = run_seconds.iter().map(|(program, seconds)| ([("program", *program)], *seconds));
    out.counters(&Family("tracer_program_run", Some(Unit::Seconds), run), samples)?;
    let state = |outcome: &Outcome| match outcome {
        Outcome::Works => "works",
        Outcome::Refused(_) => "refused",
        Outcome::NotTried => "not-tried",
    };
    let samples = ["works", "refused", "not-tried"].map(|wanted| {
        let count = programs.iter().filter(|program| state(&program.outcome) == wanted).count();
        ([("state", wanted)], f64::from(u32::try_from(count).unwrap_or(u32::MAX)))
    });
    out.gauges(&Family("tracer_programs", None, "Programs in the kernel, by what became of them."), samples)
}

fn of_alerts(out: &mut Out<'_, '_>, alerts: &[Figures]) -> Result<(), Error> {
    let of = |value: fn(&Figures) -> u64| {
        alerts.iter().map(move |of| ([("alertmanager", of.alertmanager.as_str())], value(of)))
    };
    let mut counter = |name, help, value| out.counters(&Family(name, None, help), of(value));
    counter(
        "tracer_alerts_sent",
        "Alerts that Alertmanager took; one that is on is sent every minute.",
        |of| of.sent,
    )?;
    counter(
        "tracer_alerts_failed",
        "Alerts in requests that Alertmanager did not take; they are tried again.",
        |of| of.failed,
    )?;
    let dropped = "Ends of alerts that Alertmanager could not be told before they ended by themselves.";
    counter("tracer_alerts_dropped", dropped, |of| of.dropped)?;
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    let waiting = of(|of| of.waiting).map(|(labels, count)| (labels, count as f64));
    out.gauges(&Family("tracer_alerts_waiting", None, "Alerts that wait to be sent."), waiting)
}

/// Where families are written.
struct Out<'a, 'b>(&'a mut DescriptorEncoder<'b>);

impl Out<'_, '_> {
    fn family<'a>(&'a mut self, family: &'a Family, kind: MetricType) -> Result<MetricEncoder<'a>, Error> {
        let Family(name, unit, help) = family;
        self.0.encode_descriptor(name, help, unit.as_ref(), kind)
    }

    fn counters<L: EncodeLabelSet, V: EncodeCounterValue>(
        &mut self,
        family: &Family,
        samples: impl IntoIterator<Item = (L, V)>,
    ) -> Result<(), Error> {
        let mut metric = self.family(family, MetricType::Counter)?;
        for (labels, value) in samples {
            metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&value, None)?;
        }
        Ok(())
    }

    fn gauges<L: EncodeLabelSet>(
        &mut self,
        family: &Family,
        samples: impl IntoIterator<Item = (L, f64)>,
    ) -> Result<(), Error> {
        let mut metric = self.family(family, MetricType::Gauge)?;
        for (labels, value) in samples {
            metric.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn histograms<'a, L: EncodeLabelSet>(
        &mut self,
        family: &Family,
        samples: impl IntoIterator<Item = (L, &'a Durations)>,
    ) -> Result<(), Error> {
        let mut metric = self.family(family, MetricType::Histogram)?;
        for (labels, durations) in samples {
            let (sum, count, buckets) = (durations.sum_seconds, durations.count(), durations.buckets());
            metric.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        Ok(())
    }
}
