//! Who gets the traffic? `tracer` counts every TCP connection that a load balancer opens, in the kernel, and judges the
//! spread over its backends, whatever the balancer says of itself.
//!
//! # Data flows one way
//!
//! ```text
//!  tracer-ebpf                          tracer
//!  lifecycle, relief, destroy ─┐
//!  adopt, sweep, send, receive ┴─ maps ─► kernel ─► collect ─► pools ─► detect ─► outputs
//!                                         Snapshot  Sample     PoolSample  Assessment
//!                                                                 │  ▲
//!                                                                 ▼  │
//!                                                               recording
//!
//!  pools file, configurations ─► imports, pools ─► WrittenPools ─► resolved ─► pools (above)
//!  discovery, runtime ───────────────▲                   └─► audit ─► outputs
//! ```
//!
//! | room | takes → gives | may touch |
//! |---|---|---|
//! | [`kernel`] | host → [`kernel::Snapshot`]: cumulative counters as read, and what was not counted | aya, bpf(2), BTF, the BPF file system, `/proc`, cgroups; decides nothing |
//! | [`collect`] | snapshots → [`collect::Sample`]: what happened in an interval; unknown is kept apart from zero | pure, but for the tick |
//! | [`pools`] | sample and declarations → [`pools::PoolSample`]: which backends belong together, what each should get | pure, but for resolving names |
//! | [`detect`] | pool sample and time → [`detect::Assessment`]: the verdict | pure: no clock, no I/O |
//! | [`agent`] | joins `pools` and `detect`; gives and takes what they remember | pure |
//! | [`recording`] | pool samples and the agent's state ↔ lines of JSON | readers and writers that it is given |
//! | [`history`] | intervals as they were judged, and events ↔ a file of SQLite; a range of it → [`report::Material`] | files; writes on a thread of its own |
//! | [`chronicle`] | assessments, interval by interval → [`chronicle::Event`]: what is worth telling | pure |
//! | [`report`] | a range of a history, or a recording judged again → [`report::Report`]: what was found when, before, during and after; as HTML, Markdown, JSON | pure |
//! | [`outputs`] | assessments and events → text, JSON, metrics, a page and a screen | nothing: gives strings, and cells of a terminal |
//! | [`alerts`] | assessments, interval by interval → what an Alertmanager is told | sockets; has a thread for each Alertmanager |
//! | [`listener`] | the latest interval → answers over HTTP | a socket; has a thread of its own |
//! | [`imports`] | a balancer's configuration → [`pools::WrittenPools`] and located problems | files, directories and variables, through [`imports::Surroundings`] |
//! | [`audit`] | pools as they are written → problems: what in them is likely not as somebody meant it | pure |
//! | [`input`] | files that the user wrote → bytes; where in them something is wrong | files |
//! | [`discovery`] | host → [`discovery::Found`]: running balancers that can be believed, and their files as they see them | `/proc`, files of root's; executes nothing |
//! | [`privilege`] | what a thread has to do → what it keeps: capabilities, files, ports | prctl(2), capset(2), landlock; gives up for good |
//! | [`runtime`] | HAProxy's socket → [`runtime::ServerState`]: what was changed since it read its configuration | a UNIX socket; changes nothing |
//! | [`cli`] | arguments → exit code | terminal, signals; owns the runtime |
//!
//! The crate `tracer-ebpf` is two things: a library with the layout shared with the kernel and every decision of the
//! kernel side that needs no kernel, and the eBPF object.
//!
//! # Words
//!
//! A **balancer** opens connections: the command of the thread-group leader, its cgroup, its network namespace. A
//! **backend** is one remote address and port; a **pool** a balancer and the backends it spreads over; a **member** a
//! backend in a pool, with its expected share. An **attempt** is a socket that enters SYN_SENT; it becomes
//! **established**, or **failed** with a cause, or is still **pending**. A connection is **live**, **closing** or
//! **closed**; a **probe** is one that ended without payload. A **sweep** reads the kernel's own counters of every
//! tracked socket. An **exchange** is a request and its response on a connection: the balancer sends, after it has received or
//! first, and then reads; several at once on a connection (HTTP/2, pipelining) are fewer exchanges. The **signal** is what shares are computed on.
//!
//! A connection that was there before the tracer is **adopted**: neither attempt nor established. An attempt whose socket
//! could keep no state is **untracked**: what becomes of it is not known.
//!
//! Always: attempts = established + failed + pending + untracked, and established + adopted = live + closing + closed. Pending, live and closing are counted and not derived, so that the sums can disagree and be seen
//! to: while connections come and go they do by what happened between the sweep and the reading of the counters.
//!
//! # What is not here
//!
//! No event per connection crosses from the kernel: everything is added up there. No room but `kernel` knows aya. No
//! room but `cli` prints. Nothing in `detect` reads a clock: a recorded sample is judged as a live one is.

pub mod agent;
pub mod alerts;
pub mod audit;
pub mod chronicle;
pub mod cli;
pub mod collect;
#[cfg(test)]
mod corpus_tests;
pub mod detect;
pub mod discovery;
#[cfg(test)]
mod fixtures;
pub mod history;
pub mod imports;
pub mod input;
pub mod kernel;
pub mod listener;
pub mod outputs;
pub mod pools;
pub mod privilege;
pub mod recording;
pub mod report;
pub mod runtime;
