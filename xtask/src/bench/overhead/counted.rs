//! How many connections a tool has counted, from a line of what it prints. Pure. What it says of anything but established
//! connections is passed over; so are the passive ends, which these tools show as well.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::Value;

/// Connections to one backend that a line tells of.
pub(super) type Told = Vec<(SocketAddr, u64)>;

/// The event with which `tracer watch --json` ends.
pub(super) fn by_tracer(line: &str) -> Told {
    let Some(event) = object(line).filter(|event| event["event"] == "stopping") else { return Told::new() };
    let pools = event["pools"].as_array().into_iter().flatten();
    let members = pools.flat_map(|pool| pool["members"].as_array().into_iter().flatten());
    let told =
        |member: &Value| Some((member["backend"].as_str()?.parse().ok()?, member["established"].as_u64()?));
    members.filter_map(told).collect()
}

/// The map `@established` of [`BPFTRACE`](super::cases::BPFTRACE), keyed by `address,port`.
pub(super) fn by_bpftrace(line: &str) -> Told {
    let Some(map) = object(line) else { return Told::new() };
    let entries = map["data"]["@established"].as_object().into_iter().flatten();
    let told = |(key, count): (&String, &Value)| Some((key.replace(',', ":").parse().ok()?, count.as_u64()?));
    entries.filter_map(told).collect()
}

/// `PID COMM LADDR LPORT RADDR RPORT TX_KB RX_KB MS`, one for each end of a connection when it closes.
pub(super) fn by_tcplife(line: &str) -> Told {
    one(remote(line.rsplit(' '), 3))
}

/// `SKADDR PID COMM LADDR LPORT RADDR RPORT OLDSTATE -> NEWSTATE MS`, one for each change of state.
pub(super) fn by_tcpstates(line: &str) -> Told {
    let mut behind = line.rsplit(' ').filter(|field| !field.is_empty()).skip(1);
    let established = behind.next() == Some("ESTABLISHED") && behind.nth(1) == Some("SYN_SENT");
    one(established.then(|| remote(line.rsplit(' '), 4)).flatten())
}

/// `PID COMM IP SADDR DADDR DPORT`, one for each connect(2) that began; those that failed are among them.
pub(super) fn by_tcpconnect(line: &str) -> Told {
    one(remote(line.rsplit(' '), 0))
}

/// Read from behind, since a command may have blanks in its name: port and address, with so many fields behind them.
fn remote<'a>(from_behind: impl Iterator<Item = &'a str>, behind: usize) -> Option<SocketAddr> {
    let mut fields = from_behind.filter(|field| !field.is_empty()).skip(behind);
    let port: u16 = fields.next()?.parse().ok()?;
    let address: Ipv4Addr = fields.next()?.parse().ok()?;
    Some((address, port).into())
}

fn one(backend: Option<SocketAddr>) -> Told {
    backend.into_iter().map(|backend| (backend, 1)).collect()
}

fn object(line: &str) -> Option<Value> {
    line.starts_with('{').then(|| serde_json::from_str(line).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(count: u64) -> Told {
        vec![("127.0.91.11:18491".parse().unwrap(), count)]
    }

    #[test]
    fn tcplife_tells_of_both_ends_and_the_balancers_counts() {
        let line = "11546   nginx            127.0.0.1       4034  127.0.91.11     18491 0.05   0.14   0.24";
        assert_eq!(by_tcplife(line), backend(1));
        let passive =
            "11546   nginx            127.0.91.11     18491 127.0.0.1       4034  0.14   0.05   0.18";
        assert_ne!(by_tcplife(passive), backend(1));
        let head = "PID     COMM             LADDR           LPORT RADDR           RPORT TX_KB  RX_KB  MS";
        assert_eq!(by_tcplife(head), Told::new());
        let blanks =
            "13703   my  own  proxy   127.0.0.1       4034  127.0.91.11     18491 0.35   0.05   0.38";
        assert_eq!(by_tcplife(blanks), backend(1));
    }

    #[test]
    fn tcpstates_tells_of_every_change_and_becoming_established_counts() {
        let line = |states: &str| {
            format!(
                "ffff888535a4ef00 11546   nginx      127.0.0.1       4034  127.0.91.11     18491 {states} 0.025"
            )
        };
        assert_eq!(by_tcpstates(&line("SYN_SENT    -> ESTABLISHED")), backend(1));
        assert_eq!(by_tcpstates(&line("CLOSE       -> SYN_SENT   ")), Told::new());
        assert_eq!(by_tcpstates(&line("SYN_RECV    -> ESTABLISHED")), Told::new());
        assert_eq!(by_tcpstates(&line("ESTABLISHED -> CLOSE_WAIT ")), Told::new());
    }

    #[test]
    fn bpftrace_tells_of_its_maps_in_the_end() {
        assert_eq!(by_bpftrace(r#"{"type": "attached_probes", "data": {"probes": 1}}"#), Told::new());
        let attempts = r#"{"type": "map", "data": {"@attempts": {"127.0.91.11,18491": 337}}}"#;
        assert_eq!(by_bpftrace(attempts), Told::new());
        let established = r#"{"type": "map", "data": {"@established": {"127.0.91.11,18491": 336}}}"#;
        assert_eq!(by_bpftrace(established), backend(336));
        assert_eq!(by_bpftrace(""), Told::new());
    }

    #[test]
    fn tracer_tells_in_its_last_event() {
        let line = r#"{"schema":"tracer.event/1","time":"2026-11-23T05:46:19Z","event":"stopping","reason":"SIGTERM",
            "duration_seconds":3.214,"totals":{"attempts":9522,"established":9521,"failed":1,"closed":9517},"pools":
            [{"name":"nginx:18491","balancer":"nginx","source":"discovered","members":[{"backend":"127.0.91.11:18491",
            "attempts":1904,"established":1903,"pending":0,"closed":1903,"exchanges":null}]}]}"#;
        assert_eq!(by_tracer(line), backend(1_903));
        assert_eq!(by_tracer(r#"{"schema":"tracer.event/1","event":"tracing","host":"lb1"}"#), Told::new());
        assert_eq!(by_tracer("not an object"), Told::new());
    }
}
