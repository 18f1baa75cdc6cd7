//! What declarations say beyond weights: doubts, former addresses, limits, who asked.

use super::*;
use crate::input::Place as Written;
use crate::pools::Former;

fn app(members: &[(&str, f64)]) -> DeclaredPool {
    pool("app", Some("nginx"), members)
}

fn former(backend: &str, name: &str) -> Former {
    Former { backend: backend.parse().unwrap(), name: name.into() }
}

/// The pools after one interval in which nginx had so many attempts at each.
fn grouped(declared: Vec<DeclaredPool>, got: &[(&str, u64)]) -> Vec<PoolSample> {
    let nginx = balancer("nginx", "nginx", Some(true));
    let seen = got.iter().map(|&(backend, attempts)| seen(&nginx, backend, attempts)).collect();
    Pools::new(declared, Filter::default()).group(&sample(seen))
}

#[test]
fn a_doubt_keeps_a_pool_from_being_judged() {
    let doubt = Some("the host name app does not resolve".to_owned());
    let even = [("10.0.0.1:80", 1.0), ("10.0.0.2:80", 1.0)];
    let found = grouped(
        vec![DeclaredPool { doubt: doubt.clone(), ..app(&even) }],
        &[("10.0.0.1:80", 5), ("10.0.0.2:80", 4)],
    );
    assert_eq!(shown(&found), ["app nginx listed 10.0.0.1:80=1:5 10.0.0.2:80=1:4"]);
    let note = Some("not judged: the host name app does not resolve");
    assert_eq!(found[0].note.as_deref(), note);
    let nobody = grouped(vec![DeclaredPool { doubt, ..app(&[]) }], &[]);
    assert_eq!((shown(&nobody), nobody[0].note.as_deref()), (vec!["app nginx listed".to_owned()], note));
}

#[test]
fn members_know_where_their_weight_is_written() {
    let mut app = app(&[("10.0.0.1:80", 1.0), ("10.0.0.2:80", 1.0)]);
    app.members[1].at = Some(Written { file: "app.conf".into(), line: 12, column: 9 });
    app.vouched = false;
    app.asked = false;
    let found = grouped(vec![app], &[("10.0.0.1:80", 5), ("10.0.0.2:80", 4), ("10.0.0.3:80", 1)]);
    let origins: Vec<&Origin> = found[0].members.iter().map(|member| &member.origin).collect();
    assert_eq!(origins, [&Origin::Unknown, &Origin::Written("app.conf:12".into()), &Origin::Unknown]);
    assert!(!found[0].pool.vouched && !found[0].pool.asked);
}

#[test]
fn a_former_address_is_a_stranger_of_its_own_pool_on_a_port_of_several() {
    let moved = DeclaredPool {
        former: vec![former("10.0.0.9:80", "app.example.com")],
        ..app(&[("10.0.0.1:80", 1.0), ("10.0.0.2:80", 1.0)])
    };
    let other = pool("other", Some("nginx"), &[("10.0.1.1:80", 1.0), ("10.0.1.2:80", 1.0)]);
    let got = [("10.0.0.1:80", 5), ("10.0.0.9:80", 4), ("10.0.1.1:80", 5), ("10.0.3.3:80", 1)];
    let found = grouped(vec![other, moved], &got);
    assert_eq!(
        shown(&found)[..2],
        [
            "other nginx judged 10.0.1.1:80=1:5 10.0.1.2:80=1:0",
            "app nginx judged 10.0.0.1:80=1:5 10.0.0.2:80=1:0 10.0.0.9:80=?:4",
        ]
    );
    assert_eq!(found[1].members[2].origin, Origin::Former("app.example.com".into()));
    let homeless = "10.0.3.3:80 gets traffic and is in no declared pool; several have members on its port";
    assert_eq!([&found[0].note, &found[1].note], [&Some(homeless.into()), &Some(homeless.into())]);
    let discovered: Vec<_> = found[2..].iter().flat_map(|pool| &pool.members).collect();
    assert_eq!(discovered.len(), 1, "what a pool has taken is in no other");
}

