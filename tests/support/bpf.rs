//! What of a tracer is in the kernel: by the ids of the objects that its process holds.

use std::collections::BTreeSet;
use std::process::Command;

/// A program, map or link, as bpf(2) numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Object {
    Program(u32),
    Map(u32),
    Link(u32),
}

/// Everything this process keeps alive: what its descriptors are, and the maps of its programs.
pub(crate) fn held_by(pid: u32) -> BTreeSet<Object> {
    let mut held = BTreeSet::new();
    let directory = format!("/proc/{pid}/fdinfo");
    for entry in std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{directory}: {error}")) {
        // A descriptor may be closed in between.
        let Ok(text) = std::fs::read_to_string(entry.unwrap().path()) else { continue };
        for line in text.lines() {
            let Some((key, value)) = line.split_once(':') else { continue };
            let Ok(id) = value.trim().parse() else { continue };
            match key {
                "prog_id" => held.insert(Object::Program(id)),
                "map_id" => held.insert(Object::Map(id)),
                "link_id" => held.insert(Object::Link(id)),
                _ => false,
            };
        }
    }
    let programs: Vec<_> = held
        .iter()
        .filter_map(|object| match object {
            Object::Program(id) => Some(*id),
            _ => None,
        })
        .collect();
    for program in programs {
        held.extend(maps_of(program).into_iter().map(Object::Map));
    }
    held
}

fn maps_of(program: u32) -> Vec<u32> {
    let output = Command::new("bpftool")
        .args(["--json", "prog", "show", "id", &program.to_string()])
        .output()
        .unwrap_or_else(|error| panic!("bpftool: {error} (apt-get install bpftool)"));
    let description: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let ids = description["map_ids"].as_array().cloned().unwrap_or_default();
    ids.iter().filter_map(|id| u32::try_from(id.as_u64()?).ok()).collect()
}

/// Whether the kernel still has it.
pub(crate) fn exists(object: Object) -> bool {
    // Commands of bpf(2) (`enum bpf_cmd`): BPF_{PROG,MAP,LINK}_GET_NEXT_ID.
    let (command, id) = match object {
        Object::Program(id) => (11, id),
        Object::Map(id) => (12, id),
        Object::Link(id) => (31, id),
    };
    // The first three words of `union bpf_attr` for these commands: start_id, next_id, open_flags.
    let mut attributes = [id - 1, 0_u32, 0];
    // SAFETY: the kernel reads and writes only the size given, which is that of `attributes`.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_mut_ptr(), size_of_val(&attributes)) };
    if result != 0 {
        let error = std::io::Error::last_os_error();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "bpf({command}): {error}");
        return false;
    }
    attributes[1] == id
}
