//! A page as a browser shows it.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};

use super::{path, process::Process};
use crate::machine::Machine;

/// Chromium without a window; root has no other way than without its sandbox, and what it is shown is ours.
const WITHOUT_WINDOW: [&str; 5] =
    ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage"];
/// Of the page that is seen.
const SIZE: &str = "--window-size=1100,640";
/// The page is never done, since its news do not end: it is looked at after so many milliseconds.
const LOOK: &str = "--timeout=5000";
const PATIENCE: Duration = Duration::from_secs(60);
/// Who reads the README should not have to wait for it.
const LARGEST: u64 = 200_000;

/// Writes the picture of the page at `url`, a PNG.
pub(super) fn picture(machine: &Machine, url: &str, file: &Path) -> Result<()> {
    let profile = machine.scratch("pictures/profile")?;
    let mut browser = machine.command("chromium");
    browser
        .args(WITHOUT_WINDOW)
        .args([SIZE, LOOK])
        .arg(format!("--user-data-dir={}", path(&profile)?))
        .arg(format!("--screenshot={}", path(file)?))
        .arg(url);
    // It complains of what a host without a desktop does not have.
    browser.stderr(std::process::Stdio::null());
    Process::start(&mut browser)?.finish(PATIENCE)?;
    let size = file.metadata().with_context(|| format!("chromium wrote no {}", file.display()))?.len();
    eprintln!("{}: {} KB", file.display(), size.div_ceil(1000));
    ensure!(
        size < LARGEST,
        "{} has {size} bytes, more than {LARGEST}: make the page's window smaller",
        file.display()
    );
    Ok(())
}
