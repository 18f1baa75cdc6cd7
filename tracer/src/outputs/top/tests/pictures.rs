//! Screens as they are meant to look, in `tests/fixtures/top`.

use super::made::{FULL, incident, screen, text, world};
use crate::fixtures::is_as_in;
use crate::outputs::top::{Key, Look, View};
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

/// What stands on the screen, with a mark `‹…›` wherever its style changes.
fn styled(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width).max(1);
    let mut text = String::new();
    for line in buffer.content.chunks(width) {
        let mut style = (Color::Reset, Color::Reset, Modifier::empty());
        let mut written = String::new();
        for cell in line {
            let own = (cell.fg, cell.bg, cell.modifier);
            if own != style {
                written += &format!("‹{}›", name(own));
                style = own;
            }
            written += cell.symbol();
        }
        text += written.trim_end();
        text.push('\n');
    }
    text
}

fn name((text, ground, modifier): (Color, Color, Modifier)) -> String {
    let mut parts = Vec::new();
    if text != Color::Reset {
        parts.push(text.to_string());
    }
    if ground != Color::Reset {
        parts.push(format!("on {ground}"));
    }
    parts.extend(modifier.iter_names().map(|(name, _)| name.to_lowercase()));
    parts.join(" ")
}

fn pressed(keys: &[Key], size: [u16; 2]) -> View {
    let world = world(&incident(), 40);
    let mut view = View::default();
    for key in keys {
        view.press(*key, &world, size);
    }
    view
}

#[test]
fn an_incident_is_seen_on_every_terminal() {
    let world = world(&incident(), 40);
    for size in [[80, 24], [250, 70]] {
        for (look, name) in [
            (FULL, "colour-utf8"),
            (Look { colour: false, ..FULL }, "mono-utf8"),
            (Look { unicode: false, ..FULL }, "colour-ascii"),
            (Look { colour: false, unicode: false }, "mono-ascii"),
        ] {
            let buffer = screen(&world, &View::default(), look, size);
            is_as_in(&format!("top/pools-{}x{}-{name}.txt", size[0], size[1]), &styled(&buffer));
            assert!(look.unicode || text(&buffer).is_ascii());
        }
    }
}

#[test]
fn a_pool_a_member_and_help_are_seen_closer() {
    let world = world(&incident(), 40);
    let open = [Key::Down, Key::Open];
    let closer = [Key::Down, Key::Open, Key::Open];
    let help = [Key::Character('?')];
    for size in [[80, 24], [250, 70]] {
        for (keys, name) in [(&open[..], "pool"), (&closer, "member"), (&help, "help")] {
            let buffer = screen(&world, &pressed(keys, size), FULL, size);
            is_as_in(&format!("top/{name}-{}x{}.txt", size[0], size[1]), &text(&buffer));
        }
    }
}

#[test]
fn a_small_window_still_names_verdict_and_culprit() {
    let world = world(&incident(), 40);
    for size in [[40, 12], [20, 5]] {
        let buffer = screen(&world, &View::default(), FULL, size);
        is_as_in(&format!("top/pools-{}x{}.txt", size[0], size[1]), &text(&buffer));
    }
}
