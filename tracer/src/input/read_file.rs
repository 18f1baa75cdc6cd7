//! Reading a file that the user named.

use super::InputError;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// No file that somebody wrote comes near this.
pub(crate) const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// The bytes of a regular file of at most 16 MiB; never blocks on anything that is not one. `noun` is what the file is to
/// the user (`pools file`).
///
/// # Errors
/// When there is no such file, it may not be read, is not a regular file, or is too large.
pub fn read_file(path: &Path, noun: &str) -> Result<Vec<u8>, InputError> {
    read_file_up_to(path, noun, MAX_BYTES)
}

/// The same of at most so many bytes: for what a program has written.
///
/// # Errors
/// As [`read_file`].
pub(crate) fn read_file_up_to(path: &Path, noun: &str, max_bytes: u64) -> Result<Vec<u8>, InputError> {
    let name = path.display().to_string();
    let fail = |message: String| InputError::of_file(&name, message);
    let unreadable = |error: io::Error| fail(explain(&error));
    refuse_other_than_file(&fs::metadata(path).map_err(unreadable)?, noun).map_err(fail)?;
    // Looked at again once open: what was a file a moment ago may be a FIFO now, and O_NONBLOCK does not wait for it.
    let file: File = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(unreadable)?;
    refuse_other_than_file(&file.metadata().map_err(unreadable)?, noun).map_err(fail)?;
    let mut bytes = Vec::new();
    file.take(max_bytes + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > max_bytes {
        let most = max_bytes >> 20;
        return Err(fail(format!("is larger than {most} MiB, which no {noun} is: name the right file")));
    }
    Ok(bytes)
}

/// Refuses what is no regular file: what it is, and the remedy.
pub(crate) fn refuse_other_than_file(metadata: &Metadata, noun: &str) -> Result<(), String> {
    let kind = metadata.file_type();
    if kind.is_file() {
        return Ok(());
    }
    let what = if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(format!("is {what}, not a file: name the {noun} itself"))
}

/// Why a file cannot be read, and the remedy.
pub(crate) fn explain(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "no such file: check the path".into(),
        ErrorKind::PermissionDenied => "may not be read: run as root, or allow it with chmod".into(),
        _ => format!("cannot be read: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(path: &Path) -> String {
        let error = read_file(path, "pools file").unwrap_err();
        assert_eq!((error.line, error.column), (0, 0));
        assert!(error.to_string().starts_with(&format!("{}: ", path.display())));
        error.message
    }

    #[test]
    fn what_is_not_a_readable_file_is_refused_without_blocking() {
        let directory = tempfile::tempdir().unwrap();
        assert!(message(directory.path()).contains("is a directory"));
        assert!(message(&directory.path().join("absent.toml")).contains("no such file"));
        let fifo = directory.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(message(&fifo).contains("is a FIFO"));
        assert!(message(Path::new("/dev/null")).contains("is a device"));
        assert!(message(Path::new("/dev/null/x")).contains("cannot be read"));
        assert!(explain(&ErrorKind::PermissionDenied.into()).contains("may not be read"));
    }

    #[test]
    fn a_file_is_read_up_to_16_mib() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pools.toml");
        fs::write(&path, "text").unwrap();
        assert_eq!(read_file(&path, "pools file").unwrap(), b"text");
        let file = File::create(&path).unwrap();
        file.set_len(MAX_BYTES).unwrap();
        assert_eq!(read_file(&path, "pools file").unwrap().len() as u64, MAX_BYTES);
        file.set_len(MAX_BYTES + 1).unwrap();
        assert!(message(&path).contains("larger than 16 MiB"));
    }
}
