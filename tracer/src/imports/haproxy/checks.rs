//! Health checks: whether they look like a client's requests to the kernel.

use super::words::Line;
use std::collections::BTreeSet;
use std::rc::Rc;

/// How the servers of a backend are checked.
#[derive(Clone, Debug, Default)]
pub(super) struct Checks {
    kind: Kind,
    /// Steps of `tcp-check` send or expect something.
    talks: bool,
    /// Ports that steps connect to instead of the server's.
    ports: Rc<BTreeSet<u16>>,
    /// A step connects to where the server is.
    to_server: bool,
    /// The steps are those of `defaults`: one of its own replaces them all.
    pub(super) inherited: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    /// A connection is opened, and closed.
    #[default]
    Connect,
    /// As the steps say.
    Steps,
    /// HTTP.
    Http,
    /// Another protocol's greeting.
    Greeting,
    /// A program does it.
    External,
}

impl Checks {
    /// `option httpchk` and its like; not for other options.
    pub(super) fn option(&mut self, name: &str, off: bool) {
        let kind = match name {
            "httpchk" => Kind::Http,
            "tcp-check" => Kind::Steps,
            "external-check" => Kind::External,
            "ssl-hello-chk" | "smtpchk" | "ldap-check" | "mysql-check" | "pgsql-check" | "redis-check"
            | "spop-check" => Kind::Greeting,
            _ => return,
        };
        self.kind = if off { Kind::Connect } else { kind };
    }

    /// A line `tcp-check` or `http-check`.
    pub(super) fn step(&mut self, line: &Line<'_>) {
        if self.inherited {
            (self.talks, self.ports, self.to_server, self.inherited) = (false, Rc::default(), false, false);
        }
        match line.text(1) {
            "connect" => self.connect(line),
            action if action.starts_with("send") || action == "expect" => self.talks = true,
            _ => {}
        }
    }

    fn connect(&mut self, line: &Line<'_>) {
        let mut words = line.words.iter().map(|word| word.text.as_str()).skip(2);
        let mut port = None;
        while let Some(word) = words.next() {
            match word {
                "port" => port = words.next().and_then(|port| port.parse().ok()),
                // What a check encrypts or announces is payload.
                "ssl" | "send-proxy" => self.talks = true,
                _ => {}
            }
        }
        match port {
            Some(port) => drop(Rc::make_mut(&mut self.ports).insert(port)),
            None => self.to_server = true,
        }
    }

    /// Whether payload is exchanged with the port of a server.
    pub(super) fn talk_to(&self, port: u16) -> bool {
        let talks = match self.kind {
            Kind::Connect | Kind::External => false,
            Kind::Steps => self.talks,
            Kind::Http | Kind::Greeting => true,
        };
        talks && self.reach(port)
    }

    /// Whether HAProxy itself connects to the port of a server.
    pub(super) fn reach(&self, port: u16) -> bool {
        match self.kind {
            Kind::External => false,
            Kind::Connect | Kind::Greeting => true,
            Kind::Steps | Kind::Http => self.ports.is_empty() || self.to_server || self.ports.contains(&port),
        }
    }
}
