//! The file of a recording.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// What every line of ours begins with.
const BEGINNING: &[u8] = b"{\"schema\":\"tracer.";
/// The end of a file is looked through in steps of so many bytes.
const STEP: u64 = 64 << 10;

/// Why a file cannot be appended to.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be opened, read or changed.
    #[error("{0}")]
    File(#[from] io::Error),
    /// It is something else.
    #[error("the file is no recording, and nothing is appended to it; name another")]
    NoRecording,
    /// A tracer has it open for writing.
    #[error("another tracer is writing to it; name another file")]
    InUse,
}

/// Opens a recording to be appended to, makes it if there is none, and keeps other tracers from it as long as it is
/// open. Gives also how many bytes of an unfinished last line were cut off: whoever wrote it was interrupted, and what
/// follows must begin on a line of its own.
///
/// # Errors
/// When it cannot be opened, is no recording, or is being written to.
pub fn open_for_append(path: &Path) -> Result<(File, u64), OpenError> {
    let mut file = File::options().read(true).append(true).create(true).open(path)?;
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => OpenError::InUse,
        TryLockError::Error(error) => OpenError::File(error),
    })?;
    if !file.metadata()?.is_file() {
        return Ok((file, 0));
    }
    let mut beginning = Vec::new();
    (&mut file).take(BEGINNING.len() as u64).read_to_end(&mut beginning)?;
    if !BEGINNING.starts_with(&beginning) {
        return Err(OpenError::NoRecording);
    }
    let length = file.metadata()?.len();
    let kept = end_of_last_line(&mut file, length)?;
    if kept < length {
        file.set_len(kept)?;
    }
    Ok((file, length - kept))
}

/// Bytes up to and with the last newline.
fn end_of_last_line(file: &mut File, length: u64) -> io::Result<u64> {
    let mut end = length;
    while end > 0 {
        let begin = end.saturating_sub(STEP);
        file.seek(SeekFrom::Start(begin))?;
        let mut part = Vec::new();
        file.take(end - begin).read_to_end(&mut part)?;
        if let Some(newline) = part.iter().rposition(|&byte| byte == b'\n') {
            return Ok(begin + newline as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_new_file_is_made_and_one_that_is_in_use_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("samples.jsonl");
        let (_held, cut) = open_for_append(&path).unwrap();
        assert_eq!(cut, 0);
        assert!(matches!(open_for_append(&path), Err(OpenError::InUse)));
    }

    #[test]
    fn what_follows_half_a_line_begins_on_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("samples.jsonl");
        let long = "x".repeat(200_000);
        for (before, kept) in [
            ("{\"schema\":\"tracer.state/1\"}\n".to_owned(), 28),
            (format!("{{\"schema\":\"tracer.state/1\"}}\n{{\"schema\":\"{long}"), 28),
            ("{\"sch".to_owned(), 0),
            (format!("{{\"schema\":\"tracer.{long}"), 0),
        ] {
            std::fs::write(&path, &before).unwrap();
            let (mut file, cut) = open_for_append(&path).unwrap();
            assert_eq!(cut, (before.len() - kept) as u64);
            file.write_all(b"next\n").unwrap();
            let after = std::fs::read_to_string(&path).unwrap();
            assert_eq!(after, format!("{}next\n", &before[..kept]));
        }
    }

    #[test]
    fn another_file_is_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hosts");
        std::fs::write(&path, "127.0.0.1 localhost").unwrap();
        assert!(matches!(open_for_append(&path), Err(OpenError::NoRecording)));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "127.0.0.1 localhost");
    }
}
