//! Offsets of structure members and values of enumerators, from the kernel's BTF.
//!
//! Only what is asked for by name is decoded: one pass finds where each type lies, then a path of member names is
//! followed, through anonymous structures and unions, typedefs and qualifiers. (aya reads BTF as well but shows no
//! members; btf-rs does, under a licence that a static binary cannot take on.) Format:
//! <https://docs.kernel.org/bpf/btf.html>.

use std::fmt;

const MAGIC: u16 = 0xeb9f;

mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const VOLATILE: u32 = 9;
    pub(super) const CONST: u32 = 10;
    pub(super) const RESTRICT: u32 = 11;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const TYPE_TAG: u32 = 18;
    pub(super) const ENUM64: u32 = 19;
}

/// The bytes are not BTF that can be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BtfError(&'static str);

impl fmt::Display for BtfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for BtfError {}

/// BTF of a kernel, with the position of each of its types.
pub(super) struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Start of type `id` in `types`; the first is `void`, which has no bytes.
    starts: Vec<usize>,
}

/// The fixed part of a type.
#[derive(Clone, Copy)]
struct Type {
    name: u32,
    info: u32,
    size_or_type: u32,
    /// Where what follows the fixed part begins.
    rest: usize,
}

impl Type {
    fn kind(self) -> u32 {
        self.info >> 24 & 0x1f
    }

    fn length(self) -> usize {
        (self.info & 0xffff) as usize
    }

    /// Member offsets then hold a bit-field's size in their upper byte.
    fn has_bit_fields(self) -> bool {
        self.info >> 31 == 1
    }
}

