//! Three balancers with a tracer each, one Prometheus with the rules that are shipped, one Alertmanager.

use crate::support::address::Block;
use crate::support::backend::{Backend, Behaviour::Answer};
use crate::support::http::Http;
use crate::support::load::Load;
use crate::support::monitoring::{Alertmanager, PrometheusPlan, Receiver, shipped_rules};
use crate::support::netns::Namespace;
use crate::support::nginx::Nginx;
use crate::support::pools::Pools;
use crate::support::tracer::{Running, watch};
use crate::support::{turn, wait};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Rules look at five minutes, and what is new has to outweigh what was.
const SOON: Duration = Duration::from_secs(120);

/// The shipped rules, but that what they find need not stand for minutes: `sed 's/^    for: .*/    for: 5s/'`.
fn shortened(directory: &Path) -> Vec<PathBuf> {
    let shorten =
        |line: &str| if line.starts_with("    for: ") { "    for: 5s".into() } else { line.to_owned() };
    let copied = shipped_rules().into_iter().map(|file| {
        let lines: Vec<String> = std::fs::read_to_string(&file).unwrap().lines().map(shorten).collect();
        let copy = directory.join(file.file_name().unwrap());
        std::fs::write(&copy, lines.join("\n")).unwrap();
        copy
    });
    copied.collect()
}

/// A balancer with its backends in a namespace, the tracer that watches it, and what it is called.
struct Site {
    name: &'static str,
    namespace: Namespace,
    backends: Vec<Backend>,
}

impl Site {
    fn new(block: Block, name: &'static str) -> Self {
        let namespace = Namespace::new(block.name(name));
        let backends = (1..=4).map(|n| Backend::start_in(&namespace, block.backend(n), Answer(300)));
        Self { name, backends: backends.collect(), namespace }
    }

    fn nginx(&self, block: Block) -> Nginx<'_> {
        let addresses = self.backends.iter().map(|backend| backend.address);
        Nginx::at(block.balancer(1)).within(&self.namespace).servers(addresses)
    }

    fn tracer(&self, alertmanager: &Alertmanager) -> Running {
        let url = alertmanager.url();
        let flags = ["--listen", "0", "--alertmanager", &url, "--alert-for", "0s", "--netns"];
        watch(Pools::of_backends(&self.backends)).arguments(&flags).argument(self.namespace.path()).start()
    }

    fn load(&self, block: Block) -> Load<'_> {
        Load::on(block.balancer(1)).within(&self.namespace).per_second(100).threads(4)
    }
}

fn named<'a>(alerts: &'a [Value], name: &str) -> Vec<&'a Value> {
    alerts.iter().filter(|alert| alert["labels"]["alertname"] == name).collect()
}

#[test]
fn a_fault_in_one_of_three_balancers_is_an_alert_that_names_it() {
    let (_turn, block) = (turn::alone(), Block::new());
    let receiver = Receiver::start();
    let alertmanager = Alertmanager::notifying(&receiver);
    let sites = ["lba", "lbb", "lbc"].map(|name| Site::new(block, name));
    let servers: Vec<_> = sites.iter().map(|site| site.nginx(block).start()).collect();
    let tracers: Vec<Running> = sites.iter().map(|site| site.tracer(&alertmanager)).collect();
    let directory = tempfile::tempdir().unwrap();
    let plan = PrometheusPlan::default().rules(shortened(directory.path())).alertmanager(&alertmanager);
    let plan = sites
        .iter()
        .zip(&tracers)
        .fold(plan, |plan, (site, tracer)| plan.target(Http::of(tracer), site.name));
    let prometheus = plan.start();
    let [a, b, c] = &sites;
    a.load(block).run_while(|| {
        b.load(block).run_while(|| {
            c.load(block).run_while(|| {
                let peers = "count(balancer:tracer_share_distance:ratio)";
                wait::until("peers", SOON, || prometheus.asks(peers).filter(|count| *count == 3.0));
                let quiet = Instant::now();
                while quiet.elapsed() < Duration::from_secs(15) {
                    assert_eq!(alertmanager.alerts(), Vec::<Value>::new(), "nothing is wrong yet");
                    std::thread::sleep(Duration::from_secs(1));
                }
                let fault = Instant::now();
                let first = b.backends[0].address;
                let rest = b.backends[1..].iter().map(|backend| backend.address);
                let wrong = Nginx::at(block.balancer(1)).within(&b.namespace).server(first, "weight=10");
                wrong.servers(rest).reload(&servers[1]);
                for name in ["TracerBalancerUneven", "TracerVerdict", "TracerBalancerDisagrees"] {
                    wait::until(name, SOON, || {
                        (!named(&alertmanager.alerts(), name).is_empty()).then_some(())
                    });
                    println!("from the fault to {name}: {:?}", fault.elapsed());
                }
                let alerts = alertmanager.alerts();
                assert_eq!(alerts.len(), 3, "no others: {alerts:#?}");
                let agents = named(&alerts, "TracerVerdict")[0];
                assert_eq!(agents["labels"]["netns"], b.namespace.path().to_str().unwrap(), "{agents}");
                for name in ["TracerBalancerUneven", "TracerBalancerDisagrees"] {
                    assert_eq!(named(&alerts, name)[0]["labels"]["instance"], b.name, "{alerts:#?}");
                }
            });
        });
    });
    for tracer in tracers {
        tracer.stop(Signal::SIGTERM).exits(0);
    }
}
