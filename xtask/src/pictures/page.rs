//! A page as a browser shows it.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};

use super::{path, process::Process};
use crate::machine::Machine;

/// Chromium without a window; root has no other way than without its sandbox, and what it is shown is ours.
const WITHOUT_WINDOW: [&str; 5] =
    ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage"];
/// Of the page that is seen.
pub(super) const PAGE: &str = "--window-size=1100,640";
/// Of a report: down to its first chart.
pub(super) const REPORT: &str = "--window-size=1100,990";
/// The page is never done, since its news do not end: so many milliseconds are enough.
const ENOUGH: &str = "--timeout=5000";
const PATIENCE: Duration = Duration::from_secs(60);
/// A page that has no news yet is empty, and its picture smaller than this.
const SMALLEST: u64 = 40_000;
/// Who reads the README should not have to wait for it.
const LARGEST: u64 = 200_000;
/// The browser looks when the page is loaded, which now and then is before the first news came.
const LOOKS: usize = 5;

/// Writes the picture of the page at `url` in a window of this size, a PNG.
pub(super) fn picture(machine: &Machine, url: &str, size: &str, file: &Path) -> Result<()> {
    for _ in 0..LOOKS {
        look(machine, url, size, file)?;
        let size = file.metadata().with_context(|| format!("chromium wrote no {}", file.display()))?.len();
        if size >= SMALLEST {
            eprintln!("{}: {} KB", file.display(), size.div_ceil(1000));
            let name = file.display();
            ensure!(size < LARGEST, "{name} has {size} bytes, more than {LARGEST}: make the window smaller");
            return Ok(());
        }
    }
    bail!("{url} stayed empty in {LOOKS} looks; is the machine busy? Try again when it is not")
}

fn look(machine: &Machine, url: &str, size: &str, file: &Path) -> Result<()> {
    let profile = machine.scratch("pictures/profile")?;
    let mut browser = machine.command("chromium");
    browser
        .args(WITHOUT_WINDOW)
        .args([size, ENOUGH])
        .arg(format!("--user-data-dir={}", path(&profile)?))
        .arg(format!("--screenshot={}", path(file)?))
        .arg(url);
    // It complains of what a host without a desktop does not have.
    browser.stderr(std::process::Stdio::null());
    Process::start(&mut browser)?.finish(PATIENCE)
}
