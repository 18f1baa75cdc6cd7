//! Lines to standard output, from a thread of their own: a reader that is slow or stuck stops neither the tick nor the
//! end.

use super::super::exit::{Exit, Failure, say};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

/// Lines that wait for a reader; what comes beyond is lost, and said to be.
const MOST_WAITING: usize = 1_024;

/// Lines of one interval of a recording, at most: a line for each pool of a host.
const MOST_AT_ONCE: usize = 65_536;

/// How long who has time waits before it looks again.
pub(super) const MOMENT: Duration = Duration::from_millis(2);

/// How long the last lines may take: who ends us expects it within a second.
const LAST_LINES: Duration = Duration::from_millis(500);

/// Where lines go.
pub(super) struct Writer {
    lines: SyncSender<String>,
    writing: JoinHandle<io::Result<()>>,
    /// Lines that are not written yet.
    waiting: Arc<AtomicUsize>,
    patient: bool,
    lost: u64,
}

impl Writer {
    /// Must be called within a tokio runtime.
    pub(super) fn start(out: impl Write + Send + 'static) -> Self {
        Self::with_room_for(MOST_WAITING, out)
    }

    /// One for whoever has time: who waits until it [has room](Self::has_room) loses nothing to a slow reader.
    pub(super) fn patient(out: impl Write + Send + 'static) -> Self {
        Self { patient: true, ..Self::with_room_for(MOST_AT_ONCE, out) }
    }

    fn with_room_for(most: usize, out: impl Write + Send + 'static) -> Self {
        let (lines, queue) = sync_channel(most);
        let waiting = Arc::new(AtomicUsize::new(0));
        let left = Arc::clone(&waiting);
        let writing = spawn_blocking(move || write_all(out, queue, &left));
        Self { lines, writing, waiting, patient: false, lost: 0 }
    }

    /// Whether there is no need to wait.
    pub(super) fn has_room(&self) -> bool {
        !self.patient || self.waiting.load(Relaxed) < MOST_WAITING
    }

    /// Has a line written, at once if somebody reads.
    pub(super) fn write(&mut self, line: String) {
        self.waiting.fetch_add(1, Relaxed);
        match self.lines.try_send(line) {
            // Not sooner: standard error may be the same pipe.
            Ok(()) if self.lost > 0 => say_lost(std::mem::take(&mut self.lost)),
            // Disconnected: `ended` tells why.
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => {
                self.waiting.fetch_sub(1, Relaxed);
                self.lost += 1;
            }
        }
    }

    /// Waits until nothing can be written any more. Safe to drop while it waits; not to be called after it has given
    /// something.
    pub(super) async fn ended(&mut self) -> Result<Exit, Failure> {
        outcome((&mut self.writing).await)
    }

    /// Waits until every line is written, but not for ever.
    pub(super) async fn finish(self) -> Result<Exit, Failure> {
        drop(self.lines);
        // At the end of a recording there is time, unless the reader takes nothing at all.
        while self.patient && !self.writing.is_finished() {
            let before = self.waiting.load(Relaxed);
            tokio::time::sleep(LAST_LINES).await;
            if self.waiting.load(Relaxed) == before {
                break;
            }
        }
        let Ok(written) = tokio::time::timeout(LAST_LINES, self.writing).await else {
            return Err(Failure::Output(io::Error::other("nobody reads it; events are lost")));
        };
        if self.lost > 0 {
            say_lost(self.lost);
        }
        outcome(written)
    }
}

fn say_lost(events: u64) {
    say(&format!("{events} events are lost: standard output was not read"));
}

fn outcome(written: Result<io::Result<()>, JoinError>) -> Result<Exit, Failure> {
    match written {
        Ok(Ok(())) => Ok(Exit::Fine),
        // A reader that has gone away has seen what it wanted.
        Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Fine),
        Ok(Err(error)) => Err(Failure::Output(error)),
        Err(panic) => Err(Failure::Internal(panic.into())),
    }
}

fn write_all(mut out: impl Write, lines: Receiver<String>, waiting: &AtomicUsize) -> io::Result<()> {
    for line in lines {
        out.write_all(line.as_bytes())?;
        out.flush()?;
        waiting.fetch_sub(1, Relaxed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// Gives an error when it has one; otherwise keeps what is written.
    #[derive(Clone, Default)]
    struct Out {
        text: Arc<Mutex<String>>,
        error: Option<io::ErrorKind>,
    }

    impl Write for Out {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if let Some(kind) = self.error {
                return Err(kind.into());
            }
            self.text.lock().unwrap().push_str(std::str::from_utf8(bytes).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn every_line_is_written_before_the_end() {
        let out = Out::default();
        let mut writer = Writer::start(out.clone());
        (0..100).for_each(|line| writer.write(format!("{line}\n")));
        assert!(matches!(writer.finish().await, Ok(Exit::Fine)));
        assert_eq!(out.text.lock().unwrap().lines().count(), 100);
    }

    #[tokio::test]
    async fn a_reader_that_has_gone_away_is_success_and_a_full_disk_is_not() {
        for (kind, fine) in [(io::ErrorKind::BrokenPipe, true), (io::ErrorKind::StorageFull, false)] {
            let mut writer = Writer::start(Out { error: Some(kind), ..Out::default() });
            writer.write("line\n".into());
            let ended = writer.ended().await;
            assert_eq!(matches!(ended, Ok(Exit::Fine)), fine);
            assert_eq!(matches!(ended, Err(Failure::Output(_))), !fine);
        }
    }

    #[test]
    fn a_reader_that_does_not_read_stops_nobody() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (_reader, stuck) = io::pipe().unwrap();
        let ended = runtime.block_on(async {
            let mut writer = Writer::start(stuck);
            let line = "x".repeat(4_096) + "\n";
            (0..MOST_WAITING + 100).for_each(|_| writer.write(line.clone()));
            assert!(writer.lost > 0, "bounded");
            writer.finish().await
        });
        assert!(matches!(ended, Err(Failure::Output(_))));
        runtime.shutdown_background();
    }
}
