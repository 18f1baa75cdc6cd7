//! What an alert says: labels, which tell it from others, and annotations, which tell people.
//!
//! Labels are a contract, and the same after a restart: Alertmanager takes what has the same labels for the same alert.

use super::decide::{Alert, PoolKey};
use crate::agent::Judged;
use crate::detect::{Assessment, Finding, MemberAssessment, Verdict};
use crate::outputs::escape::for_terminal;
use crate::outputs::fault::whose_fault;
use crate::pools::ExpectedSource;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The label `alertname` of every alert.
pub(super) const ALERT_NAME: &str = "TracerVerdict";

/// How far ahead the end of an alert is that is on.
pub(super) const HORIZON: Duration = Duration::from_secs(300);

/// Members that are described; of the others only how many.
const MOST_MEMBERS: usize = 8;

/// Who sends alerts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Name of the host: the label `instance`.
    pub instance: String,
    /// The network namespace that it is limited to, as it was named, so that several on one host are told apart.
    pub netns: Option<String>,
}

/// The annotations of an alert.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Annotations {
    /// Pool, verdict and the sentence.
    pub(super) summary: String,
    /// What of each member, since when, and where it is declared.
    pub(super) description: String,
    /// Whose fault it likely is, and what to look at.
    pub(super) look_at: String,
}

/// An alert as it is posted.
#[derive(Serialize)]
struct Posted<'a> {
    labels: BTreeMap<&'static str, &'a str>,
    annotations: &'a Annotations,
    #[serde(rename = "startsAt")]
    starts_at: String,
    #[serde(rename = "endsAt")]
    ends_at: String,
}

/// An alert as it is listed.
#[derive(Deserialize)]
struct Listed {
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: Annotations,
    #[serde(rename = "startsAt")]
    starts_at: String,
}

/// Alerts as the body of a request, each with the moment it ended; one that is on ends some time after `now_seconds`.
///
/// # Errors
/// Never for this data; the serializer's type says it could.
pub(super) fn body<'a>(
    alerts: impl IntoIterator<Item = (&'a Alert, Option<f64>)>,
    sender: &Sender,
    now_seconds: f64,
) -> serde_json::Result<String> {
    let posted = alerts.into_iter().map(|(alert, ended_seconds)| {
        // Of a clock that was set back meanwhile nothing lies ahead. Alertmanager refuses what ends before it starts.
        let starts = alert.starts_seconds.min(now_seconds);
        let ended = ended_seconds.map(|seconds| seconds.min(now_seconds).max(starts + 0.001));
        Posted {
            labels: labels(alert, sender),
            annotations: &alert.annotations,
            starts_at: timestamp(starts),
            ends_at: timestamp(ended.unwrap_or(now_seconds + HORIZON.as_secs_f64())),
        }
    });
    serde_json::to_string(&posted.collect::<Vec<_>>())
}

/// The alerts of this sender among those that an Alertmanager lists; what is not ours is left out.
///
/// # Errors
/// When it is no such list.
pub(super) fn listed(body: &str, sender: &Sender) -> serde_json::Result<Vec<Alert>> {
    let listed: Vec<Listed> = serde_json::from_str(body)?;
    Ok(listed.into_iter().filter_map(|listed| ours(listed, sender)).collect())
}

/// What to ask an Alertmanager for: a query that selects this sender's alerts, silenced ones among them.
pub(super) fn query(sender: &Sender) -> Vec<(&'static str, String)> {
    let equals = |label: &str, value: &str| {
        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        ("filter", format!("{label}=\"{escaped}\""))
    };
    vec![equals("alertname", ALERT_NAME), equals("instance", &sender.instance)]
}

/// What is said of a pool; `None` where there is nothing to say.
pub(super) fn annotations(judged: &Judged) -> Option<Annotations> {
    let assessment = judged.assessment.as_ref()?;
    let pool = &judged.sample.pool;
    let [whose, what] = whose_fault(assessment.verdict, assessment.signal)?;
    let by = pool.balancer.as_ref().map_or_else(String::new, |balancer| format!(" by {balancer}"));
    let shown = |text: String| for_terminal(&text).into_owned();
    let summary = format!("{}{by}: {}: {}", pool.name, assessment.verdict, assessment.summary);
    Some(Annotations {
        summary: shown(summary),
        description: shown(description(assessment, &pool.source)),
        look_at: format!("{whose}: look at {what}"),
    })
}

