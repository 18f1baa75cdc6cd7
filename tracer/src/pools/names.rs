//! Host names and their addresses, over time.

use crate::privilege::Keep;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Names that are asked for at once.
const AT_ONCE: usize = 16;

/// What is known of host names. A name that no longer resolves keeps its last addresses; addresses that a name no longer
/// has are remembered as such, since a balancer that has not noticed still uses them.
#[derive(Clone, Debug, Default)]
pub struct Names {
    known: HashMap<String, Known>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    now: BTreeSet<IpAddr>,
    former: BTreeSet<IpAddr>,
    problem: Option<String>,
}

/// What a resolver says of each name that it was asked for.
pub type Answers = BTreeMap<String, Result<BTreeSet<IpAddr>, String>>;

impl Names {
    /// Those of `wanted` that have not been asked for yet.
    #[must_use]
    pub fn unknown(&self, wanted: BTreeSet<String>) -> BTreeSet<String> {
        wanted.into_iter().filter(|name| !self.known.contains_key(name)).collect()
    }

    /// Takes in what a resolver said.
    pub fn take(&mut self, answers: Answers) {
        for (name, answer) in answers {
            let known = self.known.entry(name).or_default();
            match answer {
                Ok(addresses) => {
                    let before = std::mem::replace(&mut known.now, addresses);
                    known.former.extend(before);
                    known.former.retain(|address| !known.now.contains(address));
                    known.problem = None;
                }
                Err(problem) => known.problem = Some(problem),
            }
        }
    }

    /// Forgets every name but these.
    pub fn keep(&mut self, wanted: &BTreeSet<String>) {
        self.known.retain(|name, _| wanted.contains(name));
    }

    /// The addresses of a name, in order: the last it had when it no longer resolves.
    pub fn addresses(&self, name: &str) -> impl Iterator<Item = IpAddr> {
        self.known.get(name).into_iter().flat_map(|known| known.now.iter().copied())
    }

    /// Addresses that the name once had and no longer has.
    pub fn former(&self, name: &str) -> impl Iterator<Item = IpAddr> {
        self.known.get(name).into_iter().flat_map(|known| known.former.iter().copied())
    }

    /// Why the name could not be resolved the last time, as a sentence with the remedy.
    #[must_use]
    pub fn problem(&self, name: &str) -> Option<String> {
        let known = self.known.get(name)?;
        let problem = known.problem.as_ref()?;
        Some(if known.now.is_empty() {
            format!("the host name {name:?} {problem}; check the name, or write the address")
        } else {
            format!("the host name {name:?} {problem}; its last addresses are still expected")
        })
    }
}

/// Asks the system's resolver for every name, several at once, and waits no longer than `limit` for all of them: one that
/// does not answer keeps nobody from counting.
#[must_use]
pub fn system_resolver(names: BTreeSet<String>, limit: Duration) -> Answers {
    resolve_all(names, limit, |name| {
        // A service name or port would be looked up too; 0 is none.
        (name, 0).to_socket_addrs().map(|addresses| addresses.map(|address| address.ip()).collect())
    })
}

fn resolve_all(
    names: BTreeSet<String>,
    limit: Duration,
    resolver: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Clone + Send + 'static,
) -> Answers {
    let until = Instant::now() + limit;
    let silent = || Err(format!("got no answer from the resolver within {} s", limit.as_secs_f64()));
    let mut answers: Answers = names.iter().map(|name| (name.clone(), silent())).collect();
    let queue = Arc::new(Mutex::new(names.into_iter()));
    let (sender, answered) = mpsc::channel();
    for _ in 0..AT_ONCE.min(answers.len()) {
        let (queue, sender, resolver) = (Arc::clone(&queue), sender.clone(), resolver.clone());
        // Not joined: a resolver that hangs keeps its thread until it gives up, and nobody else.
        let asking = move || {
            Keep::of_client().hold();
            loop {
                let next = queue.lock().ok().and_then(|mut names| names.next());
                let Some(name) = next.filter(|_| Instant::now() < until) else { return };
                let answer = explain(resolver(&name));
                if sender.send((name, answer)).is_err() {
                    return;
                }
            }
        };
        if thread::Builder::new().spawn(asking).is_err() {
            break;
        }
    }
    drop(sender);
    while let Ok((name, answer)) = answered.recv_timeout(until.saturating_duration_since(Instant::now())) {
        answers.insert(name, answer);
    }
    answers
}

fn explain(answer: io::Result<Vec<IpAddr>>) -> Result<BTreeSet<IpAddr>, String> {
    let addresses: BTreeSet<IpAddr> = answer
        .map_err(|error| format!("does not resolve: {error}"))?
        .into_iter()
        .map(|address| address.to_canonical())
        .collect();
    if addresses.is_empty() { Err("has no address".into()) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(addresses: &[&str]) -> BTreeSet<IpAddr> {
        addresses.iter().map(|address| address.parse().unwrap()).collect()
    }

    fn names(wanted: &[&str]) -> BTreeSet<String> {
        wanted.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_name_that_no_longer_resolves_keeps_its_addresses_and_what_it_lost_is_remembered() {
        let mut known = Names::default();
        known.take([("app".to_owned(), Ok(set(&["10.0.0.1", "10.0.0.2"])))].into());
        known.take([("app".to_owned(), Err("does not resolve: timeout".to_owned()))].into());
        assert_eq!(known.addresses("app").collect::<BTreeSet<_>>(), set(&["10.0.0.1", "10.0.0.2"]));
        assert!(known.problem("app").unwrap().contains("still expected"));
        known.take([("app".to_owned(), Ok(set(&["10.0.0.2", "10.0.0.3"])))].into());
        assert_eq!(known.former("app").collect::<BTreeSet<_>>(), set(&["10.0.0.1"]));
        assert_eq!(known.problem("app"), None);
        known.take([("app".to_owned(), Ok(set(&["10.0.0.1"])))].into());
        assert_eq!(known.former("app").collect::<BTreeSet<_>>(), set(&["10.0.0.2", "10.0.0.3"]));
        assert_eq!(known.unknown(names(&["app", "db"])), names(&["db"]));
    }

    #[test]
    fn a_resolver_that_hangs_keeps_nobody_waiting_and_says_so() {
        let began = Instant::now();
        let wanted: Vec<String> = (0..40).map(|n| format!("host{n}")).collect();
        let answers = resolve_all(wanted.into_iter().collect(), Duration::from_millis(300), |name| {
            if name == "host7" {
                thread::sleep(Duration::from_secs(30));
            }
            if name == "host8" { Ok(Vec::new()) } else { Ok(vec!["::ffff:10.0.0.1".parse().unwrap()]) }
        });
        assert!(began.elapsed() < Duration::from_secs(20), "does not wait for the one that hangs");
        assert_eq!(answers.len(), 40);
        assert!(answers["host7"].as_ref().unwrap_err().contains("no answer"));
        assert!(answers["host8"].as_ref().unwrap_err().contains("no address"));
        assert_eq!(answers["host9"], Ok(set(&["10.0.0.1"])));
    }
}
