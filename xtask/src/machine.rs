//! What set-up has to know of the machine: compiler, folders, search path, rights.

use std::{
    env,
    ffi::{OsStr, OsString},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, anyhow};

use crate::command::capture;

/// The machine as found at the start of a task.
pub(crate) struct Machine {
    /// The compiler in use.
    pub(crate) rustc: Rustc,
    /// Where the compiler keeps its libraries and sources.
    pub(crate) sysroot: PathBuf,
    /// The root of the workspace.
    pub(crate) workspace: PathBuf,
    /// Cargo's target folder; what xtask writes lies in `xtask/` and `vmtest/` below it.
    pub(crate) target: PathBuf,
    /// `PATH` for every command: the user's, cargo's programs and the system's, which Debian keeps from its users.
    pub(crate) path: OsString,
    /// Whether we may install packages.
    pub(crate) root: bool,
}

/// What `rustc -vV` tells.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rustc {
    /// `1.95.0`
    pub(crate) release: String,
    /// `22`; bpf-linker has to read what this LLVM writes.
    pub(crate) llvm_major: u32,
}

impl Machine {
    /// Looks at this machine.
    pub(crate) fn here() -> Result<Self> {
        let workspace = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from)
            .parent()
            .map(Path::to_owned)
            .context("the folder of xtask has no parent")?;
        // <target>/debug/xtask: right also when the configuration puts the target folder elsewhere.
        let target = env::current_exe()
            .context("cannot find this program")?
            .ancestors()
            .nth(2)
            .map(Path::to_owned)
            .context("cannot find cargo's target folder from the place of this program")?;
        let rustc = Rustc::parse(&capture(Command::new("rustc").arg("-vV").current_dir(&workspace))?)?;
        let sysroot = capture(Command::new("rustc").args(["--print", "sysroot"]).current_dir(&workspace))?;
        let root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
        let path = search_path(env::var_os("PATH").as_deref(), &cargo_programs());
        Ok(Self { rustc, sysroot: PathBuf::from(sysroot.trim_end()), workspace, target, path, root })
    }

    /// A command in the root of the workspace, found on our search path.
    pub(crate) fn command(&self, program: &str) -> Command {
        // Resolved here: the standard library searches the old PATH or the new one depending on the platform.
        let mut command = match self.find(program) {
            Some(found) => Command::new(found),
            None => Command::new(program),
        };
        command.env("PATH", &self.path).current_dir(&self.workspace);
        command
    }

    /// Where `program` lies on our search path.
    pub(crate) fn find(&self, program: &str) -> Option<PathBuf> {
        env::split_paths(&self.path).map(|folder| folder.join(program)).find(|file| {
            file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        })
    }

    /// A folder of xtask's own below the target folder, created when it is not there.
    pub(crate) fn scratch(&self, name: &str) -> Result<PathBuf> {
        self.below_target(Path::new("xtask").join(name))
    }

    /// A folder below the target folder, created when it is not there.
    pub(crate) fn below_target(&self, name: impl AsRef<Path>) -> Result<PathBuf> {
        let folder = self.target.join(name);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(folder)
    }
}

impl Rustc {
    /// `1.95`: Debian's sources of the same minor version fit.
    pub(crate) fn minor(&self) -> &str {
        self.release.rsplit_once('.').map_or(&self.release, |(minor, _patch)| minor)
    }

    fn parse(text: &str) -> Result<Self> {
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                .ok_or_else(|| anyhow!("`rustc -vV` does not tell its {name}"))
        };
        let llvm = field("LLVM version")?;
        let llvm_major = llvm
            .split('.')
            .next()
            .and_then(|major| major.parse().ok())
            .ok_or_else(|| anyhow!("`rustc -vV` tells the LLVM version {llvm:?}, which is no version"))?;
        Ok(Self { release: field("release")?.to_owned(), llvm_major })
    }
}

/// Where `cargo install` puts programs.
fn cargo_programs() -> PathBuf {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| Some(env::home_dir()?.join(".cargo"))).unwrap_or_default().join("bin")
}

fn search_path(path: Option<&OsStr>, cargo: &Path) -> OsString {
    let mut folders: Vec<PathBuf> = path.map(|path| env::split_paths(path).collect()).unwrap_or_default();
    for extra in [cargo, Path::new("/usr/local/sbin"), Path::new("/usr/sbin"), Path::new("/sbin")] {
        if !folders.iter().any(|folder| folder == extra) {
            folders.push(extra.to_owned());
        }
    }
    // Only a folder with a colon in its name cannot be joined, and PATH cannot have named one.
    env::join_paths(&folders).unwrap_or_else(|_| path.unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_rustc_tells() {
        let text = "rustc 1.95.0 (59807616e 2026-04-14)\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\n\
                    release: 1.95.0\nLLVM version: 22.1.2\n";
        let rustc = Rustc::parse(text).unwrap();
        assert_eq!(rustc, Rustc { release: "1.95.0".to_owned(), llvm_major: 22 });
        assert_eq!(rustc.minor(), "1.95");
    }

    #[test]
    fn says_what_rustc_did_not_tell() {
        let message = |text| Rustc::parse(text).unwrap_err().to_string();
        assert_eq!(message("release: 1.95.0\n"), "`rustc -vV` does not tell its LLVM version");
        assert_eq!(message("LLVM version: 22.1\n"), "`rustc -vV` does not tell its release");
        assert!(message("release: 1\nLLVM version: x\n").contains("\"x\""));
    }

    #[test]
    fn search_path_adds_what_is_not_there() {
        let path = search_path(Some(OsStr::new("/usr/sbin:/usr/bin")), Path::new("/home/a/.cargo/bin"));
        assert_eq!(path, "/usr/sbin:/usr/bin:/home/a/.cargo/bin:/usr/local/sbin:/sbin");
    }
}
