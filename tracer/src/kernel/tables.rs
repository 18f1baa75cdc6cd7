//! The object with its maps: new ones, or those that an agent before has left.

use super::cells::FIRST_SLOT;
use super::error::KernelError;
use super::handing::Handing;
use super::layout;
use super::mapped::{Mapped, SharedLayout, Words};
use super::object::Settings;
use super::pins::{Kept, Pins, Set};
use super::places;
use super::refusal::chain;
use aya::maps::{Map, MapData, MapError};
use aya::{Ebpf, EbpfLoader};
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use tracer_ebpf::{LAYOUT_BYTES, Offsets, Slot, maps};

const OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/tracer-object"));

/// What outlives the agent.
#[derive(Clone, Copy)]
pub(super) struct Lasting<'a> {
    pub(super) pins: &'a Pins,
    /// What an agent of this layout has left.
    pub(super) kept: Option<&'a Kept>,
    /// Another layout whose sockets are left alone: that which counts, or one that follows what it has counted.
    pub(super) before: Option<&'a Set>,
}

/// The object with its maps: those that are kept, or new ones.
pub(super) fn made_or_kept(
    offsets: &Offsets,
    settings: Settings,
    lasting: Option<Lasting<'_>>,
) -> Result<(Ebpf, Handing), KernelError> {
    let places = lasting.map(|_| settings.max_backends + 1);
    let pins = lasting.map(|lasting| lasting.pins);
    if let Some(lasting @ Lasting { pins, kept: Some(kept), .. }) = lasting {
        let ebpf = create(offsets, settings, Some((lasting, &pins.set())))?;
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
        let mut ebpf = create(offsets, settings, lasting.zip(making.as_deref()))?;
        for index in FIRST_SLOT..=settings.max_backends {
            places::free(&mut ebpf, Slot { index, generation: 0 }).map_err(map_error)?;
        }
        if lasting.is_some() {
            describe(&ebpf)?;
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
fn create(
    offsets: &Offsets,
    settings: Settings,
    lasting: Option<(Lasting<'_>, &Path)>,
) -> Result<Ebpf, KernelError> {
    let words = offsets.as_words();
    let most = u64::from(settings.max_connections);
    let places = settings.max_backends + 1;
    let own_layout = lasting.map_or(0, |(lasting, _)| u64::from(lasting.pins.layout()));
    let has_before = u64::from(lasting.is_some_and(|(lasting, _)| lasting.before.is_some()));
    let mut loader = EbpfLoader::new();
    loader
        .override_global(tracer_ebpf::MAX_CONNECTIONS, &most, true)
        .override_global(tracer_ebpf::OFFSETS, words, true)
        .override_global(tracer_ebpf::OWN_LAYOUT, &own_layout, true)
        .override_global(tracer_ebpf::HAS_BEFORE, &has_before, true)
        .map_max_entries(maps::SLOTS, settings.max_backends)
        .map_max_entries(maps::FREE, settings.max_backends)
        .map_max_entries(maps::CELLS, places)
        .map_max_entries(maps::TOLD, if lasting.is_some() { places } else { 1 });
    if let Some((lasting, directory)) = lasting {
        for name in maps::KEPT {
            loader.map_pin_path(name, directory.join(name));
        }
        loader.map_pin_path(maps::SWITCH, lasting.pins.switch());
        if let Some(before) = lasting.before {
            loader.map_pin_path(maps::BEFORE, before.pin(maps::CONNECTIONS));
        }
    }
    loader.load(OBJECT).map_err(|error| KernelError::Maps(chain(&error)))
}

/// Writes down what lies where, for agents of other layouts.
fn describe(ebpf: &Ebpf) -> Result<(), KernelError> {
    let mut bytes = layout::own().into_bytes();
    bytes.resize(LAYOUT_BYTES, 0);
    let words: Vec<u64> =
        bytes.as_chunks().0.iter().map(|word: &[u8; size_of::<u64>()]| u64::from_ne_bytes(*word)).collect();
    let map = array(ebpf, maps::LAYOUT)?;
    let text = Words::new(map.fd().as_fd(), LAYOUT_BYTES, 1);
    let mut text = text.map_err(|error| mapping(maps::LAYOUT, &error))?;
    text.set(0, &words);
    Ok(())
}

/// Maps an array of the object into memory.
pub(super) fn mapped<T: SharedLayout>(
    ebpf: &Ebpf,
    name: &'static str,
    elements: u32,
) -> Result<Mapped<T>, KernelError> {
    Mapped::new(array(ebpf, name)?.fd().as_fd(), elements).map_err(|error| mapping(name, &error))
}

fn array<'a>(ebpf: &'a Ebpf, name: &'static str) -> Result<&'a MapData, KernelError> {
    match ebpf.map(name) {
        Some(Map::Array(array)) => Ok(array),
        _ => Err(KernelError::Object(name)),
    }
}

fn mapping(name: &str, error: &io::Error) -> KernelError {
    KernelError::Maps(format!("mapping {name}: {error}"))
}

pub(super) fn map_error(error: MapError) -> KernelError {
    KernelError::Maps(chain(&error))
}
