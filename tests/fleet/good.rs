//! Fleets in which nothing is wrong: no alert.

use crate::promtool::fires;
use crate::world::{Fleet, Spread};

#[test]
fn balancers_that_take_turns() {
    fires(&Fleet::of(5, 4), &[]);
}

#[test]
fn balancers_that_choose_at_random() {
    fires(&Fleet::of(5, 8).each(|balancer| balancer.spread = Spread::Random), &[]);
}

#[test]
fn clients_that_differ_under_hashing() {
    let by_client = Fleet::of(5, 8).each(|balancer| {
        balancer.spread = Spread::Clients;
        balancer.method = "hash";
    });
    fires(&by_client, &[]);
}

#[test]
fn hardly_any_traffic() {
    let quiet = Fleet::of(5, 8).each(|balancer| {
        balancer.per_second = 0.2;
        balancer.spread = Spread::Random;
    });
    fires(&quiet, &[]);
}

#[test]
fn much_traffic_here_and_little_there_and_none_on_a_standby() {
    let mut fleet = Fleet::of(6, 4).each(|balancer| balancer.spread = Spread::Random);
    for (balancer, per_second) in fleet.balancers.iter_mut().zip([500.0, 50.0, 5.0, 0.5, 0.0, 0.0]) {
        balancer.per_second = per_second;
    }
    fires(&fleet, &[]);
}

#[test]
fn weights_that_are_uneven_and_declared_everywhere() {
    let weights = [5.0, 1.0, 1.0, 0.0];
    let fleet = Fleet::of(4, 4).each(|balancer| {
        balancer.expected = weights.to_vec();
        balancer.before.weights = weights.map(Some).to_vec();
        balancer.before.verdict = "uneven-weights";
    });
    fires(&fleet, &[]);
}

#[test]
fn connections_that_are_reused_unevenly_while_exchanges_are_even() {
    // One balancer's connections to the first backend are longer lived: fewer new ones, with more exchanges each.
    let mut fleet = Fleet::of(4, 4).each(|balancer| balancer.exchanges = Some(vec![50.0; 4]));
    fleet.balancers[2].before.weights[0] = Some(0.2);
    fleet.balancers[2].exchanges = Some(vec![250.0, 50.0, 50.0, 50.0]);
    fires(&fleet, &[]);
}

#[test]
fn two_balancers_of_which_nobody_can_say_who_is_right() {
    let fleet = Fleet::of(2, 4).fault_at(1, |phase| phase.weights[0] = Some(3.0));
    fires(&fleet, &[]);
}

#[test]
fn shares_that_are_assumed_whatever_they_are() {
    let fleet = Fleet::of(4, 4).each(|balancer| balancer.expected_source = "assumed");
    let fleet = fleet.fault_at(1, |phase| {
        phase.weights = vec![Some(10.0), Some(1.0), Some(1.0), Some(0.0)];
        phase.verdict = "skewed";
    });
    let fleet = fleet.fault(|phase| {
        phase.refused[2] = 0.9;
        phase.weights[3] = Some(0.0);
    });
    fires(&fleet, &[]);
}

#[test]
fn a_tracer_that_is_started_anew() {
    let mut fleet = Fleet::of(4, 4);
    fleet.balancers[1].restarts_at = Some(60);
    fires(&fleet, &[]);
}

#[test]
fn a_verdict_that_is_not_certain() {
    fires(&Fleet::of(4, 4).fault(|phase| phase.verdict = "insufficient-evidence"), &[]);
}

#[test]
fn a_backend_that_fails_now_and_then() {
    let fleet = Fleet::of(4, 4).each(|balancer| balancer.exchanges = Some(vec![1.0; 4]));
    let fleet = fleet.fault(|phase| {
        phase.refused[1] = 0.02;
        phase.response_seconds[2] = 0.02;
    });
    fires(&fleet, &[]);
}
