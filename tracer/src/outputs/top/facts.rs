//! One member, and everything that is known of it.

use super::bar::bar;
use super::detail::chart;
use super::figures::{self, UNKNOWN, known};
use super::look::{self, Tone};
use super::rows::finding;
use super::share::{scale, shares};
use super::trend::Trend;
use super::view::View;
use super::words::{self, safe, wrapped};
use super::world::{Pool, World};
use crate::collect::{Counters, Histogram};
use crate::pools::{MemberSample, Origin};
use ratatui::text::{Line, Span};
use std::net::SocketAddr;

const CHART: usize = 3;
const SENTENCE: usize = 4;
/// Columns of a label, and of a figure.
const LABEL: usize = 24;
const FIGURE: usize = 16;
/// Columns of the bar.
const BAR: usize = 60;

/// All lines of it, for `width` columns.
pub(super) fn lines(
    pool: &Pool,
    backend: SocketAddr,
    world: &World,
    view: &View,
    width: usize,
) -> Vec<Line<'static>> {
    let members = &pool.judged.sample.members;
    let place = members.iter().position(|member| member.backend == backend);
    let Some((place, sample, trend)) =
        place.and_then(|place| Some((place, members.get(place)?, pool.members.get(place)?)))
    else {
        return vec![Line::raw(format!(
            "  {backend} is no longer a member of {}; esc: back",
            safe(&pool.name.pool)
        ))];
    };
    let found = finding(pool, place);
    let tone = Tone::of_member(found);
    let mut lines = vec![Line::from(vec![
        Span::raw("  "),
        Span::styled(backend.to_string(), look::strong()),
        Span::raw(format!(" in {} ", safe(&pool.name.pool))),
        Span::styled(words::finding(found), tone.style()),
    ])];
    let mut say = |text: &str| {
        let text = wrapped(&safe(text), width.saturating_sub(2), SENTENCE);
        lines.extend(text.into_iter().map(|line| Line::raw(format!("  {line}"))));
    };
    if let Some(assessment) = pool.judged.assessment.as_ref().filter(|_| pool.is_finding()) {
        say(&assessment.summary);
    }
    match &sample.origin {
        Origin::Unknown => {}
        Origin::Written(at) => say(&format!("its weight is written in {at}")),
        Origin::Former(name) => say(&format!("an address that {name} once had and no longer has")),
    }
    let shares = shares(pool, view.measure);
    let share = shares.get(place).copied().unwrap_or_default();
    lines.push(Line::default());
    lines.push(Line::from(
        std::iter::once(Span::raw("  "))
            .chain(bar(&share, scale(&shares), width.saturating_sub(4).min(BAR), tone))
            .collect::<Vec<_>>(),
    ));
    let interval = share
        .interval
        .map_or(String::new(), |interval| format!(" (95 % sure: {} %)", figures::interval(interval)));
    lines.push(Line::raw(format!(
        "  {} of {}{interval}, expected {}",
        known(share.observed, figures::percent),
        view.measure.of(pool),
        known(share.expected, figures::percent),
    )));
    lines.push(Line::default());
    lines.extend(chart(&trend.pace, world, width, CHART));
    lines.push(Line::default());
    lines.extend(figures_of(sample, trend));
    lines
}

/// A figure of lately, and one since the start.
fn figures_of(sample: &MemberSample, trend: &Trend) -> Vec<Line<'static>> {
    let minute = format!("last {}", figures::duration(trend.seconds()));
    let mut lines = vec![fact("", &minute, "since the start").style(look::quiet())];
    let count = |name: &str, label: &str, of: &dyn Fn(&Counters) -> u64| {
        let total = sample.recorded.known(name, of(&sample.total));
        fact(label, &known(trend.count(name, of), figures::count), &known(total, figures::count))
    };
    lines.push(count("attempts", "attempts", &|counters| counters.attempts));
    lines.push(count("established", "established", &|counters| counters.established));
    lines.extend(failures(sample, trend));
    lines.push(count("untracked", "untracked", &|counters| counters.untracked));
    lines.push(count("closed", "closed", &|counters| counters.closed));
    lines.push(count("resets", "reset", &|counters| counters.resets));
    lines.push(count("resets_without_data", "reset without an answer", &|counters| {
        counters.resets_without_data
    }));
    lines.push(count("probes", "probes", &|counters| counters.probes));
    lines.push(count("retransmits", "segments sent again", &|counters| counters.retransmits));
    let lately = trend.exchanges();
    let total = &sample.total_exchanges;
    lines.push(fact("exchanges", &known(lately.count, figures::count), &known(total.count, figures::count)));
    let times = |label: &str, lately: Option<&Histogram>, total: Option<&Histogram>| {
        fact(label, &figures::quantiles(lately), &figures::quantiles(total))
    };
    lines.push(times("response p50/p99", lately.response_time.as_ref(), total.response_time.as_ref()));
    lines.push(times("connect p50/p99", None, Some(&sample.total.connect_time)));
    lines.push(times("held p50/p99", None, Some(&sample.total.lifetime)));
    let bytes = |place: usize, name: &str, total: u64| {
        let lately = known(trend.bytes(), |bytes| figures::bytes(bytes[place] as f64));
        let total = known(sample.recorded.known(name, total), |bytes| figures::bytes(bytes as f64));
        fact(if place == 0 { "sent" } else { "received" }, &lately, &total)
    };
    lines.push(bytes(0, "sent_bytes", sample.total.sent_bytes));
    lines.push(bytes(1, "received_bytes", sample.total.received_bytes));
    lines.push(Line::default());
    let stock = |of: fn(&crate::collect::Stock) -> u64| {
        known(sample.stock.as_ref(), |stock| figures::count(of(stock)))
    };
    let present = |name: &str, count: String| {
        if sample.recorded.unmeasured.contains(name) { UNKNOWN.to_owned() } else { count }
    };
    let adopted = known(sample.recorded.known("adopted", sample.total.adopted), figures::count);
    lines.push(Line::raw(format!(
        "  now: {} live, {} pending, {} closing; {adopted} were there before the tracer",
        stock(|stock| stock.live),
        present("pending", stock(|stock| stock.pending)),
        present("closing", stock(|stock| stock.closing)),
    )));
    lines
}

/// All failures, and those causes that there were.
fn failures(sample: &MemberSample, trend: &Trend) -> Vec<Line<'static>> {
    let lately = trend.failures();
    let total = sample.total.failed.by_cause().into_iter();
    let total: Vec<_> =
        total.filter_map(|(cause, count)| Some((cause, sample.recorded.known(cause, count)?))).collect();
    let sum = |causes: Option<&[(&'static str, u64)]>| figures::failures(causes, false);
    let all = (!total.is_empty()).then_some(total.as_slice());
    let mut lines = vec![fact("failed", &sum(lately.as_deref()), &sum(all))];
    for (cause, count) in total.iter().filter(|(_, count)| *count > 0) {
        let lately = lately.iter().flatten().find(|(other, _)| other == cause).map(|(_, count)| *count);
        let label = format!("  {}", figures::cause_word(cause));
        lines.push(fact(&label, &known(lately, figures::count), &figures::count(*count)));
    }
    lines
}

fn fact(label: &str, lately: &str, total: &str) -> Line<'static> {
    Line::raw(format!("  {label:<LABEL$}{lately:>FIGURE$}  {total:>FIGURE$}"))
}
