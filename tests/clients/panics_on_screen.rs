//! What takes the terminal as `tracer top` does, for the end-to-end tests: `panics_on_screen here` panics at the next key;
//! `panics_on_screen elsewhere` does so on another thread, draws once more, and ends as if nothing was.

use std::io::{self, Read as _, Write as _};
use tracer::cli::terminal::Terminal;

fn main() -> io::Result<()> {
    let place = std::env::args().nth(1);
    let terminal = Terminal::take()?;
    let mut output = terminal.output()?;
    output.write_all(b"press a key")?;
    io::stdin().read_exact(&mut [0])?;
    match place.as_deref() {
        Some("here") => panic!("as the test wants it"),
        Some("elsewhere") => {
            let panicked = std::thread::spawn(|| panic!("as the test wants it")).join();
            assert!(panicked.is_err());
            output.write_all(b"too late")
        }
        _ => Err(io::Error::other("usage: panics_on_screen here|elsewhere")),
    }
}
