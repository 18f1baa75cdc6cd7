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
        page.until("document.querySelectorAll('.chart path').length >= 4", SOON);
        page.until("document.querySelector('.chart path').getAttribute('d').split('L').length > 3", SOON);
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
        "since ".into(),
        "sent / received".into(),
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

/// Points of the chart of shares.
const POINTS: &str = "document.querySelector('.chart path')?.getAttribute('d').split(/[ML]/).length ?? 0";

#[test]
fn the_page_outlives_the_agent_and_goes_on_with_the_next() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = [1, 2].map(|n| Backend::start(block.backend(n), Answer(300)));
    let addresses = backends.iter().map(|backend| backend.address);
    let _nginx = Nginx::at(block.balancer(1)).servers(addresses).start();
    let first = watch(Pools::of_backends(&backends)).arguments(&["--listen", "0"]).start();
    let http = Http::of(&first);
    let mut page = Browser::open(&format!("http://{}/", http.0));
    Load::on(block.balancer(1)).run_while(|| {
        page.until(LIVE, SOON);
        page.until(&format!("({POINTS}) > 3"), SOON);
        first.stop(Signal::SIGTERM).exits(0);
        page.until("document.getElementById('state').textContent.includes('does not answer')", SOON);
        let before = page.value(POINTS).as_u64().unwrap();
        let port = http.0.port().to_string();
        let second = watch(Pools::of_backends(&backends)).arguments(&["--listen", &port]).start();
        page.until(LIVE, SOON);
        // What was seen before stays, and what is counted from the beginning goes on from it.
        page.until(&format!("({POINTS}) > {before} + 2"), SOON);
        assert_eq!(page.value("document.querySelectorAll('main section').length"), 1);
        second.stop(Signal::SIGTERM).exits(0);
    });
}

#[test]
fn the_past_is_there_when_the_page_is_loaded_again_and_response_times_with_it() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = [1, 2].map(|n| Backend::start(block.backend(n), Answer(300)));
    let addresses = backends.iter().map(|backend| backend.address);
    let _nginx = Nginx::at(block.balancer(1)).servers(addresses).start();
    let arguments = ["--listen", "0", "--exchanges", "on"];
    let running = watch(Pools::of_backends(&backends)).arguments(&arguments).start();
    let mut page = Browser::open(&format!("http://{}/", Http::of(&running).0));
    Load::on(block.balancer(1)).run_while(|| {
        page.until(&format!("({POINTS}) > 5"), SOON);
        let before = page.value(POINTS).as_u64().unwrap();
        page.value("document.title = 'before'");
        page.reload();
        page.until("document.title === 'tracer' && document.querySelectorAll('.chart').length === 2", SOON);
        assert!(page.value(POINTS).as_u64().unwrap() >= before, "{before} points before");
        let captions =
            page.value("[...document.querySelectorAll('figcaption')].map(one => one.textContent).join()");
        let captions = captions.as_str().unwrap().to_owned();
        assert!(
            captions.contains("Share of new connections") && captions.contains("Median response time"),
            "{captions}"
        );
    });
    running.stop(Signal::SIGTERM).exits(0);
}

/// What a screen reader has no name for, a line each.
const NAMELESS: &str = "[...document.querySelectorAll('a, button, input, summary, [tabindex], th, [role=img], svg')]\
    .filter(one => !one.hidden && one.getAttribute('aria-hidden') !== 'true')\
    .filter(one => !(one.getAttribute('aria-label') || one.textContent.trim()) || (one.tagName === 'TH' && !one.scope))\
    .map(one => one.outerHTML).join()";

#[test]
fn everything_on_the_page_has_a_name_and_the_verdict_is_read_out() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = [1, 2].map(|n| Backend::start(block.backend(n), Answer(300)));
    let running = watch(Pools::of_backends(&backends)).arguments(&["--listen", "0"]).start();
    let mut client = Client::start("client");
    for backend in &backends {
        assert_eq!(client.ask(format!("exchange 5 {}", backend.address)), "ok");
    }
    let mut page = Browser::open(&format!("http://{}/", Http::of(&running).0));
    page.until(
        "document.querySelectorAll('tbody tr').length === 2 && document.querySelector('.chart') !== null",
        SOON,
    );
    assert_eq!(page.value(NAMELESS), "");
    assert_eq!(page.value("document.querySelectorAll('thead th').length"), 9);
    let said = page.value("document.querySelector('[aria-live]').textContent");
    assert_eq!(said, "no finding");
    // It is read out when it changes, and not each second.
    let changes = "new Promise(resolve => { let changes = 0; new MutationObserver(() => { changes += 1; })\
                   .observe(document.querySelector('[aria-live]'), { childList: true, characterData: true, subtree: true });\
                   setTimeout(() => resolve(changes), 2500); })";
    assert_eq!(page.value(changes), 0);
    running.stop(Signal::SIGTERM).exits(0);
}

