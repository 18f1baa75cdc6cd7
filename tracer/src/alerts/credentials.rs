//! Who we are to an Alertmanager, or to the proxy before it.

use crate::input::{InputError, explain, read_file, utf8};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// What is sent with every request. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    header: String,
}

impl Credentials {
    /// From a file of one line: `user:password`, or a token (which has no colon).
    ///
    /// # Errors
    /// When it cannot be read, others than its owner may read it, or it is not such a line.
    pub fn read(path: &Path) -> Result<Self, InputError> {
        const NOUN: &str = "credentials file";
        let name = path.display().to_string();
        let bytes = read_file(path, NOUN)?;
        let metadata = std::fs::metadata(path);
        let mode = metadata.map_err(|error| InputError::of_file(&name, explain(&error)))?.mode();
        if mode & 0o077 != 0 {
            let message = format!("others than its owner may read it (mode {:03o}): chmod 600", mode & 0o777);
            return Err(InputError::of_file(&name, message));
        }
        let text = utf8(&bytes).unwrap_or_default();
        Self::parse(text).ok_or_else(|| {
            let message = "is not one line with user:password, or with a token".to_owned();
            InputError::of_file(&name, message)
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let line = text.strip_suffix('\n').unwrap_or(text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() || line.chars().any(char::is_control) {
            return None;
        }
        let header = if line.contains(':') {
            format!("Basic {}", STANDARD.encode(line))
        } else {
            // RFC 6750, section 2.1.
            let is_token = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
            line.chars().all(is_token).then(|| format!("Bearer {line}"))?
        };
        Some(Self { header })
    }

    /// The value of the header `Authorization`.
    pub(super) fn header(&self) -> &str {
        &self.header
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_colon_makes_it_a_password_and_none_a_token() {
        let header = |text: &str| Credentials::parse(text).map(|credentials| credentials.header);
        assert_eq!(header("Aladdin:open sesame\n").unwrap(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(header("ab.c-1==\r\n").unwrap(), "Bearer ab.c-1==");
        for wrong in ["", "\n", "a b", "user:pass\nword", "token\n\n", "to\u{0}ken", "tökén"] {
            assert_eq!(header(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_and_its_content_is_not_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("credentials");
        fs::write(&path, "user:secret").unwrap();
        for (mode, fine) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o660, false)] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            match Credentials::read(&path) {
                Ok(credentials) => {
                    assert!(fine, "{mode:o}");
                    assert!(!format!("{credentials:?}").contains("secret"));
                }
                Err(error) => {
                    assert!(!fine && error.message.contains("chmod 600"), "{error}");
                    assert!(!error.message.contains("secret"));
                }
            }
        }
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "secret words").unwrap();
        let error = Credentials::read(&path).unwrap_err();
        assert!(error.message.contains("user:password") && !error.message.contains("secret"), "{error}");
        assert!(Credentials::read(Path::new("/nonexistent")).unwrap_err().message.contains("no such file"));
    }
}
