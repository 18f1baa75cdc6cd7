//! `cargo xtask bench hold`: a process that opens connections and holds them. A process may have too few files open to hold
//! them all, so `bench scale` starts several.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
};

use anyhow::{Context as _, Result};

use super::crowd;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Backends that there are
    #[arg(long)]
    backends: u32,
    /// The first that this process connects to; the others follow in turn
    #[arg(long)]
    first: u32,
    /// Connections that it opens
    #[arg(long)]
    connections: u32,
}

/// What it calls itself: the balancer that tracer is asked for.
pub(super) const NAME: &str = "bench-hold";

/// Written when all connections are open.
pub(super) const READY: &str = "ready";

/// Where a backend listens. Each has an address of its own, so that ports suffice.
pub(super) fn backend(number: u32) -> SocketAddr {
    let [_, a, b, c] = (number + 1).to_be_bytes();
    (Ipv4Addr::new(127, 100 + a, b, c), 18_690).into()
}

/// Opens the connections, says so, and holds them until nobody writes to its input any more.
pub(crate) fn hold(arguments: &Arguments) -> Result<()> {
    crowd::allow_open_files()?;
    fs::write("/proc/self/comm", NAME).context("cannot name this process")?;
    let open = |number| {
        let address = backend((arguments.first + number) % arguments.backends);
        TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))
    };
    let held: Vec<TcpStream> = (0..arguments.connections).map(open).collect::<Result<_>>()?;
    let mut output = std::io::stdout();
    writeln!(output, "{READY}").and_then(|()| output.flush()).context("nobody listens")?;
    std::io::stdin().read_to_end(&mut Vec::new()).context("cannot wait")?;
    drop(held);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_backend_has_an_address_of_its_own() {
        let all: std::collections::BTreeSet<_> = (0..10_000).map(backend).collect();
        assert_eq!(all.len(), 10_000);
        assert!(all.iter().all(|address| address.ip().is_loopback()));
    }
}
