//! The terminal while a screen is on it, and as it was before: whatever ends the program gives it back.

use ratatui::crossterm::event::{DisableMouseCapture, EnableMouseCapture};
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute, queue};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::time::Duration;

/// Whether the terminal is ours. There is one terminal, and a panic anywhere gives it back.
static TAKEN: AtomicBool = AtomicBool::new(false);
static HOOK: Once = Once::new();

/// So long a terminal that takes nothing is waited for at the end.
const PATIENCE: Duration = Duration::from_secs(1);

/// Holds the terminal; gives it back when dropped, and when anything panics.
#[derive(Debug)]
pub struct Terminal(());

impl Terminal {
    /// Takes it: raw, on its other screen, with the wheel.
    ///
    /// # Errors
    /// What the kernel says where standard output is no terminal, or takes nothing.
    pub fn take() -> io::Result<Self> {
        HOOK.call_once(|| {
            let before = panic::take_hook();
            panic::set_hook(Box::new(move |what| {
                // The message has to stand on the screen that stays.
                give_back();
                before(what);
            }));
        });
        enable_raw_mode()?;
        TAKEN.store(true, SeqCst);
        let taken = Self(());
        execute!(stdout()?, EnterAlternateScreen, EnableMouseCapture, cursor::Hide)?;
        Ok(taken)
    }

    /// Where frames go as long as it is taken.
    ///
    /// # Errors
    /// That there is no descriptor left.
    pub fn output(&self) -> io::Result<Output> {
        stdout().map(Output)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        give_back();
    }
}

/// Standard output without the lock that a thread holds while it waits for the terminal.
fn stdout() -> io::Result<File> {
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

/// Gives the terminal back, once. That it is gone is no failure.
fn give_back() {
    if !TAKEN.swap(false, SeqCst) {
        return;
    }
    // Does not wait for what was written before; what follows may, for ever, where nobody reads.
    let _ = disable_raw_mode();
    let (done, waited) = channel();
    let write = move || {
        let _ = write_back();
        let _ = done.send(());
    };
    if std::thread::Builder::new().spawn(write).is_ok() {
        let _ = waited.recv_timeout(PATIENCE);
    }
}

fn write_back() -> io::Result<()> {
    let mut text = Vec::new();
    queue!(text, DisableMouseCapture, LeaveAlternateScreen, cursor::Show)?;
    stdout()?.write_all(&text)
}

/// Takes frames; what comes once the terminal was given back goes nowhere.
#[derive(Debug)]
pub struct Output(File);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if TAKEN.load(SeqCst) { self.0.write(bytes) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
