//! What an agent has left in the middle of making room, put right by the next one while programs count.
//!
//! A place is in the queue, or some key's, or on its way out: its key was taken from the hash, but connections may count
//! in it yet. The last is not written down anywhere: it is what is in use and no key's.

use super::cells::Cells;
use super::handing::Handing;
use super::places;
use aya::Ebpf;
use aya::maps::MapError;
use std::thread::sleep;
use std::time::Duration;

/// Between two looks: a program that has taken a place out of the queue and has not yet put its key into the hash is
/// done with it long before.
const MOMENT: Duration = Duration::from_millis(10);

/// Frees the place that was being freed, if it is not free yet.
///
/// # Errors
/// What the kernel says.
pub(super) fn finish(
    ebpf: &mut Ebpf,
    cells: &mut Cells,
    handing: &mut Handing,
    max_backends: u32,
) -> Result<(), MapError> {
    let Some(slot) = handing.unfinished() else { return Ok(()) };
    let emptied = cells.empty_once(slot);
    // Looking through the queue may change its order, so that more places than were given out may be in use.
    cells.any_may_be_in_use();
    let mut is_somewhere = false;
    for look in 0..2 {
        if look > 0 {
            sleep(MOMENT);
        }
        is_somewhere |= places::listed(ebpf)?.contains(&slot.index)
            || places::queued(ebpf, max_backends)?.contains(&slot.index);
    }
    if !is_somewhere {
        places::free(ebpf, emptied)?;
    }
    handing.retired();
    Ok(())
}

/// Places that are in use and no key's, of so many.
///
/// # Errors
/// What the kernel says.
pub(super) fn unlisted(ebpf: &mut Ebpf, used: Vec<u32>) -> Result<Vec<u32>, MapError> {
    // Looked for after what is in use: a place that came into use before then is some key's by now, or on its way out.
    let listed = places::listed(ebpf)?;
    Ok(used.into_iter().filter(|index| !listed.contains(index)).collect())
}
