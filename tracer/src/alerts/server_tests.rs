use super::client::{Client, Refusal};
use super::courier::Courier;
use super::decide::{Alert, Change, PoolKey};
use super::wording::{Annotations, Sender, body};
use super::*;
use crate::detect::Verdict;
use crate::outputs::metrics::tests::pool;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::time::Instant;

/// What the tests wait for an answer.
const PATIENCE: Duration = Duration::from_millis(300);

/// A server of one answer, and what it was asked.
struct Fake {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    /// `answer` writes what it likes; the connection ends after it.
    fn start(answer: impl Fn(&str, &mut TcpStream) + Send + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), answer)
    }

    fn on(listener: TcpListener, answer: impl Fn(&str, &mut TcpStream) + Send + 'static) -> Self {
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let request = read(&mut stream);
                seen.lock().unwrap().push(request.clone());
                answer(&request, &mut stream);
            }
        });
        Self { address, requests }
    }

    /// One that lists nothing and takes everything.
    fn well() -> Self {
        Self::start(|_, stream| says(stream, "200 OK", "[]"))
    }

    fn url(&self) -> AlertmanagerUrl {
        format!("http://{}", self.address).parse().unwrap()
    }

    fn client(&self, credentials: Option<&Credentials>) -> Client {
        Client::new(self.url(), credentials, PATIENCE)
    }

    fn posts(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|request| request.starts_with("POST ")).cloned().collect()
    }
}

fn says(stream: &mut TcpStream, status: &str, body: &str) {
    let length = body.len();
    let _ =
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
}

fn read(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut part = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        let length = text
            .to_ascii_lowercase()
            .split("content-length: ")
            .nth(1)
            .map_or(0, |rest| rest.lines().next().unwrap().parse::<usize>().unwrap());
        if text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.len() >= length) {
            return text;
        }
        match stream.read(&mut part) {
            Ok(read @ 1..) => request.extend_from_slice(&part[..read]),
            _ => return text,
        }
    }
}

fn sender() -> Arc<Sender> {
    Arc::new(Sender { instance: "lb1".into(), netns: None })
}

fn alert(pool: &str) -> Alert {
    Alert {
        key: PoolKey { pool: pool.into(), balancer: "nginx".into() },
        verdict: Verdict::Skewed,
        starts_seconds: 1_767_225_600.0,
        annotations: Annotations::default(),
    }
}

#[track_caller]
fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn alerts_arrive_with_credentials_and_ends_too() {
    let server = Fake::well();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "tracer:secret\n").unwrap();
    let credentials = Credentials::read(file.path()).unwrap();
    let courier = Courier::start(server.client(Some(&credentials)), sender()).unwrap();
    courier.put(&[Change::On(alert("app"))]);
    until("sent", || (courier.figures().sent == 1).then_some(()));
    courier.put(&[Change::Over(alert("app"), 1_767_225_700.0)]);
    until("over", || (courier.figures().sent == 2).then_some(()));
    let requests = server.requests.lock().unwrap().clone();
    assert!(
        requests[0].starts_with(
            "GET /api/v2/alerts?filter=alertname%3D%22TracerVerdict%22&filter=instance%3D%22lb1%22 "
        ),
        "{requests:?}"
    );
    for request in &requests {
        assert!(
            request.to_ascii_lowercase().contains("authorization: basic dhjhy2vyonnly3jlda=="),
            "{request}"
        );
    }
    assert!(requests[2].contains("\"endsAt\":\"2026-01-01T00:01:40.000Z\""), "{}", requests[2]);
    assert_eq!((courier.figures().waiting, courier.lines()), (0, vec![]));
}

#[test]
fn what_a_former_agent_left_is_asked_for_first() {
    let left = body([(&alert("app"), None)], &sender(), 1_767_225_600.0).unwrap();
    let server = Fake::start(move |_, stream| says(stream, "200 OK", &left));
    let courier = Courier::start(server.client(None), sender()).unwrap();
    let inherited = until("inherited", || Some(courier.inherited()).filter(|left| !left.is_empty()));
    assert_eq!(inherited, [alert("app")]);
    assert_eq!(courier.inherited(), [], "once");
}

#[test]
fn one_that_lists_nothing_to_us_is_told_all_the_same() {
    for (status, listed) in [("403 Forbidden", "no"), ("200 OK", "<html>"), ("200 OK", "{\"a\":1}")] {
        let server = Fake::start(move |request, stream| match request.starts_with("GET ") {
            true => says(stream, status, listed),
            false => says(stream, "200 OK", ""),
        });
        let courier = Courier::start(server.client(None), sender()).unwrap();
        courier.put(&[Change::On(alert("app"))]);
        until("sent", || (courier.figures().sent == 1).then_some(()));
        let lines = courier.lines();
        assert!(lines.len() == 1 && lines[0].contains("does not tell what is on"), "{lines:?}");
    }
}

