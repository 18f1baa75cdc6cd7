//! The object with its maps: new ones, or those that an agent before has left.

use super::cells::FIRST_SLOT;
use super::error::KernelError;
use super::handing::Handing;
use super::mapped::{Mapped, SharedLayout};
use super::object::Settings;
use super::pins::{Kept, Pins};
use super::places;
use super::refusal::chain;
use aya::maps::{Map, MapError};
use aya::{Ebpf, EbpfLoader};
use std::os::fd::AsFd as _;
use std::path::Path;
use tracer_ebpf::{Offsets, Slot, maps};

const OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/tracer-object"));

/// The object with its maps: those that are kept, or new ones.
pub(super) fn made_or_kept(
    offsets: &Offsets,
    settings: Settings,
    pins: Option<&Pins>,
    kept: Option<&Kept>,
) -> Result<(Ebpf, Handing), KernelError> {
    let places = pins.map(|_| settings.max_backends + 1);
    if let (Some(pins), Some(kept)) = (pins, kept) {
        let ebpf = create(offsets, settings, Some(&pins.set()))?;
        let handing = Handing::new(&ebpf, places)?;
        if !handing.belong_together(&kept.maps) {
            let problem = "the maps here were not made together".into();
            return Err(pins.otherwise(maps::HANDOVER, problem).into());
        }
        if !handing.is_within(settings.max_backends) {
            let problem = "it names a place that these maps have not".into();
            return Err(pins.otherwise(maps::HANDOVER, problem).into());
        }
        return Ok((ebpf, handing));
    }
    let make = || {
        let making = pins.map(Pins::begin).transpose()?;
        let mut ebpf = create(offsets, settings, making.as_deref())?;
        for index in FIRST_SLOT..=settings.max_backends {
            places::free(&mut ebpf, Slot { index, generation: 0 }).map_err(map_error)?;
        }
        let mut handing = Handing::new(&ebpf, places)?;
        let ids = pins.map(Pins::made).transpose()?;
        handing.begin(&ids.unwrap_or_default());
        pins.map(Pins::finish).transpose()?;
        Ok((ebpf, handing))
    };
    make().inspect_err(|_: &KernelError| {
        if let Some(pins) = pins {
            pins.give_up();
        }
    })
}

/// Loads the object. What is pinned in a directory is used as it is, and what is not is made there.
fn create(offsets: &Offsets, settings: Settings, pinned_in: Option<&Path>) -> Result<Ebpf, KernelError> {
    let words = offsets.as_words();
    let most = u64::from(settings.max_connections);
    let places = settings.max_backends + 1;
    let mut loader = EbpfLoader::new();
    loader
        .override_global(tracer_ebpf::MAX_CONNECTIONS, &most, true)
        .override_global(tracer_ebpf::OFFSETS, words, true)
        .map_max_entries(maps::SLOTS, settings.max_backends)
        .map_max_entries(maps::FREE, settings.max_backends)
        .map_max_entries(maps::CELLS, places)
        .map_max_entries(maps::TOLD, if pinned_in.is_some() { places } else { 1 });
    if let Some(directory) = pinned_in {
        for name in maps::KEPT {
            loader.map_pin_path(name, directory.join(name));
        }
    }
    loader.load(OBJECT).map_err(|error| KernelError::Maps(chain(&error)))
}

/// Maps an array of the object into memory.
pub(super) fn mapped<T: SharedLayout>(
    ebpf: &Ebpf,
    name: &'static str,
    elements: u32,
) -> Result<Mapped<T>, KernelError> {
    let Some(Map::Array(array)) = ebpf.map(name) else { return Err(KernelError::Object(name)) };
    Mapped::new(array.fd().as_fd(), elements)
        .map_err(|error| KernelError::Maps(format!("mapping {name}: {error}")))
}

pub(super) fn map_error(error: MapError) -> KernelError {
    KernelError::Maps(chain(&error))
}
