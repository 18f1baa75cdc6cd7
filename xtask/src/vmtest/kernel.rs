//! Kernels of Debian's archive, kept below the target folder by their release.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::series::{Series, packages_of, release_of};
use crate::{apt::Archive, machine::Machine};

/// The modules that the tests need: a link between two network namespaces, one through a process, and what lets `ss` end
/// connections, of which the second needs the first. The rest is built in.
const MODULES: [&str; 4] = ["veth.ko", "tun.ko", "inet_diag.ko", "tcp_diag.ko"];

/// A kernel that can be booted.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// `6.1.0-50-cloud-amd64`
    pub(crate) release: String,
    /// Debian's version of it: `6.1.176-1`.
    pub(crate) version: String,
    /// The folder it is kept in.
    home: PathBuf,
}

impl Kernel {
    /// The newest release of a series that is here; of the archive's, if there is none or `update` is asked for.
    pub(crate) fn get(machine: &Machine, series: Series, update: bool) -> Result<Self> {
        let kept = machine.below_target("vmtest/kernels")?;
        if !update
            && series != Series::Newest
            && let Some(kernel) = Self::kept(&kept, series)?
        {
            return Ok(kernel);
        }
        let suites = series.suites();
        Self::fetch(machine, &kept, series).with_context(|| {
            format!(
                "no kernel of series {series} from http://deb.debian.org/debian (suites tried: {})",
                suites.join(", ")
            )
        })
    }

    /// The compressed kernel.
    pub(crate) fn image(&self) -> PathBuf {
        self.home.join("vmlinuz")
    }

    /// Its modules, each a file.
    pub(crate) fn modules(&self) -> Result<Vec<PathBuf>> {
        files(&self.home, &is_module)
    }

    fn kept(kept: &Path, series: Series) -> Result<Option<Self>> {
        let mut releases = Vec::new();
        for entry in fs::read_dir(kept).with_context(|| format!("cannot read {}", kept.display()))? {
            releases.push(entry?.file_name().to_string_lossy().into_owned());
        }
        let Some(release) = series.pick(releases.iter().map(String::as_str)) else { return Ok(None) };
        let home = kept.join(release);
        if files(&home, &is_module)?.len() < MODULES.len() {
            // Kept when the tests needed less.
            return Ok(None);
        }
        let file = home.join("version");
        let version = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok(Some(Self { release: release.to_owned(), version, home }))
    }

    fn fetch(machine: &Machine, kept: &Path, series: Series) -> Result<Self> {
        let archive = Archive::open(machine, series.suites())?;
        let names = archive.names("linux-")?;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let release = series
            .pick(names.iter().filter_map(|name| release_of(name)))
            .context("the archive has no package linux-image-…-cloud-amd64 of it")?
            .to_owned();
        if let Some(kernel) = Self::kept(kept, series)?.filter(|kernel| kernel.release == release) {
            return Ok(kernel);
        }
        let unpacked = kept.join("unpacked");
        empty(&unpacked)?;
        let packages = archive.unpack(&packages_of(&release, &names), &unpacked)?;
        let version =
            packages.first().and_then(|name| version_of(name)).context("a package has no version")?;
        // Renamed last, so that a kernel is there whole or not.
        let partial = kept.join("partial");
        empty(&partial)?;
        let wanted = |name: &str| name.starts_with("vmlinuz") || is_module(name);
        for file in files(&unpacked, &wanted)? {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            // `vmlinuz-6.1.0-50-cloud-amd64` or `vmlinuz`
            let name = if name.starts_with("vmlinuz") { "vmlinuz" } else { &name };
            fs::copy(&file, partial.join(name)).with_context(|| format!("cannot copy {}", file.display()))?;
        }
        fs::write(partial.join("version"), version)
            .with_context(|| format!("cannot write to {}", partial.display()))?;
        fs::remove_dir_all(&unpacked).with_context(|| format!("cannot remove {}", unpacked.display()))?;
        let home = kept.join(&release);
        if home.exists() {
            fs::remove_dir_all(&home).with_context(|| format!("cannot remove {}", home.display()))?;
        }
        fs::rename(&partial, &home).with_context(|| format!("cannot create {}", home.display()))?;
        Ok(Self { release, version: version.to_owned(), home })
    }
}

/// Whether a file is one of the modules, compressed or not.
fn is_module(name: &str) -> bool {
    MODULES.iter().any(|module| name.starts_with(module))
}

/// Makes a folder that has nothing in it, whatever an earlier run left there when it was stopped.
fn empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir(folder).with_context(|| format!("cannot create {}", folder.display()))
}

/// The files below a folder whose name is wanted.
fn files(folder: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            found.extend(files(&entry.path(), wanted)?);
        } else if kind.is_file() && wanted(&entry.file_name().to_string_lossy()) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// The version in the name of a package's file: `name_version_architecture.deb`.
fn version_of(file: &str) -> Option<&str> {
    file.split('_').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_in_the_name_of_the_file() {
        assert_eq!(version_of("linux-image-6.1.0-50-cloud-amd64_6.1.176-1_amd64.deb"), Some("6.1.176-1"));
        assert_eq!(version_of("linux-image.deb"), None);
    }

    #[test]
    fn a_kernel_that_is_kept_is_found_by_its_series() {
        let kept = tempfile::tempdir().unwrap();
        for (release, version) in
            [("6.1.0-47-cloud-amd64", "6.1.170-1"), ("6.1.0-50-cloud-amd64", "6.1.176-1")]
        {
            let home = kept.path().join(release);
            fs::create_dir(&home).unwrap();
            fs::write(home.join("version"), version).unwrap();
            for module in ["veth.ko.xz", "tun.ko", "inet_diag.ko", "tcp_diag.ko"] {
                fs::write(home.join(module), "").unwrap();
            }
            fs::write(home.join("mptcp_diag.ko"), "").unwrap();
        }
        fs::create_dir(kept.path().join("partial")).unwrap();
        let kernel = Kernel::kept(kept.path(), Series::Of(6, 1)).unwrap().unwrap();
        assert_eq!((kernel.release.as_str(), kernel.version.as_str()), ("6.1.0-50-cloud-amd64", "6.1.176-1"));
        let mut modules = kernel.modules().unwrap();
        modules.sort();
        let needed = ["inet_diag.ko", "tcp_diag.ko", "tun.ko", "veth.ko.xz"];
        assert_eq!(modules, needed.map(|module| kernel.home.join(module)));
        fs::remove_file(&modules[0]).unwrap();
        assert!(
            Kernel::kept(kept.path(), Series::Of(6, 1)).unwrap().is_none(),
            "kept without what is needed now"
        );
        assert!(Kernel::kept(kept.path(), Series::Of(6, 12)).unwrap().is_none());
    }
}
