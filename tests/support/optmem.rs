//! `net.core.optmem_max`: of a namespace, or of the host where the kernel knows one only (before 6.9).

use super::netns::Namespace;

const FILE: &str = "/proc/sys/net/core/optmem_max";

/// As it was when dropped.
#[derive(Debug)]
pub(crate) struct Optmem {
    before: Option<String>,
}

impl Optmem {
    #[track_caller]
    pub(crate) fn set(namespace: &Namespace, bytes: u32) -> Self {
        if namespace.run(|| std::fs::write(FILE, bytes.to_string())).is_ok() {
            return Self { before: None };
        }
        let before = std::fs::read_to_string(FILE).unwrap();
        std::fs::write(FILE, bytes.to_string()).unwrap();
        Self { before: Some(before) }
    }
}

impl Drop for Optmem {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = std::fs::write(FILE, before);
        }
    }
}