#[test]
fn a_link_shows_the_moment_that_it_holds_until_one_goes_live() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = [1, 2].map(|n| Backend::start(block.backend(n), Answer(300)));
    let running = watch(Pools::of_backends(&backends)).arguments(&["--listen", "0"]).start();
    let http = Http::of(&running);
    let mut page = Browser::open(&format!("http://{}/", http.0));
    page.until("document.querySelectorAll('tbody tr').length === 2", SOON);
    page.value("document.getElementById('share').click()");
    page.until("document.getElementById('link').value.includes('#moment=')", SOON);
    let link = page.value("document.getElementById('link').value").as_str().unwrap().to_owned();
    assert!(link.starts_with(&format!("http://{}/#moment=", http.0)) && link.len() < 4_000, "{link}");
    let mut client = Client::start("client");
    assert_eq!(client.ask(format!("exchange 5 {}", backends[0].address)), "ok");
    let attempts = "[...document.querySelectorAll('tbody tr')].map(row => Number(row.children[4].textContent)).reduce((a, b) => a + b)";
    page.until(&format!("{attempts} === 5"), SOON);

    let mut other = Browser::open(&link);
    other.until("document.getElementById('state').textContent.startsWith('a moment of 20')", SOON);
    assert_eq!(other.value(attempts), 0, "the moment is the one before");
    assert_eq!(
        other.value("document.querySelectorAll('.chart').length + Number(events !== null)"),
        0,
        "nothing follows"
    );
    other.value("document.getElementById('live').click()");
    other.until(&format!("{LIVE} && {attempts} === 5"), SOON);
    assert_eq!(other.value("location.hash"), "");
    other.value(&format!("location.href = {link:?}"));
    other.until(&format!("{attempts} === 0"), SOON);

    // Random names cannot be compressed to what a link can hold.
    other.value("shown.pools[0].name = Array.from({ length: 60000 }, () => String.fromCharCode(33 + Math.random() * 90)).join('')");
    other.value("document.getElementById('share').click()");
    other.until("document.getElementById('said').textContent.includes('JSON file instead')", SOON);
    running.stop(Signal::SIGTERM).exits(0);
}

#[test]
fn a_hostile_link_is_shown_as_text_or_refused_and_the_page_goes_on() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let pools = Pools::of([1, 2].map(|n| block.backend(n)));
    let running = watch(pools).arguments(&["--listen", "0"]).start();
    let mut page = Browser::open(&format!("http://{}/", Http::of(&running).0));
    page.until(LIVE, SOON);
    let open = |page: &mut Browser, moment: &str| {
        page.value("document.getElementById('state').textContent = ''");
        page.value(&format!("linkOf({moment}).then(link => {{ location.href = link; }})"));
        page.until("document.getElementById('state').textContent !== ''", SOON);
        let state = page.value("document.getElementById('state').textContent");
        assert_eq!(page.value("document.title"), "tracer", "{moment}");
        assert_eq!(
            page.value("document.querySelectorAll('main img, main script, main b').length"),
            0,
            "{moment}"
        );
        state.as_str().unwrap().to_owned()
    };
    const SHOWN: &str = "as the link has it";
    const REFUSED: &str = "holds no moment";
    let markup = "'<img src=x onerror=document.title=1><b>&amp;'";
    let member = format!(
        "{{ backend: {markup}, finding: {markup}, expected_share: {markup}, observed_share: -1, \
                          share_interval: [{markup}], attempts: 1e308, live: {{}}, failed: {{ [{markup}]: 3, __proto__: 1 }}, response_seconds: 7 }}"
    );
    let of_text = format!(
        "{{ schema: 'tracer.check/1', host: {markup}, started: {markup}, pools: [{{ name: {markup}, balancer: {markup}, \
                           verdict: {markup}, signal: '__proto__', summary: {markup}, members: [{member}, null, 3, []] }}] }}"
    );
    assert!(open(&mut page, &of_text).contains(SHOWN));
    let text = page.value("document.querySelector('main').textContent");
    assert!(text.as_str().unwrap().contains("<img src=x onerror"), "{text}");
    for (moment, said) in [
        ("{ schema: 'tracer.check/1', pools: [null, 7, 'x', [], { members: 'x' }] }", SHOWN),
        ("{ schema: 'tracer.check/1', pools: Array(5000).fill({}) }", SHOWN),
        ("{ schema: 'tracer.check/1', pools: {} }", REFUSED),
        ("{ schema: 'other/1', pools: [] }", REFUSED),
        ("null", REFUSED),
        ("'text'", REFUSED),
    ] {
        let state = open(&mut page, moment);
        assert!(state.contains(said), "{moment}: {state}");
    }
    // What is no moment at all, and one that unpacks to far more than it should.
    let bomb = "bytesOf(new Blob(['[' + ' '.repeat(8e6)]).stream().pipeThrough(new CompressionStream('gzip')), 1e7)\
                .then(packed => packed.arrayBuffer()).then(bytes => btoa(String.fromCharCode(...new Uint8Array(bytes))))\
                .then(text => { location.hash = 'moment=' + text.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', ''); })";
    let long = "location.hash = 'moment=' + 'A'.repeat(40000)";
    for step in [
        bomb,
        long,
        "location.hash = 'moment='",
        "location.hash = 'moment=%00<b>'",
        "location.hash = 'moment=H4sIAAAA'",
    ] {
        page.value("document.getElementById('state').textContent = ''");
        page.value(step);
        page.until(&format!("document.getElementById('state').textContent.includes('{REFUSED}')"), SOON);
    }
    page.value("document.getElementById('live').click()");
    page.until(LIVE, SOON);
    assert_eq!(page.value("document.querySelectorAll('main section').length"), 1);
    running.stop(Signal::SIGTERM).exits(0);
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
