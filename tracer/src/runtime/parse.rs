//! The answer to `show servers state`. Pure.

use super::ServerState;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// Of `srv_admin_state`: maintenance that was forced or inherited (0x01, 0x02), drains that were (0x08, 0x10), no address
/// (0x20). Not 0x04, `disabled` in the configuration, which stays when the server is enabled and comes with 0x01 until
/// then; nor 0x40, a name that was changed.
const OUT: u32 = 0x01 | 0x02 | 0x08 | 0x10 | 0x20;
/// Of `srv_op_state`: it is up, and its health check asks for no new sessions (`disable-on-404`).
const STOPPING: u32 = 3;

/// The servers, in the order of the answer.
///
/// # Errors
/// What the answer is instead, and the remedy.
pub(super) fn parse(answer: &str) -> Result<Vec<ServerState>, String> {
    let mut lines = answer.lines();
    let first = lines.next().unwrap_or_default().trim();
    match first {
        "1" => {}
        "" => return Err("answers nothing: check that it is a `stats socket`".into()),
        _ if first.starts_with("Permission denied") => {
            return Err("does not allow it: give the `stats socket` the level `operator`".into());
        }
        _ if first.starts_with("Unknown command") => {
            return Err("does not know `show servers state`: HAProxy does since 1.6; check that it is a `stats socket`".into());
        }
        _ if first.bytes().all(|byte| byte.is_ascii_digit()) => {
            return Err(
                "answers in a format newer than the one known: drains and weights are as in the file".into(),
            );
        }
        _ => {
            return Err(
                "answers something else than the state of servers: check that it is a `stats socket`".into(),
            );
        }
    }
    let header = lines.next().and_then(|line| line.strip_prefix('#')).unwrap_or_default();
    let columns: HashMap<&str, usize> =
        header.split_ascii_whitespace().enumerate().map(|(place, name)| (name, place)).collect();
    let column = |name: &str| {
        columns.get(name).copied().ok_or_else(|| format!("answers without {name}: its version is not known"))
    };
    let columns = Columns {
        backend: column("be_name")?,
        server: column("srv_name")?,
        address: column("srv_addr")?,
        operation: column("srv_op_state")?,
        admin: column("srv_admin_state")?,
        weight: column("srv_uweight")?,
        port: column("srv_port")?,
    };
    let rows = lines.filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let servers: Option<Vec<_>> = rows.map(|line| columns.server(line)).collect();
    servers.ok_or_else(|| {
        "answers with a line that is no server's: drains and weights are as in the file".into()
    })
}

struct Columns {
    backend: usize,
    server: usize,
    address: usize,
    operation: usize,
    admin: usize,
    weight: usize,
    port: usize,
}

impl Columns {
    fn server(&self, line: &str) -> Option<ServerState> {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let number = |place: usize| fields.get(place)?.parse::<u32>().ok();
        let ip: Option<IpAddr> = fields.get(self.address)?.parse().ok();
        let port = u16::try_from(number(self.port)?).ok().filter(|port| *port != 0);
        Some(ServerState {
            backend: (*fields.get(self.backend)?).to_owned(),
            server: (*fields.get(self.server)?).to_owned(),
            address: ip.zip(port).map(|(ip, port)| SocketAddr::new(ip.to_canonical(), port)),
            user_weight: number(self.weight)?,
            out: number(self.admin)? & OUT != 0 || number(self.operation)? == STOPPING,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADER: &str = "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port";

    fn one(address: &str, operation: u32, admin: u32, weight: u32, port: u32) -> ServerState {
        let line =
            format!("3 b 1 s {address} {operation} {admin} {weight} 1 2 1 0 2 0 0 0 0 - {port} - 0 0 - - 0");
        let mut found = parse(&format!("1\n{HEADER}\n{line}\n\n")).unwrap();
        assert_eq!(found.len(), 1);
        found.remove(0)
    }

    #[test]
    fn who_is_taken_out_is_told_from_who_is_down() {
        for (operation, admin, out) in [
            (2, 0, false),
            (0, 0, false),
            (1, 0, false),
            (0, 1, true),
            (0, 2, true),
            (0, 5, true),
            (2, 4, false),
            (2, 8, true),
            (2, 16, true),
            (0, 32, true),
            (2, 64, false),
            (3, 0, true),
        ] {
            assert_eq!(one("10.0.0.1", operation, admin, 7, 80).out, out, "{operation} {admin}");
        }
    }

    #[test]
    fn addresses_are_those_of_tcp() {
        let address = |ip, port| one(ip, 2, 0, 1, port).address.map(|address| address.to_string());
        assert_eq!(address("10.0.0.1", 80).as_deref(), Some("10.0.0.1:80"));
        assert_eq!(address("::1", 80).as_deref(), Some("[::1]:80"));
        assert_eq!(address("::ffff:10.0.0.1", 80).as_deref(), Some("10.0.0.1:80"));
        assert_eq!(address("-", 80), None);
        assert_eq!(address("10.0.0.1", 0), None);
        assert_eq!(one("-", 2, 0, 256, 0).user_weight, 256);
    }

    #[test]
    fn columns_are_found_by_their_names() {
        let answer = "1\n# srv_port srv_name be_name srv_addr srv_op_state srv_uweight srv_admin_state new\n\
                      80 s b 10.0.0.1 2 5 0 x\n# a comment\n81 t b 10.0.0.2 2 0 8 x\n";
        let found = parse(answer).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((found[1].server.as_str(), found[1].user_weight, found[1].out), ("t", 0, true));
    }

    #[test]
    fn what_is_no_list_of_servers_is_refused_with_a_remedy() {
        for (answer, part) in [
            ("", "answers nothing"),
            ("Permission denied\n", "level"),
            ("Unknown command, but maybe one of\n", "1.6"),
            ("2\n# x\n", "newer"),
            ("HTTP/1.1 400 Bad Request\n", "something else"),
            ("1\n# be_name srv_name\n", "without srv_addr"),
            ("1\n", "without be_name"),
        ] {
            assert!(parse(answer).unwrap_err().contains(part), "{answer}");
        }
        assert!(parse(&format!("1\n{HEADER}\n3 b\n")).unwrap_err().contains("no server's"));
        assert_eq!(parse(&format!("1\n{HEADER}\n\n")).unwrap(), []);
    }

    proptest! {
        #[test]
        fn any_answer_is_read(text in "\\PC{0,200}", row in "[ -~\n]{0,200}") {
            let _ = parse(&text);
            let _ = parse(&format!("1\n{HEADER}\n{row}\n"));
        }
    }
}
