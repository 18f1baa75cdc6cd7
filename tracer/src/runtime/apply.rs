//! What runs, in place of what is written. Pure.

use super::ServerState;
use crate::pools::{MemberAddress, Role, Uses, WrittenMember, WrittenPool, WrittenPools};
use std::collections::{BTreeSet, HashMap};
use std::mem;

/// Gives each member the weight, state and address that HAProxy says it has now, adds servers that were added at run
/// time, and removes those that were removed. Says what is different from the file, a line for each. A pool that the
/// running HAProxy does not know stays as it is written.
pub fn apply(pools: &mut WrittenPools, states: &[ServerState]) -> Vec<String> {
    let mut of_backend: HashMap<&str, Vec<&ServerState>> = HashMap::new();
    for state in states {
        of_backend.entry(&state.backend).or_default().push(state);
    }
    let mut differences = Vec::new();
    for pool in &mut pools.pools {
        match of_backend.get(pool.name.as_str()) {
            Some(states) => Running { states, differences: &mut differences }.apply(pool),
            None => differences.push(format!(
                "{}: the running HAProxy has no such backend, or no servers in it: reload it",
                pool.name
            )),
        }
    }
    differences
}

struct Running<'a> {
    states: &'a [&'a ServerState],
    differences: &'a mut Vec<String>,
}

impl Running<'_> {
    fn apply(&mut self, pool: &mut WrittenPool) {
        let by_name: HashMap<&str, &ServerState> =
            self.states.iter().map(|state| (state.server.as_str(), *state)).collect();
        let written = mem::take(&mut pool.members);
        // A server that is written by its own name is not one of a template's.
        let own =
            written.iter().filter(|member| !is_template(member)).filter_map(|member| member.name.clone());
        let mut taken: BTreeSet<String> = own.collect();
        for member in written {
            let Some(name) = member.name.clone() else {
                pool.members.push(member);
                continue;
            };
            if is_template(&member) {
                self.template(&pool.name, &member, &name, &mut taken, &mut pool.members);
            } else if let Some(state) = by_name.get(name.as_str()) {
                pool.members.push(self.member(&pool.name, member, state));
            } else {
                self.differences.push(format!("{}/{name}: was removed from the running HAProxy", pool.name));
            }
        }
        self.added(pool, &taken);
    }

    /// A member as it is now.
    fn member(&mut self, pool: &str, mut member: WrittenMember, state: &ServerState) -> WrittenMember {
        let weight = f64::from(state.user_weight);
        if (member.weight - weight).abs() > f64::EPSILON {
            self.differences
                .push(format!("{pool}/{}: weight {weight}, written {}", state.server, member.weight));
            member.weight = weight;
        }
        if state.out && member.role != Role::Down {
            self.differences.push(format!("{pool}/{}: is drained or in maintenance", state.server));
            member.spare = member.role == Role::Backup;
            member.role = Role::Down;
        } else if !state.out && member.role == Role::Down {
            self.differences.push(format!("{pool}/{}: is enabled, written `disabled`", state.server));
            member.role = if member.spare { Role::Backup } else { Role::Active };
        }
        if let Some(address) = state.address {
            if let MemberAddress::Ip(written) = member.address
                && written != address
            {
                self.differences.push(format!("{pool}/{}: is at {address}, written {written}", state.server));
            }
            member.address = MemberAddress::Ip(address);
            member.uses = Uses::Every;
        }
        member
    }

    /// Each of a template's servers that has an address is a member.
    fn template(
        &mut self,
        pool: &str,
        template: &WrittenMember,
        prefix: &str,
        taken: &mut BTreeSet<String>,
        members: &mut Vec<WrittenMember>,
    ) {
        let before = members.len();
        for state in self.states {
            if !is_numbered(&state.server, prefix) || !taken.insert(state.server.clone()) {
                continue;
            }
            // A place that nothing has resolved to.
            let Some(address) = state.address else { continue };
            let place = WrittenMember {
                name: Some(state.server.clone()),
                address: MemberAddress::Ip(address),
                uses: Uses::Every,
                ..template.clone()
            };
            members.push(self.member(pool, place, state));
        }
        if members.len() == before {
            self.differences.push(format!("{pool}/{prefix}: none of its servers has an address"));
        }
    }

    fn added(&mut self, pool: &mut WrittenPool, taken: &BTreeSet<String>) {
        for state in self.states.iter().filter(|state| !taken.contains(&state.server)) {
            // No TCP address: nothing that could be seen.
            let Some(address) = state.address else { continue };
            self.differences.push(format!("{}/{}: was added at {address}", pool.name, state.server));
            pool.members.push(WrittenMember {
                name: Some(state.server.clone()),
                role: if state.out { Role::Down } else { Role::Active },
                ..WrittenMember::new(MemberAddress::Ip(address), state.user_weight.into(), pool.at.clone())
            });
        }
    }
}

