//! Fleets with a fault: the alerts that name it, and no others.

use crate::promtool::fires;
use crate::world::{Fleet, Spread};

#[test]
fn a_weight_that_was_mistyped_on_one_balancer() {
    let fleet = Fleet::of(5, 4).fault_at(2, |phase| {
        phase.weights[0] = Some(10.0);
        phase.verdict = "skewed";
    });
    let alerts = [
        "TracerBalancerDisagrees balancer=nginx instance=lb3:9477 pool=app",
        "TracerBalancerUneven balancer=nginx instance=lb3:9477 pool=app verdict=skewed",
    ];
    fires(&fleet, &alerts);
}

#[test]
fn a_weight_that_was_mistyped_where_it_is_declared() {
    // The balancer does as its configuration says; only the others do not.
    let mut fleet = Fleet::of(3, 4).fault_at(1, |phase| {
        phase.weights[0] = Some(10.0);
        phase.verdict = "uneven-weights";
    });
    fleet.balancers[1].expected[0] = 10.0;
    fires(&fleet, &["TracerBalancerDisagrees balancer=nginx instance=lb2:9477 pool=app"]);
}

#[test]
fn one_of_a_hundred_backends_of_which_one_balancer_sends_too_much() {
    let fleet = Fleet::of(3, 100).each(|balancer| balancer.spread = Spread::Random);
    let fleet = fleet.fault_at(2, |phase| phase.weights[7] = Some(10.0));
    fires(&fleet, &["TracerBalancerDisagrees balancer=nginx instance=lb3:9477 pool=app"]);
}

#[test]
fn a_member_that_one_balancer_does_not_know() {
    let fleet = Fleet::of(4, 4).each(|balancer| balancer.spread = Spread::Random);
    let fleet = fleet.fault_at(0, |phase| phase.weights[3] = None);
    fires(&fleet, &["TracerBalancerDisagrees balancer=nginx instance=lb1:9477 pool=app"]);
}

#[test]
fn a_backend_that_only_one_balancer_knows() {
    let fleet = Fleet::of(4, 5).each(|balancer| balancer.before.weights[4] = None);
    let fleet = fleet.fault_at(3, |phase| {
        phase.weights[4] = Some(1.0);
        phase.verdict = "unexpected-backend";
    });
    let alerts = [
        "TracerBalancerDisagrees balancer=nginx instance=lb4:9477 pool=app",
        "TracerBalancerUneven balancer=nginx instance=lb4:9477 pool=app verdict=unexpected-backend",
    ];
    fires(&fleet, &alerts);
}

#[test]
fn a_member_that_nobody_sends_to() {
    let fleet = Fleet::of(3, 4).fault(|phase| phase.weights[2] = Some(0.0));
    fires(&fleet, &["TracerMemberUnused backend=10.0.0.3:8080 pool=app"]);
}

#[test]
fn a_backend_that_refuses() {
    let fleet = Fleet::of(3, 4).fault(|phase| {
        phase.refused[1] = 0.5;
        phase.verdict = "backend-failing";
    });
    let alerts = [
        "TracerBackendFailing backend=10.0.0.2:8080 pool=app",
        "TracerPoolVerdict pool=app verdict=backend-failing",
    ];
    fires(&fleet, &alerts);
}

#[test]
fn backends_that_refuse_all_at_once() {
    let fleet = Fleet::of(3, 4).fault(|phase| phase.refused = vec![0.9; 4]);
    fires(&fleet, &["TracerPoolFailing pool=app"]);
}

#[test]
fn a_backend_that_is_slow() {
    let fleet = Fleet::of(3, 4).each(|balancer| balancer.exchanges = Some(vec![1.0; 4]));
    let fleet = fleet.fault(|phase| phase.response_seconds[0] = 0.25);
    fires(&fleet, &["TracerBackendSlow backend=10.0.0.1:8080 pool=app"]);
}

#[test]
fn a_tracer_that_is_gone() {
    fires(&Fleet::of(3, 4).fault_at(1, |phase| phase.up = false), &["TracerDown instance=lb2:9477"]);
}

#[test]
fn tracers_that_do_not_see_all() {
    let fleet = Fleet::of(3, 4).fault_at(0, |phase| phase.uncounted = 0.05);
    let fleet = fleet.fault_at(1, |phase| phase.programs = 0.0);
    fires(&fleet, &["TracerBlind instance=lb1:9477", "TracerBlind instance=lb2:9477"]);
}

#[test]
fn a_tracer_that_is_late_and_one_whose_alerts_nobody_takes() {
    let fleet = Fleet::of(3, 4).fault_at(0, |phase| phase.lag_seconds = 4.0);
    let fleet = fleet.fault_at(1, |phase| phase.alerts_waiting = 1.0);
    let alerts = [
        "TracerAlertsUndelivered alertmanager=http://am:9093 instance=lb2:9477",
        "TracerLate instance=lb1:9477",
    ];
    fires(&fleet, &alerts);
}
