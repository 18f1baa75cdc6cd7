//! What is known of nginx's words. Inside `upstream`, and among the parameters of its `server`, the table decides: a word
//! that is not in it is unknown.

use crate::imports::{Directive, Effect};
use Effect::{Irrelevant, Noted, Understood};

pub(super) const ANYWHERE: &str = "anywhere";
pub(super) const MAIN: &str = "main";
pub(super) const BELOW: &str = "http and stream, at any depth";
pub(super) const HTTP: &str = "http, at any depth";
pub(super) const STREAM: &str = "stream, at any depth";
pub(super) const UPSTREAM: &str = "upstream";
pub(super) const HTTP_UPSTREAM: &str = "upstream in http";
pub(super) const SERVER: &str = "server in upstream";

const fn row(name: &'static str, context: &'static str, effect: Effect, fixture: &'static str) -> Directive {
    Directive { name, context, effect, fixture }
}

/// The words that matter for who gets what, and those that stand among them.
pub const DIRECTIVES: &[Directive] = &[
    row(
        "include",
        ANYWHERE,
        Understood("files in the order of glob(3), relative to the main file"),
        "live-include",
    ),
    row("http", MAIN, Understood("upstreams of its own"), "live-round-robin"),
    row("stream", MAIN, Understood("upstreams of its own"), "live-stream"),
    row("worker_processes", MAIN, Understood("how often max_conns counts without a zone"), "live-zone"),
    row("upstream", "http and stream", Understood("a pool"), "live-round-robin"),
    row("server", UPSTREAM, Understood("a member, or one for each address of a name"), "live-round-robin"),
    row("weight=", SERVER, Understood("its weight, 1 without"), "live-weight"),
    row(
        "max_conns=",
        SERVER,
        Understood("most connections at once, per worker without a zone"),
        "live-max-conns",
    ),
    row("max_fails=", SERVER, Irrelevant("only counts failures"), "live-weight"),
    row("fail_timeout=", SERVER, Irrelevant("only counts failures"), "live-weight"),
    row("backup", SERVER, Understood("gets nothing while another is there"), "live-backup"),
    row("down", SERVER, Understood("gets nothing"), "live-down"),
    row("resolve", SERVER, Understood("its name is resolved again and again"), "resolve"),
    row("service=", SERVER, Noted("members are in SRV records of the DNS, which are not read"), "resolve"),
    row("slow_start=", SERVER, Irrelevant("only after a recovery"), "plus"),
    row("route=", SERVER, Irrelevant("only names it"), "plus"),
    row("drain", SERVER, Understood("gets nothing new"), "plus"),
    row("sid=", SERVER, Irrelevant("only names it (Angie)"), "third-party"),
    row("id=", SERVER, Irrelevant("only names it (Tengine)"), "third-party"),
    row("zone", UPSTREAM, Understood("workers share what they know"), "live-zone"),
    row("least_conn", UPSTREAM, Understood("least connections"), "live-least-conn"),
    row("least_time", UPSTREAM, Understood("least connections, by time"), "plus"),
    row("hash", UPSTREAM, Understood("by hash; with consistent a name has one share"), "live-hash"),
    row("random", UPSTREAM, Understood("at random; with two least connections"), "live-random"),
    row("ip_hash", HTTP_UPSTREAM, Understood("by hash"), "live-ip-hash"),
    row("sticky", HTTP_UPSTREAM, Understood("by hash, since clients are bound"), "plus"),
    row("keepalive", HTTP_UPSTREAM, Irrelevant("shares are those of new connections"), "live-keepalive"),
    row(
        "keepalive_requests",
        HTTP_UPSTREAM,
        Irrelevant("shares are those of new connections"),
        "live-keepalive",
    ),
    row("keepalive_time", HTTP_UPSTREAM, Irrelevant("shares are those of new connections"), "live-keepalive"),
    row(
        "keepalive_timeout",
        HTTP_UPSTREAM,
        Irrelevant("shares are those of new connections"),
        "live-keepalive",
    ),
    row("ntlm", HTTP_UPSTREAM, Irrelevant("shares are those of new connections"), "plus"),
    row("queue", HTTP_UPSTREAM, Irrelevant("who waits does not choose"), "plus"),
    row("state", UPSTREAM, Noted("its servers are in a file of nginx's own, which is not read"), "plus"),
    row("resolver", "http and stream", Understood("IPv4 or IPv6 only, where it says so"), "resolve"),
    row("resolver", UPSTREAM, Understood("IPv4 or IPv6 only, where it says so"), "resolve"),
    row("resolver_timeout", UPSTREAM, Irrelevant("this host's resolver is asked"), "resolve"),
    row("check", UPSTREAM, Understood("the interval of health checks over HTTP (Tengine)"), "third-party"),
    row("check_http_send", UPSTREAM, Irrelevant("what a health check says"), "third-party"),
    row("check_http_expect_alive", UPSTREAM, Irrelevant("what a health check wants"), "third-party"),
    row("check_keepalive_requests", UPSTREAM, Irrelevant("how a health check connects"), "third-party"),
    row("fair", UPSTREAM, Noted("a module of its own chooses the member"), "third-party"),
    row("balancer_by_lua_block", UPSTREAM, Noted("code in Lua chooses the member"), "third-party"),
    row("balancer_by_lua_file", UPSTREAM, Noted("code in Lua chooses the member"), "third-party"),
    row("proxy_pass", BELOW, Understood("to an upstream, or a pool of its own"), "live-address"),
    row("fastcgi_pass", HTTP, Understood("to an upstream, or a pool of its own"), "passes"),
    row("grpc_pass", HTTP, Understood("to an upstream, or a pool of its own"), "passes"),
    row("uwsgi_pass", HTTP, Understood("to an upstream, or a pool of its own"), "passes"),
    row("scgi_pass", HTTP, Understood("to an upstream, or a pool of its own"), "passes"),
    row("memcached_pass", HTTP, Understood("to an upstream, or a pool of its own"), "passes"),
    row("tunnel_pass", HTTP, Understood("to an upstream, or a pool of its own"), "passes"),
    row("listen", STREAM, Understood("with udp, what is passed on there is a note"), "stream"),
    row("pass", STREAM, Irrelevant("to a listener of nginx itself"), "stream"),
    row("health_check", BELOW, Understood("the interval of health checks over HTTP"), "plus"),
];

/// The row of a word in one of these places.
pub(super) fn look_up(name: &[u8], contexts: &[&str]) -> Option<&'static Directive> {
    DIRECTIVES.iter().find(|row| row.name.as_bytes() == name && contexts.contains(&row.context))
}
