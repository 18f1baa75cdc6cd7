//! `tracer report`: what happened, afterwards.

use super::exit::{Exit, Failure, print, say};
use crate::history::{History, ReadError};
use crate::outputs::timestamp;
use crate::recording::{RecordingError, Replay};
use crate::report::{self, Episode, Moment, Range, Report, Wanted, episodes};
use std::fs::{File, Permissions};
use std::io::{BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Of a report.
const MODE: u32 = 0o640;

#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("source").required(true)))]
pub(super) struct Arguments {
    /// What `watch --history` writes; it may be writing. The verdicts are those that were told then
    #[arg(long, value_name = "FILE", group = "source")]
    history: Option<PathBuf>,
    /// What `watch --samples` wrote. It is judged again, and the report says so
    #[arg(long, value_name = "FILE", group = "source")]
    replay: Option<PathBuf>,
    /// Begin then: 2026-01-01T12:00:00Z, 12:00 (UTC), or -2h, which of a recording counts from its end [default: shortly
    /// before the worst that was found in the last day]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<Moment>,
    /// End then; a time of day is the first one after the beginning
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<Moment>,
    /// Of the incident at or near that time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, conflicts_with_all = ["from", "to"])]
    around: Option<Moment>,
    /// Write to a file: .html for a browser or a printer, .md for a ticket, .json (schema tracer.report/1) for a program
    /// [default: standard output, as Markdown]
    #[arg(long, value_name = "FILE", value_parser = Out::parse)]
    out: Option<Out>,
}

/// Where a report is written, and how.
#[derive(Clone, Debug, PartialEq)]
struct Out {
    file: PathBuf,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Html,
    Markdown,
    Json,
}

impl Out {
    fn parse(text: &str) -> Result<Self, String> {
        let file = PathBuf::from(text);
        let form = match file.extension().and_then(|extension| extension.to_str()) {
            Some("html") => Form::Html,
            Some("md") => Form::Markdown,
            Some("json") => Form::Json,
            _ => return Err("name a file that ends in .html, .md or .json".into()),
        };
        Ok(Self { file, form })
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let wanted = Wanted { from: arguments.from, to: arguments.to, around: arguments.around };
    let report = match (&arguments.history, &arguments.replay) {
        (Some(file), _) => remembered(file, &wanted)?,
        (None, Some(file)) => replayed(file, &wanted)?,
        (None, None) => return Err(Failure::Input(vec!["name a file with --history or --replay".into()])),
    };
    let form = arguments.out.as_ref().map_or(Form::Markdown, |out| out.form);
    let text = match form {
        Form::Html => report::html(&report),
        Form::Markdown => report::markdown(&report),
        Form::Json => report::json(&report).map_err(|error| Failure::Internal(error.into()))?,
    };
    match &arguments.out {
        None => print(&text, Exit::Fine),
        Some(out) => {
            write(&out.file, &text)?;
            say(&format!("written: {}, {} KB", out.file.display(), text.len().div_ceil(1000)));
            Ok(Exit::Fine)
        }
    }
}

/// The report of a history, with the verdicts as they were told.
fn remembered(file: &Path, wanted: &Wanted) -> Result<Report, Failure> {
    let name = file.display();
    let input = |message: String| Failure::Input(vec![format!("--history {name}: {message}")]);
    let unreadable = |error: ReadError| input(error.to_string());
    let history = History::open(file).map_err(unreadable)?;
    let span = history.span().map_err(unreadable)?;
    let known =
        span.ok_or_else(|| input("no interval is in it yet; wait until a watch has counted".into()))?;
    let known = Range { from_seconds: known.from_seconds, to_seconds: known.to_seconds };
    let changes = history.changes().map_err(unreadable)?;
    let episodes = episodes(&changes, &history.gone(&changes).map_err(unreadable)?);
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs_f64();
    let range = wanted.choose(known, now, &episodes).map_err(input)?;
    hint(wanted, range, &episodes);
    let material = history.material(range).map_err(unreadable)?;
    Report::of(material).map_err(input)
}

/// Who named no time, and gets a report of nothing, wants to know that there was something earlier.
fn hint(wanted: &Wanted, range: Range, episodes: &[Episode]) {
    let found = episodes.iter().any(|episode| episode.reaches_into(&range));
    let last = episodes.iter().map(|episode| episode.onset_seconds).reduce(f64::max);
    if let Some(last) = last.filter(|_| !found && *wanted == Wanted::default()) {
        let last = timestamp(last);
        say(&format!("nothing was found in the last day; the last incident before it: --around {last}"));
    }
}

/// The report of a recording, which is read twice: first for what is found in it.
fn replayed(file: &Path, wanted: &Wanted) -> Result<Report, Failure> {
    let name = file.display();
    let input = |message: String| Failure::Input(vec![message]);
    let unreadable = |error: RecordingError| input(format!("{name}:{error}"));
    let open = || -> Result<_, Failure> {
        let opened = File::open(file).and_then(|opened| {
            let is_file = opened.metadata()?.is_file();
            is_file
                .then_some(opened)
                .ok_or_else(|| std::io::Error::other("not a file, and a report reads its recording twice"))
        });
        let opened = opened.map_err(|error| {
            input(format!("--replay {name}: {error}; give a recording that is in a file"))
        })?;
        Ok(Replay::new(BufReader::new(opened)))
    };
    let again = report::judge(open()?).map_err(unreadable)?;
    let known = again.known.ok_or_else(|| {
        input(format!("{name}: the recording has no sample; give one that `tracer watch --samples` wrote"))
    })?;
    let episodes = episodes(&again.changes, &again.gone);
    let range = wanted.choose(known, known.to_seconds, &episodes);
    let range = range.map_err(|message| input(format!("{name}: {message}")))?;
    hint(wanted, range, &episodes);
    let material = again.material(range, open()?).map_err(unreadable)?;
    Report::of(material).map_err(|message| input(format!("{name}: {message}")))
}

/// Beside it first, under a name that nobody knows beforehand, so that nobody finds half a report. As a history, it is for who
/// runs the host.
fn write(file: &Path, text: &str) -> Result<(), Failure> {
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    let permissions = Permissions::from_mode(MODE);
    let written = tempfile::Builder::new()
        .permissions(permissions)
        .tempfile_in(directory.unwrap_or(Path::new(".")))
        .and_then(|mut beside| {
            beside.write_all(text.as_bytes())?;
            beside.persist(file).map_err(|error| error.error)
        });
    written.map(drop).map_err(|error| {
        Failure::Input(vec![format!("--out {}: {error}; name a file that can be written", file.display())])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_whole_and_takes_the_place_of_what_was_there_and_of_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("incident.md");
        std::fs::write(&file, "before").unwrap();
        std::os::unix::fs::symlink("/nonexistent/elsewhere", directory.path().join("incident.md.new"))
            .unwrap();
        write(&file, "after").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "after");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, MODE);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2, "nothing is left beside it");
        assert!(write(&directory.path().join("none/incident.md"), "").is_err());
    }

    #[test]
    fn the_form_is_that_of_the_file() {
        let form = |text: &str| Out::parse(text).map(|out| out.form);
        assert_eq!(form("/tmp/incident.html"), Ok(Form::Html));
        assert_eq!(form("incident.md"), Ok(Form::Markdown));
        assert_eq!(form("a.b/incident.json"), Ok(Form::Json));
        assert!(form("incident.pdf").is_err() && form("html").is_err());
    }
}
