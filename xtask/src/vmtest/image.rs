//! What a guest has: an archive that the kernel unpacks into memory, with everything the steps need.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File},
    io::{self, BufWriter, Write},
    os::unix::fs::PermissionsExt as _,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use cpio::newc::{Builder, ModeFileType, trailer};

use crate::{command::capture, machine::Machine};

/// The first process, which the kernel starts.
pub(crate) const INIT: &str = "/vmtest/init";
/// What it is to do.
pub(crate) const STEPS: &str = "/vmtest/steps.json";
/// Modules it loads first.
pub(crate) const MODULES: &str = "/vmtest/modules";

/// A file, folder or link of the guest.
#[derive(Debug)]
enum Entry {
    Folder { mode: u32 },
    Copy { of: PathBuf },
    Text(String),
    Link(PathBuf),
}

/// The guest's files, by their absolute path.
#[derive(Debug)]
pub(crate) struct Image {
    entries: BTreeMap<PathBuf, Entry>,
    /// Links at the top, as `/lib`: a program's libraries are named by them.
    links: BTreeMap<OsString, PathBuf>,
}

impl Image {
    /// What any program expects, with this machine's links at the top.
    pub(crate) fn new() -> Self {
        let links = ["bin", "sbin", "lib", "lib64"]
            .into_iter()
            .filter_map(|name| Some((name.into(), fs::read_link(Path::new("/").join(name)).ok()?)));
        let mut image = Self { entries: BTreeMap::new(), links: links.collect() };
        for (name, target) in image.links.clone() {
            image.entries.insert(Path::new("/").join(name), Entry::Link(target));
        }
        for folder in ["/dev", "/proc", "/sys", "/run", "/root", "/var/log/nginx", "/var/lib/nginx", MODULES]
        {
            image.folder(Path::new(folder), 0o755);
        }
        image.folder(Path::new("/tmp"), 0o1777);
        image.entries.insert("/var/run".into(), Entry::Link("/run".into()));
        image.text("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n");
        image.text("/etc/group", "root:x:0:\nnogroup:x:65534:\n");
        image.text("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n");
        image.text("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n");
        image
    }

    /// A folder, also within one that is not there yet.
    pub(crate) fn folder(&mut self, path: &Path, mode: u32) {
        let place = self.place(path);
        self.put(place, Entry::Folder { mode });
    }

    /// A file that is made up.
    pub(crate) fn text(&mut self, path: &str, text: &str) {
        let place = self.place(Path::new(path));
        self.put(place, Entry::Text(text.to_owned()));
    }

    /// A file of this machine, at `path` in the guest.
    pub(crate) fn file(&mut self, of: &Path, path: &Path) {
        let place = self.place(path);
        self.put(place, Entry::Copy { of: of.to_owned() });
    }

    /// A program at its own path, with the libraries that it is linked with.
    pub(crate) fn program(&mut self, machine: &Machine, program: &Path) -> Result<()> {
        self.file(program, program);
        self.libraries(machine, program)
    }

    /// What a program is linked with.
    pub(crate) fn libraries(&mut self, machine: &Machine, program: &Path) -> Result<()> {
        let text = capture(machine.command("ldd").arg(program))?;
        let libraries = libraries(&text).with_context(|| format!("libraries of {}", program.display()))?;
        for library in libraries {
            self.file(Path::new(library), Path::new(library));
        }
        Ok(())
    }

    /// Everything below a folder, at its own path.
    pub(crate) fn tree(&mut self, folder: &Path) -> Result<()> {
        self.folder(folder, 0o755);
        for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                self.tree(&path)?;
            } else {
                self.file(&path, &path);
            }
        }
        Ok(())
    }

    /// Writes the archive: `newc`, not compressed, since an emulated processor is slow to unpack.
    pub(crate) fn write(&self, to: &Path) -> Result<()> {
        let write = || -> Result<()> {
            let mut out = BufWriter::new(File::create(to)?);
            for (path, entry) in &self.entries {
                let name = path.strip_prefix("/").unwrap_or(path).to_string_lossy();
                out = append(out, &name, entry).with_context(|| format!("cannot pack {}", path.display()))?;
            }
            trailer(out)?.into_inner().map_err(io::IntoInnerError::into_error)?;
            Ok(())
        };
        write().with_context(|| format!("cannot write {}", to.display()))
    }

    /// Where a path really is, once a link at the top is followed.
    fn place(&self, path: &Path) -> PathBuf {
        let mut components = path.components();
        let top = match (components.next(), components.next()) {
            (Some(Component::RootDir), Some(Component::Normal(top))) => self.links.get(top),
            _ => None,
        };
        top.map_or_else(|| path.to_owned(), |target| Path::new("/").join(target).join(components.as_path()))
    }

    fn put(&mut self, place: PathBuf, entry: Entry) {
        for parent in place.ancestors().skip(1) {
            if parent != Path::new("/") && !self.entries.contains_key(parent) {
                self.entries.insert(parent.to_owned(), Entry::Folder { mode: 0o755 });
            }
        }
        self.entries.insert(place, entry);
    }
}

