//! A thread that empties one outbox: nobody waits for its Alertmanager.

use super::client::{Client, Refusal};
use super::decide::{Alert, Change};
use super::outbox::{Outbox, Outgoing};
use super::wording::{Sender, body, listed, query};
use crate::privilege::Keep;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Lines that wait to be said.
const MOST_LINES: usize = 16;

/// What became of the alerts for one Alertmanager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Its address.
    pub alertmanager: String,
    /// Alerts that it took, those that were sent again among them.
    pub sent: u64,
    /// Alerts in requests that it did not take.
    pub failed: u64,
    /// Ends of alerts that it could not be told in time.
    pub dropped: u64,
    /// Alerts that wait to be sent.
    pub waiting: u64,
}

/// What the tick and the thread share. It is locked for as long as it takes to look, never while something is sent.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    news: Condvar,
    began: Instant,
}

#[derive(Debug, Default)]
struct State {
    outbox: Outbox,
    /// What a former agent left; asked for once.
    inherited: Vec<Alert>,
    asked: bool,
    /// The last that was tried was to ask: an Alertmanager that does not tell may still take.
    asked_last: bool,
    /// When it began to fail, and what was said of it last.
    failing: Option<f64>,
    dropped_told: u64,
    lines: Vec<String>,
    ends: bool,
}

/// One Alertmanager and its thread.
#[derive(Debug)]
pub(super) struct Courier {
    shared: Arc<Shared>,
    name: String,
}

impl Courier {
    /// # Errors
    /// What the kernel says of one thread more.
    pub(super) fn start(client: Client, sender: Arc<Sender>) -> io::Result<Self> {
        let shared =
            Arc::new(Shared { state: Mutex::default(), news: Condvar::new(), began: Instant::now() });
        let name = client.url.to_string();
        let of_thread = Arc::clone(&shared);
        let run = move || {
            Keep::of_client().hold();
            of_thread.run(&client, &sender);
        };
        std::thread::Builder::new().name("alerts".into()).spawn(run)?;
        Ok(Self { shared, name })
    }

    /// Has these sent.
    pub(super) fn put(&self, changes: &[Change]) {
        let now = self.shared.now();
        let mut state = self.shared.lock();
        for change in changes {
            state.forget(change);
            state.outbox.put(change.clone(), now);
        }
        drop(state);
        self.shared.news.notify_one();
    }

    /// What the Alertmanager had of a former agent, once it is known.
    pub(super) fn inherited(&self) -> Vec<Alert> {
        std::mem::take(&mut self.shared.lock().inherited)
    }

    /// What there is to say, a line each.
    pub(super) fn lines(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.lock().lines)
    }

    pub(super) fn figures(&self) -> Figures {
        let now = self.shared.now();
        let state = self.shared.lock();
        let counts = state.outbox.counts;
        Figures {
            alertmanager: self.name.clone(),
            sent: counts.sent,
            failed: counts.failed,
            dropped: counts.dropped,
            waiting: state.outbox.waiting(now),
        }
    }
}

impl Drop for Courier {
    /// What is on its way is left to itself.
    fn drop(&mut self) {
        self.shared.lock().ends = true;
        self.shared.news.notify_one();
    }
}

/// What the thread does next.
enum Job {
    Ask,
    Send(Vec<Outgoing>),
}

