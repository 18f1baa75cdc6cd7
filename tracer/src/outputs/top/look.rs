//! Colours and signs, and what stands for them where a terminal has neither. The screen is always drawn with both; what
//! the terminal lacks is taken out of the finished buffer.

use crate::detect::{Finding, Verdict};
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Colours: false with `NO_COLOR`.
    pub colour: bool,
    /// Letters and signs beyond ASCII: false where the locale is not UTF-8.
    pub unicode: bool,
}

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// Somebody should look at it now.
    Bad,
    /// Somebody should look at it.
    Warning,
    /// As it should be.
    Good,
    /// Nothing is said of it.
    Plain,
}

impl Tone {
    pub(super) const fn of(verdict: Option<Verdict>) -> Self {
        match verdict {
            Some(Verdict::Balanced) => Self::Good,
            Some(Verdict::UnevenWeights) => Self::Warning,
            Some(Verdict::InsufficientEvidence) | None => Self::Plain,
            Some(_) => Self::Bad,
        }
    }

    pub(super) const fn of_member(finding: Option<Finding>) -> Self {
        if finding.is_some() { Self::Bad } else { Self::Plain }
    }

    /// Text in that tone.
    pub(super) const fn style(self) -> Style {
        match self {
            Self::Bad => Style::new().fg(Color::LightRed).add_modifier(Modifier::BOLD),
            Self::Warning => Style::new().fg(Color::Yellow).add_modifier(Modifier::BOLD),
            Self::Good => Style::new().fg(Color::Green),
            Self::Plain => Style::new(),
        }
    }

    /// A verdict in front of a pool: to be seen from afar.
    pub(super) const fn badge(self) -> Style {
        match self {
            Self::Bad => Style::new().fg(Color::White).bg(Color::Red).add_modifier(Modifier::BOLD),
            Self::Warning => Style::new().fg(Color::Black).bg(Color::Yellow).add_modifier(Modifier::BOLD),
            Self::Good => Style::new().fg(Color::Black).bg(Color::Green),
            Self::Plain => Style::new().fg(Color::Black).bg(Color::Gray),
        }
    }
}

/// The filled part of a bar.
pub(super) const fn fill(tone: Tone, maybe: bool) -> Style {
    let colour = match tone {
        Tone::Bad => Color::Red,
        Tone::Warning => Color::Yellow,
        Tone::Good => Color::Green,
        Tone::Plain => Color::Cyan,
    };
    let style = Style::new().fg(colour);
    if maybe { style.add_modifier(Modifier::DIM) } else { style }
}

/// The mark of the expected share.
pub(super) const fn mark() -> Style {
    Style::new().fg(Color::White).add_modifier(Modifier::BOLD)
}

/// What one need not read.
pub(super) const fn quiet() -> Style {
    // A darker colour is invisible on some backgrounds.
    Style::new().add_modifier(Modifier::DIM)
}

/// Text of which there is nothing to say.
pub(super) const fn plain() -> Style {
    Style::new()
}

/// Headings.
pub(super) const fn strong() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

/// The first and the last line of the screen.
pub(super) const fn frame() -> Style {
    Style::new().add_modifier(Modifier::REVERSED)
}

impl Look {
    /// What the environment says: `NO_COLOR`, and the locale's characters.
    #[must_use]
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        // The first that is set counts, as setlocale(3) has it.
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default();
        let locale = locale.to_ascii_lowercase();
        Self {
            colour: set("NO_COLOR").is_none(),
            unicode: locale.contains("utf-8") || locale.contains("utf8"),
        }
    }

    /// Takes out of a finished screen what the terminal cannot show.
    pub(super) fn apply(self, buffer: &mut Buffer) {
        for cell in &mut buffer.content {
            if !self.colour {
                // What stood out by its background stands out all the same.
                if !matches!(cell.bg, Color::Reset | Color::Gray) {
                    cell.modifier.insert(Modifier::REVERSED);
                }
                (cell.fg, cell.bg) = (Color::Reset, Color::Reset);
            }
            if !self.unicode && !cell.symbol().is_ascii() {
                let plain = cell.symbol().chars().next().map_or(' ', ascii);
                cell.set_char(plain);
            }
        }
    }
}

/// What stands for a sign in ASCII.
const fn ascii(sign: char) -> char {
    match sign {
        '█' => '#',
        '▒' => '=',
        '┃' | '│' => '|',
        '·' | '▁' => '.',
        '▂' => ':',
        '▃' => '-',
        '▄' => '=',
        '▅' => '+',
        '▆' => '*',
        '▇' => '%',
        '—' | '–' | '─' => '-',
        '…' => '~',
        '×' => 'x',
        'µ' => 'u',
        '▶' | '→' => '>',
        '↑' => '^',
        '↓' => 'v',
        _ => '?',
    }
}
