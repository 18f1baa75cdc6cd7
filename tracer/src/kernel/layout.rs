//! The layout in words, for agents of other layouts: a line a field, its name, where it begins and how many bytes it has.
//!
//! ```text
//! cell 0 3016
//! cell.key.cgroup_id 0 8
//! cell.attempts 56 8
//! ```
//!
//! What has the same name and length in both layouts is the same; what this one has besides was not counted by the
//! other, and is said to be missing.

use super::mapped::{SharedLayout, value_of};
use std::collections::HashMap;
use std::fmt::Write as _;
use tracer_ebpf::described::{self, Field};
use tracer_ebpf::{Cell, CellKey, Handover, Tracked, Uncounted};

const WORD: usize = size_of::<u64>();
const CELL: &str = "cell";
const KEY: &str = "cell.key";
const UNCOUNTED: &str = "uncounted";
const HANDOVER: &str = "handover";
const TOLD: &str = "handover.told";
const TRACKED: &str = "tracked";
const GENERATION: &str = "cell.generation";

/// Without these nothing can be made of the rest.
const NEEDED: [&str; 12] = [
    "cell.key.cgroup_id",
    "cell.key.command",
    "cell.key.address",
    "cell.key.netns",
    "cell.key.port",
    GENERATION,
    "cell.attempts",
    "cell.established",
    "cell.adopted",
    "cell.closed",
    "handover.began_ns",
    "tracked.places",
];

/// A structure of this layout: its name, where it lies in the one that it is in, its bytes and fields.
struct Structure {
    name: &'static str,
    bytes: usize,
    fields: &'static [Field],
}

const STRUCTURES: [Structure; 6] = [
    Structure { name: CELL, bytes: size_of::<Cell>(), fields: described::CELL },
    Structure { name: KEY, bytes: size_of::<CellKey>(), fields: described::CELL_KEY },
    Structure { name: UNCOUNTED, bytes: size_of::<Uncounted>(), fields: described::UNCOUNTED },
    Structure { name: HANDOVER, bytes: size_of::<Handover>(), fields: described::HANDOVER },
    Structure { name: TOLD, bytes: size_of::<Uncounted>(), fields: described::UNCOUNTED },
    Structure { name: TRACKED, bytes: size_of::<Tracked>(), fields: described::TRACKED },
];

/// Where a structure of this layout begins in the one that it lies in.
fn begins(name: &str) -> usize {
    let Some((around, field)) = name.rsplit_once('.') else { return 0 };
    let around = STRUCTURES.iter().find(|structure| structure.name == around);
    around
        .and_then(|around| around.fields.iter().find(|other| other.name == field))
        .map_or(0, |field| field.offset)
}

/// This layout.
pub(super) fn own() -> String {
    let mut text = String::new();
    for structure in &STRUCTURES {
        let begins = begins(structure.name);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{} {begins} {}", structure.name, structure.bytes);
        for field in structure.fields {
            let _ =
                writeln!(text, "{}.{} {} {}", structure.name, field.name, begins + field.offset, field.bytes);
        }
    }
    text
}

/// The layout that another agent has described.
#[derive(Debug)]
pub(super) struct Layout {
    /// Where each field begins, and its bytes.
    fields: HashMap<String, (usize, usize)>,
    cell: Vec<Copied>,
    uncounted: Vec<Copied>,
    handover: Vec<Copied>,
    tracked: Vec<Copied>,
}

/// Bytes that both layouts have.
#[derive(Clone, Copy, Debug)]
struct Copied {
    theirs: usize,
    own: usize,
    bytes: usize,
}