fn is_template(member: &WrittenMember) -> bool {
    matches!(member.uses, Uses::AtMost(_))
}

/// Whether a server is one of those of the template `{prefix}{low}-{high}`. A prefix may end in digits: whichever way it is
/// read counts.
fn is_numbered(server: &str, template: &str) -> bool {
    let Some((start, high)) = template.rsplit_once('-') else { return false };
    let Ok(high) = high.parse::<u64>() else { return false };
    let digits = start.bytes().rev().take_while(u8::is_ascii_digit).count();
    (start.len() - digits..start.len()).any(|at| {
        let (prefix, low) = start.split_at(at);
        let number = server.strip_prefix(prefix).filter(|number| !number.starts_with(['+', '0']));
        let (number, low) = (number.and_then(|number| number.parse::<u64>().ok()), low.parse::<u64>());
        number.zip(low.ok()).is_some_and(|(number, low)| (low..=high).contains(&number))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Place;
    use crate::pools::{Backups, Method, parse_address};

    fn member(name: &str, address: &str) -> WrittenMember {
        let at = Place { file: "haproxy.cfg".into(), line: 7, column: 0 };
        WrittenMember {
            name: Some(name.into()),
            uses: Uses::One,
            ..WrittenMember::new(parse_address(address).unwrap(), 1.0, at)
        }
    }

    fn pools(members: Vec<WrittenMember>) -> WrittenPools {
        let pool = WrittenPool {
            name: "app".into(),
            balancer: None,
            method: Method::RoundRobin,
            at: Place::of_file("haproxy.cfg"),
            members,
            backups: Backups::First,
            health_check_interval: None,
            vouched: false,
            doubt: None,
        };
        WrittenPools { pools: vec![pool] }
    }

    fn state(server: &str, address: &str, user_weight: u32, out: bool) -> ServerState {
        let (backend, server) = ("app".into(), server.into());
        ServerState { backend, server, address: address.parse().ok(), user_weight, out }
    }

    /// Name, address, weight, role.
    fn shown(pools: &WrittenPools) -> Vec<String> {
        let members = pools.pools[0].members.iter();
        let name = |member: &WrittenMember| member.name.clone().unwrap_or_default();
        members.map(|one| format!("{} {} {} {:?}", name(one), one.address, one.weight, one.role)).collect()
    }

    #[test]
    fn what_is_as_written_is_no_difference() {
        let mut pools = pools(vec![member("s1", "10.0.0.1:80"), member("s2", "app.test:80")]);
        let states = [state("s1", "10.0.0.1:80", 1, false), state("s2", "10.0.0.2:80", 1, false)];
        assert_eq!(apply(&mut pools, &states), [""; 0]);
        assert_eq!(shown(&pools), ["s1 10.0.0.1:80 1 Active", "s2 10.0.0.2:80 1 Active"]);
        assert_eq!(pools.pools[0].members[1].uses, Uses::Every);
    }

    #[test]
    fn drains_weights_and_addresses_are_those_that_run() {
        let mut disabled = member("s3", "10.0.0.3:80");
        disabled.role = Role::Down;
        let mut spare = member("s4", "10.0.0.4:80");
        spare.role = Role::Backup;
        let mut pools =
            pools(vec![member("s1", "10.0.0.1:80"), member("s2", "10.0.0.2:80"), disabled, spare]);
        let states = [
            state("s1", "10.0.0.1:80", 1, true),
            state("s2", "10.0.0.9:80", 5, false),
            state("s3", "10.0.0.3:80", 1, false),
            state("s4", "10.0.0.4:80", 1, false),
        ];
        let differences = apply(&mut pools, &states);
        assert_eq!(
            shown(&pools),
            [
                "s1 10.0.0.1:80 1 Down",
                "s2 10.0.0.9:80 5 Active",
                "s3 10.0.0.3:80 1 Active",
                "s4 10.0.0.4:80 1 Backup"
            ]
        );
        assert_eq!(
            differences,
            [
                "app/s1: is drained or in maintenance",
                "app/s2: weight 5, written 1",
                "app/s2: is at 10.0.0.9:80, written 10.0.0.2:80",
                "app/s3: is enabled, written `disabled`"
            ]
        );
    }

    fn backup(number: usize) -> WrittenMember {
        let role = Role::Backup;
        WrittenMember { role, ..member(&format!("b{number}"), &format!("10.0.1.{number}:80")) }
    }

    #[test]
    fn backups_that_are_idle_stay_backups() {
        let mut states: Vec<ServerState> = (1..4)
            .map(|number| state(&format!("b{number}"), &format!("10.0.1.{number}:80"), 1, false))
            .collect();
        let mut pools = pools((1..4).map(backup).collect());
        assert_eq!(apply(&mut pools, &states), [""; 0]);
        assert_eq!(pools.pools[0].due(), [1.0, 0.0, 0.0], "the first alone");
        states[0].out = true;
        assert_eq!(apply(&mut pools, &states), ["app/b1: is drained or in maintenance"]);
        assert_eq!(pools.pools[0].due(), [0.0, 1.0, 0.0], "the next");
        pools.pools[0].backups = Backups::All;
        assert_eq!(pools.pools[0].due(), [0.0, 1.0, 1.0]);
    }

    #[test]
    fn a_disabled_backup_that_is_enabled_is_a_backup() {
        let disabled = WrittenMember { role: Role::Down, spare: true, ..backup(1) };
        let mut pools = pools(vec![member("s1", "10.0.0.1:80"), disabled]);
        let states = [state("s1", "10.0.0.1:80", 1, false), state("b1", "10.0.1.1:80", 1, false)];
        assert_eq!(apply(&mut pools, &states), ["app/b1: is enabled, written `disabled`"]);
        assert_eq!(shown(&pools), ["s1 10.0.0.1:80 1 Active", "b1 10.0.1.1:80 1 Backup"]);
    }

    #[test]
    fn where_all_active_are_drained_the_first_backup_gets_everything() {
        let mut pools = pools(vec![member("s1", "10.0.0.1:80"), backup(1), backup(2)]);
        let states = [
            state("s1", "10.0.0.1:80", 1, true),
            state("b1", "10.0.1.1:80", 1, false),
            state("b2", "10.0.1.2:80", 1, false),
        ];
        apply(&mut pools, &states);
        assert_eq!(pools.pools[0].due(), [0.0, 1.0, 0.0]);
    }

    #[test]
    fn servers_come_and_go() {
        let mut pools = pools(vec![member("s1", "10.0.0.1:80"), member("s2", "10.0.0.2:80")]);
        let states = [
            state("s2", "10.0.0.2:80", 1, false),
            state("s3", "10.0.0.3:80", 4, false),
            state("s4", "10.0.0.4:80", 1, true),
            state("local", "-", 1, false),
        ];
        let differences = apply(&mut pools, &states);
        assert_eq!(
            shown(&pools),
            ["s2 10.0.0.2:80 1 Active", "s3 10.0.0.3:80 4 Active", "s4 10.0.0.4:80 1 Down"]
        );
        assert!(differences[0].contains("s1: was removed") && differences[1].contains("s3: was added"));
        assert_eq!(pools.pools[0].members[1].at, Place::of_file("haproxy.cfg"));
    }

    #[test]
    fn a_template_is_the_servers_that_have_an_address() {
        let mut template = member("t1-4", "app.test:80");
        template.uses = Uses::AtMost(4);
        let mut pools = pools(vec![template, member("t3", "10.0.0.9:80")]);
        let states = [
            state("t1", "10.0.0.1:80", 1, false),
            state("t2", "10.0.0.2:80", 1, true),
            state("t3", "10.0.0.9:80", 1, false),
            state("t4", "-", 1, true),
            state("tx", "10.0.0.5:80", 1, false),
        ];
        let differences = apply(&mut pools, &states);
        assert_eq!(
            shown(&pools),
            [
                "t1 10.0.0.1:80 1 Active",
                "t2 10.0.0.2:80 1 Down",
                "t3 10.0.0.9:80 1 Active",
                "tx 10.0.0.5:80 1 Active"
            ]
        );
        assert_eq!(pools.pools[0].members[0].at.line, 7, "where the template is written");
        assert_eq!(differences.len(), 2);
    }

    #[test]
    fn a_template_without_addresses_says_so() {
        let mut template = member("t1-2", "app.test:80");
        template.uses = Uses::AtMost(2);
        let mut pools = pools(vec![template]);
        let differences = apply(&mut pools, &[state("t1", "-", 1, true), state("t2", "-", 1, true)]);
        assert_eq!(differences, ["app/t1-2: none of its servers has an address"]);
        assert_eq!(shown(&pools), [""; 0]);
    }

    #[test]
    fn a_backend_that_does_not_run_stays_as_it_is_written() {
        let mut pools = pools(vec![member("s1", "10.0.0.1:80")]);
        let before = pools.clone();
        assert!(apply(&mut pools, &[])[0].contains("reload it"));
        assert_eq!(pools, before);
    }
}
