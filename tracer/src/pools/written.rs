//! Pools as somebody wrote them, in a pools file or in a balancer's configuration, before their host names are resolved.

use super::Method;
use super::address::{MemberAddress, canonical};
use super::declared::{DeclaredMember, DeclaredPool, Former};
use super::names::Names;
use super::uneven::{OutOfLine, out_of_line};
use crate::input::Place;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

/// A pool as it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct WrittenPool {
    /// Its name, unlike that of every other pool of the same origin.
    pub name: String,
    /// Command, unit, container or cgroup path of its balancer; `None`: whatever talks to its members.
    pub balancer: Option<String>,
    /// How the balancer chooses.
    pub method: Method,
    /// Where it is declared.
    pub at: Place,
    /// Its members, in the order of the text.
    pub members: Vec<WrittenMember>,
    /// Which of its backups have their turn when no active member can get anything.
    pub backups: Backups,
    /// The balancer sends an HTTP health check to each member at this interval; `None`: none, or none that looks like
    /// a request.
    pub health_check_interval: Option<Duration>,
    /// Somebody vouches for its weights, however uneven they are: a pools file does, or `# tracer: intended`.
    pub vouched: bool,
    /// Why the shares of its members cannot be known from what is written, in a few words that complete the sentence
    /// "not judged: …". Its members are known all the same.
    pub doubt: Option<String>,
}

impl WrittenPool {
    /// What each member should get, relative to the others and in their order: its weight when it is its turn, else
    /// nothing. Backups have their turn when no active member can get anything.
    // Decided here and not where a configuration is read: what is enabled at run time changes whose turn it is.
    #[must_use]
    pub fn due(&self) -> Vec<f64> {
        let serves = |member: &WrittenMember, role| member.role == role && member.weight > 0.0;
        let active = self.members.iter().any(|member| serves(member, Role::Active));
        let turn = if active { Role::Active } else { Role::Backup };
        let only = match self.backups {
            Backups::First if !active => self.members.iter().position(|member| serves(member, turn)),
            Backups::All | Backups::First => None,
        };
        let has_turn = |index: usize, member: &WrittenMember| {
            member.role == turn && only.is_none_or(|only| only == index)
        };
        let members = self.members.iter().enumerate();
        members.map(|(index, member)| if has_turn(index, member) { member.weight } else { 0.0 }).collect()
    }

    /// The weights among which a typing error is looked for: of those whose turn it is, as written, in the order of the
    /// members; 0 where somebody computed it.
    #[must_use]
    pub fn typed(&self) -> Vec<f64> {
        let due = self.due().into_iter().zip(&self.members);
        due.map(|(due, member)| if member.computed { 0.0 } else { due }).collect()
    }

    /// The members whose weights look like a typing error, and that nobody vouches for.
    #[must_use]
    pub fn out_of_line(&self) -> Vec<OutOfLine> {
        let mut found = if self.vouched { Vec::new() } else { out_of_line(&self.typed()) };
        found.retain(|one| !self.members[one.index].vouched);
        found
    }
}

/// A member as it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct WrittenMember {
    /// What the balancer calls it, where it has names: HAProxy's servers.
    pub name: Option<String>,
    /// Where it is.
    pub address: MemberAddress,
    /// The weight as written, or the balancer's own when none is.
    pub weight: f64,
    /// Its weight is not what is written, but was computed from that: no typing error can be seen in it.
    pub computed: bool,
    /// What it is for.
    pub role: Role,
    /// A member that is down is a backup once it is enabled at run time.
    pub spare: bool,
    /// Where it is declared.
    pub at: Place,
    /// Somebody vouches for its weight: `# tracer: intended` on its line.
    pub vouched: bool,
    /// What the balancer does with a host name that has several addresses.
    pub uses: Uses,
    /// Which of them it looks at in the first place.
    pub family: Family,
    /// Most connections that the balancer keeps to it at once; `None`: no limit.
    pub max_connections: Option<u64>,
    /// Whether the balancer checks its health on its own; `None` where the balancer has no such thing.
    pub checked: Option<bool>,
}

impl WrittenMember {
    /// An ordinary one.
    #[must_use]
    pub fn new(address: MemberAddress, weight: f64, at: Place) -> Self {
        Self {
            name: None,
            address,
            weight,
            computed: false,
            role: Role::Active,
            spare: false,
            at,
            vouched: false,
            uses: Uses::Every,
            family: Family::Any,
            max_connections: None,
            checked: None,
        }
    }
}