/// One line: since when, each member of which something is found, and what the shares are compared with.
fn description(assessment: &Assessment, source: &str) -> String {
    let found: Vec<String> = assessment.members.iter().filter_map(member).collect();
    let mut parts = Vec::new();
    if let Some(since) = assessment.since_seconds {
        let before = if assessment.since_start { "before " } else { "" };
        parts.push(format!("since {before}{}", crate::outputs::timestamp(since)));
    }
    parts.extend(found.iter().take(MOST_MEMBERS).cloned());
    if found.len() > MOST_MEMBERS {
        parts.push(format!("and {} members more", found.len() - MOST_MEMBERS));
    }
    let others = assessment.findings.iter().filter(|finding| **finding != assessment.verdict);
    let others: Vec<&str> = others.map(|finding| finding.as_str()).collect();
    if !others.is_empty() {
        parts.push(format!("also {}", others.join(", ")));
    }
    parts.push(format!("declared at {source}"));
    parts.join("; ")
}

fn member(member: &MemberAssessment) -> Option<String> {
    let finding = match member.finding? {
        Finding::Over => "gets more than its share",
        Finding::Under => "gets less than its share",
        Finding::Missing => "gets nothing",
        Finding::Unexpected => "gets traffic and should not",
        Finding::Failing => "fails",
        Finding::Slow => "is slow",
    };
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let shares = match (member.observed_share, member.expected_share) {
        (Some(observed), Some(expected)) => {
            format!(" ({}, declared {})", percent(observed), percent(expected))
        }
        (Some(observed), None) => format!(" ({})", percent(observed)),
        (None, _) => String::new(),
    };
    Some(format!("{} {finding}{shares}", member.backend))
}

/// Whether somebody said what is expected: equal shares that are assumed are nobody's wish.
pub(super) fn is_declared(judged: &Judged) -> bool {
    judged.sample.pool.expected_source == ExpectedSource::Declared
}

/// What tells the alert from others. A label without a value is none.
fn labels<'a>(alert: &'a Alert, sender: &'a Sender) -> BTreeMap<&'static str, &'a str> {
    let severity = match alert.verdict {
        Verdict::PoolFailing => "critical",
        _ => "warning",
    };
    let labels = [
        ("alertname", ALERT_NAME),
        ("instance", &sender.instance),
        ("netns", sender.netns.as_deref().unwrap_or_default()),
        ("pool", &alert.key.pool),
        ("balancer", &alert.key.balancer),
        ("verdict", alert.verdict.as_str()),
        ("severity", severity),
    ];
    labels.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

fn ours(listed: Listed, sender: &Sender) -> Option<Alert> {
    let Listed { labels, annotations, starts_at } = listed;
    let label = |name: &str| labels.get(name).map(String::as_str);
    let verdict = Verdict::ALL.into_iter().find(|verdict| label("verdict") == Some(verdict.as_str()));
    let alert = Alert {
        key: PoolKey {
            pool: label("pool").unwrap_or_default().to_owned(),
            balancer: label("balancer").unwrap_or_default().to_owned(),
        },
        verdict: verdict?,
        starts_seconds: starts_at.parse::<Timestamp>().ok()?.as_duration().as_secs_f64(),
        annotations,
    };
    // Exactly what we would send: an alert with a label more is another one.
    let same =
        self::labels(&alert, sender).into_iter().eq(labels.iter().map(|(k, v)| (k.as_str(), v.as_str())));
    same.then_some(alert)
}

