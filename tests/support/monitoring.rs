//! Debian's Prometheus and Alertmanager, and who is notified.

use super::http::Http;
use super::server::end_with_parent;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// A port of loopback that nobody has at this moment.
pub(crate) fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A process with a directory of its own; killed when dropped.
struct Daemon {
    child: Child,
    directory: TempDir,
}

impl Daemon {
    fn start(program: &str, directory: TempDir, arguments: &[String]) -> Self {
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let mut command = Command::new(program);
        command.args(arguments).stdout(log.try_clone().unwrap()).stderr(log).stdin(Stdio::null());
        let child = end_with_parent(&mut command, Signal::SIGKILL).spawn();
        let child = child.unwrap_or_else(|error| panic!("{program}: {error} (apt-get install {program})"));
        Self { child, directory }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            log.lines().rev().take(20).for_each(|line| eprintln!("  {line}"));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn directory() -> TempDir {
    tempfile::Builder::new().prefix("tracer-e2e-").tempdir().unwrap()
}

/// A Prometheus that is about to be started; it scrapes every second.
#[derive(Default)]
pub(crate) struct PrometheusPlan {
    targets: Vec<(SocketAddr, String)>,
    rules: Vec<PathBuf>,
    alertmanager: Option<SocketAddr>,
}

impl PrometheusPlan {
    /// Scrapes a tracer, which is called so.
    pub(crate) fn target(mut self, tracer: Http, instance: &str) -> Self {
        self.targets.push((tracer.0, instance.to_owned()));
        self
    }

    /// Evaluates these rules every second.
    pub(crate) fn rules(mut self, files: impl IntoIterator<Item = PathBuf>) -> Self {
        self.rules.extend(files);
        self
    }

    /// Sends alerts there.
    pub(crate) fn alertmanager(mut self, alertmanager: &Alertmanager) -> Self {
        self.alertmanager = Some(alertmanager.http.0);
        self
    }

    fn configuration(&self) -> String {
        let targets = self.targets.iter().map(|(address, instance)| {
            format!("  - {{ targets: [\"{address}\"], labels: {{ instance: \"{instance}\" }} }}\n")
        });
        let rules = self.rules.iter().map(|file| format!("- {}\n", file.display()));
        let mut text = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\nscrape_configs:\n\
             - job_name: tracer\n  static_configs:\n{}rule_files:\n{}",
            targets.collect::<String>(),
            rules.collect::<String>()
        );
        if let Some(address) = self.alertmanager {
            text += &format!(
                "alerting:\n  alertmanagers:\n  - static_configs: [{{ targets: [\"{address}\"] }}]\n"
            );
        }
        text
    }

    pub(crate) fn start(self) -> Prometheus {
        let directory = directory();
        let configuration = directory.path().join("prometheus.yml");
        std::fs::write(&configuration, self.configuration()).unwrap();
        let address = free_port();
        let arguments = [
            format!("--config.file={}", configuration.display()),
            format!("--storage.tsdb.path={}", directory.path().join("data").display()),
            format!("--web.listen-address={address}"),
        ];
        Prometheus { http: Http(address), _daemon: Daemon::start("prometheus", directory, &arguments) }
    }
}

/// One that scrapes tracers; killed when dropped.
pub(crate) struct Prometheus {
    pub(crate) http: Http,
    _daemon: Daemon,
}

impl Prometheus {
    pub(crate) fn scraping(tracer: Http) -> Self {
        PrometheusPlan::default().target(tracer, "lb").start()
    }

    /// What a query gives now; `None` while there is nothing.
    pub(crate) fn asks(&self, query: &str) -> Option<f64> {
        let response = self.http.try_get(&format!("/api/v1/query?query={query}"))?;
        let answer: Value = serde_json::from_str(&response.body).ok()?;
        answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }
}

/// Of 127.0.0.1, with its key; nobody trusts it unless told to.
pub(crate) const CERTIFICATE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/tls/alertmanager.pem");

/// Notifies at once, of each pool apart, and of what goes on not again.
pub(crate) struct Alertmanager {
    pub(crate) http: Http,
    _daemon: Daemon,
}

impl Alertmanager {
    pub(crate) fn notifying(receiver: &Receiver) -> Self {
        Self::at(free_port(), receiver)
    }

