//! What lies where in the maps that an agent of another layout reads: by name, so that it need not know this layout.

use crate::{Cell, CellKey, Handover, Tracked, Uncounted};
use core::mem::offset_of;

/// A field of a structure in a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// As it is in the text.
    pub name: &'static str,
    /// Bytes from the structure's beginning.
    pub offset: usize,
    /// Bytes.
    pub bytes: usize,
}

/// What a field takes.
const fn bytes_of<T, F>(_: fn(&T) -> &F) -> usize {
    size_of::<F>()
}

macro_rules! fields {
    ($type:ident: $($field:ident)*) => {
        &[$(Field {
            name: stringify!($field),
            offset: offset_of!($type, $field),
            bytes: bytes_of(|value: &$type| &value.$field),
        }),*]
    };
}

/// Of a [`CellKey`].
pub const CELL_KEY: &[Field] = fields!(CellKey: cgroup_id command address netns port reserved);

/// Of a [`Cell`]; where its `key` is, a [`CellKey`] is.
pub const CELL: &[Field] = fields!(
    Cell: key generation last_pid attempts untracked established adopted failed closed resets resets_without_data probes
    sent_bytes received_bytes segments_sent segments_received retransmits syn_retransmits repaired exchanges connect_time
    cancelled_age response_time lifetime stock
);

/// Of [`Uncounted`].
pub const UNCOUNTED: &[Field] = fields!(Uncounted: no_cell no_storage over_limit stale_cell undecided);

/// Of a [`Handover`]; where it has `told`, an [`Uncounted`] is.
pub const HANDOVER: &[Field] =
    fields!(Handover: overlap_until_ns adopted retiring began_ns told_ns told maps);

/// Of [`Tracked`].
pub const TRACKED: &[Field] = fields!(Tracked: sockets places);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_of_a_field() {
        let whole = [
            (CELL_KEY, size_of::<CellKey>()),
            (CELL, size_of::<Cell>()),
            (UNCOUNTED, size_of::<Uncounted>()),
            (HANDOVER, size_of::<Handover>()),
            (TRACKED, size_of::<Tracked>()),
        ];
        for (fields, size) in whole {
            let end = fields.iter().fold(0, |end, field| {
                assert_eq!(field.offset, end, "{field:?}");
                end + field.bytes
            });
            assert_eq!(end, size);
        }
    }
}
