//! What an agent remembers that its counters do not hold, written down for the next one: what the judges know, and what was
//! told. Each minute, whenever something was told, and at the end.
//!
//! The file belongs to the counters that are pinned, and these are gone when the host is: so it need not outlive a power
//! failure, and nothing waits for a disk.

use super::super::exit::say;
use crate::agent::{Agent, AgentState};
use crate::chronicle::{Chronicle, ChronicleState};
use crate::input::read_file_up_to;
use crate::pools::Remembered;
use crate::recording::LONGEST_LINE;
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const SCHEMA: &str = "tracer.state/1";
/// As long as a line of a recording may be, and for the same reason.
const MOST_BYTES: u64 = LONGEST_LINE as u64;
const EVERY: Duration = Duration::from_secs(60);
/// What a state begins with.
const BEGINS: &[u8] = br#"{"of":{"schema":"tracer.state/"#;
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What the next agent goes on from.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct State {
    /// Which counters it goes with; first, so that another one's is told by that.
    of: Owner,
    pub(super) agent: AgentState,
    pub(super) remembered: Remembered,
    pub(super) chronicle: ChronicleState,
}

/// As much of a state as tells whose it is.
#[derive(Deserialize)]
struct Head {
    of: Owner,
}

/// Which counters, of all that ever were.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
struct Owner {
    schema: String,
    /// Id of the boot.
    boot: String,
    /// When counting began, nanoseconds since then.
    began_ns: u64,
}

impl State {
    /// `None`: it is of other counters, such as those before the host was booted.
    fn of(owner: &Owner, bytes: &[u8]) -> serde_json::Result<Option<Self>> {
        if serde_json::from_slice::<Head>(bytes)?.of != *owner {
            return Ok(None);
        }
        serde_json::from_slice(bytes).map(Some)
    }
}

/// What is remembered in a state file, whatever counters it goes with: for the fuzz target `state`. `None`: it is refused.
#[cfg(any(test, fuzzing))]
#[must_use]
pub fn remembered_in(file: &[u8]) -> Option<(AgentState, Remembered, ChronicleState)> {
    let Head { of } = serde_json::from_slice(file).ok()?;
    let State { agent, remembered, chronicle, .. } = State::of(&of, file).ok()??;
    Some((agent, remembered, chronicle))
}

/// Whether what a file has belongs to somebody else: an agent would write over it. A state may be cut short, and after the
/// power failed it may be zeros.
///
/// # Errors
/// What is to be said.
pub(super) fn is_an_agents(file: &Path) -> Result<(), String> {
    if !file.is_file() {
        return Ok(());
    }
    let mut start = Vec::new();
    let read = fs::File::open(file).and_then(|file| file.take(BEGINS.len() as u64).read_to_end(&mut start));
    // What cannot be read is said when the state is.
    if read.is_err() || BEGINS.starts_with(&start) || start.iter().all(|byte| *byte == 0) {
        return Ok(());
    }
    Err(format!(
        "--state {}: this is not what an agent has written, and is left as it is: name another file, or remove it",
        file.display()
    ))
}

/// The file, and who writes it.
pub(super) struct Checkpoint {
    file: PathBuf,
    owner: Owner,
    written: Instant,
    writing: Option<JoinHandle<io::Result<()>>>,
    has_failed: bool,
}

