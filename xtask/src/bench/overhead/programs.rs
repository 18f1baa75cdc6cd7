//! Programs in the kernel: whose they are, how long they have run, what memory they take.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::{command::capture, machine::Machine};

/// What bpftool says of a program.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(in crate::bench) struct Program {
    id: u32,
    #[serde(default)]
    pub(in crate::bench) name: String,
    #[serde(default)]
    pub(in crate::bench) run_time_ns: u64,
    #[serde(default)]
    pub(in crate::bench) run_cnt: u64,
    bytes_memlock: u64,
    #[serde(default)]
    map_ids: BTreeSet<u32>,
}

/// What bpftool says of a map.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::bench) struct Map {
    id: u32,
    #[serde(default, rename = "type")]
    pub(in crate::bench) kind: String,
    #[serde(default)]
    pub(in crate::bench) flags: u64,
    #[serde(default)]
    pub(in crate::bench) bytes_key: u64,
    #[serde(default)]
    pub(in crate::bench) bytes_value: u64,
    #[serde(default)]
    pub(in crate::bench) max_entries: u64,
    pub(in crate::bench) bytes_memlock: u64,
}

/// What a program took for each request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::bench) struct Cost {
    pub(in crate::bench) name: String,
    pub(in crate::bench) runs: f64,
    pub(in crate::bench) ns: f64,
}

/// The programs that a process holds, or their links.
pub(in crate::bench) fn held_by(process: u32) -> BTreeSet<u32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{process}/fdinfo")) else { return BTreeSet::new() };
    let texts = entries.flatten().filter_map(|entry| fs::read_to_string(entry.path()).ok());
    texts.filter_map(|text| program_id(&text)).collect()
}

/// These programs, as far as they are there still.
pub(in crate::bench) fn among(machine: &Machine, ids: &BTreeSet<u32>) -> Result<Vec<Program>> {
    let mut programs = all(machine)?;
    programs.retain(|program| ids.contains(&program.id));
    Ok(programs)
}

/// How many programs there are in the kernel.
pub(in crate::bench) fn count(machine: &Machine) -> Result<usize> {
    Ok(all(machine)?.len())
}

fn all(machine: &Machine) -> Result<Vec<Program>> {
    let text = capture(machine.command("bpftool").args(["--json", "prog", "show"]))?;
    serde_json::from_str(&text).context("bpftool prints programs that are not understood")
}

/// What programs and all their maps take of the kernel's memory, bytes, as the kernel says it.
pub(in crate::bench) fn memory(machine: &Machine, programs: &[Program]) -> Result<u64> {
    let maps: u64 = maps(machine, programs)?.iter().map(|map| map.bytes_memlock).sum();
    Ok(maps + programs.iter().map(|program| program.bytes_memlock).sum::<u64>())
}

/// The maps of programs, each once.
pub(in crate::bench) fn maps(machine: &Machine, programs: &[Program]) -> Result<Vec<Map>> {
    let text = capture(machine.command("bpftool").args(["--json", "map", "show"]))?;
    let maps: Vec<Map> =
        serde_json::from_str(&text).context("bpftool prints maps that are not understood")?;
    Ok(used(programs, maps))
}

fn used(programs: &[Program], mut maps: Vec<Map>) -> Vec<Map> {
    let used: BTreeSet<u32> = programs.iter().flat_map(|program| &program.map_ids).copied().collect();
    maps.retain(|map| used.contains(&map.id));
    maps
}

/// What each program took between two looks, for each of `requests`; programs of one name are one. What did not run
/// is left out.
pub(in crate::bench) fn costs(before: &[Program], after: &[Program], requests: u64) -> Vec<Cost> {
    let mut sums: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for program in after {
        // Loaded in between: all of it is new.
        let (runs, ns) = before
            .iter()
            .find(|earlier| earlier.id == program.id)
            .map_or((0, 0), |earlier| (earlier.run_cnt, earlier.run_time_ns));
        let sum = sums.entry(&program.name).or_default();
        sum.0 += program.run_cnt.saturating_sub(runs);
        sum.1 += program.run_time_ns.saturating_sub(ns);
    }
    let each = |sum: u64| sum as f64 / requests as f64;
    sums.into_iter()
        .filter(|(_, (runs, _))| *runs > 0)
        .map(|(name, (runs, ns))| Cost { name: name.to_owned(), runs: each(runs), ns: each(ns) })
        .collect()
}

/// The figure behind `prog_id:`.
fn program_id(fdinfo: &str) -> Option<u32> {
    fdinfo.lines().find_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    // As bpftool 7.1 prints them on Linux 6.18; figures of runs are left out while the kernel does not measure them.
    const PROGRAMS: &str = r#"[{"id":31403,"type":"tracing","name":"receive","tag":"f310307e19fdc346",
        "gpl_compatible":true,"loaded_at":1795412295,"uid":0,"bytes_xlated":1400,"jited":true,"bytes_jited":833,
        "bytes_memlock":4096,"map_ids":[39739,39744],"btf_id":28914},{"id":31404,"type":"tracing","name":"send",
        "tag":"aa0a64680f95be42","gpl_compatible":true,"run_time_ns":900,"run_cnt":3,"loaded_at":1795412295,"uid":0,
        "bytes_xlated":432,"jited":true,"bytes_jited":309,"bytes_memlock":4096,"map_ids":[39744],"btf_id":28914}]"#;
    const MAPS: &str = r#"[{"id":39739,"type":"sk_storage","name":"CONNECTIONS","flags":1,"bytes_key":4,
        "bytes_value":80,"max_entries":0,"bytes_memlock":480,"frozen":0,"btf_id":28914},{"id":39744,"type":"array",
        "name":"UNCOUNTED","flags":1024,"bytes_key":4,"bytes_value":40,"max_entries":1,"bytes_memlock":8192,"frozen":0,
        "btf_id":28914},{"id":7,"type":"array","flags":0,"bytes_key":4,"bytes_value":4,"max_entries":1,
        "bytes_memlock":4096,"frozen":0}]"#;

    fn programs() -> Vec<Program> {
        serde_json::from_str(PROGRAMS).unwrap()
    }

    #[test]
    fn what_ran_between_two_looks_is_shared_among_the_requests() {
        let before = programs();
        let mut after = programs();
        after[1].run_cnt += 20;
        after[1].run_time_ns += 1_000;
        let cost = Cost { name: "send".to_owned(), runs: 2.0, ns: 100.0 };
        assert_eq!(costs(&before, &after, 10), [cost]);
    }

    #[test]
    fn a_program_that_was_loaded_in_between_counts_whole() {
        let costs = costs(&[], &programs(), 3);
        assert_eq!(costs, [Cost { name: "send".to_owned(), runs: 1.0, ns: 300.0 }]);
    }

    #[test]
    fn maps_of_programs_are_found_once_however_many_use_them() {
        let maps: Vec<Map> = serde_json::from_str(MAPS).unwrap();
        let bytes: Vec<u64> = used(&programs(), maps).iter().map(|map| map.bytes_memlock).collect();
        assert_eq!(bytes, [480, 8_192]);
    }

    #[test]
    fn a_descriptor_of_a_program_or_link_names_the_program() {
        assert_eq!(program_id("pos:\t0\nprog_type:\t26\nmemlock:\t4096\nprog_id:\t31403\n"), Some(31_403));
        assert_eq!(program_id("pos:\t0\nlink_type:\traw_tracepoint\nprog_id:\t5\n"), Some(5));
        assert_eq!(program_id("pos:\t0\nmap_type:\t2\nmap_id:\t7\n"), None);
    }
}
