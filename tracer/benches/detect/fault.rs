//! What goes wrong, and what should be said of it.

use super::stats::shares;
use super::streams::{Fate, Stream, Way};
use super::subject::Subject;
use tracer::detect::{Assessment, Verdict};

/// A fault. But for the last of the members in `Stranger`, and where all take part, it is the first member's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// The first member's weight is so many times what is declared, as a fraction; 0: drained without a word.
    Weight(u32, u32),
    /// The first half of the members at 1.2 times their weight, the others at 0.8.
    Diffuse,
    /// All clients look like one.
    Collapse,
    /// An address that is not declared gets as much as a member.
    Stranger,
    Refuses(f64),
    Hangs,
    /// So many times slower.
    Slow(f64),
    /// The same of every member.
    AllRefuse(f64),
    AllSlow(f64),
}

impl Fault {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Weight(0, _) => "to 0".to_owned(),
            Self::Weight(more, 1) => format!("{more} ×"),
            Self::Weight(more, less) => format!("{} ×", f64::from(more) / f64::from(less)),
            Self::Diffuse => "half 1.2 ×, half 0.8 ×".to_owned(),
            Self::Collapse => "all to one".to_owned(),
            Self::Stranger => "undeclared backend".to_owned(),
            Self::Refuses(part) => format!("refuses {:.0} %", part * 100.0),
            Self::Hangs => "hangs".to_owned(),
            Self::Slow(times) => format!("{times} × slower"),
            Self::AllRefuse(part) => format!("all refuse {:.0} %", part * 100.0),
            Self::AllSlow(times) => format!("all {times} × slower"),
        }
    }

    /// The weights that the balancer works with instead of the declared ones.
    fn weights(self, declared: &[u32]) -> Vec<u32> {
        let mut weights = declared.to_vec();
        match self {
            Self::Weight(more, less) => {
                weights.iter_mut().skip(1).for_each(|weight| *weight *= less);
                weights[0] *= more;
            }
            Self::Diffuse => {
                let half = weights.len() / 2;
                for (member, weight) in weights.iter_mut().enumerate() {
                    *weight *= if member < half { 6 } else { 4 };
                }
            }
            Self::Stranger => weights.push(declared[0]),
            _ => {}
        }
        weights
    }

    /// Shares that the fault leads to; where it is not the weights, those that are declared.
    pub(crate) fn shares(self, declared: &[u32]) -> Vec<f64> {
        match self {
            Self::Collapse => {
                let mut shares = vec![0.0; declared.len()];
                shares[0] = 1.0;
                shares
            }
            _ => shares(&self.weights(declared)),
        }
    }

    /// Makes it so, for the balancer and for what is seen of it.
    pub(crate) fn begin(self, stream: &mut Stream, subject: &mut Subject) {
        let weights = self.weights(stream.weights());
        if self == Self::Stranger {
            subject.add_member(None);
        }
        if weights != stream.weights() {
            stream.reweigh(weights);
        }
        match stream.way() {
            Way::Hash(hash) if self == Self::Collapse => hash.collapse(Some(0)),
            Way::Farm(farm) => {
                let of = match self {
                    Self::AllRefuse(_) | Self::AllSlow(_) => farm.servers.len(),
                    _ => 1,
                };
                for server in &mut farm.servers[..of] {
                    match self {
                        Self::Refuses(part) | Self::AllRefuse(part) => server.fate = Fate::Refuses(part),
                        Self::Hangs => server.fate = Fate::Hangs,
                        Self::Slow(times) | Self::AllSlow(times) => server.lifetime_seconds *= times,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }

    /// Ends one of [`Fault::Weight`].
    pub(crate) fn end(stream: &mut Stream, declared: &[u32]) {
        stream.reweigh(declared.to_vec());
    }
}

/// What should be said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    /// Any of these.
    pub(crate) verdicts: &'static [Verdict],
    pub(crate) members: Members,
}

/// Of whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Members {
    /// Exactly one, by its place.
    Only(usize),
    /// It does not matter.
    Any,
}

impl Expected {
    /// Whether the verdict is one that should be, and nobody else is named.
    pub(crate) fn is_met(&self, said: &Assessment) -> bool {
        self.verdicts.contains(&said.verdict) && self.blames_nobody_else(said) && self.blames(said)
    }

    fn blames(&self, said: &Assessment) -> bool {
        match self.members {
            Members::Only(member) => said.members.get(member).is_some_and(|member| member.finding.is_some()),
            Members::Any => true,
        }
    }

    fn blames_nobody_else(&self, said: &Assessment) -> bool {
        let Members::Only(only) = self.members else { return true };
        said.members.iter().enumerate().all(|(member, said)| member == only || said.finding.is_none())
    }
}
