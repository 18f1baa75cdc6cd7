//! What a tick takes in user space, stage by stage: `cargo xtask bench tick`.
//!
//! A recording of real traffic is played to hosts of different sizes. Every stage works on what the one before it gave, as
//! in `tracer watch`; a benchmark times one of them and lets the others run untimed.

mod host;

use criterion::{BenchmarkId, Criterion, Throughput};
use host::{Host, STAGES};
use std::cell::LazyCell;
use std::time::Duration;

/// Backends of a host.
const SIZES: [usize; 3] = [10, 200, 1_000];

fn tick(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tick");
    for backends in SIZES {
        group.throughput(Throughput::Elements(backends as u64));
        for (stage, name) in STAGES.iter().enumerate() {
            // Made when it is asked for: `--bench tick -- detect/1000` makes no other.
            let mut host = LazyCell::new(|| known(backends));
            group.bench_function(BenchmarkId::new(*name, backends), |bencher| {
                bencher.iter_custom(|times| (0..times).map(|_| host.tick().0[stage]).sum::<Duration>());
            });
        }
    }
    group.finish();
}

/// A host that has run for a while: tables have grown, and the detector knows its pools.
fn known(backends: usize) -> Host {
    let mut host = Host::with(backends);
    (0..host.recorded()).for_each(|_| {
        host.tick();
    });
    host
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    tick(&mut criterion);
    criterion.final_summary();
}