impl Checkpoint {
    /// A file for counters that began then (`ktime`).
    pub(super) fn new(file: &Path, began: Duration) -> Self {
        if let Some(directory) = file.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            // While anything can be made; what is wrong with it is said when it is written.
            let _ = fs::create_dir_all(directory);
        }
        let boot = fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned();
        let began_ns = u64::try_from(began.as_nanos()).unwrap_or(u64::MAX);
        Self {
            file: file.to_owned(),
            owner: Owner { schema: SCHEMA.into(), boot, began_ns },
            written: Instant::now(),
            writing: None,
            has_failed: false,
        }
    }

    /// What the agent before has written; `None`: nothing of these counters, and what is wrong with it was said.
    pub(super) fn read(&self) -> Option<State> {
        if !self.file.exists() {
            return None;
        }
        let name = self.file.display();
        let bytes = match read_file_up_to(&self.file, "state file", MOST_BYTES) {
            Ok(bytes) => bytes,
            Err(error) => {
                say(&format!("warning: --state {error}; judging begins anew"));
                return None;
            }
        };
        match State::of(&self.owner, &bytes) {
            Ok(Some(state)) => Some(state),
            Ok(None) => {
                say(&format!(
                    "notice: --state {name} goes with other counters, such as those before a boot; judging begins anew"
                ));
                None
            }
            Err(error) => {
                say(&format!("warning: --state {name}: {error}; judging begins anew"));
                None
            }
        }
    }

    /// An interval is over; `tells` says that something was told of it.
    pub(super) fn tick(&mut self, tells: bool, agent: &Agent, chronicle: &Chronicle) {
        if !tells && self.written.elapsed() < EVERY {
            return;
        }
        if self.writing.as_ref().is_some_and(|writing| !writing.is_finished()) {
            // A slow disk: the next interval tries again.
            self.written = self.written.checked_sub(EVERY).unwrap_or(self.written);
            return;
        }
        self.begin(agent, chronicle);
    }

    /// Writes the last one, and waits until it is there.
    pub(super) fn finish(mut self, agent: &Agent, chronicle: &Chronicle) {
        self.begin(agent, chronicle);
        self.wait();
    }

    fn begin(&mut self, agent: &Agent, chronicle: &Chronicle) {
        self.wait();
        self.written = Instant::now();
        let state = State {
            of: self.owner.clone(),
            agent: agent.state(),
            remembered: agent.remembered(),
            chronicle: chronicle.state(),
        };
        let file = self.file.clone();
        let text = serde_json::to_vec(&state).map_err(io::Error::other);
        self.writing = Some(std::thread::spawn(move || write(&file, &text?)));
    }

    /// Waits for what is being written. A failure is said once.
    fn wait(&mut self) {
        let Some(writing) = self.writing.take() else { return };
        let Ok(Err(error)) = writing.join() else { return };
        if !self.has_failed {
            let name = self.file.display();
            say(&format!(
                "error: --state {name}: {error}; after a restart judging begins anew, counting goes on"
            ));
        }
        self.has_failed = true;
    }
}

/// Puts it in the place of the file at once.
fn write(file: &Path, text: &[u8]) -> io::Result<()> {
    let mut new = file.to_owned();
    new.as_mut_os_string().push(".new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    options.open(&new)?.write_all(text)?;
    fs::rename(&new, file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::Settings;
    use crate::pools::Pools;

    fn agent() -> Agent {
        Agent::new(Pools::default(), Settings::default())
    }

    #[test]
    fn what_was_written_is_read_by_who_has_the_same_counters() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("below/state.json");
        let began = Duration::from_secs(7);
        assert!(Checkpoint::new(&file, began).read().is_none(), "there is none");
        Checkpoint::new(&file, began).finish(&agent(), &Chronicle::default());
        assert!(Checkpoint::new(&file, began).read().is_some());
        assert!(Checkpoint::new(&file, Duration::from_secs(8)).read().is_none(), "of others");
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "nothing beside it");
    }

    #[test]
    fn the_state_of_thousands_of_backends_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("state.json");
        let checkpoint = || Checkpoint::new(&file, Duration::from_secs(7));
        checkpoint().finish(&agent(), &Chronicle::default());
        let mut long = fs::read(&file).unwrap();
        long.resize(20 << 20, b' ');
        fs::write(&file, long).unwrap();
        assert!(checkpoint().read().is_some());
    }

    #[test]
    fn what_somebody_else_has_written_is_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("state.json");
        assert_eq!(is_an_agents(&file), Ok(()), "there is none");
        Checkpoint::new(&file, Duration::from_secs(7)).finish(&agent(), &Chronicle::default());
        assert_eq!(is_an_agents(&file), Ok(()));
        let whole = fs::read(&file).unwrap();
        for damaged in [&whole[..whole.len() / 2], &whole[..9], b"", &[0; 4_096]] {
            fs::write(&file, damaged).unwrap();
            assert_eq!(is_an_agents(&file), Ok(()));
        }
        for others in ["worker_processes 2;\n", "{}", "{\"schema\":\"tracer.check/1\"}"] {
            fs::write(&file, others).unwrap();
            assert!(is_an_agents(&file).unwrap_err().contains("state.json"));
        }
    }

    #[test]
    fn what_is_damaged_is_no_state() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("state.json");
        let checkpoint = || Checkpoint::new(&file, Duration::from_secs(7));
        checkpoint().finish(&agent(), &Chronicle::default());
        let whole = fs::read(&file).unwrap();
        for damaged in [&whole[..whole.len() / 2], b"", b"{}", b"\0\0\0"] {
            assert!(State::of(&checkpoint().owner, damaged).is_err());
            fs::write(&file, damaged).unwrap();
            assert!(checkpoint().read().is_none());
        }
    }
}
