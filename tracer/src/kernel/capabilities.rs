//! Which capabilities tracing takes. Tested for by themselves: uid 0 in a container may lack them, and a service may
//! have them without uid 0.

use caps::{CapSet, Capability};

/// What loading and attaching takes since Linux 5.8. `CAP_SYS_ADMIN` stands for both.
const NEEDED: &[(Capability, &str)] =
    &[(Capability::CAP_BPF, "CAP_BPF"), (Capability::CAP_PERFMON, "CAP_PERFMON")];

/// Names of the capabilities that are missing from the effective set.
#[must_use]
pub(super) fn missing() -> Vec<&'static str> {
    let has = |capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false);
    if has(Capability::CAP_SYS_ADMIN) {
        return Vec::new();
    }
    NEEDED.iter().filter(|(capability, _)| !has(*capability)).map(|&(_, name)| name).collect()
}
