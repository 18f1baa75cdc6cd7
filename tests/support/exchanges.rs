//! How exchanges are measured on this kernel.

use super::backend::Backend;
use super::pools::Pools;
use super::tracer::{Ended, Tracer, check_until_told, tracer};
use serde_json::Value;
use std::sync::OnceLock;

/// What `--exchanges` has to say for that, as `tracer doctor` tells it: `auto` where tracepoints do it.
pub(crate) fn way() -> &'static str {
    static WAY: OnceLock<&str> = OnceLock::new();
    WAY.get_or_init(|| {
        let found: Value = tracer(["doctor", "--json"]).spawn().finish().json;
        let works = |name: &str| {
            let mut programs = found["programs"].as_array().unwrap().iter();
            programs.any(|program| program["name"] == name && program["works"] == true)
        };
        assert!(works("receive") && (works("send") || works("send_entry")), "no exchanges here: {found:#}");
        if works("send") { "auto" } else { "on" }
    })
}

/// `tracer check --json` that measures them, until somebody sends it SIGINT.
pub(crate) fn measure(pools: Pools) -> Tracer {
    check_until_told(pools).argument("--exchanges").argument(way())
}

/// That every member of `app` has just as many exchanges as its backend had requests.
#[track_caller]
pub(crate) fn equal_requests(ended: &Ended, backends: &[Backend]) {
    ended.print_uncounted();
    for backend in backends {
        let requests = backend.report().requests;
        let member = ended.member("app", backend.address);
        println!("{}: {requests} requests, {} exchanges", backend.address, member.count("exchanges"));
        member.is("exchanges", requests);
    }
}
