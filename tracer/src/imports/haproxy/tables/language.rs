//! Sections, words of `global`, and conditional blocks.

use crate::imports::Directive;
use crate::imports::Effect::{self, Irrelevant, Noted, Understood};

const fn section(name: &'static str, effect: Effect, fixture: &'static str) -> Directive {
    Directive { name, context: "begins a section", effect, fixture }
}

const fn global(name: &'static str, effect: Effect, fixture: &'static str) -> Directive {
    Directive { name, context: "global", effect, fixture }
}

const fn anywhere(name: &'static str, effect: Effect, fixture: &'static str) -> Directive {
    Directive { name, context: "anywhere", effect, fixture }
}

const fn predicate(name: &'static str, effect: Effect, fixture: &'static str) -> Directive {
    Directive { name, context: "condition of .if", effect, fixture }
}

/// First words of sections, sorted.
pub(in crate::imports::haproxy) const SECTION: &[Directive] = &[
    section("acme", Irrelevant("has no servers that clients' connections go to"), "words-section"),
    section("backend", Understood("a pool"), "live-weight"),
    section("cache", Irrelevant("has no servers that clients' connections go to"), "words-section"),
    section("crt-store", Irrelevant("has no servers that clients' connections go to"), "words-section"),
    section("defaults", Understood("settings of the sections behind it"), "live-named-defaults"),
    section("fcgi-app", Irrelevant("has no servers that clients' connections go to"), "words-section"),
    section("frontend", Understood("only which backends it uses"), "unused"),
    section("global", Understood("environment variables and the stats socket"), "global"),
    section("healthcheck", Irrelevant("has no servers that clients' connections go to"), "words-section"),
    section("http-errors", Irrelevant("has no servers that clients' connections go to"), "words-section"),
    section("listen", Understood("a pool"), "live-listen"),
    section("log-forward", Irrelevant("has no servers that clients' connections go to"), "words-section"),
    section("log-profile", Irrelevant("has no servers that clients' connections go to"), "words-section"),
    section("mailers", Irrelevant("has no servers that clients' connections go to"), "words-section"),
    section("namespace_list", Irrelevant("has no servers that clients' connections go to"), "words-section"),
    section("peers", Irrelevant("has no servers that clients' connections go to"), "words-section"),
    section("program", Irrelevant("has no servers that clients' connections go to"), "words-section"),
    section("resolvers", Irrelevant("has no servers that clients' connections go to"), "words-section"),
    section("ring", Irrelevant("has no servers that clients' connections go to"), "words-section"),
    section("spoe-agent", Irrelevant("has no servers that clients' connections go to"), "words-section"),
    section("spoe-group", Irrelevant("has no servers that clients' connections go to"), "words-section"),
    section("spoe-message", Irrelevant("has no servers that clients' connections go to"), "words-section"),
    section("traces", Irrelevant("has no servers that clients' connections go to"), "words-section"),
    section("userlist", Irrelevant("has no servers that clients' connections go to"), "words-section"),
];

/// Words of `global` that matter: all others are settings of the process, sorted.
pub(in crate::imports::haproxy) const GLOBAL: &[Directive] = &[
    global("presetenv", Understood("a variable, unless it is there"), "environment"),
    global("resetenv", Understood("no variable but these"), "environment"),
    global("setenv", Understood("a variable"), "environment"),
    global(
        "stats",
        Understood("the first UNIX path of a stats socket is where run-time state is asked for"),
        "global",
    ),
    global("unix-bind", Understood("what stands before the path of a stats socket"), "global"),
    global("unsetenv", Understood("no such variable"), "environment"),
];

/// What may stand anywhere, sorted.
pub(in crate::imports::haproxy) const MACRO: &[Directive] = &[
    anywhere(".alert", Understood("HAProxy refuses the file"), "bad-alert"),
    anywhere(".diag", Irrelevant("a message"), "live-if"),
    anywhere(".elif", Understood("a block of lines"), "live-if"),
    anywhere(".else", Understood("a block of lines"), "live-if"),
    anywhere(".endif", Understood("a block of lines"), "live-if"),
    anywhere(".if", Understood("a block of lines"), "live-if"),
    anywhere(".notice", Irrelevant("a message"), "live-if"),
    anywhere(".warning", Irrelevant("a message"), "live-if"),
];

/// Predicates of conditions, sorted.
pub(in crate::imports::haproxy) const PREDICATE: &[Directive] = &[
    predicate(
        "awslc_api_atleast",
        Noted("it depends on HAProxy itself: what the block decides is not judged"),
        "undecided",
    ),
    predicate(
        "awslc_api_before",
        Noted("it depends on HAProxy itself: what the block decides is not judged"),
        "undecided",
    ),
    predicate("defined", Understood("decided by the text"), "live-if"),
    predicate(
        "enabled",
        Noted("it depends on HAProxy itself: what the block decides is not judged"),
        "undecided",
    ),
    predicate(
        "feature",
        Noted("it depends on HAProxy itself: what the block decides is not judged"),
        "undecided",
    ),
    predicate(
        "fips_mode",
        Noted("it depends on HAProxy itself: what the block decides is not judged"),
        "undecided",
    ),
    predicate(
        "openssl_version_atleast",
        Noted("it depends on HAProxy itself: what the block decides is not judged"),
        "undecided",
    ),
    predicate(
        "openssl_version_before",
        Noted("it depends on HAProxy itself: what the block decides is not judged"),
        "undecided",
    ),
    predicate(
        "ssllib_name_startswith",
        Noted("it depends on HAProxy itself: what the block decides is not judged"),
        "undecided",
    ),
    predicate("streq", Understood("decided by the text"), "live-if"),
    predicate("strneq", Understood("decided by the text"), "live-if"),
    predicate("strstr", Understood("decided by the text"), "conditions"),
    predicate(
        "version_atleast",
        Noted("it depends on HAProxy itself: what the block decides is not judged"),
        "undecided",
    ),
    predicate(
        "version_before",
        Noted("it depends on HAProxy itself: what the block decides is not judged"),
        "undecided",
    ),
];
