//! What is known now: kept for the end, and for whoever asks over HTTP.

use super::super::exit::{Failure, say};
use super::super::options::Bounds;
use super::super::source::Source;
use super::alarm::Alarm;
use super::kept::Kept;
use crate::agent::Judged;
use crate::listener::{ListenAddress, Listener};
use crate::outputs::metrics::Ledger;
use crate::outputs::{CheckReport, Latest, Own};
use crate::recording::Interval;
use std::sync::Arc;

/// The last interval, and who is told of it.
pub(super) struct Present {
    listener: Option<Listener>,
    ledger: Ledger,
    last: Option<Arc<Latest>>,
}

impl Present {
    /// Listens, if there is an address to listen at.
    pub(super) fn begin(address: Option<ListenAddress>, bounds: Bounds) -> Result<Self, Failure> {
        let listener = address.map(|address| {
            Listener::start(address).map_err(|error| {
                Failure::Input(vec![format!(
                    "--listen {address}: {error}; give an address of this host that is free"
                )])
            })
        });
        Ok(Self { listener: listener.transpose()?, ledger: Ledger::new(bounds.max_backends()), last: None })
    }

    /// Says where it listens, and what that means.
    pub(super) fn say(&self) {
        let Some(listener) = &self.listener else { return };
        let address = listener.address();
        say(&format!("listening: http://{address}/metrics"));
        if listener.is_exposed() {
            say(&format!(
                "warning: other hosts can read http://{address}/, without password or encryption: put a reverse proxy \
                 with TLS before a port of loopback, or let only who should through the firewall"
            ));
        }
    }

    /// Takes what an agent before has told: metrics go on from there.
    pub(super) fn inherit(&mut self, before: &Interval<Judged>) {
        if self.listener.is_some() {
            self.ledger.take(&before.pools, before.other.as_ref());
        }
    }

    /// Takes an interval that is over, and how the history and the alerts are doing.
    pub(super) fn take(&mut self, interval: Interval<Judged>, source: &Source, kept: &Kept, alarm: &Alarm) {
        let own = self.listener.as_ref().and_then(|_| source.own());
        let own = own.map(|own| Own { history: kept.health(), alerts: alarm.figures(), ..own });
        if self.listener.is_some() {
            self.ledger.take(&interval.pools, interval.other.as_ref());
        }
        let started_seconds = source.started_seconds();
        let latest = Arc::new(Latest {
            time_seconds: interval.time_seconds,
            report: CheckReport {
                host: source.host(),
                started_seconds,
                duration_seconds: started_seconds.map_or(0.0, |started| interval.time_seconds - started),
                pools: interval.pools,
                unmatched: source.agent().unmatched(),
                other: interval.other,
                uncounted: interval.uncounted,
            },
            ledger: self.ledger.clone(),
            own: own.unwrap_or_default(),
        });
        if let Some(listener) = &self.listener {
            listener.publish(Arc::clone(&latest));
        }
        self.last = Some(latest);
    }

    /// The last interval; `None` when there was none. Nobody is answered with news any more.
    pub(super) fn last(self) -> Option<Latest> {
        drop(self.listener);
        self.last.map(Arc::unwrap_or_clone)
    }
}
