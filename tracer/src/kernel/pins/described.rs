//! What a pin is, in the words of `/proc/PID/fdinfo`. Asking the object itself (`BPF_OBJ_GET_INFO_BY_FD`) would not do: what
//! kind it is has to be known before its answer means anything.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// What a map looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Shape {
    /// `enum bpf_map_type` of `linux/bpf.h`.
    pub(in super::super) kind: u32,
    /// Bytes.
    pub(in super::super) key: u32,
    /// Bytes.
    pub(in super::super) value: u32,
    pub(in super::super) max_entries: u32,
    /// `BPF_F_*` as it was created with.
    pub(in super::super) flags: u32,
}

/// What a pin is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Described {
    Map {
        shape: Shape,
        id: u32,
    },
    Program,
    /// A link, and the tracepoint that it is to, if it is to one.
    Link {
        tracepoint: Option<String>,
    },
    Other,
}

impl Described {
    /// What this descriptor is of.
    ///
    /// # Errors
    /// What reading `/proc` says.
    pub(in super::super) fn of(descriptor: BorrowedFd<'_>) -> io::Result<Self> {
        let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", descriptor.as_raw_fd()))?;
        Ok(Self::read(&text))
    }

    pub(super) fn read(text: &str) -> Self {
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
        let number = |name| {
            let value = field(name)?.trim();
            value
                .strip_prefix("0x")
                .map_or_else(|| value.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok())
        };
        let map = || {
            let shape = Shape {
                kind: number("map_type")?,
                key: number("key_size")?,
                value: number("value_size")?,
                max_entries: number("max_entries")?,
                flags: number("map_flags")?,
            };
            Some(Self::Map { shape, id: number("map_id")? })
        };
        if let Some(map) = map() {
            map
        } else if field("link_type").is_some() {
            Self::Link { tracepoint: field("tp_name").map(|name| name.trim().to_owned()) }
        } else if field("prog_type").is_some() {
            Self::Program
        } else {
            Self::Other
        }
    }

    /// In a sentence.
    pub(in super::super) fn name(&self) -> &'static str {
        match self {
            Self::Map { .. } => "a map",
            Self::Program => "a program",
            Self::Link { .. } => "a link",
            Self::Other => "neither map nor link",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_programs_and_links_are_told_apart() {
        let map = "pos:\t0\nflags:\t02\nmap_type:\t1\nkey_size:\t48\nvalue_size:\t8\nmax_entries:\t64\nmap_flags:\t0x400\n\
                   map_extra:\t0x0\nmemlock:\t9216\nmap_id:\t7\nfrozen:\t0\n";
        let shape = Shape { kind: 1, key: 48, value: 8, max_entries: 64, flags: 0x400 };
        assert_eq!(Described::read(map), Described::Map { shape, id: 7 });
        let link = "link_type:\traw_tracepoint\nlink_id:\t4\nprog_tag:\ta\nprog_id:\t9\ntp_name:\tinet_sock_set_state\n";
        assert_eq!(Described::read(link), Described::Link { tracepoint: Some("inet_sock_set_state".into()) });
        assert_eq!(
            Described::read("link_type:\ttracing\nprog_id:\t9\n"),
            Described::Link { tracepoint: None }
        );
        assert_eq!(Described::read("prog_type:\t26\nprog_id:\t9\n"), Described::Program);
        assert_eq!(Described::read("pos:\t0\nmap_type:\t1\n"), Described::Other, "cut off");
    }
}
