-- A history of tracer, schema version 1: what `tracer watch --history FILE` writes.
-- PRAGMA application_id is 0x74726163 ("trac"), PRAGMA user_version the version of this schema.
--
-- Times are seconds since the epoch, UTC. Counts are of an interval, never totals. NULL: not measured, not known; never 0.
-- To read it: the views at the end have names in place of numbers.

-- Every start of an agent.
CREATE TABLE runs (
  id       INTEGER PRIMARY KEY,
  started  REAL NOT NULL,             -- when it began to count
  host     TEXT NOT NULL,
  version  TEXT NOT NULL,             -- of tracer
  detector INTEGER NOT NULL,          -- version of the judgement: verdicts of another may come about otherwise
  last     REAL NOT NULL,             -- end of the last interval that was written
  ended    REAL,                      -- NULL: it still runs, or was killed after `last`
  reason   TEXT,                      -- why it ended, such as the name of a signal
  lost     INTEGER NOT NULL DEFAULT 0 -- intervals that could not be written (full disk) and are in no table
) STRICT;

CREATE TABLE pools (
  id       INTEGER PRIMARY KEY,
  name     TEXT NOT NULL,
  balancer TEXT,                      -- what its balancer is called; NULL: not seen yet
  seen     INTEGER NOT NULL           -- it was there at this time or up to an hour later
) STRICT;
CREATE UNIQUE INDEX pools_by_name ON pools (name, ifnull(balancer, ''));

-- What a pool's rows are about. The member without a pool, `other`, is everything that is nobody's: attempts for which the
-- table of backends had no place.
CREATE TABLE members (
  id      INTEGER PRIMARY KEY,
  pool    INTEGER REFERENCES pools (id),
  backend TEXT NOT NULL,              -- ip:port, IPv6 in brackets; or `other`
  seen    INTEGER NOT NULL            -- it had a row at this time or up to an hour later
) STRICT;
CREATE UNIQUE INDEX members_by_backend ON members (ifnull(pool, 0), backend);

-- What was counted: ten seconds, or what of them an agent ran. Where there is no row nothing is known.
CREATE TABLE counted (
  time      INTEGER NOT NULL,         -- when they began: a multiple of 10
  run       INTEGER NOT NULL REFERENCES runs (id),
  "end"     REAL NOT NULL,            -- when the last interval in it ended
  seconds   REAL NOT NULL,            -- length of its intervals together
  intervals INTEGER NOT NULL,         -- how many there were
  PRIMARY KEY (time, run)
) STRICT, WITHOUT ROWID;

-- A pool in ten seconds. That there is such a row says that the pool was watched.
CREATE TABLE pool_points (
  time      INTEGER NOT NULL,
  run       INTEGER NOT NULL REFERENCES runs (id),
  pool      INTEGER NOT NULL REFERENCES pools (id),
  "end"     REAL NOT NULL,
  seconds   REAL NOT NULL,            -- length of the intervals in which it was there
  exchanges INTEGER NOT NULL,         -- 1: exchanges were measured throughout
  verdict   TEXT,                     -- at its end; NULL: not judged
  PRIMARY KEY (time, run, pool)
) STRICT, WITHOUT ROWID;

-- A member in ten seconds. One without a row, of a pool that has one, had nothing: no connection that was there, and
-- nothing that happened.
CREATE TABLE points (
  time   INTEGER NOT NULL,
  run    INTEGER NOT NULL REFERENCES runs (id),
  member INTEGER NOT NULL REFERENCES members (id),
  decisions           INTEGER,        -- attempts less health checks: what shares of new connections are computed on
  requests            INTEGER,        -- exchanges less health checks: what shares of exchanges are computed on
  exchanges           INTEGER,        -- requests with their responses
  attempts            INTEGER,        -- sockets that began to connect
  untracked           INTEGER,        -- of these, those of which it is not known what became of them
  established         INTEGER,
  adopted             INTEGER,        -- connections from before the agent, found when it started
  closed              INTEGER,        -- established and adopted ones that ended
  resets              INTEGER,        -- ended by an RST of the backend
  resets_without_data INTEGER,        -- of these, before it had sent a byte
  probes              INTEGER,        -- ended without payload either way
  sent_bytes          INTEGER,        -- payload to the backend
  received_bytes      INTEGER,        -- payload from the backend
  segments_sent       INTEGER,
  segments_received   INTEGER,
  retransmits         INTEGER,        -- segments sent again, once established
  syn_retransmits     INTEGER,
  repaired            INTEGER,        -- events that the kernel hid from the agent, made up for
  failed_refused      INTEGER,        -- attempts that failed, by cause
  failed_timed_out    INTEGER,
  failed_unreachable  INTEGER,
  failed_cancelled    INTEGER,        -- the balancer gave up first
  failed_local        INTEGER,        -- no local port was left
  failed_other        INTEGER,
  live                INTEGER,        -- connections present at the end
  pending             INTEGER,        -- attempts without an outcome at the end
  closing             INTEGER,
  rtt_sum_us          INTEGER,        -- sum of the round-trip times of the live ones, microseconds
  -- Durations: a JSON list [number of the first bucket, its count, count of the next bucket, …]; see `buckets`.
  connect_times       TEXT,           -- from SYN to established
  cancelled_ages      TEXT,           -- how long the balancer waited before it gave up
  response_times      TEXT,           -- of exchanges
  lifetimes           TEXT,           -- how long connections were held that ended
  live_seconds        REAL,           -- sum over the intervals of live × length: divided by the pool's `seconds`, the mean
  PRIMARY KEY (time, run, member)
) STRICT, WITHOUT ROWID;

