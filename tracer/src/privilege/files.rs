//! Files and ports that a thread can reach, by landlock.

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, PathBeneath, PathFd, Ruleset, RulesetAttr as _, RulesetCreated,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus,
};
use std::path::{Path, PathBuf};

/// Which files a thread can open. What it has open stays open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Files {
    /// As its user and its capabilities let it: without landlock.
    Any,
    /// To read, any; to write, those below these directories.
    Read(Vec<PathBuf>),
    /// To read and write, those below this directory, and temporary ones of SQLite.
    Below(PathBuf),
    /// None.
    None,
}

/// What is asked of landlock; where a kernel knows less of it, it does less.
const KNOWN: ABI = ABI::V5;

/// Where SQLite puts what does not fit into memory, and whence it takes chance.
const OF_SQLITE: [&str; 3] = ["/var/tmp", "/tmp", "/dev/urandom"];

/// Restricts this thread and those that it starts, for good; `connects`: to connect to TCP ports stays allowed, to listen on
/// one never does. False where the kernel has no landlock, or was started without.
///
/// # Errors
/// When the kernel has it, and refuses.
pub(super) fn restrict(files: &Files, connects: bool) -> Result<bool, RulesetError> {
    if *files == Files::Any {
        return Ok(true);
    }
    let mut ruleset = Ruleset::default().handle_access(AccessFs::from_all(KNOWN))?;
    ruleset = ruleset.handle_access(AccessNet::BindTcp)?;
    if !connects {
        ruleset = ruleset.handle_access(AccessNet::ConnectTcp)?;
    }
    let mut ruleset = ruleset.create()?;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let all = AccessFs::from_all(KNOWN) & !AccessFs::Execute;
    match files {
        Files::Any | Files::None => {}
        Files::Read(writes) => {
            ruleset = allow(ruleset, Path::new("/"), read)?;
            for directory in writes {
                ruleset = allow(ruleset, directory, all)?;
            }
        }
        Files::Below(directory) => {
            ruleset = allow(ruleset, directory, all)?;
            for place in OF_SQLITE {
                let access = if Path::new(place).is_dir() { all } else { read & AccessFs::from_file(KNOWN) };
                ruleset = allow(ruleset, Path::new(place), access)?;
            }
        }
    }
    Ok(ruleset.restrict_self()?.ruleset != RulesetStatus::NotEnforced)
}

/// What is not there needs no rule.
fn allow(
    ruleset: RulesetCreated,
    path: &Path,
    access: landlock::BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    match PathFd::new(path) {
        Ok(place) => ruleset.add_rule(PathBeneath::new(place, access)),
        Err(_) => Ok(ruleset),
    }
}
