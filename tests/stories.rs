//! The detector against stories: `tests/fixtures/detect/*.toml`, each a test of its own, that anybody can write; the
//! README beside them explains the language. Then what holds of every stream of theirs.

#[path = "stories/balancer.rs"]
mod balancer;
#[path = "stories/member.rs"]
mod member;
#[path = "stories/plan.rs"]
mod plan;
#[path = "stories/properties.rs"]
mod properties;
#[path = "stories/story.rs"]
mod story;
#[path = "stories/telling.rs"]
mod telling;
#[path = "stories/world.rs"]
mod world;

use libtest_mimic::{Arguments, Failed, Trial};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where the stories are, from the crate's directory.
const FOLDER: &str = "../tests/fixtures/detect";

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = match stories() {
        Ok(files) => files.into_iter().map(story_trial).collect(),
        Err(error) => vec![Trial::test("stories_can_be_read", move || Err(error.into()))],
    };
    trials.push(Trial::test("the_readme_tells_a_story_that_holds", readme));
    trials.extend(mistakes());
    trials.extend(properties::trials());
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Every story's file, in the order of their names.
fn stories() -> Result<Vec<PathBuf>, String> {
    let folder = folder();
    let wrong = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in folder.read_dir().map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() { Err(format!("{}: no stories", folder.display())) } else { Ok(files) }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER)
}

/// `tests/fixtures/detect/NAME.toml` is the test `NAME`.
fn story_trial(path: PathBuf) -> Trial {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Trial::test(name, move || {
        let file = format!("tests/fixtures/detect/{}", path.file_name().unwrap_or_default().display());
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{file}: {error}"))?;
        telling::tell(&file, &text).map_err(Failed::from)
    })
}

/// The README's examples in TOML, one after the other, are a story.
fn readme() -> Result<(), Failed> {
    let text = std::fs::read_to_string(folder().join("README.md"))?;
    let blocks = text.split("```toml\n").skip(1).filter_map(|block| block.split("```").next());
    let example = blocks.collect::<String>();
    telling::tell("the example in tests/fixtures/detect/README.md", &example).map_err(Failed::from)
}

/// A mistake in a story is told with file and line.
fn mistakes() -> Vec<Trial> {
    const STORY: &str = "what = 'x'\nruns = 1\npool = { method = 'random', members = ['a', 'b'] }\n\
                         traffic = { connections_per_second = 20 }\n\
                         [[phase]]\nname = 'p'\nseconds = 20\n[[phase.expect]]\nverdict = ['balanced']\nwithin = 9\n";
    let cases = [
        (
            "an_unknown_key_is_named_with_its_line",
            "seconds = 20",
            "secunds = 20",
            "x.toml:7: unknown field `secunds`",
        ),
        (
            "an_unknown_member_is_named_with_its_line",
            "name = 'p'",
            "name = 'p'\nmembers.c = { down = true }",
            "x.toml:7: there is no member \"c\"",
        ),
        (
            "an_unknown_verdict_is_named_with_its_line",
            "'balanced'",
            "'blanced'",
            "x.toml:9: no verdict is called \"blanced\"",
        ),
        (
            "an_expectation_beyond_its_phase_is_named_with_its_line",
            "within = 9",
            "within = 21",
            "x.toml:8: `within` is at least one second",
        ),
        (
            "a_verdict_that_was_not_given_is_told_with_line_second_verdict_and_sentence",
            "'balanced'",
            "'skewed'",
            "x.toml:8: not so in 1, first in run 1: in second 9 of \"p\" (9 of the story) it has to be skewed (not in time or later); said was ",
        ),
    ];
    let trial = |(name, right, wrong, told): (&str, &'static str, &'static str, &'static str)| {
        Trial::test(name, move || {
            let story = STORY.replacen(right, wrong, 1);
            match telling::tell("x.toml", &story) {
                Err(error) if error.contains(told) => Ok(()),
                other => Err(format!("{told:?} is not in {other:?}").into()),
            }
        })
    };
    cases.into_iter().map(trial).collect()
}
