//! The screen: a thread that draws, one that reads keys, and what they share with the tick.

use super::super::exit;
use super::super::terminal::{Output, Terminal};
use crate::outputs::top::{Effect, Look, View, World, draw, key};
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event};
use std::io::{self, BufWriter};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Events that wait for the screen; who types faster waits.
const WAITING: usize = 64;
/// Nobody sees more, and a recording that is read gives thousands of intervals a second.
const BETWEEN_FRAMES: Duration = Duration::from_millis(40);
/// A frame in one write.
const FRAME_BYTES: usize = 1 << 16;

/// How it ended.
#[derive(Debug)]
pub(super) enum End {
    /// Somebody pressed the key for it.
    Asked,
    /// The terminal does not take or give any more.
    Failed(io::Error),
    /// It panicked.
    Panicked,
}

/// What wakes the thread that draws.
enum Wake {
    /// The world is another one.
    World,
    /// Something was pressed, or the terminal has another size.
    Input(Event),
    /// Nothing can be read any more.
    Deaf(io::Error),
}

/// The screen, as the tick sees it.
pub(super) struct Screen {
    world: Arc<Mutex<World>>,
    wakes: SyncSender<Wake>,
    drawing: Drawing,
    terminal: Terminal,
}

impl Screen {
    /// Takes the terminal and shows what is known. Lines that are said from now on go to the screen.
    pub(super) fn start(world: World, look: Look) -> io::Result<Self> {
        let world = Arc::new(Mutex::new(world));
        let (wakes, woken) = sync_channel(WAITING);
        let terminal = Terminal::take()?;
        let output = terminal.output()?;
        let (keys, shown, noticed) = (wakes.clone(), world.clone(), world.clone());
        exit::divert(Some(Box::new(move |line| lock(&noticed).notice(line))));
        Builder::new().name("keys".into()).spawn(move || read(&keys))?;
        let drawing = Drawing::start(move || show(output, &shown, &woken, look))?;
        Ok(Self { world, wakes, drawing, terminal })
    }

    /// Changes what is shown. Does not wait for the terminal.
    pub(super) fn change(&self, change: impl FnOnce(&mut World)) {
        change(&mut lock(&self.world));
        match self.wakes.try_send(Wake::World) {
            // Woken already, or gone.
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }

    /// Waits until it ends by itself. Safe to drop while it waits.
    pub(super) async fn ended(&mut self) -> End {
        self.drawing.ended().await
    }

    /// Gives the terminal back as it was.
    pub(super) fn end(self) {
        drop(self.terminal);
    }
}

/// The thread that draws.
struct Drawing(oneshot::Receiver<io::Result<()>>);

impl Drawing {
    fn start(draw: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<Self> {
        let (told, ended) = oneshot::channel();
        Builder::new().name("screen".into()).spawn(move || told.send(draw()))?;
        Ok(Self(ended))
    }

    async fn ended(&mut self) -> End {
        match (&mut self.0).await {
            Ok(Ok(())) => End::Asked,
            Ok(Err(error)) => End::Failed(error),
            // It went without a word.
            Err(_) => End::Panicked,
        }
    }
}

/// A world of which half an interval was taken in is shown all the same until the end that follows.
fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads what is pressed until nobody wants it.
fn read(keys: &SyncSender<Wake>) {
    loop {
        let wake = event::read().map_or_else(Wake::Deaf, Wake::Input);
        let deaf = matches!(wake, Wake::Deaf(_));
        if keys.send(wake).is_err() || deaf {
            return;
        }
    }
}

/// Draws until somebody presses the key for the end.
fn show(output: Output, world: &Mutex<World>, woken: &Receiver<Wake>, look: Look) -> io::Result<()> {
    let backend = CrosstermBackend::new(BufWriter::with_capacity(FRAME_BYTES, output));
    let mut terminal = ratatui::Terminal::new(backend)?;
    let mut view = View::default();
    loop {
        let drawn = Instant::now();
        // What is written is what is different; the world is free again before that.
        let area = terminal.draw(|frame| draw(&lock(world), &view, look, frame.buffer_mut()))?.area;
        let Ok(first) = woken.recv() else { return Ok(()) };
        std::thread::sleep(BETWEEN_FRAMES.saturating_sub(drawn.elapsed()));
        for wake in std::iter::once(first).chain(woken.try_iter().take(WAITING)) {
            let pressed = match wake {
                Wake::World => None,
                Wake::Input(event) => key(&event),
                Wake::Deaf(error) => return Err(error),
            };
            let Some(pressed) = pressed else { continue };
            match view.press(pressed, &lock(world), [area.width, area.height]) {
                Effect::Draw => {}
                Effect::Repaint => terminal.clear()?,
                Effect::Quit => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn however_drawing_ends_is_known() {
        let ended = async |draw: fn() -> io::Result<()>| Drawing::start(draw).unwrap().ended().await;
        assert!(matches!(ended(|| Ok(())).await, End::Asked));
        assert!(matches!(ended(|| Err(io::ErrorKind::BrokenPipe.into())).await, End::Failed(_)));
        assert!(matches!(ended(|| panic!("as the test wants it")).await, End::Panicked));
    }
}