-- Around changes of the verdict on a pool, up to three minutes before and two after, the same for each interval (a second).
-- It is all contained in `pool_points` and `points`.
CREATE TABLE pool_seconds (
  time      REAL NOT NULL,            -- end of the interval
  run       INTEGER NOT NULL REFERENCES runs (id),
  pool      INTEGER NOT NULL REFERENCES pools (id),
  seconds   REAL NOT NULL,            -- its length
  exchanges INTEGER NOT NULL,         -- 1: exchanges were measured
  PRIMARY KEY (time, run, pool)
) STRICT, WITHOUT ROWID;

CREATE TABLE seconds (
  time   REAL NOT NULL,               -- end of the interval
  run    INTEGER NOT NULL REFERENCES runs (id),
  member INTEGER NOT NULL REFERENCES members (id),
  decisions           INTEGER,
  requests            INTEGER,
  exchanges           INTEGER,
  attempts            INTEGER,
  untracked           INTEGER,
  established         INTEGER,
  adopted             INTEGER,
  closed              INTEGER,
  resets              INTEGER,
  resets_without_data INTEGER,
  probes              INTEGER,
  sent_bytes          INTEGER,
  received_bytes      INTEGER,
  segments_sent       INTEGER,
  segments_received   INTEGER,
  retransmits         INTEGER,
  syn_retransmits     INTEGER,
  repaired            INTEGER,
  failed_refused      INTEGER,
  failed_timed_out    INTEGER,
  failed_unreachable  INTEGER,
  failed_cancelled    INTEGER,
  failed_local        INTEGER,
  failed_other        INTEGER,
  live                INTEGER,
  pending             INTEGER,
  closing             INTEGER,
  rtt_sum_us          INTEGER,
  connect_times       TEXT,
  cancelled_ages      TEXT,
  response_times      TEXT,
  lifetimes           TEXT,
  PRIMARY KEY (time, run, member)
) STRICT, WITHOUT ROWID;

-- Verdicts when they were told: a pool's first, and each that is another than the one before.
CREATE TABLE verdicts (
  time       REAL NOT NULL,           -- when it was told
  run        INTEGER NOT NULL REFERENCES runs (id),
  pool       INTEGER NOT NULL REFERENCES pools (id),
  verdict    TEXT NOT NULL,
  previous   TEXT,                    -- what was told before it in this run; NULL: it is the first
  since      REAL,                    -- since when it has been so: the onset; NULL without a finding
  since_start INTEGER NOT NULL,       -- 1: from the first traffic seen, so that it may have begun long before
  summary    TEXT NOT NULL,
  check_json TEXT NOT NULL,           -- the evidence: the pool as in `tracer.check/1`; its counts are totals of the run
  PRIMARY KEY (time, run, pool)
) STRICT, WITHOUT ROWID;

-- What is expected of a pool, whenever that changes: at the start of every run, when it is declared otherwise, when it goes.
CREATE TABLE in_force (
  time     REAL NOT NULL,
  run      INTEGER NOT NULL REFERENCES runs (id),
  pool     INTEGER NOT NULL REFERENCES pools (id),
  source   TEXT,                      -- `file:line` of its declaration, or `discovered`
  expected TEXT,                      -- `declared`, or `assumed`: equal shares
  method   TEXT,
  judged   INTEGER NOT NULL,          -- 0: it is only listed
  note     TEXT,
  members  TEXT,                      -- [{"backend":…,"weight":…,"at":"file:line"},…]; a weight of null: not declared;
                                      -- none where nobody declared it and it is only listed; NULL: the pool is gone
  PRIMARY KEY (time, run, pool)
) STRICT, WITHOUT ROWID;

CREATE INDEX in_force_by_pool ON in_force (pool, time);

-- What could not be counted where it belongs, in ten seconds; without a row: nothing.
CREATE TABLE uncounted (
  time             INTEGER NOT NULL,
  run              INTEGER NOT NULL REFERENCES runs (id),
  backends         INTEGER NOT NULL,  -- counted as `other`, since the table of backends was full
  connections      INTEGER NOT NULL,  -- could not be followed
  memory           INTEGER NOT NULL,  -- of these, for want of memory
  "limit"          INTEGER NOT NULL,  -- of these, since as many were followed as may be
  undecided        INTEGER NOT NULL,  -- from before the agent, of which it is not known who opened them
  recursion_misses INTEGER NOT NULL,  -- events that were hidden from the agent, made up for
  PRIMARY KEY (time, run)
) STRICT, WITHOUT ROWID;

-- Buckets of durations.
CREATE TABLE buckets (
  bucket        INTEGER PRIMARY KEY,
  upper_seconds REAL                  -- durations in it are shorter; NULL: of the last
) STRICT;

CREATE VIEW by_member AS
  SELECT datetime(points.time, 'unixepoch') AS utc, pools.name AS pool, pools.balancer, members.backend, points.*
  FROM points JOIN members ON members.id = points.member LEFT JOIN pools ON pools.id = members.pool;

CREATE VIEW by_pool AS
  SELECT datetime(pool_points.time, 'unixepoch') AS utc, pools.name, pools.balancer, pool_points.*
  FROM pool_points JOIN pools ON pools.id = pool_points.pool;

CREATE VIEW changes AS
  SELECT datetime(verdicts.time, 'unixepoch') AS utc, pools.name, pools.balancer, verdicts.*
  FROM verdicts JOIN pools ON pools.id = verdicts.pool;

-- Response times: how many exchanges of a member took how long.
CREATE VIEW responses AS
  SELECT points.time, points.run, points.member, buckets.bucket, buckets.upper_seconds, list.value AS exchanges
  FROM points, json_each(points.response_times) AS list
  JOIN buckets ON buckets.bucket = (points.response_times ->> 0) + list.key - 1
  WHERE list.key > 0 AND list.value > 0;
