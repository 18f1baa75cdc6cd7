//! Alerts, with Debian's Alertmanager and somebody who is notified.

use crate::support::address::Block;
use crate::support::backend::{Backend, Behaviour::Answer};
use crate::support::http::{Http, sum};
use crate::support::load::Load;
use crate::support::monitoring::{Alertmanager, CERTIFICATE, Receiver, free_port};
use crate::support::nginx::Nginx;
use crate::support::pools::Pools;
use crate::support::tracer::{Running, Tracer, tracer, watch};
use crate::support::{turn, wait};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

/// A verdict needs a few seconds; a busy machine more.
const SOON: Duration = Duration::from_secs(60);

fn backends(block: Block) -> Vec<Backend> {
    (1..=4).map(|n| Backend::start(block.backend(n), Answer(300))).collect()
}

fn addresses(backends: &[Backend]) -> impl Iterator<Item = SocketAddr> {
    backends.iter().map(|backend| backend.address)
}

fn is_verdict(event: &Value, verdict: &str) -> bool {
    event["event"] == "verdict" && event["verdict"] == verdict
}

/// An agent that alerts as soon as it can.
fn alerting(pools: Pools, alertmanager: &Alertmanager) -> Tracer {
    let url = alertmanager.url();
    watch(pools).arguments(&["--listen", "0", "--alert-for", "0s", "--alertmanager", &url])
}

/// How many alerts this agent has had taken.
fn sent(running: &Running) -> f64 {
    sum(&Http::of(running).metrics(), "tracer_alerts_sent_total", "")
}

#[track_caller]
fn told(receiver: &Receiver) -> Vec<String> {
    receiver.notifications().into_iter().map(|(status, _)| status).collect()
}

#[test]
fn a_fault_is_notified_once_and_its_repair_once_whatever_becomes_of_the_agent_meanwhile() {
    let (_turn, block) = (turn::alone(), Block::new());
    let receiver = Receiver::start();
    let alertmanager = Alertmanager::notifying(&receiver);
    let backends = backends(block);
    let right = Nginx::at(block.balancer(1)).servers(addresses(&backends));
    let wrong = Nginx::at(block.balancer(1))
        .server(backends[0].address, "weight=10")
        .servers(addresses(&backends[1..]));
    let nginx = right.start();
    let mut first = alerting(Pools::of_backends(&backends), &alertmanager).start();
    Load::on(block.balancer(1)).per_second(200).run_while(|| {
        first.event("balanced", SOON * 2, |event| is_verdict(event, "balanced"));
        wrong.reload(&nginx);
        let fault = Instant::now();
        let alert = wait::until("the alert", SOON, || alertmanager.alerts().pop());
        let took = fault.elapsed();
        println!("from the fault to the alert in Alertmanager: {took:?}");
        assert!(took < Duration::from_secs(15), "{took:?}");
        let labels = &alert["labels"];
        assert_eq!(labels["alertname"], "TracerVerdict", "{alert}");
        assert_eq!((&labels["pool"], &labels["verdict"]), (&"app".into(), &"skewed".into()), "{alert}");
        assert!(alert["annotations"]["summary"].as_str().unwrap().contains(&backends[0].address.to_string()));
        wait::until("somebody is notified", SOON, || (told(&receiver) == ["firing"]).then_some(()));

        first.stop(Signal::SIGTERM).exits(0);
        let mut second = alerting(Pools::of_backends(&backends), &alertmanager).start();
        second.event("skewed again", SOON, |event| is_verdict(event, "skewed"));
        wait::until("sent again", SOON, || (sent(&second) > 0.0).then_some(()));
        second.signal(Signal::SIGKILL);
        drop(second);
        let mut third = alerting(Pools::of_backends(&backends), &alertmanager).start();
        third.event("skewed again", SOON, |event| is_verdict(event, "skewed"));
        wait::until("sent again", SOON, || (sent(&third) > 0.0).then_some(()));
        let again = alertmanager.alerts();
        assert_eq!(again.len(), 1, "{again:?}");
        assert_eq!(again[0]["startsAt"], alert["startsAt"], "the same alert");
        // The next round of Alertmanager would tell of a change.
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(told(&receiver), ["firing"], "neither resolved nor notified again");

        right.reload(&nginx);
        let repair = Instant::now();
        wait::until("it is over", SOON * 2, || alertmanager.alerts().is_empty().then_some(()));
        let took = repair.elapsed();
        println!("from the repair to the resolved alert: {took:?}");
        assert!(took < Duration::from_secs(60), "{took:?}");
        wait::until("somebody is notified", SOON, || (told(&receiver).len() > 1).then_some(()));
        third.event("balanced", SOON * 2, |event| is_verdict(event, "balanced"));
        third.stop(Signal::SIGTERM).exits(0);
    });
    assert_eq!(told(&receiver), ["firing", "resolved"]);
}

