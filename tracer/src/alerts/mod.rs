//! Alerts: from verdicts to Alertmanager, by version 2 of its API.
//!
//! [`Alerts::take`] is given every interval and waits for nothing: what follows from it ([`decide`]) is put into a box for
//! each Alertmanager ([`outbox`]), and a thread for each empties it ([`courier`]). What an alert says is in [`wording`].
//!
//! An alert has an end some minutes ahead, and is sent again long before. So it outlives an agent that dies, but not for
//! long; nothing is resolved because an agent ends. The next agent asks each Alertmanager what the former one left, and
//! goes on with that.
#![forbid(unsafe_code)]

mod address;
mod client;
mod courier;
mod credentials;
mod decide;
#[cfg(test)]
mod decide_tests;
mod outbox;
#[cfg(test)]
mod server_tests;
mod wording;

pub use address::AlertmanagerUrl;
pub use courier::Figures;
pub use credentials::Credentials;
pub use wording::Sender;

use crate::agent::Judged;
use client::{Client, LONGEST};
use courier::Courier;
use decide::Decider;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// How alerts are sent.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Every one gets every alert.
    pub alertmanagers: Vec<AlertmanagerUrl>,
    /// Who we are to them.
    pub credentials: Option<Credentials>,
    /// How long a verdict has to stand before it is an alert.
    pub stands: Duration,
    /// Who sends.
    pub sender: Sender,
}

/// Sends alerts for as long as it lives. What is on when it is dropped stays on until its end is over.
#[derive(Debug)]
pub struct Alerts {
    decider: Decider,
    couriers: Vec<Courier>,
    /// What there was no room for before, and was told.
    left_out: u64,
}

impl Alerts {
    /// Starts a thread for each Alertmanager.
    ///
    /// # Errors
    /// What the kernel says of one thread more.
    pub fn start(settings: Settings) -> io::Result<Self> {
        let Settings { alertmanagers, credentials, stands, sender } = settings;
        let sender = Arc::new(sender);
        let start = |url: AlertmanagerUrl| {
            Courier::start(Client::new(url, credentials.as_ref(), LONGEST), Arc::clone(&sender))
        };
        let couriers = alertmanagers.into_iter().map(start).collect::<io::Result<_>>()?;
        Ok(Self { decider: Decider::new(stands.as_secs_f64()), couriers, left_out: 0 })
    }

    /// Takes an interval that ended at `time_seconds`, since the epoch. What the user should know of the sending: a line
    /// each.
    pub fn take(&mut self, time_seconds: f64, pools: &[Judged]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut changes = Vec::new();
        for courier in &self.couriers {
            lines.extend(courier.lines());
            changes.extend(self.decider.adopt(time_seconds, courier.inherited()));
        }
        changes.extend(self.decider.take(time_seconds, pools));
        if !changes.is_empty() {
            self.couriers.iter().for_each(|courier| courier.put(&changes));
        }
        let left_out = self.decider.left_out();
        if left_out > self.left_out && self.left_out == 0 {
            lines.push(format!(
                "warning: {left_out} pools have no alert of their own: {} alerts are on, and no more are sent",
                decide::MOST_FIRING
            ));
        }
        self.left_out = left_out;
        lines
    }

    /// What became of alerts so far, for each Alertmanager.
    #[must_use]
    pub fn figures(&self) -> Vec<Figures> {
        self.couriers.iter().map(Courier::figures).collect()
    }
}
