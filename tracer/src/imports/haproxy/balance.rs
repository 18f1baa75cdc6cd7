//! How a backend chooses.

use super::numbers::leading_number;
use super::tables::{BALANCE, find};
use super::words::Line;
use crate::imports::Effect;
use crate::pools::Method;

/// What `balance` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Balance {
    pub(super) method: Method,
    /// Why shares cannot be known with it.
    pub(super) doubt: Option<&'static str>,
    /// It draws points of a ring. With two draws the least loaded of two is taken, which evens out how the points lie
    /// only as far as there are many connections at once: servers without any are equally loaded, and the last that
    /// is drawn is taken.
    pub(super) draws: bool,
    /// There is such a line.
    pub(super) written: bool,
}

impl Default for Balance {
    /// Without `balance`: in turn up to HAProxy 3.2, `random(2)` from 3.3 on, whose shares stray from small weights. The
    /// text does not tell which HAProxy reads it; most have no reason to doubt it.
    fn default() -> Self {
        Self { method: Method::RoundRobin, doubt: None, draws: false, written: false }
    }
}

impl Balance {
    /// Reads the words behind `balance`.
    ///
    /// # Errors
    /// When HAProxy would refuse them.
    pub(super) fn read(line: &Line<'_>) -> Result<Self, &'static str> {
        let text = line.text(1);
        let (name, argument) = match text.split_once('(') {
            Some((name, rest)) => {
                (name, Some(rest.split_once(')').ok_or("its parenthesis is not closed")?.0))
            }
            None => (text, None),
        };
        let directive =
            find(BALANCE, name).ok_or("HAProxy has no such way to balance: check its spelling")?;
        let doubt = match directive.effect {
            Effect::Noted(why) => Some(why),
            Effect::Understood(_) | Effect::Irrelevant(_) => None,
        };
        let method = match name {
            "roundrobin" | "static-rr" => Method::RoundRobin,
            "leastconn" => Method::LeastConnections,
            "random" => match argument.filter(|draws| !draws.is_empty()).map_or(2, leading_number) {
                ..1 => return Err("random takes at least one draw: write random(2)"),
                1 => Method::Random,
                // The least loaded of those that are drawn.
                _ => Method::LeastConnections,
            },
            _ => Method::Hash,
        };
        let needed = match name {
            "hdr" => argument.filter(|header| !header.is_empty()).is_some(),
            "url_param" | "hash" | "log-hash" => !line.text(2).is_empty(),
            _ => true,
        };
        if !needed {
            return Err("it lacks what is to be hashed: name it");
        }
        Ok(Self { method, doubt, draws: name == "random", written: true })
    }
}
