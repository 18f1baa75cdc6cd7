//! The screen as a whole.

use super::figures;
use super::look::{self, Look};
use super::view::{Place, View};
use super::words::{self, fitted, safe};
use super::world::World;
use super::{detail, facts, help, overview};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// Lines from which on there is one at the top and one at the bottom for the screen itself.
const FRAMED: u16 = 7;

/// Draws what is looked at into a buffer of any size.
pub fn draw(world: &World, view: &View, look: Look, buffer: &mut Buffer) {
    let area = buffer.area;
    let world = view.shown(world);
    let body = body(area);
    let (width, height) = (usize::from(body.width), usize::from(body.height));
    let lines = match &view.place {
        _ if view.help => {
            let lines = help::lines(world, width);
            let scrolled = view.scrolled.min(lines.len().saturating_sub(height));
            lines.into_iter().skip(scrolled).collect()
        }
        Place::Pools => overview::lines(world, view, width, height),
        Place::Pool(name) => match world.pool(name) {
            Some(pool) => detail::lines(pool, world, view, width, height),
            None => gone(&name.pool),
        },
        Place::Member(..) => {
            let lines = member(world, view, width);
            let scrolled = view.scrolled.min(lines.len().saturating_sub(height));
            lines.into_iter().skip(scrolled).collect()
        }
    };
    for (y, line) in (body.top()..body.bottom()).zip(&lines) {
        buffer.set_line(body.x, y, line, body.width);
    }
    if area.height >= FRAMED {
        frame(buffer, area.top(), &top(world, view, usize::from(area.width)));
        frame(buffer, area.bottom() - 1, &bottom(world, view, usize::from(area.width)));
    } else if view.typing && area.height > 0 {
        frame(buffer, area.bottom() - 1, &bottom(world, view, usize::from(area.width)));
    }
    look.apply(buffer);
}

/// What is between the first line and the last.
fn body(area: Rect) -> Rect {
    if area.height >= FRAMED { Rect { y: area.y + 1, height: area.height - 2, ..area } } else { area }
}

fn body_of([width, height]: [u16; 2]) -> (usize, usize) {
    let body = body(Rect::new(0, 0, width, height));
    (usize::from(body.width), usize::from(body.height))
}

/// Lines of a member that do not fit on a screen of so many columns and lines.
pub(super) fn lines_below(world: &World, view: &View, size: [u16; 2]) -> usize {
    let (width, height) = body_of(size);
    member(world, view, width).len().saturating_sub(height)
}

/// The same of help.
pub(super) fn lines_below_help(world: &World, size: [u16; 2]) -> usize {
    let (width, height) = body_of(size);
    help::lines(world, width).len().saturating_sub(height)
}

fn member(world: &World, view: &View, width: usize) -> Vec<Line<'static>> {
    let Place::Member(name, backend) = &view.place else { return Vec::new() };
    match world.pool(name) {
        Some(pool) => facts::lines(pool, *backend, world, view, width),
        None => gone(&name.pool),
    }
}

fn gone(name: &str) -> Vec<Line<'static>> {
    vec![Line::default(), Line::raw(format!("  {} is gone; esc: back", safe(name)))]
}

fn frame(buffer: &mut Buffer, y: u16, line: &Line<'_>) {
    let area = Rect { y, height: 1, ..buffer.area };
    buffer.set_style(area, look::frame());
    buffer.set_line(area.x, y, line, area.width);
}

/// Who is looked at, how bad it is, and when that was.
fn top(world: &World, view: &View, width: usize) -> Line<'static> {
    let judged = world.pools.iter().filter(|pool| !pool.is_aside()).count();
    let findings = world.pools.iter().filter(|pool| pool.is_finding() && !pool.is_aside()).count();
    let state = match findings {
        0 => words::count(judged, "pool"),
        some => format!("{some} of {} with a finding", words::count(judged, "pool")),
    };
    let clock = world.time_seconds.map_or(String::new(), |time| format!("{} UTC ", figures::clock(time)));
    let mode = if view.is_paused() {
        "PAUSED "
    } else if world.recorded && world.ended {
        "end of recording "
    } else if world.recorded {
        "replaying "
    } else {
        ""
    };
    ends(format!(" tracer  {}  {state}", safe(&world.name)), format!("{mode}{clock}"), width)
}

/// What can be done.
fn bottom(world: &World, view: &View, width: usize) -> Line<'static> {
    if view.typing {
        return Line::raw(fitted(
            &format!(" filter: {}_  enter: keep  esc: drop", safe(&view.filter)),
            width,
        ));
    }
    let order = match view.place {
        Place::Pools => format!("s by {}  ", view.pool_order.word()),
        Place::Pool(_) => format!("s by {}  ", view.member_order.word()),
        Place::Member(..) => String::new(),
    };
    let filter = if view.filter.is_empty() {
        "/ filter".to_owned()
    } else {
        format!("/ filter: {}", safe(&view.filter))
    };
    let keys = if view.help {
        " ? back  q quit".to_owned()
    } else {
        let closer = if matches!(view.place, Place::Member(..)) { "" } else { "enter open  " };
        let back = if view.place == Place::Pools { "" } else { "esc back  " };
        format!(" ? help  q quit  {closer}{back}{order}m {}  {filter}  space pause", view.measure.word())
    };
    let said = help::notices(world).len();
    let said = if said > 0 && !view.help {
        format!("! {}: ? ", words::count(said, "notice"))
    } else {
        String::new()
    };
    ends(keys, said, width)
}

/// One text at the left and one at the right, which comes first when there is little room.
fn ends(left: String, right: String, width: usize) -> Line<'static> {
    let right = fitted(&right, width);
    let room = width - Span::raw(&right).width();
    let left = fitted(&left, room.saturating_sub(1));
    let pad = " ".repeat(room.saturating_sub(Span::raw(&left).width()));
    Line::raw(left + &pad + &right)
}
