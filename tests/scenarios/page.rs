//! The live page, in Chromium.

use crate::support::address::Block;
use crate::support::backend::{Backend, Behaviour::Answer};
use crate::support::browser::Browser;
use crate::support::client::Client;
use crate::support::http::Http;
use crate::support::load::Load;
use crate::support::nginx::Nginx;
use crate::support::pools::Pools;
use crate::support::tracer::watch;
use crate::support::{turn, wait};
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

/// Chromium starts slowly on a busy machine.
const SOON: Duration = Duration::from_secs(60);
const LIVE: &str = "document.getElementById('state')?.textContent === 'live'";

#[test]
fn a_wrong_weight_is_on_the_page_within_six_seconds() {
    let (_turn, block) = (turn::alone(), Block::new());
    let backends = [1, 2, 3, 4].map(|n| Backend::start(block.backend(n), Answer(300)));
    let _nginx = Nginx::at(block.balancer(1))
        .server(backends[0].address, "weight=10")
        .servers(backends[1..].iter().map(|backend| backend.address))
        .start();
    let running = watch(Pools::of_backends(&backends)).arguments(&["--listen", "0"]).start();
    let mut page = Browser::open(&format!("http://{}/", Http::of(&running).0));
    page.until(LIVE, SOON);
    let began = Instant::now();
    Load::on(block.balancer(1)).per_second(200).run_while(|| {
        page.until("document.querySelector('.verdict')?.textContent === 'skewed'", SOON);
        let took = began.elapsed();
        println!("on the page after {took:?}");
        assert!(took < Duration::from_secs(6), "on the page after {took:?}");
        page.value("document.querySelector('summary').focus()");
        // Seconds later there is a past to be drawn.
        page.until("document.querySelectorAll('.chart polyline').length === 4", SOON);
        page.until(
            "document.querySelector('.chart polyline').getAttribute('points').split(' ').length > 3",
            SOON,
        );
    });
    assert_eq!(page.value("document.activeElement.tagName"), "SUMMARY", "the keyboard stays where it was");
    page.narrow();
    page.until("document.documentElement.scrollWidth <= window.innerWidth", SOON);
    let text = page.value("document.querySelector('main').innerText").as_str().unwrap().to_owned();
    for said in [
        format!("{} OVER", backends[0].address),
        "25.0 %".into(),
        "by nginx".into(),
        "the balancer: look at".into(),
    ] {
        assert!(text.contains(&said), "{said} in {text}");
    }
    let bars =
        "document.querySelectorAll('td svg.bar[aria-label*=\"expected 25.0 %\"] line.expected').length";
    assert_eq!(page.value(bars), 4);
    let moment = "(() => { const request = new XMLHttpRequest(); request.open('GET', '/api/v1/pools', false); \
                  request.send(); return JSON.parse(request.responseText).schema; })()";
    assert_eq!(page.value(moment), "tracer.check/1");
    assert_eq!(page.value("document.getElementById('moment').href.startsWith('blob:')"), true);
    running.stop(Signal::SIGTERM).exits(0);
}

#[test]
fn the_page_outlives_the_agent_and_goes_on_with_the_next() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let pools = || Pools::of([1, 2].map(|n| block.backend(n)));
    let first = watch(pools()).arguments(&["--listen", "0"]).start();
    let http = Http::of(&first);
    let mut page = Browser::open(&format!("http://{}/", http.0));
    page.until(LIVE, SOON);
    first.stop(Signal::SIGTERM).exits(0);
    page.until("document.getElementById('state').textContent.includes('does not answer')", SOON);
    let port = http.0.port().to_string();
    let second = watch(pools()).arguments(&["--listen", &port]).start();
    page.until(LIVE, SOON);
    assert_eq!(page.value("document.querySelectorAll('main section').length"), 1);
    second.stop(Signal::SIGTERM).exits(0);
}

#[test]
fn hostile_names_are_text_on_the_page() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let name = "<img src=x onerror=document.title=1><b>&amp;";
    let process = "<i>'x'</i>";
    let backends = [1, 2].map(|n| Backend::start(block.backend(n), Answer(300)));
    let pools =
        Pools::new().pool(name, None, backends.each_ref().map(|backend| (backend.address, String::new())));
    let running = watch(pools).arguments(&["--listen", "0"]).start();
    let mut client = Client::start(process);
    for backend in &backends {
        assert_eq!(client.ask(format!("exchange 5 {}", backend.address)), "ok");
    }
    let mut page = Browser::open(&format!("http://{}/", Http::of(&running).0));
    let head = wait::until("the process", SOON, || {
        let head = page.value("document.querySelector('main h2')?.textContent");
        head.as_str().filter(|head| head.contains(process)).map(str::to_owned)
    });
    assert!(head.contains(name), "{head}");
    assert_eq!(page.value("document.querySelectorAll('main img, main b, main i').length"), 0);
    assert_eq!(page.value("document.title"), "tracer");
    running.stop(Signal::SIGTERM).exits(0);
}
