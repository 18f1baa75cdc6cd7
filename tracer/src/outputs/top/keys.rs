//! What was pressed, of what means anything here.

use ratatui::crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers, MouseEventKind};

/// A key, or a turn of the wheel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// One up.
    Up,
    /// One down.
    Down,
    /// One screen up.
    PageUp,
    /// One screen down.
    PageDown,
    /// To the first.
    First,
    /// To the last.
    Last,
    /// Look closer.
    Open,
    /// Back to what was seen before.
    Back,
    /// The character before the cursor goes.
    Erase,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-L: the terminal shows something else than it should.
    Repaint,
    /// Anything else that is written.
    Character(char),
}

/// What an event of the terminal means; `None`: nothing.
#[must_use]
pub fn key(event: &Event) -> Option<Key> {
    match event {
        Event::Key(event) if event.kind != KeyEventKind::Release => {
            let control = event.modifiers.contains(KeyModifiers::CONTROL);
            Some(match event.code {
                KeyCode::Char('c') if control => Key::Interrupt,
                KeyCode::Char('l') if control => Key::Repaint,
                KeyCode::Char(_) if control => return None,
                KeyCode::Char(character) => Key::Character(character),
                KeyCode::Up => Key::Up,
                KeyCode::Down => Key::Down,
                KeyCode::PageUp => Key::PageUp,
                KeyCode::PageDown => Key::PageDown,
                KeyCode::Home => Key::First,
                KeyCode::End => Key::Last,
                KeyCode::Enter | KeyCode::Right => Key::Open,
                KeyCode::Esc | KeyCode::Left => Key::Back,
                KeyCode::Backspace => Key::Erase,
                _ => return None,
            })
        }
        Event::Mouse(event) => match event.kind {
            MouseEventKind::ScrollUp => Some(Key::Up),
            MouseEventKind::ScrollDown => Some(Key::Down),
            _ => None,
        },
        _ => None,
    }
}
