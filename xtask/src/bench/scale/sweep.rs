//! A sweep of tracer's, run from here: what it takes in one read, on the wall clock.

use std::{
    fs,
    io::Read as _,
    os::fd::{AsRawFd as _, OwnedFd, RawFd},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::libc;

use crate::bench::overhead::bpf;

// linux/bpf.h: enum bpf_cmd.
const BPF_LINK_GET_FD_BY_ID: libc::c_long = 30;
const BPF_ITER_CREATE: libc::c_long = 33;

/// `union bpf_attr` of `BPF_LINK_GET_FD_BY_ID`.
#[repr(C)]
struct LinkById {
    id: u32,
}

/// `union bpf_attr` of `BPF_ITER_CREATE`.
#[repr(C)]
struct IteratorCreate {
    link: RawFd,
    flags: u32,
}

/// The link of a process's sweep.
pub(super) fn link(process: u32) -> Result<OwnedFd> {
    let directory = format!("/proc/{process}/fdinfo");
    let entries = fs::read_dir(&directory).with_context(|| format!("cannot read {directory}"))?;
    let texts = entries.flatten().filter_map(|entry| fs::read_to_string(entry.path()).ok());
    let id = texts.filter_map(|text| sweep_link_id(&text)).next().context("tracer has no sweep")?;
    // SAFETY: the attributes are of the command's layout.
    unsafe { bpf::call(BPF_LINK_GET_FD_BY_ID, &LinkById { id }) }.context("the link of the sweep is gone")
}

/// Runs a sweep to its end.
pub(super) fn run(link: &OwnedFd) -> Result<Duration> {
    let attributes = IteratorCreate { link: link.as_raw_fd(), flags: 0 };
    // SAFETY: the attributes are of the command's layout.
    let iterator = unsafe { bpf::call(BPF_ITER_CREATE, &attributes) }.context("the sweep does not begin")?;
    let mut file = fs::File::from(iterator);
    let started = Instant::now();
    // It writes nothing: one read comes to the end.
    file.read_to_end(&mut Vec::new()).context("the sweep does not end")?;
    Ok(started.elapsed())
}

/// The figure behind `link_id:`, where the link is of an iterator over socket storage.
fn sweep_link_id(fdinfo: &str) -> Option<u32> {
    let value = |key: &str| fdinfo.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    (value("target_name:")? == "bpf_sk_storage_map").then(|| value("link_id:")?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_of_the_sweep_is_told_by_what_it_goes_over() {
        let text = "pos:\t0\nlink_type:\titer\nlink_id:\t7\nprog_tag:\t0\nprog_id:\t5\ntarget_name:\tbpf_sk_storage_map\nmap_id:\t3\n";
        assert_eq!(sweep_link_id(text), Some(7));
        assert_eq!(sweep_link_id(&text.replace("bpf_sk_storage_map", "task_file")), None);
        assert_eq!(sweep_link_id("link_type:\traw_tracepoint\nlink_id:\t7\nprog_id:\t5\n"), None);
    }
}
