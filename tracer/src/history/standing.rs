//! Which verdicts stay however old they are: those that say what stands.

use crate::detect::Verdict;
use rusqlite::Transaction;
use std::collections::{HashMap, HashSet};

/// What names a row: time, run, pool.
type Key = (f64, i64, i64);

/// What was told of a pool, of which the rest can be let go.
#[derive(Default)]
struct Standing {
    /// The last without a finding.
    clear: Option<Key>,
    /// The first with one since, which has the onset.
    first: Option<Key>,
    /// The last since then.
    last: Option<Key>,
}

impl Standing {
    /// Takes the next verdict. Gives what can be let go.
    fn take(&mut self, key: Key, is_finding: bool) -> Vec<Key> {
        if !is_finding {
            let before = std::mem::replace(self, Self { clear: Some(key), ..Self::default() });
            return before.all();
        }
        if self.first.is_none() {
            self.first = Some(key);
            return Vec::new();
        }
        self.last.replace(key).into_iter().collect()
    }

    fn all(self) -> Vec<Key> {
        [self.clear, self.first, self.last].into_iter().flatten().collect()
    }
}

/// Lets go of verdicts before a time, but for what stands then of pools that are there: of these what was told last, and the
/// first and the last finding since. Pools that were not there since `seen` are gone.
pub(super) fn forget_verdicts(transaction: &Transaction<'_>, until: i64, seen: i64) -> rusqlite::Result<()> {
    let sql = "SELECT time, run, pool, verdict, \
               EXISTS (SELECT 1 FROM pools WHERE pools.id = verdicts.pool AND pools.seen >= ?2) \
               AND NOT EXISTS (SELECT 1 FROM in_force WHERE in_force.pool = verdicts.pool \
                               AND in_force.time > verdicts.time AND in_force.time < ?1 AND members IS NULL) \
               FROM verdicts WHERE time < ?1 ORDER BY time, run";
    let mut statement = transaction.prepare_cached(sql)?;
    let mut rows = statement.query([until, seen])?;
    let findings: HashSet<&str> =
        Verdict::ALL.into_iter().filter(|verdict| verdict.is_finding()).map(Verdict::as_str).collect();
    let mut pools: HashMap<i64, Standing> = HashMap::new();
    let mut gone: Vec<Key> = Vec::new();
    while let Some(row) = rows.next()? {
        let key: Key = (row.get(0)?, row.get(1)?, row.get(2)?);
        if row.get(4)? {
            let is_finding = findings.contains(row.get_ref(3)?.as_str().unwrap_or_default());
            gone.extend(pools.entry(key.2).or_default().take(key, is_finding));
        } else {
            gone.push(key);
        }
    }
    let sql = "DELETE FROM verdicts WHERE time = ?1 AND run = ?2 AND pool = ?3";
    let mut delete = transaction.prepare_cached(sql)?;
    for key in gone {
        delete.execute(key)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_is_the_last_without_a_finding_and_the_ends_of_what_was_found_since() {
        let mut standing = Standing::default();
        let told = [true, false, false, true, true, true];
        let gone: Vec<f64> = (0_i32..)
            .zip(told)
            .flat_map(|(place, is_finding)| standing.take((f64::from(place), 1, 1), is_finding))
            .map(|(time, ..)| time)
            .collect();
        assert_eq!(gone, [0.0, 1.0, 4.0]);
        let kept: Vec<f64> = standing.all().into_iter().map(|(time, ..)| time).collect();
        assert_eq!(kept, [2.0, 3.0, 5.0]);
    }
}