#[test]
fn whoever_does_not_answer_keeps_nobody_waiting() {
    // It reads nothing and says nothing; or drips for ever; or speaks another protocol; or never ends its head.
    let answers: [fn(&str, &mut TcpStream); 4] = [
        |_, _| std::thread::sleep(Duration::from_secs(3)),
        |_, stream| {
            let _ = stream.write_all(b"HTTP/1.1 500 Oh\r\nContent-Length: 1000000\r\n\r\n");
            while stream.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        },
        |_, stream| drop(stream.write_all(b"SSH-2.0-OpenSSH_9\r\n")),
        |_, stream| {
            while stream.write_all(b"HTTP/1.1 200 OK\r\nx: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n").is_ok() {}
        },
    ];
    for (number, answer) in answers.into_iter().enumerate() {
        let server = Fake::start(answer);
        let mut alerts = Alerts {
            decider: Decider::new(0.0),
            couriers: vec![Courier::start(server.client(None), sender()).unwrap()],
            left_out: 0,
        };
        let mut said = Vec::new();
        let mut now = 0.0;
        until("it is tried, and tried again", || {
            now += 1.0;
            let start = Instant::now();
            said.extend(alerts.take(now, &[pool("app", "nginx", &[(1, 1)])]));
            assert!(start.elapsed() < PATIENCE, "{number}: the tick waited {:?}", start.elapsed());
            let figures = &alerts.figures()[0];
            assert_eq!(figures.sent, 0, "{number}");
            (figures.failed >= 1 && figures.waiting == 1).then_some(())
        });
        let times = said.iter().filter(|line| line.contains("takes no alerts: ")).count();
        assert_eq!(times, 1, "{number}: said once: {said:?}");
        let start = Instant::now();
        drop(alerts);
        assert!(start.elapsed() < PATIENCE, "{number}: the end waited");
    }
}

#[test]
fn a_refusal_is_said_in_words_that_steer_no_terminal_and_when_it_is_over() {
    let well = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_well = Arc::clone(&well);
    let server = Fake::start(move |request, stream| {
        if request.starts_with("GET ") || is_well.load(std::sync::atomic::Ordering::SeqCst) {
            says(stream, "200 OK", "[]");
        } else {
            says(stream, "503 Service Unavailable", &format!("\n\u{1b}[31mbusy{}", "y".repeat(5_000)));
        }
    });
    let courier = Courier::start(server.client(None), sender()).unwrap();
    courier.put(&[Change::On(alert("app"))]);
    let lines = until("said", || Some(courier.lines()).filter(|lines| !lines.is_empty()));
    assert!(lines[0].contains("it answers 503 Service Unavailable: \\u{1b}[31mbusy"), "{lines:?}");
    assert!(lines[0].len() < 500 && !lines[0].contains('\u{1b}'));
    well.store(true, std::sync::atomic::Ordering::SeqCst);
    until("sent", || (courier.figures().sent == 1).then_some(()));
    let lines = courier.lines();
    assert!(lines.len() == 1 && lines[0].contains("takes alerts again"), "{lines:?}");
    assert!(server.posts().len() > 1, "it was tried again");
}

#[test]
fn one_that_is_not_there_yet_is_asked_when_it_comes() {
    let place = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = place.local_addr().unwrap();
    drop(place);
    let url = format!("http://{address}").parse().unwrap();
    let courier = Courier::start(Client::new(url, None, PATIENCE), sender()).unwrap();
    until("said", || courier.lines().pop());
    let server = Fake::on(TcpListener::bind(address).unwrap(), |_, stream| says(stream, "200 OK", "[]"));
    let line = until("works", || courier.lines().pop());
    assert!(line.contains("takes alerts again"), "{line}");
    assert!(server.requests.lock().unwrap()[0].starts_with("GET "));
    courier.put(&[Change::On(alert("app"))]);
    until("sent", || (courier.figures().sent == 1).then_some(()));
}

#[test]
fn nobody_is_sent_elsewhere_with_our_credentials() {
    let elsewhere = Fake::well();
    let target = elsewhere.url();
    let server = Fake::start(move |_, stream| {
        let _ = write!(
            stream,
            "HTTP/1.1 307 Go\r\nLocation: {target}/api/v2/alerts\r\nContent-Length: 0\r\n\r\n"
        );
    });
    let refused = server.client(None).post("[]".into());
    assert!(matches!(&refused, Err(Refusal::Answered(reason)) if reason.contains("307")), "{refused:?}");
    assert!(elsewhere.requests.lock().unwrap().is_empty());
}

#[test]
fn a_list_without_end_is_not_read_to_its_end() {
    let server = Fake::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n[");
        let part = [b' '; 1 << 16];
        while stream.write_all(&part).is_ok() {}
    });
    let client = Client::new(server.url(), None, Duration::from_secs(20));
    let start = Instant::now();
    assert!(client.list(vec![]).is_err());
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}