    pub(crate) fn at(address: SocketAddr, receiver: &Receiver) -> Self {
        Self::with(address, receiver, None)
    }

    /// One that talks TLS, with [`CERTIFICATE`], to `tracer` with the password `secret`.
    pub(crate) fn guarded(receiver: &Receiver) -> Self {
        // `htpasswd -nbB -C 4 tracer secret`.
        const HASH: &str = "$2b$04$CreB8WJt5AkqSCaUkM2h7u0k9uYY/6q/l1.VAUjGAPUtZb/EPTSC2";
        let text = format!(
            "tls_server_config: {{ cert_file: {CERTIFICATE}, key_file: {CERTIFICATE} }}\nbasic_auth_users: {{ tracer: {HASH} }}\n"
        );
        Self::with(free_port(), receiver, Some(text))
    }

    fn with(address: SocketAddr, receiver: &Receiver, web: Option<String>) -> Self {
        let directory = directory();
        let configuration = directory.path().join("alertmanager.yml");
        let text = format!(
            "route: {{ receiver: test, group_by: [alertname, instance, pool], group_wait: 1s, group_interval: 1s, repeat_interval: 4h }}\n\
             receivers: [{{ name: test, webhook_configs: [{{ url: \"http://{}/\", send_resolved: true }}] }}]\n",
            receiver.address
        );
        std::fs::write(&configuration, text).unwrap();
        let mut arguments = vec![
            format!("--config.file={}", configuration.display()),
            format!("--storage.path={}", directory.path().join("data").display()),
            format!("--web.listen-address={address}"),
            "--cluster.listen-address=".to_owned(),
        ];
        if let Some(text) = web {
            let file = directory.path().join("web.yml");
            std::fs::write(&file, text).unwrap();
            arguments.push(format!("--web.config.file={}", file.display()));
        }
        Self { http: Http(address), _daemon: Daemon::start("prometheus-alertmanager", directory, &arguments) }
    }

    /// `http://HOST:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.http.0)
    }

    /// The alerts that are on.
    pub(crate) fn alerts(&self) -> Vec<Value> {
        let response = self.http.try_get("/api/v2/alerts");
        response.and_then(|response| serde_json::from_str(&response.body).ok()).unwrap_or_default()
    }
}

/// Somebody who is notified, and remembers it.
pub(crate) struct Receiver {
    address: SocketAddr,
    notifications: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let notifications = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&notifications);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut request = String::new();
                let mut part = [0; 65_536];
                while !is_whole(&request) {
                    let Ok(read @ 1..) = stream.read(&mut part) else { break };
                    request += &String::from_utf8_lossy(&part[..read]);
                }
                let body = request.split_once("\r\n\r\n").map_or("", |(_, body)| body);
                if let Ok(notification) = serde_json::from_str(body) {
                    into.lock().unwrap().push(notification);
                }
                let _ =
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            }
        });
        Self { address, notifications }
    }

    /// Every notification so far: whether alerts are on (`firing`) or over (`resolved`), and the alerts in it.
    pub(crate) fn notifications(&self) -> Vec<(String, Vec<Value>)> {
        let notifications = self.notifications.lock().unwrap();
        let told = notifications.iter().map(|one| {
            let status = one["status"].as_str().unwrap().to_owned();
            (status, one["alerts"].as_array().unwrap().clone())
        });
        told.collect()
    }
}

fn is_whole(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0_usize)
}

/// The rules that are shipped.
pub(crate) fn shipped_rules() -> [PathBuf; 2] {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/prometheus");
    ["tracer-recording.yml", "tracer-alerting.yml"].map(|name| directory.join(name))
}
