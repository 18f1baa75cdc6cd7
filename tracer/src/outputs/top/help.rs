//! What the keys do, what the signs mean, and what was said on the way.

use super::look;
use super::words::{safe, wrapped};
use super::world::World;
use crate::outputs::check_text;
use ratatui::text::{Line, Span};

const KEYS: [(&str, &str); 12] = [
    ("up, down, wheel", "select; j, k, page up, page down, home, end too"),
    ("enter, right", "look closer: a pool, then a member"),
    ("esc, left", "back"),
    ("s", "sort: pools by severity, name, traffic; members by finding, address, share, failures, response"),
    ("m", "shares of what: as judged, connections, exchanges, live, bytes"),
    ("/", "filter by pool, balancer, verdict or address; enter keeps it, esc drops it"),
    ("space, p", "stand still, and go on"),
    ("ctrl-l", "draw everything again"),
    ("?", "this"),
    ("q, ctrl-c", "end"),
    ("shift + mouse", "select text, in most terminals"),
    ("", ""),
];

const SIGNS: [(&str, &str); 7] = [
    ("██▒▒··", "share: solid as far as is sure, hatched as far as the 95 % interval reaches"),
    ("┃", "the share it should have"),
    ("—", "not measured"),
    ("last minute", "failed, response and bytes are of the last 30 to 60 s; conn/s of the last 5 s"),
    ("response", "half of the exchanges are answered within it / 99 of 100"),
    ("conn/s", "new connections, health checks left out"),
    ("exch/s", "requests with their responses, of the last 30 to 60 s, where shares are of them"),
];

/// Columns of what is explained.
const NAME: usize = 16;

/// All lines of it, for `width` columns; `world` for what was said.
pub(super) fn lines(world: &World, width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for (name, means) in KEYS.iter().chain(&SIGNS) {
        let room = width.saturating_sub(NAME + 2).max(1);
        for (place, text) in wrapped(means, room, usize::MAX).into_iter().enumerate() {
            let name = if place == 0 { name } else { "" };
            let pad = " ".repeat(NAME.saturating_sub(Span::raw(name).width()));
            lines.push(Line::from(vec![
                Span::styled(format!("  {name}{pad}"), look::strong()),
                Span::raw(text),
            ]));
        }
    }
    let said = notices(world).into_iter();
    let said: Vec<Line<'_>> = said
        .flat_map(|line| wrapped(&line, width.saturating_sub(2), usize::MAX))
        .map(|line| Line::raw(format!("  {line}")))
        .collect();
    if !said.is_empty() {
        lines.push(Line::default());
        lines.extend(said);
    }
    lines
}

/// What the operator should know and no pool says, the newest first.
pub(super) fn notices(world: &World) -> Vec<String> {
    let uncounted = world.uncounted.as_ref().and_then(check_text::uncounted);
    let said = world.notices.iter().rev().chain(&world.unmatched).map(|line| safe(line));
    uncounted.into_iter().chain(said).collect()
}
