//! A terminal with a program on it, as a picture: a pane of a tmux server of its own.

use anstyle_svg::{Term, WIN10_CONSOLE};
use anyhow::Result;

use crate::{command::capture, machine::Machine};

/// Columns and lines of a terminal that is not large.
const SIZE: [&str; 2] = ["120", "24"];
/// `tracer top` goes by these.
const ENVIRONMENT: [&str; 4] = ["-uNO_COLOR", "TERM=tmux-256color", "LC_ALL=C.UTF-8", "TZ=UTC"];

/// The server ends when it is dropped.
pub(super) struct Terminal<'a> {
    machine: &'a Machine,
    socket: String,
}

impl<'a> Terminal<'a> {
    /// With this program on it.
    pub(super) fn with(machine: &'a Machine, program: &[&str]) -> Result<Self> {
        let terminal = Self { machine, socket: format!("tracer-pictures-{}", std::process::id()) };
        let session = ["-f", "/dev/null", "new-session", "-d", "-x", SIZE[0], "-y", SIZE[1], "env"];
        terminal.tmux(&[&session[..], &ENVIRONMENT, program].concat())?;
        Ok(terminal)
    }

    /// What stands on it, as SVG.
    pub(super) fn picture(&self) -> Result<String> {
        let screen = self.tmux(&["capture-pane", "-e", "-p", "-N"])?;
        Ok(svg(&screen))
    }

    fn tmux(&self, arguments: &[&str]) -> Result<String> {
        capture(self.machine.command("tmux").args(["-L", &self.socket]).args(arguments))
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]);
    }
}

fn svg(screen: &str) -> String {
    // Empty lines at the end stay: the screen has them.
    let picture = Term::new().palette(WIN10_CONSOLE).render_svg(screen.trim_end_matches('\n'));
    // Parts of a text have no opacity in SVG, only their colour has.
    picture.replace(".dimmed { opacity: 0.4; }", ".dimmed { fill-opacity: 0.6; }")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quiet_on_the_screen_is_quiet_in_the_picture_and_names_are_text() {
        let picture = svg("\x1b[31mred\x1b[0m \x1b[2mquiet\x1b[0m <b>&\n");
        assert!(picture.contains(".dimmed { fill-opacity: 0.6; }"), "{picture}");
        assert!(picture.contains("&lt;b&gt;&amp;") && !picture.contains("<b>"), "{picture}");
    }
}