/// What a member is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Gets its share.
    #[default]
    Active,
    /// Gets nothing while an active member is there.
    Backup,
    /// Gets nothing: marked down, disabled, in maintenance, or drained.
    Down,
}

/// Which backups of a pool get something when it is their turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backups {
    /// All, by weight.
    #[default]
    All,
    /// The first that can get anything (HAProxy without `option allbackups`).
    First,
}

/// Which of a host name's addresses a balancer spreads over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Uses {
    /// Each is a member of its own, with the whole weight (nginx, Envoy's `STRICT_DNS`).
    #[default]
    Every,
    /// As `Every`, but no more than so many (HAProxy's `server-template`).
    AtMost(usize),
    /// One, and it cannot be said which (HAProxy's `server`, Envoy's `LOGICAL_DNS`).
    One,
    /// Each is a member, and the weight is for all of them together.
    Divided,
}

/// Which kinds of a host name's addresses a balancer looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// All.
    #[default]
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
    /// IPv4, or IPv6 where there is none.
    V4First,
    /// IPv6, or IPv4 where there is none.
    V6First,
}

impl Family {
    /// Leaves the addresses that the balancer looks at.
    fn choose(self, addresses: &mut Vec<SocketAddr>) {
        let v4 = match self {
            Self::Any => return,
            Self::V4 => true,
            Self::V6 => false,
            Self::V4First => addresses.iter().any(SocketAddr::is_ipv4),
            Self::V6First => !addresses.iter().any(SocketAddr::is_ipv6),
        };
        addresses.retain(|address| address.is_ipv4() == v4);
    }
}

/// Pools of one origin: a pools file, or one balancer's configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WrittenPools {
    /// In the order of the text.
    pub pools: Vec<WrittenPool>,
}

/// Pools with their addresses, and what could not be found out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resolved {
    /// In the order of the text.
    pub pools: Vec<DeclaredPool>,
    /// Host names that do not resolve, where they are written, and why; those that are known from earlier keep their
    /// addresses.
    pub problems: Vec<(Place, String)>,
}

impl WrittenPools {
    /// The host names that are to be resolved.
    #[must_use]
    pub fn host_names(&self) -> BTreeSet<String> {
        let members = self.pools.iter().flat_map(|pool| &pool.members);
        let name = |address: &MemberAddress| match address {
            MemberAddress::Host { name, .. } => Some(name.clone()),
            MemberAddress::Ip(_) => None,
        };
        members.filter_map(|member| name(&member.address)).collect()
    }

    /// The pools with the addresses that `names` knows. Two members with the same address add their weights, as a
    /// balancer that lists it twice does. `asked`: somebody named the file.
    #[must_use]
    pub fn resolve(&self, names: &Names, asked: bool) -> Resolved {
        let mut resolved = Resolved::default();
        for written in &self.pools {
            let pool = resolve(written, names, asked, &mut resolved.problems);
            resolved.pools.push(pool);
        }
        resolved
    }
}

