//! Alerts: what was asked for, and who is told.

use super::super::exit::{Failure, host_name, say};
use super::super::options::{duration, lines};
use crate::agent::Judged;
use crate::alerts::{AlertmanagerUrl, Alerts, Credentials, Figures, Sender, Settings};
use crate::outputs::escape::for_terminal;
use crate::recording::Interval;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Whom to tell, and when.
#[derive(clap::Args, Clone, Debug, PartialEq)]
pub(super) struct AlarmOptions {
    /// Send alerts about declared pools to this Alertmanager, http://HOST:PORT or https://…; repeat it for several
    #[arg(long, value_name = "URL", conflicts_with = "replay")]
    alertmanager: Vec<AlertmanagerUrl>,
    /// Who we are to Alertmanager: a file of one line, user:password or a token, which only its owner may read
    #[arg(long, value_name = "FILE")]
    alertmanager_credentials: Option<PathBuf>,
    /// How long a finding has to stand before it is an alert (0s: a few seconds, as for every verdict that is told)
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration_or_none)]
    alert_for: Duration,
}

impl AlarmOptions {
    /// Flags that are otherwise than when it started. What was told, and to whom, cannot change while it runs.
    pub(super) fn unlike(&self, started: &Self) -> impl Iterator<Item = &'static str> {
        let flags = [
            ("alertmanager", self.alertmanager != started.alertmanager),
            ("alertmanager-credentials", self.alertmanager_credentials != started.alertmanager_credentials),
            ("alert-for", self.alert_for != started.alert_for),
        ];
        flags.into_iter().filter(|(_, unlike)| *unlike).map(|(flag, _)| flag)
    }
}

fn duration_or_none(text: &str) -> Result<Duration, String> {
    if matches!(text, "0" | "0s") { Ok(Duration::ZERO) } else { duration(text) }
}

/// Whoever is told; perhaps nobody.
pub(super) struct Alarm {
    alerts: Option<Alerts>,
    /// What to say about it when counting begins.
    lines: Vec<String>,
}

impl Alarm {
    /// Begins to send, if there is somebody to send to. `netns` is the network namespace that is watched, as it was named.
    pub(super) fn begin(options: &AlarmOptions, netns: Option<&Path>) -> Result<Self, Failure> {
        let AlarmOptions { alertmanager, alertmanager_credentials: file, alert_for } = options;
        if alertmanager.is_empty() {
            return match file {
                None => Ok(Self { alerts: None, lines: Vec::new() }),
                Some(_) => {
                    let problem = "--alertmanager-credentials needs an Alertmanager: add --alertmanager URL";
                    Err(Failure::Input(vec![problem.into()]))
                }
            };
        }
        let credentials = file.as_deref().map(Credentials::read).transpose();
        let credentials = credentials.map_err(|problem| Failure::Input(lines(&[problem])))?;
        let mut said: Vec<String> = alertmanager.iter().map(|url| format!("alerts: to {url}")).collect();
        let clear = alertmanager.iter().filter(|url| credentials.is_some() && url.is_in_the_clear());
        said.extend(
            clear.map(|url| format!("warning: the credentials for {url} can be read on the way: use https")),
        );
        let shown = |text: &str| for_terminal(text).into_owned();
        let settings = Settings {
            alertmanagers: alertmanager.clone(),
            credentials,
            stands: *alert_for,
            sender: Sender {
                instance: shown(&host_name()),
                netns: netns.map(|path| shown(&path.to_string_lossy())),
            },
        };
        let alerts = Alerts::start(settings).map_err(|error| Failure::Internal(error.into()))?;
        Ok(Self { alerts: Some(alerts), lines: said })
    }

    /// Says whom it tells, and what that means.
    pub(super) fn say(&self) {
        self.lines.iter().for_each(|line| say(line));
    }

    /// Takes an interval that is over.
    pub(super) fn take(&mut self, interval: &Interval<Judged>) {
        let Some(alerts) = &mut self.alerts else { return };
        alerts.take(interval.time_seconds, &interval.pools).iter().for_each(|line| say(line));
    }

    /// What became of alerts so far.
    pub(super) fn figures(&self) -> Vec<Figures> {
        self.alerts.as_ref().map(Alerts::figures).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args as _, Command, FromArgMatches as _};

    fn options(flags: &[&str]) -> AlarmOptions {
        // The flag that it does not go with is declared elsewhere.
        let command = Command::new("watch").no_binary_name(true).arg(clap::Arg::new("replay"));
        let matches = AlarmOptions::augment_args(command).try_get_matches_from(flags).unwrap();
        AlarmOptions::from_arg_matches(&matches).unwrap()
    }

    #[test]
    fn what_takes_a_restart_is_named() {
        let started = options(&["--alertmanager", "http://a:1"]);
        assert_eq!(started.alert_for, Duration::from_secs(60));
        assert_eq!(started.unlike(&started).count(), 0);
        let now =
            options(&["--alertmanager", "http://b:1", "--alert-for=0s", "--alertmanager-credentials=x"]);
        let unlike: Vec<_> = now.unlike(&started).collect();
        assert_eq!(unlike, ["alertmanager", "alertmanager-credentials", "alert-for"]);
    }

    #[test]
    fn credentials_without_an_alertmanager_are_nobodys() {
        let refused = Alarm::begin(&options(&["--alertmanager-credentials", "x"]), None);
        assert!(matches!(refused, Err(Failure::Input(lines)) if lines[0].contains("add --alertmanager URL")));
        let nobody = Alarm::begin(&options(&[]), None).unwrap();
        assert_eq!(nobody.figures(), []);
    }
}