impl<'a> Btf<'a> {
    /// Finds where each type begins.
    ///
    /// # Errors
    /// When the header is not BTF of this machine's byte order, or a type does not end within the data.
    pub(super) fn parse(data: &'a [u8]) -> Result<Self, BtfError> {
        let truncated = BtfError("the data ends within its header");
        let magic = data.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes));
        if magic != Some(MAGIC) {
            return Err(BtfError("no BTF magic number"));
        }
        let header_length = word(data, 4).ok_or(truncated)? as usize;
        let section = |at: usize| -> Option<&'a [u8]> {
            let start = header_length.checked_add(word(data, at)? as usize)?;
            data.get(start..start.checked_add(word(data, at + 4)? as usize)?)
        };
        let types = section(8).ok_or(BtfError("the type section is not within the data"))?;
        let strings = section(16).ok_or(BtfError("the string section is not within the data"))?;
        let mut btf = Self { types, strings, starts: vec![0] };
        let mut at = 0;
        while at < types.len() {
            btf.starts.push(at);
            let found = btf.read_type(at).ok_or(BtfError("a type does not end within its section"))?;
            at = found.rest + trailing_bytes(found).ok_or(BtfError("a type of unknown kind"))?;
        }
        Ok(btf)
    }

    /// Byte offset of `path` (member names joined by dots) in structure `name`; `None` when the kernel has no such
    /// member, or it is a bit-field.
    #[must_use]
    pub(super) fn member_offset(&self, name: &str, path: &str) -> Option<u32> {
        let mut id = self.find(name, &[kind::STRUCT])?;
        let mut bits = 0;
        for member in path.split('.') {
            let (offset, of_type) = self.member(self.resolve(id)?, member, 0)?;
            bits += offset;
            id = of_type;
        }
        bits.is_multiple_of(8).then_some(bits / 8)
    }

    /// Value of an enumerator.
    #[must_use]
    pub(super) fn enumerator(&self, name: &str, enumerator: &str) -> Option<u32> {
        let found = self.type_at(self.find(name, &[kind::ENUM])?)?;
        (0..found.length()).find_map(|index| {
            let at = found.rest + index * 8;
            (self.string(word(self.types, at)?)? == enumerator.as_bytes())
                .then(|| word(self.types, at + 4))?
        })
    }

    /// Size of a structure, bytes.
    #[must_use]
    pub(super) fn size(&self, name: &str) -> Option<u32> {
        Some(self.type_at(self.find(name, &[kind::STRUCT])?)?.size_or_type)
    }

    #[cfg(test)]
    /// Whether there is a typedef or function of this name: how the kernel shows that it has a tracepoint or iterator.
    #[must_use]
    pub(super) fn has(&self, name: &str) -> bool {
        self.find(name, &[kind::TYPEDEF, 12]).is_some()
    }

    fn find(&self, name: &str, kinds: &[u32]) -> Option<u32> {
        let id = (1..self.starts.len()).find(|&id| {
            self.read_type(self.starts[id]).is_some_and(|found| {
                kinds.contains(&found.kind()) && self.string(found.name) == Some(name.as_bytes())
            })
        })?;
        u32::try_from(id).ok()
    }

    fn type_at(&self, id: u32) -> Option<Type> {
        if id == 0 {
            return None;
        }
        self.read_type(*self.starts.get(id as usize)?)
    }

    fn read_type(&self, at: usize) -> Option<Type> {
        Some(Type {
            name: word(self.types, at)?,
            info: word(self.types, at + 4)?,
            size_or_type: word(self.types, at + 8)?,
            rest: at + 12,
        })
    }

    /// Follows typedefs and qualifiers. Bounded, since the data could name a circle.
    fn resolve(&self, mut id: u32) -> Option<Type> {
        for _ in 0..32 {
            let found = self.type_at(id)?;
            match found.kind() {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    id = found.size_or_type;
                }
                _ => return Some(found),
            }
        }
        None
    }

    /// Offset in bits and type of a member, looked for in anonymous members as well.
    fn member(&self, within: Type, name: &str, depth: u32) -> Option<(u32, u32)> {
        if !matches!(within.kind(), kind::STRUCT | kind::UNION) || depth > 16 {
            return None;
        }
        (0..within.length()).find_map(|index| {
            let at = within.rest + index * 12;
            let member_name = self.string(word(self.types, at)?)?;
            let of_type = word(self.types, at + 4)?;
            let mut offset = word(self.types, at + 8)?;
            let mut bit_field = 0;
            if within.has_bit_fields() {
                bit_field = offset >> 24;
                offset &= 0x00ff_ffff;
            }
            if member_name == name.as_bytes() {
                return (bit_field == 0).then_some((offset, of_type));
            }
            if !member_name.is_empty() {
                return None;
            }
            let (inner, of_type) = self.member(self.resolve(of_type)?, name, depth + 1)?;
            Some((offset + inner, of_type))
        })
    }

    fn string(&self, at: u32) -> Option<&'a [u8]> {
        let rest = self.strings.get(at as usize..)?;
        rest.iter().position(|&byte| byte == 0).map(|end| &rest[..end])
    }
}

/// How many bytes follow the fixed part of a type.
fn trailing_bytes(of: Type) -> Option<usize> {
    Some(match of.kind() {
        kind::INT | kind::VAR | kind::DECL_TAG => 4,
        kind::ARRAY => 12,
        kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => of.length() * 12,
        kind::ENUM | kind::FUNC_PROTO => of.length() * 8,
        0..=kind::ENUM64 => 0,
        _ => return None,
    })
}

fn word(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "the test's types and names are few")]
mod tests {
    use super::*;

    /// Writes BTF as the kernel's documentation describes it.
    #[derive(Default)]
    struct Writer {
        types: Vec<u8>,
        strings: Vec<u8>,
    }

    impl Writer {
        fn words(&mut self, words: &[u32]) {
            for word in words {
                self.types.extend(word.to_ne_bytes());
            }
        }

        fn name(&mut self, name: &str) -> u32 {
            if self.strings.is_empty() {
                self.strings.push(0);
            }
            if name.is_empty() {
                return 0;
            }
            let at = self.strings.len();
            self.strings.extend(name.as_bytes());
            self.strings.push(0);
            at as u32
        }

