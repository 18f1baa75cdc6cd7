//! The rules for a fleet of balancers, tried by promtool on made-up fleets, good and faulty: each alert where it should be,
//! and none where nothing is wrong.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it has to be")]

#[path = "fleet/faulty.rs"]
mod faulty;
#[path = "fleet/good.rs"]
mod good;
#[path = "fleet/measured.rs"]
mod measured;
#[path = "fleet/promtool.rs"]
mod promtool;
#[path = "fleet/shipped.rs"]
mod shipped;
#[path = "fleet/world.rs"]
mod world;