#[test]
fn even_former_addresses_are_no_pool_of_their_own() {
    let moved = DeclaredPool {
        former: vec![former("10.0.0.8:80", "app.example.com"), former("10.0.0.9:80", "app.example.com")],
        ..app(&[("10.0.0.1:80", 1.0), ("10.0.0.2:80", 1.0)])
    };
    let got = [("10.0.0.1:80", 50), ("10.0.0.2:80", 50), ("10.0.0.8:80", 50), ("10.0.0.9:80", 50)];
    let found = grouped(vec![moved], &got);
    assert_eq!(
        shown(&found),
        ["app nginx judged 10.0.0.1:80=1:50 10.0.0.2:80=1:50 10.0.0.8:80=?:50 10.0.0.9:80=?:50"]
    );
    assert_eq!(found[0].note, None);
}

#[test]
fn who_only_uses_former_addresses_is_the_pools_balancer_all_the_same() {
    let moved = DeclaredPool {
        former: vec![former("203.0.113.9:80", "app.example.com")],
        ..pool("app", None, &[("10.0.0.1:80", 1.0)])
    };
    let found = grouped(vec![moved], &[("203.0.113.9:80", 7)]);
    assert_eq!(shown(&found), ["app nginx judged 10.0.0.1:80=1:0 203.0.113.9:80=?:7"]);
}

#[test]
fn a_former_address_of_two_pools_counts_once_and_a_member_is_none() {
    let names = || vec![former("10.0.0.9:80", "a.example.com"), former("10.0.0.1:80", "b.example.com")];
    let one = DeclaredPool { former: names(), ..app(&[("10.0.0.1:80", 1.0)]) };
    let two = DeclaredPool { former: names(), ..pool("two", Some("nginx"), &[("10.0.0.2:80", 1.0)]) };
    let found = grouped(vec![one, two], &[("10.0.0.1:80", 3), ("10.0.0.2:80", 3), ("10.0.0.9:80", 3)]);
    assert_eq!(
        shown(&found),
        ["app nginx judged 10.0.0.1:80=1:3 10.0.0.9:80=?:3", "two nginx judged 10.0.0.2:80=1:3"]
    );
}

#[test]
fn a_limit_that_is_reached_is_noted_but_not_of_a_shared_member() {
    let limited = |name: &str, members: &[(&str, f64)]| {
        let mut pool = pool(name, Some("nginx"), members);
        pool.members.iter_mut().for_each(|member| member.max_connections = Some(10));
        pool
    };
    let app = limited("app", &[("10.0.0.1:80", 1.0), ("10.0.0.2:80", 1.0), ("10.0.0.3:80", 1.0)]);
    let nginx = balancer("nginx", "nginx", Some(true));
    let at = |declared: Vec<DeclaredPool>, live: u64| {
        let mut full = seen(&nginx, "10.0.0.1:80", 5);
        full.stock = Some(Stock { live, pending: 1, ..Stock::default() });
        let rest = ["10.0.0.2:80", "10.0.0.3:80"].map(|backend| seen(&nginx, backend, 5));
        let found =
            Pools::new(declared, Filter::default()).group(&sample([vec![full], rest.to_vec()].concat()));
        assert!(found[0].judged);
        found[0].note.clone().unwrap_or_default()
    };
    assert_eq!(at(vec![app.clone()], 8), "");
    let note = "10.0.0.1:80 holds 10 connections and has reached its limit of 10: what it cannot take goes to the others";
    assert_eq!(at(vec![app.clone()], 9), note);
    let shared = at(vec![app, limited("other", &[("10.0.0.1:80", 1.0)])], 99);
    assert!(shared.contains("left out") && !shared.contains("limit"), "{shared}");
}
