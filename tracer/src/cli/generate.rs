//! What is made from the command line's own description: completions and manual pages.

use super::exit::{Exit, Failure, print};
use clap::Command;
use clap_complete::Shell;

#[derive(clap::Args)]
pub(super) struct Completions {
    /// For which shell
    shell: Shell,
}

#[derive(clap::Args)]
pub(super) struct Man {
    /// Of which command; without it the page of tracer itself
    command: Option<String>,
}

impl Completions {
    /// Prints the script that completes this command line in a shell.
    pub(super) fn run(&self, mut description: Command) -> Result<Exit, Failure> {
        print(&completions(self.shell, &mut description), Exit::Fine)
    }
}

impl Man {
    /// Prints a manual page, roff.
    pub(super) fn run(&self, description: Command) -> Result<Exit, Failure> {
        let pages = pages(description);
        let wanted = self.command.as_ref().map_or("tracer".to_owned(), |name| format!("tracer-{name}"));
        match pages.iter().find(|page| page.name == wanted) {
            Some(page) => print(&page.text, Exit::Fine),
            None => {
                let names: Vec<_> =
                    pages.iter().filter_map(|page| page.name.strip_prefix("tracer-")).collect();
                let wanted = self.command.as_deref().unwrap_or_default();
                let line = format!("no command is called `{wanted}`; there are: {}", names.join(", "));
                Err(Failure::Input(vec![line]))
            }
        }
    }
}

fn completions(shell: Shell, description: &mut Command) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, description, "tracer", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// A manual page.
struct Page {
    /// As `man` finds it: `tracer-check`.
    name: String,
    text: String,
}

/// The page of tracer, and one for each command.
fn pages(description: Command) -> Vec<Page> {
    let mut built = description.disable_help_subcommand(true);
    built.build();
    let commands: Vec<Command> = built.get_subcommands().cloned().collect();
    std::iter::once(built)
        .chain(commands)
        .map(|command| {
            // `tracer-check`, since it was built.
            let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
            let mut text = Vec::new();
            // Writing to memory does not fail.
            let _ = clap_mangen::Man::new(command).render(&mut text);
            Page { name, text: String::from_utf8_lossy(&text).into_owned() }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::Arguments;
    use super::*;
    use crate::fixtures::is_as_in;
    use clap::{CommandFactory as _, ValueEnum as _};

    /// Help for so many columns, whatever the terminal of who runs the test.
    const COLUMNS: usize = 100;
    fn commands() -> Vec<Command> {
        Arguments::command().get_subcommands().cloned().collect()
    }

    #[test]
    fn help_is_as_it_was_and_every_command_has_examples() {
        let whole = Arguments::command().term_width(COLUMNS).render_long_help().to_string();
        is_as_in("help/tracer.txt", &whole);
        for command in commands() {
            let name = command.get_name().to_owned();
            let help =
                command.bin_name(format!("tracer {name}")).term_width(COLUMNS).render_long_help().to_string();
            assert!(help.contains("Examples:\n  tracer "), "{name}: {help}");
            is_as_in(&format!("help/{name}.txt"), &help);
        }
    }

    #[test]
    fn every_example_is_understood() {
        let helps = commands().into_iter().chain([Arguments::command()]);
        let helps =
            helps.map(|command| command.get_after_help().map(ToString::to_string).unwrap_or_default());
        let mut tried = 0;
        for help in helps.collect::<Vec<_>>() {
            for line in help.lines().filter_map(|line| line.strip_prefix("  ")) {
                // What it is for comes after two spaces, what a shell does with it after its sign.
                let typed =
                    line.split("  ").next().unwrap_or_default().split(['>', '|']).next().unwrap_or_default();
                let understood = Arguments::command().try_get_matches_from(typed.split_whitespace());
                assert!(understood.is_ok(), "{typed}: {}", understood.unwrap_err());
                tried += 1;
            }
        }
        assert!(tried > 20, "harness: {tried}");
    }

    #[test]
    fn manual_pages_are_as_they_were() {
        let pages = pages(Arguments::command());
        assert_eq!(pages.len(), commands().len() + 1);
        for page in pages {
            is_as_in(&format!("help/{}.1", page.name), &page.text);
        }
    }

    #[test]
    fn completions_know_every_command_and_option() {
        for shell in Shell::value_variants() {
            let script = completions(*shell, &mut Arguments::command());
            for command in commands() {
                assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
                for option in command.get_arguments().filter_map(clap::Arg::get_long) {
                    assert!(script.contains(option), "{shell}: {} --{option}", command.get_name());
                }
            }
        }
    }
}
