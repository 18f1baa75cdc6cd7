use super::*;

fn filtered(filter: Filter, backends: Vec<BackendSample>) -> Vec<String> {
    let mut pools = Pools::new(Vec::new(), filter);
    assert!(pools.unmatched().is_empty());
    pools.group(&sample(backends));
    pools.unmatched()
}

#[test]
fn a_filter_that_nothing_matches_is_named_with_what_was_seen() {
    let all = || {
        let one = |name, to| seen(&balancer(name, name, None), to, 1);
        vec![one("curl", "10.0.0.1:80"), one("nginx", "10.0.0.1:80"), one("haproxy", "10.0.0.2:81")]
    };
    let none = Filter::default;
    let name = |name: &str| Some(name.to_owned());
    for (filter, expected) in [
        (none(), vec![]),
        (Filter { balancer: name("nginx"), ..none() }, vec![]),
        (
            Filter { balancer: name("ngnix"), ..none() },
            vec!["nothing seen of --balancer ngnix; seen: haproxy, nginx, curl"],
        ),
        (Filter { port: Some(8080), ..none() }, vec!["nothing seen of --port 8080; seen: 80, 81"]),
        (
            Filter { backend: Some("10.1.0.0/16".parse().unwrap()), ..none() },
            vec!["nothing seen of --backend 10.1.0.0/16; seen: 10.0.0.1:80, 10.0.0.2:81"],
        ),
        (Filter { netns: Some(7), ..none() }, vec!["nothing seen of --netns 7; seen: 1"]),
        (
            Filter { balancer: name("nginx"), port: Some(81), ..none() },
            vec!["nothing seen that all filters together let through"],
        ),
    ] {
        assert_eq!(filtered(filter, all()), expected);
    }
    let filter = Filter { port: Some(80), ..none() };
    assert_eq!(filtered(filter, Vec::new()), ["nothing seen of --port 80"]);
}

#[test]
fn a_declared_balancer_that_was_not_seen_is_named_with_who_was() {
    let nginx = balancer("nginx", "nginx", None);
    let app = |name| vec![pool("app", Some(name), &[("10.0.0.1:80", 1.0)])];
    let backends = sample(vec![seen(&nginx, "10.0.0.1:80", 1)]);
    let mut pools = Pools::new(app("ngnix"), Filter::default());
    pools.group(&backends);
    assert_eq!(
        pools.unmatched(),
        ["pool app: ngnix was not seen, but nginx connects to its members; is `balancer` right?"]
    );
    pools.declare(app("nginx"));
    pools.group(&backends);
    assert!(pools.unmatched().is_empty());
    let mut hidden = Pools::new(app("nginx"), Filter { port: Some(81), ..Filter::default() });
    hidden.group(&backends);
    assert_eq!(
        hidden.unmatched(),
        ["nothing seen of --port 81; seen: 80", "pool app is left out by the filter"]
    );
}

#[test]
fn with_a_full_table_a_member_never_seen_is_unknown() {
    let nginx = balancer("nginx", "nginx", None);
    let app = pool("app", None, &[("10.0.0.1:80", 1.0), ("10.0.0.2:80", 1.0), ("10.0.0.3:80", 0.0)]);
    let mut pools = Pools::new(vec![app], Filter::default());
    let mut full = sample(vec![seen(&nginx, "10.0.0.1:80", 9)]);
    assert!(pools.group(&full)[0].judged);
    full.crowded = true;
    let found = pools.group(&full);
    assert!(!found[0].judged && found[0].note.as_ref().unwrap().contains("the table of backends is full"));
    full.backends.push(seen(&nginx, "10.0.0.2:80", 1));
    assert!(pools.group(&full)[0].judged, "all that are due something have been seen");
}

#[test]
fn a_declared_balancer_is_called_as_declared() {
    let (one, two) = (balancer("nginx", "one", None), balancer("nginx", "two", None));
    let both = || vec![seen(&one, "10.0.0.1:80", 1), seen(&two, "10.0.0.1:80", 1)];
    let mut pools = Pools::new(vec![pool("app", Some("nginx"), &[("10.0.0.1:80", 1.0)])], Filter::default());
    let mut names = |backends| -> Vec<String> {
        pools.group(&sample(backends)).into_iter().filter_map(|pool| pool.pool.balancer).collect()
    };
    assert_eq!(names(vec![]), ["nginx"]);
    assert_eq!(names(vec![seen(&two, "10.0.0.1:80", 1)]), ["nginx"]);
    assert_eq!(names(both()), ["nginx (one.service)", "nginx"]);
}
