//! An agent that ended in the middle of making room for other backends: what it left half done is made up here, since the
//! moment is too short to be met by a kill.

use crate::support::address::Block;
use crate::support::backend::refuse;
use crate::support::bpffs::Bpffs;
use crate::support::pools::Pools;
use crate::support::tracer::{Tracer, tracer, watch};
use crate::support::turn;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::mem::offset_of;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tracer_ebpf::{Cell, CellKey, Handover, Retiring};

/// So many that nobody has to make room by himself.
const MAX_BACKENDS: u32 = 256;

/// What `bpftool` says of a pinned map; `None`: there is nothing.
fn bpftool(words: &[&str], map: &Path, rest: &[String]) -> Option<Value> {
    let mut command = Command::new("bpftool");
    let output =
        command.args(["--json", "map"]).args(words).arg("pinned").arg(map).args(rest).output().unwrap();
    // Some commands answer nothing.
    output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap_or_default())
}

/// `["0x01", …]`
fn bytes(value: &Value) -> Vec<u8> {
    let texts = value.as_array().unwrap().iter().map(|byte| byte.as_str().unwrap().trim_start_matches("0x"));
    texts.map(|text| u8::from_str_radix(text, 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> impl Iterator<Item = String> {
    ["hex".to_owned()].into_iter().chain(bytes.iter().map(|byte| format!("{byte:02x}")))
}

fn word(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes[offset..offset + 8].try_into().unwrap())
}

/// Keys and values.
fn entries(map: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let dump = bpftool(&["dump"], map, &[]).unwrap();
    dump.as_array().unwrap().iter().map(|entry| (bytes(&entry["key"]), bytes(&entry["value"]))).collect()
}

fn retiring(bpffs: &Bpffs) -> Retiring {
    Retiring::of(word(&entries(&bpffs.set().join("HANDOVER"))[0].1, offset_of!(Handover, retiring)))
}

/// Takes the next place out of the queue: its index and generation.
fn take_place(bpffs: &Bpffs) -> Option<(u32, u32)> {
    let taken = bpftool(&["dequeue"], &bpffs.set().join("FREE"), &[])?;
    let slot = taken.get("value").map(bytes)?;
    let half = |at: usize| u32::from_le_bytes(slot[at..at + 4].try_into().unwrap());
    Some((half(0), half(4)))
}

fn agent(bpffs: &Bpffs, backend: SocketAddr) -> Tracer {
    let pinned = watch(Pools::of([backend])).argument("--pin").argument("--pin-dir").argument(bpffs.pins());
    let pinned = pinned.argument("--state").argument(bpffs.state());
    pinned.argument("--max-backends").argument(MAX_BACKENDS.to_string())
}

#[test]
fn a_place_that_was_emptied_and_not_freed_is_free_again() {
    let (_turn, block, bpffs) = (turn::alone(), Block::new(), Bpffs::mount());
    agent(&bpffs, block.backend(1)).start().stop(Signal::SIGTERM).exits(0);
    let (index, generation) = take_place(&bpffs).unwrap();
    let before = retiring(&bpffs);
    let left = Retiring { place: (index, generation.wrapping_sub(1)), ..before };
    let map = bpffs.set().join("HANDOVER");
    let mut handover = entries(&map).remove(0).1;
    let at = offset_of!(Handover, retiring);
    handover[at..at + 8].copy_from_slice(&left.word().to_le_bytes());
    let zero = [0_u8; 4];
    let update =
        ["key".to_owned()].into_iter().chain(hex(&zero)).chain(["value".to_owned()]).chain(hex(&handover));
    bpftool(&["update"], &map, &update.collect::<Vec<_>>()).unwrap();
    assert_eq!(retiring(&bpffs), left, "harness: as it was written");
    agent(&bpffs, block.backend(1)).start().stop(Signal::SIGTERM).exits(0);
    assert_eq!(retiring(&bpffs), before, "done");
    let free: Vec<_> = std::iter::from_fn(|| take_place(&bpffs)).collect();
    let found = free.iter().filter(|(free, _)| *free == index).count();
    assert_eq!(found, 1, "{index} is once among {} free places", free.len());
    tracer(["watch", "--unpin", "--pin-dir"]).argument(bpffs.pins()).spawn().finish().exits(0);
}

#[test]
fn a_key_that_was_taken_out_makes_room_and_its_counts_are_kept() {
    let (_turn, block, bpffs) = (turn::alone(), Block::new(), Bpffs::mount());
    let backend = block.backend(1);
    let _refusing = refuse(backend);
    let first = agent(&bpffs, backend).start();
    (0..3).for_each(|_| drop(TcpStream::connect(backend).unwrap_err()));
    first.stop(Signal::SIGTERM).exits(0);
    let slots = bpffs.set().join("SLOTS");
    let port = offset_of!(CellKey, port);
    let (key, _) = entries(&slots)
        .into_iter()
        .find(|(key, _)| key[port..port + 2] == backend.port().to_le_bytes())
        .expect("a place of its own");
    let delete: Vec<String> = ["key".to_owned()].into_iter().chain(hex(&key)).collect();
    bpftool(&["delete"], &slots, &delete).unwrap();
    let second = agent(&bpffs, backend).start();
    // Seen for the first time, idle for two sweeps, at a sweep a second.
    std::thread::sleep(Duration::from_secs(5));
    second.stop(Signal::SIGTERM).exits(0);
    let retired = &entries(&bpffs.set().join("RETIRED"))[retiring(&bpffs).holds as usize].1;
    assert_eq!(word(retired, offset_of!(Cell, attempts)), 3, "what it had counted");
    let totals = |backend| {
        let ended = agent(&bpffs, backend).start().stop(Signal::SIGTERM);
        ended.exits(0);
        let stopping = ended.events().pop().unwrap();
        (stopping["totals"]["attempts"].as_u64().unwrap(), stopping["totals"]["failed"].as_u64().unwrap())
    };
    let (attempts, failed) = totals(backend);
    assert!(attempts >= 3 && failed >= 3, "{attempts} attempts, {failed} failed");
    tracer(["watch", "--unpin", "--pin-dir"]).argument(bpffs.pins()).spawn().finish().exits(0);
}