impl Layout {
    /// From the text, padded with zeros.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let fields = fields(text)?;
        let bytes = own_bytes();
        for name in NEEDED {
            match fields.get(name) {
                Some((_, found)) if Some(found) == bytes.get(name) => {}
                _ => return Err(format!("it has no {name} as it is known here")),
            }
        }
        for (name, (begins, bytes)) in &fields {
            let whole = name.split('.').next().and_then(|structure| fields.get(structure));
            if whole.is_none_or(|(_, whole)| begins + bytes > *whole) {
                return Err(format!("its {name} is not within what it belongs to"));
            }
        }
        let copied = |name| copied(&fields, name);
        Ok(Self {
            cell: copied(CELL),
            uncounted: copied(UNCOUNTED),
            handover: copied(HANDOVER),
            tracked: copied(TRACKED),
            fields,
        })
    }

    /// Bytes of a cell.
    pub(super) fn cell_bytes(&self) -> usize {
        self.bytes(CELL)
    }

    /// Bytes of the structure of what could not be counted.
    pub(super) fn uncounted_bytes(&self) -> usize {
        self.bytes(UNCOUNTED)
    }

    /// Bytes of what an agent leaves.
    pub(super) fn handover_bytes(&self) -> usize {
        self.bytes(HANDOVER)
    }

    /// Bytes of how many there are.
    pub(super) fn tracked_bytes(&self) -> usize {
        self.bytes(TRACKED)
    }

    /// A cell, as this layout has it, without its present sockets. What the other did not count is 0.
    pub(super) fn cell(&self, words: &[u64]) -> Cell {
        take(&self.cell, words)
    }

    /// The generation of a cell.
    pub(super) fn generation(&self, words: &[u64]) -> u32 {
        let begins = self.fields.get(GENERATION).map_or(0, |(begins, _)| *begins);
        let word = words.get(begins / WORD).copied().unwrap_or_default().to_ne_bytes();
        let bytes = word.get(begins % WORD..).and_then(|rest| rest.first_chunk());
        bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
    }

    /// Writes a counter of a cell, where the other layout has it.
    pub(super) fn set_counter(&self, words: &mut [u64], name: &str, count: u64) {
        if let Some((begins, WORD)) = self.fields.get(&format!("{CELL}.{name}")).copied()
            && let Some(word) = words.get_mut(begins / WORD)
            && begins.is_multiple_of(WORD)
        {
            *word = count;
        }
    }

    /// What could not be counted.
    pub(super) fn uncounted(&self, words: &[u64]) -> Uncounted {
        take(&self.uncounted, words)
    }

    /// What an agent of that layout has left. Its ids of maps say nothing here.
    pub(super) fn handover(&self, words: &[u64]) -> Handover {
        take(&self.handover, words)
    }

    /// How many there are.
    pub(super) fn tracked(&self, words: &[u64]) -> Tracked {
        take(&self.tracked, words)
    }

    /// Counters of this layout that the other does not have, by name.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        let lacks = |field: &&Field| {
            !NO_COUNTERS.contains(&field.name) && self.bytes(&format!("{CELL}.{}", field.name)) != field.bytes
        };
        described::CELL.iter().filter(lacks).map(|field| field.name).collect()
    }

    fn bytes(&self, name: &str) -> usize {
        self.fields.get(name).map_or(0, |(_, bytes)| *bytes)
    }
}

/// The lines of a description.
fn fields(text: &[u8]) -> Result<HashMap<String, (usize, usize)>, String> {
    let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
    let text = str::from_utf8(&text[..end]).map_err(|_| "it is no text".to_owned())?;
    let field = |line: &str| {
        let mut parts = line.split(' ');
        let (name, begins, bytes) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let is_small = |number: usize| number <= MOST_BYTES;
        (parts.next().is_none() && is_small(begins) && is_small(bytes))
            .then(|| (name.to_owned(), (begins, bytes)))
    };
    text.lines().map(|line| field(line).ok_or_else(|| format!("it says {line:?}"))).collect()
}

/// What of a structure both layouts have, with the structures in it.
fn copied(fields: &HashMap<String, (usize, usize)>, name: &str) -> Vec<Copied> {
    let inner = format!("{name}.");
    let mut copied = Vec::new();
    for structure in STRUCTURES.iter().filter(|it| it.name == name || it.name.starts_with(&inner)) {
        let begins = begins(structure.name);
        for field in structure.fields.iter().filter(|field| !NOT_AS_IT_IS.contains(&field.name)) {
            match fields.get(&format!("{}.{}", structure.name, field.name)) {
                Some(&(theirs, bytes)) if bytes == field.bytes || field.name == LISTED => {
                    let bytes = bytes.min(field.bytes);
                    copied.push(Copied { theirs, own: begins + field.offset, bytes });
                }
                _ => {}
            }
        }
    }
    copied
}

/// A structure of this layout from the words of the same one of the other.
fn take<T: SharedLayout>(copied: &[Copied], words: &[u64]) -> T {
    let from: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let mut own = vec![0; size_of::<T>()];
    for part in copied {
        // A structure that is shorter than it says of itself has nothing there.
        if let Some(theirs) = from.get(part.theirs..part.theirs + part.bytes) {
            own[part.own..][..part.bytes].copy_from_slice(theirs);
        }
    }
    value_of(|word| {
        let mut whole = [0; WORD];
        whole.copy_from_slice(&own[word * WORD..][..WORD]);
        u64::from_ne_bytes(whole)
    })
}

/// Fields that are taken field by field, or mean nothing to another layout.
const NOT_AS_IT_IS: [&str; 4] = ["key", "told", "stock", "maps"];
/// Of this an older layout has the first, and a newer one more.
const LISTED: &str = "failed";
/// Of a cell, what says nothing of totals.
const NO_COUNTERS: [&str; 4] = ["key", "generation", "last_pid", "stock"];
/// A description beyond this is none.
const MOST_BYTES: usize = 1 << 16;

