//! What is looked up for every row that is read: names, and what was expected.

use super::read::Unread;
use crate::chronicle::PoolName;
use crate::report::PoolInForce;
use rusqlite::Connection;
use std::collections::HashMap;
use std::net::SocketAddr;

/// What the numbers of pools and members stand for.
pub(super) struct Names {
    pub(super) pools: HashMap<i64, PoolName>,
    pub(super) members: HashMap<i64, (i64, SocketAddr)>,
}

impl Names {
    pub(super) fn read(connection: &Connection, unread: &mut Unread) -> rusqlite::Result<Self> {
        let (mut pools, mut members) = (HashMap::new(), HashMap::new());
        let mut statement = connection.prepare("SELECT id, name, balancer FROM pools")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            pools.insert(row.get(0)?, PoolName { pool: row.get(1)?, balancer: row.get(2)? });
        }
        let mut statement =
            connection.prepare("SELECT id, pool, backend FROM members WHERE pool IS NOT NULL")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let backend = unread.some(row.get::<_, String>(2)?.parse::<SocketAddr>().ok());
            if let Some(backend) = backend {
                members.insert(row.get(0)?, (row.get(1)?, backend));
            }
        }
        Ok(Self { pools, members })
    }
}

/// Which share each member should get, at whatever time.
pub(super) struct Expected<'a> {
    /// Of each pool, the latest last.
    pools: HashMap<&'a PoolName, Vec<Shares>>,
}

struct Shares {
    from_seconds: f64,
    /// In the order of addresses.
    members: Vec<(SocketAddr, Option<f64>)>,
}

impl<'a> Expected<'a> {
    pub(super) fn new(in_force: &'a [PoolInForce]) -> Self {
        let mut pools: HashMap<&PoolName, Vec<Shares>> = HashMap::new();
        for pool in in_force {
            let sum: f64 = pool.members.iter().filter_map(|member| member.weight).sum();
            let share = |weight: f64| if sum > 0.0 { weight / sum } else { 0.0 };
            let mut members: Vec<_> =
                pool.members.iter().map(|member| (member.backend, member.weight.map(share))).collect();
            members.sort_unstable_by_key(|(backend, _)| *backend);
            pools.entry(&pool.pool).or_default().push(Shares { from_seconds: pool.time_seconds, members });
        }
        Self { pools }
    }

    /// At a time.
    pub(super) fn at(&self, pool: &PoolName, time_seconds: f64) -> &[(SocketAddr, Option<f64>)] {
        let Some(all) = self.pools.get(pool) else { return &[] };
        let past = all.partition_point(|shares| shares.from_seconds <= time_seconds);
        // What came to be known in an interval is written with its end.
        all.get(past.saturating_sub(1)).map_or(&[], |shares| &shares.members)
    }
}
