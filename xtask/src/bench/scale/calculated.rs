//! What maps take on hosts with other numbers of possible processors, as the kernel lays them out. Pure.

use serde::Serialize;

use crate::bench::overhead::programs::Map;

/// Numbers of possible processors.
pub(super) const PROCESSORS: [u64; 7] = [2, 4, 8, 16, 32, 64, 128];

/// On a host with so many.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Calculated {
    pub(super) processors: u64,
    /// All maps, bytes.
    pub(super) map_bytes: u64,
    /// The same, shared among the places for backends.
    pub(super) bytes_per_backend: f64,
    /// Lists that connections are spread over by chance; the kernel goes through one of them without a pause.
    pub(super) sweep_lists: u64,
}

impl Calculated {
    pub(super) fn of(maps: &[Map], processors: u64) -> Self {
        let map_bytes = maps.iter().map(|map| bytes(map, processors)).sum();
        // Only what there is one of for each backend has so many entries.
        let backends = maps.iter().map(|map| map.max_entries).max().unwrap_or(1).max(1);
        Self {
            processors,
            map_bytes,
            bytes_per_backend: map_bytes as f64 / backends as f64,
            sweep_lists: lists(processors),
        }
    }
}

/// `bpf_local_storage_map_alloc` of `kernel/bpf/bpf_local_storage.c`: a power of two, at least two.
fn lists(processors: u64) -> u64 {
    processors.next_power_of_two().max(2)
}

// linux/bpf.h: map_flags.
const BPF_F_NO_PREALLOC: u64 = 1;
const BPF_F_MMAPABLE: u64 = 1 << 10;
const PAGE: u64 = 4_096;

/// Without the kernel's structure for the map itself, which is less than a thousand bytes.
fn bytes(map: &Map, processors: u64) -> u64 {
    let words = |bytes: u64| bytes.next_multiple_of(8);
    let values = words(map.bytes_value) * map.max_entries;
    match map.kind.as_str() {
        // kernel/bpf/arraymap.c: what userspace maps are whole pages, and the structure has one of its own.
        "array" if map.flags & BPF_F_MMAPABLE != 0 => values.next_multiple_of(PAGE) + PAGE,
        "array" => values,
        "percpu_array" => values * processors,
        // kernel/bpf/queue_stack_maps.c: one entry is always free.
        "queue" => map.bytes_value * (map.max_entries + 1),
        // kernel/bpf/hashtab.c: an element's head is 48 bytes, a list's 16. Preallocated, each processor has an element
        // more; otherwise there are as many as are in use, here none.
        "hash" => {
            let element = 48 + words(map.bytes_key) + words(map.bytes_value);
            let elements = if map.flags & BPF_F_NO_PREALLOC == 0 { map.max_entries + processors } else { 0 };
            element * elements + 16 * map.max_entries.next_power_of_two()
        }
        // The heads of its lists; what is in them lies in the sockets.
        "sk_storage" => 16 * lists(processors),
        _ => map.bytes_memlock,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // As bpftool 7.1 prints them on Linux 6.18 with two processors.
    const MAPS: &str = r#"[
        {"id":1,"type":"array","name":"CELLS","flags":1024,"bytes_key":4,"bytes_value":3016,"max_entries":4097,"bytes_memlock":12361728},
        {"id":2,"type":"array","name":".rodata","flags":128,"bytes_key":4,"bytes_value":152,"max_entries":1,"bytes_memlock":464},
        {"id":3,"type":"percpu_array","name":"UNTRACKED","flags":0,"bytes_key":4,"bytes_value":8,"max_entries":1,"bytes_memlock":336},
        {"id":4,"type":"hash","name":"SLOTS","flags":0,"bytes_key":48,"bytes_value":8,"max_entries":4096,"bytes_memlock":492640},
        {"id":5,"type":"hash","name":"LISTENERS","flags":1,"bytes_key":8,"bytes_value":1,"max_entries":1024,"bytes_memlock":17280},
        {"id":6,"type":"sk_storage","name":"CONNECTIONS","flags":1,"bytes_key":4,"bytes_value":80,"max_entries":0,"bytes_memlock":480},
        {"id":7,"type":"queue","name":"FREE","flags":0,"bytes_key":0,"bytes_value":8,"max_entries":4096,"bytes_memlock":33088}]"#;

    fn maps() -> Vec<Map> {
        serde_json::from_str(MAPS).unwrap()
    }

    #[test]
    fn what_is_calculated_is_what_the_kernel_says_but_for_its_own_structure() {
        for map in maps() {
            let (calculated, said) = (bytes(&map, 2), map.bytes_memlock);
            let structure = said.checked_sub(calculated);
            assert!(
                structure.is_some_and(|bytes| bytes < 1_000),
                "{}: {calculated}, the kernel says {said}",
                map.kind
            );
        }
    }

    #[test]
    fn only_what_each_processor_has_grows_with_them() {
        let [few, many] = [2, 128].map(|processors| Calculated::of(&maps(), processors));
        let (element, lists) = (48 + 48 + 8, 16);
        assert_eq!(many.map_bytes - few.map_bytes, 126 * (element + lists + 8));
        assert!(many.bytes_per_backend < 4_096.0);
        assert_eq!((few.sweep_lists, many.sweep_lists), (2, 128));
    }
}