        fn composite(&mut self, kind: u32, name: &str, bit_fields: bool, members: &[(&str, u32, u32)]) {
            let name = self.name(name);
            self.words(&[name, kind << 24 | members.len() as u32 | u32::from(bit_fields) << 31, 0]);
            for &(member, of_type, offset) in members {
                let member = self.name(member);
                self.words(&[member, of_type, offset]);
            }
        }

        fn finish(&self) -> Vec<u8> {
            let mut data = Vec::new();
            data.extend(MAGIC.to_ne_bytes());
            data.extend([1, 0]);
            let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
            for word in [24, 0, types, types, strings] {
                data.extend(u32::to_ne_bytes(word));
            }
            data.extend(&self.types);
            data.extend(&self.strings);
            data
        }
    }

    /// 1: int, 2: union { a, b }, 3: struct common { family; union; } 4: typedef, 5: struct sock { common; bits; }
    fn example() -> Vec<u8> {
        let mut writer = Writer::default();
        let int = writer.name("int");
        writer.words(&[int, kind::INT << 24, 4, 32]);
        writer.composite(kind::UNION, "", false, &[("address", 1, 0), ("other", 1, 32)]);
        writer.composite(kind::STRUCT, "common", false, &[("family", 1, 0), ("", 2, 64)]);
        let alias = writer.name("common_t");
        writer.words(&[alias, kind::TYPEDEF << 24, 3]);
        writer.composite(
            kind::STRUCT,
            "sock",
            true,
            &[("common", 4, 0), ("flag", 1, 1 << 24 | 128), ("protocol", 1, 160)],
        );
        let flags = writer.name("flags");
        let (dead, done) = (writer.name("DEAD"), writer.name("DONE"));
        writer.words(&[flags, kind::ENUM << 24 | 2, 4, dead, 0, done, 1]);
        writer.finish()
    }

    #[test]
    fn members_are_found_through_anonymous_types_and_typedefs() {
        let data = example();
        let btf = Btf::parse(&data).unwrap();
        assert_eq!(btf.member_offset("sock", "protocol"), Some(20));
        assert_eq!(btf.member_offset("sock", "common.family"), Some(0));
        assert_eq!(btf.member_offset("sock", "common.other"), Some(12));
        assert_eq!(btf.enumerator("flags", "DONE"), Some(1));
        assert!(btf.has("common_t"));
    }

    #[test]
    fn what_the_kernel_does_not_have_is_not_found() {
        let data = example();
        let btf = Btf::parse(&data).unwrap();
        assert_eq!(btf.member_offset("sock", "gone"), None);
        assert_eq!(btf.member_offset("gone", "family"), None);
        assert_eq!(btf.member_offset("sock", "flag"), None, "a bit-field has no offset to load from");
        assert_eq!(btf.member_offset("sock", "protocol.inner"), None);
        assert_eq!(btf.enumerator("flags", "GONE"), None);
        assert!(!btf.has("sock"));
    }

    #[test]
    fn broken_data_is_an_error_or_finds_nothing_and_never_panics() {
        let data = example();
        assert!(Btf::parse(b"").is_err());
        assert!(Btf::parse(&data[..20]).is_err());
        assert!(Btf::parse(&data[1..]).is_err());
        for at in 0..data.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut broken = data.clone();
                broken[at] = value;
                if let Ok(btf) = Btf::parse(&broken) {
                    let _ = btf.member_offset("sock", "common.other");
                    let _ = btf.enumerator("flags", "DONE");
                }
            }
        }
    }

    #[test]
    fn the_running_kernel_has_what_sockets_need() {
        let data = std::fs::read("/sys/kernel/btf/vmlinux").unwrap();
        let btf = Btf::parse(&data).unwrap();
        assert_eq!(
            btf.member_offset("sock", "__sk_common.skc_daddr"),
            Some(0),
            "first member in every kernel"
        );
        assert!(btf.member_offset("tcp_sock", "inet_conn.icsk_inet.inet_sport").is_some());
        assert!(btf.has("btf_trace_inet_sock_set_state"));
    }
}
