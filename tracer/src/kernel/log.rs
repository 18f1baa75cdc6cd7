//! Lines of the kernel programs, in the debug build only.

use aya::Ebpf;
use aya_log::EbpfLogger;

/// Prints what the programs log to stderr.
struct Stderr;

impl log::Log for Stderr {
    fn enabled(&self, _metadata: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        eprintln!("kernel: {}", record.args());
    }

    fn flush(&self) {}
}

/// Connects to the programs' log. `None`, with a line, when it is not to be had: counting does not depend on it.
pub(super) fn open(ebpf: &mut Ebpf) -> Option<EbpfLogger<&'static dyn log::Log>> {
    EbpfLogger::init_with_logger(ebpf, &Stderr as &'static dyn log::Log)
        .inspect_err(|error| eprintln!("kernel log: {error}"))
        .ok()
}
