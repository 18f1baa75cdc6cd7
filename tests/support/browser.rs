//! Chromium without a window, told what to do over a pipe (the DevTools protocol).

use super::server::end_with_parent;
use super::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// It reads from descriptor 3 and writes to 4.
const START: &str = "exec chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1";

/// A page that is open; the browser ends when it is dropped.
pub(crate) struct Browser {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: Option<String>,
    number: u64,
    _directory: TempDir,
}

impl Browser {
    /// Opens a page.
    #[track_caller]
    pub(crate) fn open(url: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("tracer-e2e-").tempdir().unwrap();
        let mut command = Command::new("sh");
        command
            .args(["-c", START, "chromium", "--headless=new", "--no-sandbox", "--disable-gpu"])
            .args(["--no-first-run", "--disable-dev-shm-usage", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", directory.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Its helpers are to end with it.
            .process_group(0);
        let mut child = end_with_parent(&mut command, Signal::SIGKILL).spawn().unwrap();
        let (to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut browser = Self { child, to, from, session: None, number: 0, _directory: directory };
        let target = browser.call("Target.createTarget", json!({ "url": url }))["targetId"].clone();
        let attached = browser.call("Target.attachToTarget", json!({ "targetId": target, "flatten": true }));
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        browser
    }

    /// Calls a method and gives its result.
    #[track_caller]
    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.number += 1;
        let mut message = json!({ "id": self.number, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let mut answer = Vec::new();
            self.from.read_until(0, &mut answer).unwrap();
            assert_eq!(answer.pop(), Some(0), "harness: chromium ended");
            let answer: Value = serde_json::from_slice(&answer).unwrap();
            // Events come in between.
            if answer["id"] == self.number {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    /// Makes the window as wide as a phone.
    #[track_caller]
    pub(crate) fn narrow(&mut self) {
        let phone = json!({ "width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": true });
        self.call("Emulation.setDeviceMetricsOverride", phone);
    }

    /// The value of an expression in the page, or of the promise that it is.
    #[track_caller]
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        self.call("Runtime.evaluate", parameters)["result"]["value"].clone()
    }

    /// Loads the page again.
    #[track_caller]
    pub(crate) fn reload(&mut self) {
        self.call("Page.reload", json!({}));
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub(crate) fn until(&mut self, expression: &str, deadline: Duration) {
        wait::until(expression, deadline, || (self.value(expression) == true).then_some(()));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(-self.child.id().cast_signed()), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}