#[test]
fn a_repair_while_no_agent_runs_is_told_by_the_next() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let receiver = Receiver::start();
    let alertmanager = Alertmanager::notifying(&receiver);
    let backends = backends(block);
    let right = Nginx::at(block.balancer(1)).servers(addresses(&backends));
    let wrong = Nginx::at(block.balancer(1))
        .server(backends[0].address, "weight=10")
        .servers(addresses(&backends[1..]));
    let nginx = wrong.start();
    let first = alerting(Pools::of_backends(&backends), &alertmanager).start();
    Load::on(block.balancer(1)).run_while(|| {
        wait::until("somebody is notified", SOON, || (told(&receiver) == ["firing"]).then_some(()));
        first.signal(Signal::SIGKILL);
        drop(first);
        right.reload(&nginx);
        let mut second = alerting(Pools::of_backends(&backends), &alertmanager).start();
        second.event("balanced", SOON * 2, |event| is_verdict(event, "balanced"));
        wait::until("somebody is notified", SOON, || {
            (told(&receiver) == ["firing", "resolved"]).then_some(())
        });
        second.stop(Signal::SIGTERM).exits(0);
    });
}

#[test]
fn shares_that_are_assumed_are_no_alert() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let receiver = Receiver::start();
    let alertmanager = Alertmanager::notifying(&receiver);
    let backends = backends(block);
    let _nginx = Nginx::at(block.balancer(1))
        .server(backends[0].address, "weight=10")
        .servers(addresses(&backends[1..]))
        .start();
    let (port, url) = (block.port().to_string(), alertmanager.url());
    let flags = ["--port", &port, "--listen", "0", "--alert-for", "0s", "--alertmanager", &url];
    let mut running = tracer(["watch", "--json"]).arguments(&flags).start();
    Load::on(block.balancer(1)).run_while(|| {
        let told = running.event("skewed", SOON, |event| is_verdict(event, "skewed"));
        assert_eq!(told["check"]["expected_source"], "assumed", "{told}");
        // Five intervals more than an alert would take.
        std::thread::sleep(Duration::from_secs(5));
    });
    let metrics = Http::of(&running).metrics();
    for name in ["sent", "failed", "waiting"] {
        assert_eq!(
            sum(
                &metrics,
                &format!("tracer_alerts_{name}{}", if name == "waiting" { "" } else { "_total" }),
                ""
            ),
            0.0
        );
    }
    assert_eq!((alertmanager.alerts().len(), told(&receiver).len()), (0, 0));
    running.stop(Signal::SIGTERM).exits(0);
}