impl Shared {
    /// Seconds on the clock of the outbox.
    fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// What is locked is whole after every step: a panic while it was held leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, client: &Client, sender: &Sender) {
        let name = client.url.to_string();
        while let Some(job) = self.job() {
            match job {
                Job::Ask => {
                    let asked = client.list(query(sender)).and_then(|text| {
                        let wrong = |_| Refusal::Answered("what it lists are no alerts".into());
                        listed(&text, sender).map_err(wrong)
                    });
                    self.lock().asked(&name, asked, self.now());
                }
                Job::Send(alerts) => {
                    let outgoing = alerts.iter().map(|one| (&one.alert, one.over));
                    let text = body(outgoing, sender, since_epoch());
                    let wrong = |error: serde_json::Error| Refusal::Answered(error.to_string());
                    let sent = text.map_err(wrong).and_then(|text| client.post(text));
                    self.lock().sent(&name, &alerts, sent, self.now());
                }
            }
        }
    }

    /// Waits until there is something to do; `None`: this is the end.
    fn job(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            let now = self.now();
            if state.ends {
                return None;
            }
            let alerts = state.outbox.due(now);
            // First of all, if it can be had.
            let ask = !state.asked && (!state.asked_last || alerts.is_empty());
            state.asked_last = ask;
            if ask && now >= state.outbox.not_before() {
                return Some(Job::Ask);
            }
            if !alerts.is_empty() {
                return Some(Job::Send(alerts));
            }
            let next = if state.asked { state.outbox.next_due() } else { Some(state.outbox.not_before()) };
            state = match next {
                None => self.news.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(next) => {
                    // Rounded up, so that it is due then.
                    let wait =
                        Duration::from_secs_f64((next - now).clamp(0.0, 3_600.0)) + Duration::from_millis(1);
                    self.news.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

impl State {
    /// What ends while it is asked for is not taken up again.
    fn forget(&mut self, change: &Change) {
        if let Change::Over(over, _) | Change::NotOurs(over) = change {
            self.inherited.retain(|alert| (&alert.key, alert.verdict) != (&over.key, over.verdict));
        }
    }

    fn asked(&mut self, name: &str, asked: Result<Vec<Alert>, Refusal>, now: f64) {
        match asked {
            Ok(alerts) => {
                self.asked = true;
                // What has ended meanwhile is not taken up again.
                self.inherited = alerts.into_iter().filter(|alert| !self.outbox.is_over(alert)).collect();
                self.works(name, now);
            }
            // One that takes alerts and lists none is no reason to send none.
            Err(Refusal::Answered(reason)) => {
                self.asked = true;
                self.say(format!(
                    "warning: Alertmanager {name} does not tell what is on: {reason}; what a former agent left ends by itself \
                     within minutes"
                ));
            }
            Err(refusal @ Refusal::Unreachable(_)) => self.fails(name, 0, &refusal, now),
        }
    }

    fn sent(&mut self, name: &str, alerts: &[Outgoing], sent: Result<(), Refusal>, now: f64) {
        match sent {
            Ok(()) => {
                self.outbox.delivered(alerts, now);
                self.works(name, now);
            }
            Err(refusal) => self.fails(name, alerts.len(), &refusal, now),
        }
    }

    /// Said once, when it is over.
    fn works(&mut self, name: &str, now: f64) {
        self.outbox.answered();
        if let Some(since) = self.failing.take() {
            self.say(format!("Alertmanager {name} takes alerts again, after {:.0} s", now - since));
        }
    }

    /// Said once, when it begins.
    fn fails(&mut self, name: &str, alerts: usize, refusal: &Refusal, now: f64) {
        self.outbox.failed(alerts, now, jitter());
        let dropped = self.outbox.counts.dropped;
        if dropped > self.dropped_told {
            self.dropped_told = dropped;
            self.say(format!("error: Alertmanager {name} was not told that {dropped} alerts are over; they ended by themselves"));
        }
        if self.failing.is_none() {
            self.failing = Some(now);
            self.say(format!(
                "warning: Alertmanager {name} takes no alerts: {}; they are kept and tried again",
                refusal.reason()
            ));
        }
    }

    fn say(&mut self, line: String) {
        if self.lines.len() < MOST_LINES {
            self.lines.push(line);
        }
    }
}

/// From 0 to 1, another one each time: the standard library seeds its hashers at random.
fn jitter() -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a random number, whose last digits do not matter")]
    let random = RandomState::new().hash_one(0) as f64;
    random / u64::MAX as f64
}

fn since_epoch() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::super::decide::PoolKey;
    use super::super::wording::Annotations;
    use super::*;
    use crate::detect::Verdict;

    #[test]
    fn what_ends_before_it_is_taken_up_is_not_begun_again() {
        let alert = |pool: &str| Alert {
            key: PoolKey { pool: pool.into(), balancer: "nginx".into() },
            verdict: Verdict::Skewed,
            starts_seconds: 5.0,
            annotations: Annotations::default(),
        };
        let mut state = State::default();
        state.asked("one", Ok(vec![alert("app"), alert("api"), alert("web")]), 1.0);
        state.forget(&Change::Over(alert("app"), 9.0));
        state.forget(&Change::NotOurs(alert("web")));
        state.forget(&Change::On(alert("api")));
        assert_eq!(state.inherited, [alert("api")]);
    }
}