/// To the millisecond, as Alertmanager itself writes it.
fn timestamp(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "saturates; jiff refuses what is out of range")]
    let milliseconds = (seconds * 1e3).round() as i64;
    let time = Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{time:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outputs::metrics::tests::pool;
    use serde_json::{Value, json};

    fn sender() -> Sender {
        Sender { instance: "lb\"1".into(), netns: None }
    }

    fn alert(pool: &str, verdict: Verdict) -> Alert {
        Alert {
            key: PoolKey { pool: pool.into(), balancer: "nginx".into() },
            verdict,
            starts_seconds: 1_767_225_600.25,
            annotations: Annotations { summary: "uneven".into(), ..Annotations::default() },
        }
    }

    #[test]
    fn labels_and_times_are_a_contract() {
        let (on, over) = (alert("app", Verdict::Skewed), alert("", Verdict::PoolFailing));
        let body = body([(&on, None), (&over, Some(1_767_225_600.0))], &sender(), 1_767_225_610.0).unwrap();
        let expected = json!([
            {
                "labels": {"alertname": "TracerVerdict", "instance": "lb\"1", "pool": "app", "balancer": "nginx",
                    "verdict": "skewed", "severity": "warning"},
                "annotations": {"summary": "uneven", "description": "", "look_at": ""},
                "startsAt": "2026-01-01T00:00:00.250Z", "endsAt": "2026-01-01T00:05:10.000Z",
            },
            {
                "labels": {"alertname": "TracerVerdict", "instance": "lb\"1", "balancer": "nginx",
                    "verdict": "pool-failing", "severity": "critical"},
                "annotations": {"summary": "uneven", "description": "", "look_at": ""},
                "startsAt": "2026-01-01T00:00:00.250Z", "endsAt": "2026-01-01T00:00:00.251Z",
            },
        ]);
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected);
    }

    #[test]
    fn nothing_lies_ahead_of_a_clock_that_was_set_back() {
        let (on, over) = (alert("app", Verdict::Skewed), alert("api", Verdict::Skewed));
        let body = body([(&on, None), (&over, Some(1_767_229_300.0))], &sender(), 1_767_222_000.0).unwrap();
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body[0]["startsAt"], "2025-12-31T23:00:00.000Z");
        assert_eq!(body[0]["endsAt"], "2025-12-31T23:05:00.000Z");
        assert_eq!(body[1]["endsAt"], "2025-12-31T23:00:00.001Z", "it is over, and not in an hour");
    }

    #[test]
    fn what_was_sent_is_known_again_and_what_others_sent_is_not() {
        let sent = alert("app", Verdict::Skewed);
        let of_one = sender();
        let body = body([(&sent, None)], &of_one, 1_767_225_610.0).unwrap();
        assert_eq!(listed(&body, &of_one).unwrap(), [sent]);
        let of_another = Sender { netns: Some("/run/netns/b".into()), ..of_one.clone() };
        assert_eq!(listed(&body, &of_another).unwrap(), []);
        for (from, to) in
            [("skewed", "crooked"), ("TracerVerdict", "Other"), ("\"pool\"", "\"team\":\"a\",\"pool\"")]
        {
            assert_eq!(listed(&body.replacen(from, to, 1), &of_one).unwrap(), [], "{to}");
        }
        assert!(listed("{}", &of_one).is_err());
        assert!(listed("[{\"labels\":{}}]", &of_one).is_err());
    }

    #[test]
    fn a_filter_has_its_value_in_quotes_that_it_cannot_leave() {
        assert_eq!(query(&sender())[1], ("filter", "instance=\"lb\\\"1\"".to_owned()));
    }

    #[test]
    fn people_are_told_who_gets_what_and_what_to_look_at() {
        let mut judged = pool("app", "nginx\u{1b}", &[(1, 3), (2, 1)]);
        let assessment = judged.assessment.as_mut().unwrap();
        assessment.members[0].finding = Some(Finding::Over);
        assessment.findings.push(Verdict::BackendSlow);
        assessment.since_seconds = Some(1_767_225_600.9);
        let said = annotations(&judged).unwrap();
        assert_eq!(said.summary, "app by nginx\\u{1b}: skewed: uneven");
        assert_eq!(
            said.description,
            "since 2026-01-01T00:00:00Z; 10.0.0.1:80 gets more than its share (25.0 %, declared 50.0 %); also backend-slow; \
             declared at pools.toml:1"
        );
        assert_eq!(said.look_at, "the balancer: look at weights, hashing, stickiness, and DNS");
        judged.assessment.as_mut().unwrap().verdict = Verdict::Balanced;
        assert_eq!(annotations(&judged), None);
    }
}
