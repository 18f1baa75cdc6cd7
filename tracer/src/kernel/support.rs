//! What this host supports, found by trying.

use super::error::KernelError;
use super::memory::Memory;
use super::object::{Settings, Tracer};
use super::report::{Intent, ProgramReport};

/// What this host supports.
#[derive(Debug)]
pub struct Support {
    /// Release of the running kernel.
    pub kernel: String,
    /// One for each program; empty when it did not come that far.
    pub programs: Vec<ProgramReport>,
    /// What counting takes of the kernel's memory; `None` when it did not come that far.
    pub memory: Option<Memory>,
    /// What else on this host bears on what is seen.
    pub notices: Vec<String>,
    /// Why nothing can be traced, if so.
    pub refusal: Option<KernelError>,
}

impl Support {
    /// Whether the tracing commands work here.
    #[must_use]
    pub fn can_trace(&self) -> bool {
        self.refusal.is_none()
    }
}

/// Tries everything, and leaves nothing behind.
#[must_use]
pub fn survey(settings: Settings) -> Support {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
    let notices = notices();
    match Tracer::load(settings, None) {
        Err(refusal) => {
            Support { kernel, programs: Vec::new(), memory: None, notices, refusal: Some(refusal) }
        }
        Ok(mut tracer) => {
            tracer.attach();
            tracer.adopt();
            let programs = tracer.reports().to_vec();
            let refused =
                programs.iter().find(|report| report.intent == Intent::Required && !report.outcome.works());
            let refusal = refused.map(|report| KernelError::Program {
                program: report.name,
                reason: report.outcome.to_string(),
            });
            Support { kernel, programs, memory: Some(tracer.memory()), notices, refusal }
        }
    }
}

/// Set-ups whose connections have no socket on this host, so that they cannot be seen.
fn notices() -> Vec<String> {
    let mut notices = Vec::new();
    let services = std::fs::read_to_string("/proc/net/ip_vs").unwrap_or_default();
    if has_ipvs_services(&services) {
        notices.push(
            "IPVS balances on this host: its connections have no socket here and are not seen".to_owned(),
        );
    }
    let tables = std::fs::read_to_string("/proc/net/ip_tables_names").unwrap_or_default();
    if tables.lines().any(|table| table == "nat") {
        notices.push(
            "iptables has a nat table: connections that it forwards have no socket here and are not seen; those of this \
             host's processes are counted under the address that they connect to, before translation"
                .to_owned(),
        );
    }
    notices
}

/// Whether `/proc/net/ip_vs` lists a service; its first three lines are headings.
fn has_ipvs_services(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("TCP ") || line.starts_with("FWM "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipvs_without_a_service_is_nothing() {
        let headings = "IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n  -> \
                        RemoteAddress:Port Forward Weight ActiveConn InActConn\n";
        assert!(!has_ipvs_services(headings));
        assert!(has_ipvs_services(&format!("{headings}TCP  0A000001:0050 rr\n")));
        assert!(!has_ipvs_services(""));
    }
}
