//! Evidence that is made up.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use super::{
    agent::{Counted, Errors},
    load::{Truth, Truths},
    recording::Tick,
    schedule::Fault,
    verdict::{Evidence, Life, MADE_UP_FOR, Made, Reading},
};

pub(super) fn backend() -> SocketAddr {
    "127.0.0.1:80".parse().unwrap()
}

pub(super) fn truths(accepted: u64, refused: u64) -> Truths {
    Truths::from([(backend(), Truth { accepted, established: accepted, refused, other: 0 })])
}

pub(super) fn counted(established: u64, refused: u64) -> BTreeMap<SocketAddr, Counted> {
    let attempts = established + refused;
    let counted = Counted { attempts, established, closed: established, refused, ..Counted::default() };
    BTreeMap::from([(backend(), counted)])
}

pub(super) fn errors(uncounted: u64) -> Errors {
    Errors::from([("uncounted.memory".to_owned(), uncounted), (MADE_UP_FOR.to_owned(), 7 * uncounted)])
}

pub(super) fn reading(agent: usize, resident_kib: u64, descriptors: usize) -> Reading {
    Reading {
        agent,
        after: Duration::from_secs(5),
        rate: Some(1_000),
        processor: 0.005,
        programs: None,
        resident_kib,
        descriptors,
        disturbed: false,
    }
}

/// From 100 s to 110 s after the epoch.
pub(super) fn fault() -> Made {
    Made {
        fault: Fault::Suspended,
        at: Duration::from_secs(60),
        took: Duration::from_secs(10),
        window: (100.0, 110.0),
        seen: "something".to_owned(),
        problems: Vec::new(),
        truths: truths(4, 1),
        counted: counted(4, 1),
        errors: (errors(0), errors(0)),
    }
}

/// As it should be.
pub(super) fn flat() -> Evidence {
    let tick = |second: u32| Tick { at: f64::from(second), seconds: 1.0 };
    Evidence {
        length: Duration::from_secs(300),
        readings: vec![reading(1, 9_000, 20); 9],
        lives: vec![Life { from: Duration::ZERO, to: None, ended: "" }],
        faults: vec![fault()],
        ticks: (0..200).map(tick).collect(),
        at_first: errors(0),
        at_last: errors(0),
        truths: truths(7, 2),
        counted: counted(7, 2),
        problems: Vec::new(),
    }
}
