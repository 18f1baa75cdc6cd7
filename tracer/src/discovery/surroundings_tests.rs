use super::*;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use tempfile::TempDir;

/// A root of its own: the process is this one, for its environment.
fn surroundings(root: &TempDir) -> ProcessSurroundings {
    let held = File::open(root.path()).unwrap();
    let process = Process::open(std::process::id()).unwrap();
    ProcessSurroundings::new(Arc::new(process), Arc::new(held.into()), Some("/work".into()))
}

fn root() -> TempDir {
    assert!(nix::unistd::geteuid().is_root(), "files of other users can be made by root only: run as root");
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("etc/app")).unwrap();
    fs::create_dir_all(root.path().join("work")).unwrap();
    fs::write(root.path().join("etc/hostname"), "inside").unwrap();
    root
}

fn refused(root: &TempDir, path: &str) -> String {
    surroundings(root).read(Path::new(path)).unwrap_err()
}

#[test]
fn paths_never_lead_out_of_the_root() {
    let root = root();
    symlink("/etc/hostname", root.path().join("link")).unwrap();
    symlink("../../../../etc/hostname", root.path().join("etc/up")).unwrap();
    symlink("/etc", root.path().join("directory")).unwrap();
    fs::write(root.path().join("work/near"), "near").unwrap();
    let mut inside = surroundings(&root);
    let paths =
        ["/etc/hostname", "/link", "/etc/up", "/directory/hostname", "/../../etc/hostname", "../etc/up"];
    for path in paths {
        assert_eq!(inside.read(Path::new(path)).unwrap(), b"inside", "{path}");
    }
    assert_eq!(inside.read(Path::new("near")).unwrap(), b"near", "relative to the working directory");
    assert!(inside.read(Path::new("/etc/passwd")).unwrap_err().contains("no such file"));
}

#[test]
fn magic_links_are_not_followed() {
    let root: OwnedFd = File::open("/").unwrap().into();
    let process = Arc::new(Process::open(std::process::id()).unwrap());
    let mut host = ProcessSurroundings::new(process, Arc::new(root), None);
    let refused = host.read(Path::new("/proc/self/root/etc/passwd")).unwrap_err();
    assert!(refused.contains("cannot be read"), "{refused}");
    assert!(!host.read(Path::new("/etc/passwd")).unwrap().is_empty());
}

#[test]
fn what_is_no_file_of_roots_alone_is_refused_without_blocking() {
    let root = root();
    let at = |name: &str| root.path().join(name);
    nix::unistd::mkfifo(&at("fifo"), Mode::S_IRWXU).unwrap();
    assert!(refused(&root, "/fifo").contains("is a FIFO"));
    assert!(refused(&root, "/etc").contains("is a directory"));
    let _listener = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    assert!(refused(&root, "/socket").contains("is a socket"));
    let mode = |name: &str, mode| fs::set_permissions(at(name), Permissions::from_mode(mode)).unwrap();
    for (name, bits, part) in [("others", 0o646, "chmod go-w"), ("group", 0o664, "chmod go-w")] {
        fs::write(at(name), "text").unwrap();
        chown(at(name), None, Some(1000)).unwrap();
        mode(name, bits);
        assert!(refused(&root, &format!("/{name}")).contains(part), "{name}");
    }
    chown(at("group"), None, Some(0)).unwrap();
    surroundings(&root).read(Path::new("/group")).unwrap();
    fs::write(at("theirs"), "text").unwrap();
    chown(at("theirs"), Some(1000), None).unwrap();
    assert!(refused(&root, "/theirs").contains("belongs to user 1000"));
    File::create(at("large")).unwrap().set_len(MAX_BYTES + 1).unwrap();
    assert!(refused(&root, "/large").contains("larger than 16 MiB"));
    fs::write(at("private"), "text").unwrap();
    mode("private", 0o600);
    surroundings(&root).read(Path::new("/private")).unwrap();
}

#[test]
fn changes_are_seen_by_what_was_opened() {
    let root = root();
    let path = root.path().join("etc/app/a.conf");
    fs::write(&path, "one").unwrap();
    let mut seen = surroundings(&root);
    seen.read(Path::new("/etc/app/a.conf")).unwrap();
    seen.read(Path::new("/etc/app/b.conf")).unwrap_err();
    let mut names = seen.list(Path::new("/etc/app")).unwrap();
    names.sort();
    assert_eq!(names, ["a.conf"]);
    seen.list(Path::new("/nowhere")).unwrap_err();
    assert_eq!(seen.stamps().len(), 4);
    assert_eq!(seen.stamps(), seen.stamps_now(), "nothing has changed");
    assert_eq!(seen.files().len(), 1, "directories and what is not there are no files");

    let changed = |seen: &ProcessSurroundings| {
        let (then, now) = (seen.stamps(), seen.stamps_now());
        then.into_iter().filter(|(path, stamp)| now[path] != *stamp).map(|(path, _)| path).collect::<Vec<_>>()
    };
    // Of the same size, and with the times of the one before.
    let times = fs::metadata(&path).unwrap();
    let next = root.path().join("next");
    fs::write(&next, "two").unwrap();
    File::open(&next).unwrap().set_modified(times.modified().unwrap()).unwrap();
    fs::rename(&next, &path).unwrap();
    assert_eq!(changed(&seen), [Path::new("/etc/app"), Path::new("/etc/app/a.conf")]);
    fs::write(root.path().join("etc/app/b.conf"), "").unwrap();
    assert!(changed(&seen).contains(&"/etc/app/b.conf".into()), "has come");
    fs::remove_file(&path).unwrap();
    assert!(seen.stamps_now()[Path::new("/etc/app/a.conf")].is_none(), "has gone");
}

#[test]
fn only_the_variable_that_was_asked_for_is_kept() {
    let mut inside = surroundings(&root());
    assert_eq!(inside.variable("PATH"), std::env::var("PATH").ok());
    assert_eq!(inside.variable("TRACER_TEST_NEVER_SET"), None);
    assert_eq!(inside.variables.len(), 2);
}

#[test]
fn a_variable_is_found_by_its_whole_name() {
    let environment = b"AB=1\0A=2=3\0A=4\0=x\0BROKEN\0\xff=\xff\0";
    assert_eq!(variable(environment, "A"), Some("2=3".into()), "the first");
    assert_eq!(variable(environment, "AB"), Some("1".into()));
    assert_eq!(variable(environment, "BROKEN"), None);
    assert_eq!(variable(environment, "B"), None);
    assert_eq!(variable(b"", "A"), None);
}

#[test]
fn files_are_read_when_the_process_has_ended() {
    let root = root();
    let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let process = Arc::new(Process::open(child.id()).unwrap());
    let held = Arc::new(File::open(root.path()).unwrap().into());
    let mut inside = ProcessSurroundings::new(process, held, None);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(inside.read(Path::new("/etc/hostname")).unwrap(), b"inside");
    assert_eq!(inside.variable("PATH"), None);
}
