//! A terminal that can be looked at: a pane of a tmux server of its own.

use super::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

static SERVERS: AtomicU32 = AtomicU32::new(0);

/// What a shell says of the terminal when the program has ended.
const ENDED: &str = "ended with";

/// A terminal with a program on it, the tracer as a rule; gone with the scenario.
pub(crate) struct Terminal {
    socket: String,
}

impl Terminal {
    /// A terminal with the tracer on it.
    pub(crate) fn with_tracer<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Self {
        Self::with(env!("CARGO_BIN_EXE_tracer").as_ref(), arguments)
    }

    /// A terminal of 100 columns and 30 lines in which a shell runs a program and then says how it ended.
    pub(crate) fn with<S: AsRef<OsStr>>(program: &Path, arguments: impl IntoIterator<Item = S>) -> Self {
        let script = format!(
            r#"unset NO_COLOR; export TERM=tmux-256color LC_ALL=C.UTF-8; "$@"; echo "{ENDED} $?"; stty -a; exec sleep 600"#
        );
        let number = SERVERS.fetch_add(1, SeqCst);
        let terminal = Self { socket: format!("tracer-e2e-{}-{number}", std::process::id()) };
        let mut command = terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30"]);
        command.args(["sh", "-c", &script, "sh"]).arg(program).args(arguments);
        succeeds(&mut command);
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.args(["-L", &self.socket]).args(arguments);
        command
    }

    /// What stands on it.
    pub(crate) fn screen(&self) -> String {
        succeeds(&mut self.tmux(&["capture-pane", "-p"]))
    }

    /// Presses keys, as tmux calls them.
    pub(crate) fn press(&self, keys: &[&str]) {
        succeeds(self.tmux(&["send-keys"]).args(keys));
    }

    /// Gives it another size, in columns and lines.
    pub(crate) fn resize(&self, [columns, lines]: [usize; 2]) {
        let size = [columns, lines].map(|size| size.to_string());
        succeeds(&mut self.tmux(&["resize-window", "-x", &size[0], "-y", &size[1]]));
    }

    /// Waits until the screen is as `is_it` wants it, and gives it.
    #[track_caller]
    pub(crate) fn shows(&self, what: &str, deadline: Duration, is_it: impl Fn(&str) -> bool) -> String {
        let started = Instant::now();
        loop {
            let screen = self.screen();
            if is_it(&screen) {
                println!("{what} after {:?}:\n{screen}", started.elapsed());
                return screen;
            }
            assert!(started.elapsed() < deadline, "not seen within {deadline:?}: {what}\n{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The process of the tracer.
    #[track_caller]
    pub(crate) fn tracer(&self) -> u32 {
        let shell = succeeds(&mut self.tmux(&["display-message", "-p", "#{pane_pid}"])).trim().to_owned();
        let children = format!("/proc/{shell}/task/{shell}/children");
        wait::until("the tracer", Duration::from_secs(5), || {
            let children = std::fs::read_to_string(&children).ok()?;
            children.split_whitespace().next()?.parse().ok()
        })
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.tracer().cast_signed()), signal).unwrap();
    }

    /// Takes the terminal away from under it.
    pub(crate) fn kill_pane(&self) {
        succeeds(&mut self.tmux(&["kill-pane"]));
    }

    /// Waits until the program has ended with this code; the terminal is as it was before, and what stands on it is given.
    #[track_caller]
    pub(crate) fn is_given_back(&self, code: i32) -> String {
        let said = format!("{ENDED} {code}\n");
        let all_said = |screen: &str| screen.contains(ENDED) && screen.contains("echoke");
        let screen = self.shows("the end", Duration::from_secs(15), all_said);
        assert!(screen.contains(&said), "should end with {code}:\n{screen}");
        let settings: Vec<&str> = screen.split([' ', '\n']).map(|word| word.trim_end_matches(';')).collect();
        for wanted in ["icanon", "echo", "isig", "opost", "icrnl"] {
            assert!(settings.contains(&wanted), "{wanted} is off:\n{screen}");
        }
        assert_eq!(self.flags(), "0 0 1", "other screen, mouse, cursor");
        screen
    }

    /// Asserts that a program has the terminal for itself.
    #[track_caller]
    pub(crate) fn is_taken(&self) {
        assert_eq!(self.flags(), "1 1 0", "other screen, mouse, cursor");
    }

    #[track_caller]
    fn flags(&self) -> String {
        let flags = "#{alternate_on} #{mouse_any_flag} #{cursor_flag}";
        succeeds(&mut self.tmux(&["display-message", "-p", flags])).trim().to_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]).output();
    }
}

/// Whether a process is there.
pub(crate) fn is_alive(process: u32) -> bool {
    Path::new(&format!("/proc/{process}")).exists()
}

#[track_caller]
fn succeeds(command: &mut Command) -> String {
    let Output { status, stdout, stderr } =
        command.output().unwrap_or_else(|error| panic!("tmux: {error} (apt-get install tmux)"));
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8_lossy(&stdout).into_owned()
}
