//! An agent whose maps have another number than this version's, as if they were laid out otherwise: `other_layout DIRECTORY
//! NUMBER` takes over what is pinned in a directory, says `ready`, and answers `read ADDRESS` on standard input with what
//! it knows of a backend. It judges nothing.

use std::error::Error;
use std::io::stdin;
use std::net::SocketAddr;
use tracer::kernel::{Pins, Settings, Snapshot, Tracer};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("no directory")?;
    let layout = arguments.next().ok_or("no number")?.parse()?;
    let pins = Pins::take(directory.as_ref(), layout)?;
    let mut tracer = Tracer::start_pinned(Settings::default(), pins)?;
    tracer.notices().iter().for_each(|notice| eprintln!("{notice}"));
    tracer.inheritance();
    println!("ready");
    for line in stdin().lines() {
        let line = line?;
        let backend = line.strip_prefix("read ").ok_or("read ADDRESS")?.parse()?;
        println!("{}", sums(&tracer.read(), backend));
    }
    Ok(())
}

/// In one line.
fn sums(snapshot: &Snapshot, backend: SocketAddr) -> String {
    let mut sums = [0; 6];
    let session = snapshot.sweep.map(|sweep| sweep.session);
    for reading in snapshot.readings.iter().filter(|reading| reading.backend == backend) {
        let cell = &reading.cell;
        let live = if Some(cell.stock.session) == session { u64::from(cell.stock.live) } else { 0 };
        let counts =
            [cell.attempts, cell.adopted, cell.established, cell.failed.iter().sum(), cell.closed, live];
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    let [attempts, adopted, established, failed, closed, live] = sums;
    format!(
        "attempts {attempts} adopted {adopted} established {established} failed {failed} closed {closed} live {live}"
    )
}