fn append<W: Write>(out: W, name: &str, entry: &Entry) -> Result<W> {
    let (kind, mode, content) = match entry {
        Entry::Folder { mode } => (ModeFileType::Directory, *mode, Vec::new()),
        Entry::Text(text) => (ModeFileType::Regular, 0o644, text.clone().into_bytes()),
        Entry::Link(target) => {
            (ModeFileType::Symlink, 0o777, target.to_string_lossy().into_owned().into_bytes())
        }
        Entry::Copy { of } => {
            (ModeFileType::Regular, fs::metadata(of)?.permissions().mode() & 0o777, fs::read(of)?)
        }
    };
    let size = u32::try_from(content.len()).context("the format has no place for a file of 4 GiB")?;
    let mut writer = Builder::new(name).mode(mode).set_mode_file_type(kind).nlink(1).write(out, size);
    writer.write_all(&content)?;
    Ok(writer.finish()?)
}

/// The files that `ldd` names; the kernel's own (`linux-vdso`) is none.
fn libraries(text: &str) -> Result<Vec<&str>> {
    let mut files = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.contains("statically linked") || line.starts_with("linux-vdso") {
            continue;
        }
        let file = line.split_once(" => ").map_or(line, |(_name, file)| file);
        match file.split_whitespace().next() {
            Some(file) if file.starts_with('/') => files.push(file),
            _ => bail!("`ldd` says {line:?}"),
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(links: &[(&str, &str)]) -> Image {
        let links = links.iter().map(|&(name, target)| (name.into(), target.into())).collect();
        Image { entries: BTreeMap::new(), links }
    }

    #[test]
    fn libraries_are_the_files_that_ldd_names() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd2)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007fe)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007fed)\n";
        assert_eq!(
            libraries(text).unwrap(),
            ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]
        );
        assert!(libraries("\tstatically linked\n").unwrap().is_empty());
        let missing = libraries("\tlibfoo.so.1 => not found\n").unwrap_err().to_string();
        assert!(missing.contains("libfoo.so.1 => not found"), "{missing}");
    }

    #[test]
    fn paths_follow_the_links_at_the_top() {
        let image = image(&[("lib", "usr/lib")]);
        assert_eq!(image.place(Path::new("/lib/x/libc.so")), Path::new("/usr/lib/x/libc.so"));
        assert_eq!(image.place(Path::new("/lib64/ld.so")), Path::new("/lib64/ld.so"));
        assert_eq!(image.place(Path::new("/usr/lib/x")), Path::new("/usr/lib/x"));
    }

    #[test]
    fn the_archive_has_every_folder_before_its_files() {
        let mut image = image(&[]);
        image.text("/a/b/c", "text");
        image.folder(Path::new("/a"), 0o1777);
        let file = tempfile::NamedTempFile::new().unwrap();
        image.write(file.path()).unwrap();
        let mut bytes = io::Cursor::new(fs::read(file.path()).unwrap());
        let mut seen = Vec::new();
        loop {
            let reader = cpio::NewcReader::new(bytes).unwrap();
            if reader.entry().is_trailer() {
                break;
            }
            seen.push((reader.entry().name().to_owned(), reader.entry().mode(), reader.entry().file_size()));
            bytes = reader.finish().unwrap();
        }
        let expected = [("a", 0o41777, 0), ("a/b", 0o40755, 0), ("a/b/c", 0o100_644, 4)];
        assert_eq!(seen, expected.map(|(name, mode, size)| (name.to_owned(), mode, size)));
    }
}
