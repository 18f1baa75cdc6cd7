//! What stands below the help of each command: how it is used, word for word.

pub(super) const TRACER: &str = "Examples:
  tracer                              on a terminal: the screen of `tracer top`
  tracer check                        watch what this host's balancers do, say whether it is even
  tracer check --nginx /etc/nginx/nginx.conf  against what this configuration says
  tracer check --pools pools.toml     against the shares that you expect
  tracer check --balancer haproxy --port 8080 --for 30s --json
  tracer watch --pools pools.toml     the same for good: a line whenever a verdict changes, --json for programs
  tracer check --replay samples.jsonl  what was recorded, judged again
  tracer audit                        what the configurations of running balancers say, and what looks wrong in them
  tracer report --history history.db --out incident.html
  tracer doctor                       what this host supports
  tracer demo                         see it find a planted fault

Exit codes: 0 balanced or done; 1 a finding; 2 usage or input error; 3 insufficient evidence; 4 this host cannot be \
traced; 5 internal error";

pub(super) const TOP: &str = "Examples:
  tracer top                          every balancer on this host
  tracer top --balancer nginx --port 8080
  tracer top --pools pools.toml       against the shares that you expect
  tracer top --replay samples.jsonl   what was recorded, at its end

Keys: ? explains them; enter looks closer, esc goes back, s sorts, / filters, space stands still, q ends.
Without colours: NO_COLOR=1. In ASCII: LC_ALL=C.";

pub(super) const CHECK: &str = "Examples:
  tracer check                        until every verdict is certain, 60 s at most
  tracer check --for 30s --json       exactly that long, for a program
  tracer check --pools pools.toml --declared-only
  tracer check --haproxy /etc/haproxy/haproxy.cfg
  tracer check --backend 10.0.0.0/24:8080
  tracer check --replay samples.jsonl  what was recorded, judged again

Exit codes: 0 balanced; 1 a finding; 2 usage or input error; 3 insufficient evidence, or no pool; 4 this host cannot be \
traced; 5 internal error";

pub(super) const WATCH: &str = "Examples:
  tracer watch --auto                 every balancer on this host, against its own configuration
  tracer watch --pools pools.toml --json
  tracer watch --config /etc/tracer.toml
  tracer watch --auto --listen 9477   and a live page, metrics and health on that port of loopback
  tracer watch --auto --history /var/lib/tracer/history.db  and keep what happens, for afterwards
  tracer watch --samples incident.jsonl  and record every interval
  tracer watch --replay incident.jsonl   what was told, told again

SIGHUP reads files and names again; SIGTERM and Ctrl-C end it.";

pub(super) const AUDIT: &str = "Examples:
  tracer audit                        the balancers that run here
  tracer audit --nginx /etc/nginx/nginx.conf --deny warnings
  tracer audit --haproxy /etc/haproxy/haproxy.cfg --json

Exit codes: 0 no error; 1 an error; 2 a configuration cannot be read";

pub(super) const REPORT: &str = "Examples:
  tracer report --history history.db  the worst of the last day, for a ticket
  tracer report --history history.db --out incident.html
  tracer report --history history.db --around 14:30
  tracer report --history history.db --from 2026-01-01T12:00:00Z --to 15:30 --out incident.json
  tracer report --replay samples.jsonl --out incident.html

Times without an offset are UTC. Exit codes: 0 written, whatever was found; 2 usage or input error";

pub(super) const DOCTOR: &str = "Examples:
  tracer doctor                       program by program, and what is lost without it
  tracer doctor --json
  tracer doctor --max-connections 1000000  the memory that this takes";

pub(super) const DEMO: &str = "Examples:
  tracer demo                         a weight with a digit too many
  tracer demo --scenario slow
  tracer demo --scenario balanced     nothing planted, nothing found
  tracer demo --for 5m --declare pools.toml
                                      for others to look at, with tracer top --pools pools.toml

Exit codes: 0 what was planted was found; 1 it was not";

pub(super) const COMPLETIONS: &str = "Examples:
  tracer completions bash > /etc/bash_completion.d/tracer
  tracer completions zsh > /usr/local/share/zsh/site-functions/_tracer
  tracer completions fish > ~/.config/fish/completions/tracer.fish";

pub(super) const MAN: &str = "Examples:
  tracer man | man -l -               read it here
  tracer man check > /usr/local/share/man/man1/tracer-check.1";