#[test]
fn an_alertmanager_that_is_not_there_is_said_and_keeps_no_verdict_waiting() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let (receiver, place) = (Receiver::start(), free_port());
    let backends = backends(block);
    let _nginx = Nginx::at(block.balancer(1))
        .server(backends[0].address, "weight=10")
        .servers(addresses(&backends[1..]))
        .start();
    let url = format!("http://{place}");
    let flags = ["--listen", "0", "--alert-for", "0s", "--alertmanager", &url];
    let mut running = watch(Pools::of_backends(&backends)).arguments(&flags).start();
    Load::on(block.balancer(1)).run_while(|| {
        running.event("skewed", SOON, |event| is_verdict(event, "skewed"));
        let said = wait::until("it is said", SOON, || running.has_said("warning: Alertmanager "));
        assert!(said.contains(&url) && said.contains("takes no alerts"), "{said}");
        let waiting = || sum(&Http::of(&running).metrics(), "tracer_alerts_waiting", &url);
        wait::until("it waits", SOON, || (waiting() == 1.0).then_some(()));
        let alertmanager = Alertmanager::at(place, &receiver);
        wait::until("the alert", SOON * 2, || alertmanager.alerts().pop());
        wait::until("none waits", SOON, || (waiting() == 0.0).then_some(()));
    });
    let ended = running.stop(Signal::SIGTERM);
    ended.exits(0).ensure(ended.stderr.contains("takes alerts again"), "that it is over is said");
    let times = ended.stderr.matches("takes no alerts").count();
    ended.ensure(times == 1, "said once");
}

#[test]
fn an_alertmanager_with_tls_and_a_password_is_told_by_who_knows_it_and_trusts_it() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let receiver = Receiver::start();
    let alertmanager = Alertmanager::guarded(&receiver);
    let backends = backends(block);
    let _nginx = Nginx::at(block.balancer(1))
        .server(backends[0].address, "weight=10")
        .servers(addresses(&backends[1..]))
        .start();
    let url = alertmanager.url().replace("http:", "https:");
    wait::until("it listens", SOON, || TcpStream::connect(alertmanager.http.0).ok());
    let agent = |password: &str, certificates: &str| {
        let pools = Pools::of_backends(&backends);
        let file = pools.directory().join("credentials");
        std::fs::write(&file, format!("tracer:{password}\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let flags = ["--alert-for", "0s", "--alertmanager", &url, "--alertmanager-credentials"];
        watch(pools).arguments(&flags).argument(&file).variable("SSL_CERT_FILE", certificates).start()
    };
    let refused = |agent: &Running, why: &str| {
        let said = wait::until("it is said", SOON, || agent.has_said("warning: Alertmanager "));
        assert!(said.contains(why) && !said.contains("secret"), "{said}");
    };
    refused(&agent("guessed", CERTIFICATE), "it answers 401 Unauthorized");
    let fixture = CERTIFICATE.replace("alertmanager", "backend");
    refused(&agent("secret", &fixture), "takes no alerts");
    assert_eq!(told(&receiver).len(), 0);
    let running = agent("secret", CERTIFICATE);
    Load::on(block.balancer(1)).run_while(|| {
        wait::until("somebody is notified", SOON, || (told(&receiver) == ["firing"]).then_some(()));
    });
    running.stop(Signal::SIGTERM).exits(0);
}

#[test]
fn what_is_wrong_about_alerts_is_refused_before_anything_is_traced() {
    let folder = Pools::new();
    let file = folder.directory().join("credentials");
    std::fs::write(&file, "user:secret\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let file = file.to_str().unwrap();
    let url = "http://127.0.0.1:9";
    for (arguments, expected) in [
        (&["--alertmanager", "127.0.0.1:9093"][..], "write http://HOST:PORT"),
        (&["--alertmanager", "http://user:secret@a"][..], "--alertmanager-credentials"),
        (&["--alertmanager-credentials", file][..], "add --alertmanager URL"),
        (&["--alertmanager", url, "--alertmanager-credentials", file][..], "chmod 600"),
        (&["--alertmanager", url, "--alertmanager-credentials", "/nonexistent"][..], "no such file"),
        (&["--alertmanager", url, "--alert-for", "soon"][..], "not a duration"),
        (&["--alertmanager", url, "--replay", "-"][..], "cannot be used with"),
    ] {
        let ended = tracer(["watch"]).arguments(arguments).spawn().finish();
        ended.exits(2).ensure(ended.stderr.contains(expected), format!("should say `{expected}`"));
        // clap repeats what was typed on the command line; nothing else does.
        let typed = arguments.iter().any(|argument| argument.contains("secret"));
        ended.ensure(typed || !ended.stderr.contains("secret"), "no secret is shown");
    }
}