fn resolve(
    written: &WrittenPool,
    names: &Names,
    asked: bool,
    problems: &mut Vec<(Place, String)>,
) -> DeclaredPool {
    let mut doubt = written.doubt.clone();
    let mut members = Vec::new();
    let mut former = Vec::new();
    for (member, due) in written.members.iter().zip(written.due()) {
        let addresses = match &member.address {
            MemberAddress::Ip(address) => vec![canonical(*address)],
            MemberAddress::Host { name, port } => {
                let socket = |ip: std::net::IpAddr| canonical(SocketAddr::new(ip, *port));
                former
                    .extend(names.former(name).map(|ip| Former { backend: socket(ip), name: name.clone() }));
                if let Some(problem) = names.problem(name) {
                    problems.push((member.at.clone(), problem));
                }
                let mut addresses: Vec<SocketAddr> = names.addresses(name).map(socket).collect();
                member.family.choose(&mut addresses);
                if addresses.is_empty() {
                    doubt.get_or_insert_with(|| format!("the host name {name} does not resolve"));
                }
                // Of a template's servers, too, the first alone.
                let first_alone =
                    written.backups == Backups::First && member.role == Role::Backup && due > 0.0;
                if (member.uses == Uses::One || first_alone) && addresses.len() > 1 {
                    doubt.get_or_insert_with(|| {
                        format!("{name} has {} addresses and the balancer uses one of them", addresses.len())
                    });
                }
                addresses
            }
        };
        let most = match member.uses {
            Uses::AtMost(most) => most,
            _ => usize::MAX,
        };
        if addresses.len() > most {
            let (name, count) = (&member.address, addresses.len());
            doubt.get_or_insert_with(|| {
                format!("{name} has {count} addresses and the balancer has places for {most}")
            });
        }
        #[expect(clippy::cast_precision_loss, reason = "a handful")]
        let among = if member.uses == Uses::Divided { addresses.len().max(1) as f64 } else { 1.0 };
        let weight = due / among;
        members.extend(addresses.into_iter().map(|backend| DeclaredMember {
            backend,
            weight,
            at: Some(member.at.clone()),
            max_connections: member.max_connections,
        }));
    }
    let pool = DeclaredPool {
        name: written.name.clone(),
        balancer: written.balancer.clone(),
        method: written.method,
        source: written.at.line(),
        members,
        health_check_interval: written.health_check_interval,
        vouched: written.out_of_line().is_empty(),
        doubt,
        remark: None,
        asked,
        former,
    };
    pool.normalised()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pools::parse_address;

    fn pool(weights: &[f64]) -> WrittenPool {
        let member = |(number, &weight): (usize, &f64)| {
            let address = parse_address(&format!("10.0.0.{number}:80")).unwrap();
            WrittenMember::new(address, weight, Place::of_file("app.conf"))
        };
        WrittenPool {
            name: "app".into(),
            balancer: None,
            method: Method::RoundRobin,
            at: Place::of_file("app.conf"),
            members: (1..).zip(weights).map(member).collect(),
            backups: Backups::All,
            health_check_interval: None,
            vouched: false,
            doubt: None,
        }
    }

    fn vouched(pool: WrittenPool) -> bool {
        let pools = WrittenPools { pools: vec![pool] };
        pools.resolve(&Names::default(), true).pools[0].vouched
    }

    #[test]
    fn who_is_vouched_for_does_not_vouch_for_another() {
        let mut odd = pool(&[5.0, 50.0, 5.0, 40.0, 5.0]);
        odd.members[1].vouched = true;
        assert!(!vouched(odd.clone()));
        odd.members[0].vouched = true;
        assert!(!vouched(odd.clone()), "one that is in line");
        odd.members[3].vouched = true;
        assert!(vouched(odd));
        assert!(vouched(WrittenPool { vouched: true, ..pool(&[5.0, 50.0, 5.0]) }), "all at once");
    }

    #[test]
    fn weights_that_nobody_wrote_are_no_typing_error() {
        let mut computed = pool(&[12.5, 50.0, 12.5]);
        assert!(!vouched(computed.clone()));
        computed.members.iter_mut().for_each(|member| member.computed = true);
        assert!(vouched(computed));
        let mut twice = pool(&[1.0; 5]);
        for same in 1..3 {
            twice.members[same].address = twice.members[0].address.clone();
        }
        assert!(vouched(twice), "5 lines with weight 1, three of them for one address");
    }

    #[test]
    fn those_whose_turn_it_is_not_are_not_compared() {
        let mut spare = pool(&[5.0, 5.0, 50.0]);
        spare.members[2].role = Role::Backup;
        assert!(vouched(spare.clone()));
        assert_eq!(spare.due(), [5.0, 5.0, 0.0]);
        spare.members.iter_mut().for_each(|member| member.role = Role::Backup);
        assert_eq!(spare.due(), [5.0, 5.0, 50.0]);
        assert!(!vouched(spare.clone()));
        spare.backups = Backups::First;
        assert_eq!(spare.due(), [5.0, 0.0, 0.0]);
        assert!(vouched(spare));
    }

    #[test]
    fn the_first_backup_is_one_that_can_get_anything() {
        let mut pool = WrittenPool { backups: Backups::First, ..pool(&[0.0, 2.0, 3.0]) };
        pool.members.iter_mut().for_each(|member| member.role = Role::Backup);
        assert_eq!(pool.due(), [0.0, 2.0, 0.0]);
        pool.members[1].role = Role::Down;
        assert_eq!(pool.due(), [0.0, 0.0, 3.0]);
    }
}