/// Bytes of every field of this layout, by name.
fn own_bytes() -> HashMap<String, usize> {
    let of = |structure: &Structure| {
        let name = structure.name;
        structure.fields.iter().map(move |field| (format!("{name}.{}", field.name), field.bytes))
    };
    STRUCTURES.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tracer_ebpf::LAYOUT_BYTES;

    fn words<T: Copy>(value: &T) -> Vec<u64> {
        // SAFETY: the structures of the layout are made of integers without padding, whole words.
        (0..size_of::<T>() / WORD)
            .map(|word| unsafe { (&raw const *value).cast::<u64>().add(word).read() })
            .collect()
    }

    fn cell() -> Cell {
        let mut cell =
            Cell { attempts: 9, established: 8, closed: 7, generation: 3, exchanges: 5, ..Cell::EMPTY };
        cell.key = CellKey {
            cgroup_id: 4,
            command: *b"nginx\0\0\0\0\0\0\0\0\0\0\0",
            port: 80,
            netns: 6,
            ..cell.key
        };
        cell.failed[2] = 1;
        cell.connect_time[11] = 8;
        cell
    }

    #[test]
    fn the_own_layout_fits_and_gives_what_was_put_in() {
        let text = own();
        assert!(text.len() < LAYOUT_BYTES, "{} bytes", text.len());
        let layout = Layout::parse(text.as_bytes()).unwrap();
        assert_eq!(words(&layout.cell(&words(&cell()))), words(&cell()));
        assert_eq!(layout.generation(&words(&cell())), 3);
        assert_eq!(layout.missing(), [""; 0]);
        let told = Uncounted { no_cell: 1, no_storage: 2, over_limit: 3, stale_cell: 4, undecided: 5 };
        let handover =
            Handover { began_ns: 7, told_ns: 8, retiring: 9, adopted: 1, told, ..Handover::default() };
        assert_eq!(layout.handover(&words(&handover)), handover);
        assert_eq!(layout.uncounted(&words(&told)), told);
        let tracked = Tracked { sockets: 3, places: 4 };
        assert_eq!(layout.tracked(&words(&tracked)), tracked);
    }

    /// One that has the fields of a cell in the reverse order, one of them shorter, one not at all, and one more.
    #[test]
    fn what_another_layout_has_elsewhere_is_found_there() {
        let mut text = String::new();
        let (mut offset, mut theirs) = (0, Vec::new());
        for field in described::CELL.iter().rev().filter(|field| !["key", "probes"].contains(&field.name)) {
            let bytes = if field.name == "lifetime" { 80 } else { field.bytes };
            let _ = writeln!(text, "cell.{} {offset} {bytes}", field.name);
            let own = &words(&cell())[..];
            let own: Vec<u8> = own.iter().flat_map(|word| word.to_ne_bytes()).collect();
            theirs.extend(&own[field.offset..][..bytes]);
            offset += bytes;
        }
        for field in described::CELL_KEY {
            let _ = writeln!(text, "cell.key.{} {} {}", field.name, offset + field.offset, field.bytes);
        }
        theirs.extend(words(&cell().key).iter().flat_map(|word| word.to_ne_bytes()));
        offset += size_of::<CellKey>();
        let _ = writeln!(text, "cell.novelty {offset} 8\ncell 0 {}", offset + 8);
        theirs.extend([0xff; 8]);
        for line in own().lines().filter(|line| !line.starts_with("cell")) {
            let _ = writeln!(text, "{line}");
        }
        let layout = Layout::parse(text.as_bytes()).unwrap();
        let theirs: Vec<u64> =
            theirs.chunks(WORD).map(|word| u64::from_ne_bytes(word.try_into().unwrap())).collect();
        assert_eq!(words(&layout.cell(&theirs)), words(&cell()));
        assert_eq!(layout.generation(&theirs), 3);
        assert_eq!(layout.missing(), ["probes", "lifetime"]);
        assert_eq!(layout.cell_bytes(), offset + 8);
    }

    #[test]
    fn what_lacks_what_is_needed_or_reaches_beyond_is_refused() {
        let refused = |text: &str| Layout::parse(text.as_bytes()).unwrap_err();
        assert!(refused("").contains("cell.key.cgroup_id"));
        assert!(refused("cell 0").contains("\"cell 0\""));
        assert!(
            refused(&own().replace("cell.attempts 56 8", "cell.attempts 56 4")).contains("cell.attempts")
        );
        assert!(refused(&own().replace("cell.attempts 56 8", "cell.attempts 3016 8")).contains("not within"));
        assert!(refused(&own().replace("cell 0 3016", "cell 0 99999999999")).contains("cell 0"));
        assert!(Layout::parse(b"\xff\xfe").is_err());
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(text in prop::collection::vec(any::<u8>(), 0..200), at in 0_usize..3_000) {
            let mut whole = own().into_bytes();
            let at = at.min(whole.len());
            whole.splice(at..at, text);
            if let Ok(layout) = Layout::parse(&whole) {
                let words = vec![u64::MAX; layout.cell_bytes().div_ceil(WORD)];
                layout.cell(&words);
                layout.handover(&words);
            }
        }
    }
}
