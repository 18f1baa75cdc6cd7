//! Running programs: what is run is printed, and a failure names it and the remedy.

use std::{ffi::OsStr, io, os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;

/// Runs `command` with its output passed on, and fails unless it succeeds. `remedy` tells what to do then.
pub(crate) fn run(command: &mut Command, remedy: &str) -> Result<()> {
    let line = describe(command);
    eprintln!("$ {line}");
    let status = command.status().with_context(|| format!("cannot start `{line}`; {remedy}"))?;
    if !status.success() {
        bail!("`{line}` failed ({status}); {remedy}");
    }
    Ok(())
}

/// As [`run`], for set-up: asks nothing on stdin and keeps stdout for the program that is run in the end.
pub(crate) fn run_aside(command: &mut Command, remedy: &str) -> Result<()> {
    run(command.stdin(std::process::Stdio::null()).stdout(io::stderr()), remedy)
}

/// Runs `command` unseen and returns what it printed; the error carries what it said on stderr.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let line = describe(command);
    let output = command
        .stdin(std::process::Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}` failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` printed something that is not text"))
}

/// Has the kernel send `signal` to the child when the thread that starts it ends, by Ctrl-C or otherwise.
pub(crate) fn end_with_us(command: &mut Command, signal: Signal) -> &mut Command {
    // SAFETY: between fork and exec only prctl(2) is called, which is async-signal-safe.
    unsafe {
        command.pre_exec(move || {
            nix::sys::prctl::set_pdeathsig(signal)?;
            Ok(())
        })
    }
}

/// The command as one would type it. `PATH` is left out: we set it on every command.
fn describe(command: &Command) -> String {
    let mut line = String::new();
    for (name, value) in command.get_envs() {
        if let Some(value) = value
            && name != "PATH"
        {
            line += &format!("{}={} ", name.to_string_lossy(), quoted(value));
        }
    }
    line += &quoted(command.get_program());
    for argument in command.get_args() {
        line.push(' ');
        line += &quoted(argument);
    }
    line
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    if word.contains('\n') {
        return "'…'".to_owned(); // a script; its own comment says what it does
    }
    let plain = |c: char| c.is_alphanumeric() || "-_=+./:,@%^*".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn describes_a_command_as_one_would_type_it() {
        let mut command = Command::new("cargo");
        command.args(["test", "it's two", ""]).env("CI", "a b").env("PATH", "/bin");
        assert_eq!(describe(&command), r"CI='a b' cargo test 'it'\''s two' ''");
    }

    #[test]
    fn a_failure_names_the_command_and_the_remedy() {
        let message = run(&mut Command::new("false"), "try true").unwrap_err().to_string();
        assert_eq!(message, "`false` failed (exit status: 1); try true");
        let message = run(&mut Command::new("no-such-program"), "install it").unwrap_err().to_string();
        assert_eq!(message, "cannot start `no-such-program`; install it");
    }

    #[test]
    fn a_captured_failure_carries_what_was_said() {
        let message =
            capture(Command::new("sh").args(["-c", "echo why >&2; exit 3"])).unwrap_err().to_string();
        assert!(message.ends_with("failed (exit status: 3): why"), "{message}");
        assert_eq!(capture(Command::new("echo").arg("ok")).unwrap(), "ok\n");
    }
}
