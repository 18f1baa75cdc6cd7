use super::*;
use crate::imports::{Severity, Surroundings as _};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A program that waits, under the name of a balancer and with the arguments of one.
struct Impostor {
    child: Child,
    directory: TempDir,
    _waits_for: Option<ChildStdin>,
}

impl Impostor {
    fn start(name: &str, title: &str, prepare: impl FnOnce(&Path), user: Option<u32>) -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "only root can start what root is believed for: run as root"
        );
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let executable = directory.path().join(name);
        // By another process: one that is written by this one could not be executed while a third is forked.
        assert!(Command::new("cp").arg("/bin/cat").arg(&executable).status().unwrap().success());
        prepare(&executable);
        let mut command = Command::new(&executable);
        command.arg0(title).current_dir(directory.path()).stdin(Stdio::piped()).stdout(Stdio::null());
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        let mut child = command.spawn().unwrap();
        let waits_for = child.stdin.take();
        // It is seen while it is still becoming the program.
        let cmdline = format!("/proc/{}/cmdline", child.id());
        while fs::read(&cmdline).unwrap().strip_suffix(b"\0") != Some(title.as_bytes()) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Self { child, directory, _waits_for: waits_for }
    }

    fn problems(&self, discovery: &Discovery) -> Vec<Problem> {
        let place = format!("(pid {})", self.child.id());
        discovery.problems.iter().filter(|one| one.at.file.ends_with(&place)).cloned().collect()
    }

    fn found<'a>(&self, discovery: &'a Discovery) -> Option<&'a Found> {
        discovery.found.iter().find(|found| found.pid == self.child.id())
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const TITLE: &str = "nginx: master process nginx -c /etc/shadow";

#[test]
fn roots_process_of_roots_executable_is_found() {
    let nginx = Impostor::start("nginx", "nginx: master process nginx -p . -c a.conf", |_| {}, None);
    let discovery = discover();
    let found = nginx.found(&discovery).unwrap();
    assert_eq!((found.kind, found.command.as_str()), (Kind::Nginx, "nginx"));
    let file = nginx.directory.path().canonicalize().unwrap().join("./a.conf");
    assert_eq!(found.files, [file], "relative to its working directory");
    let own = fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(own.to_str(), Some(format!("net:[{}]", found.netns.unwrap()).as_str()));
    assert_eq!(found.newest_worker, None);
    assert!(found.started <= SystemTime::now() + Duration::from_secs(1));
    assert_eq!(nginx.problems(&discovery), []);
    assert!(found.surroundings().read(Path::new("/etc/passwd")).is_ok());
}

#[test]
fn another_users_process_is_skipped_with_a_note() {
    let nginx = Impostor::start("nginx", TITLE, |_| {}, Some(65534));
    let discovery = discover();
    assert!(nginx.found(&discovery).is_none());
    let problems = nginx.problems(&discovery);
    assert_eq!(
        (problems.len(), problems[0].code, problems[0].severity),
        (1, "balancer-not-root", Severity::Note)
    );
}

#[test]
fn however_many_are_not_believed_it_is_one_note() {
    let crowd: Vec<_> = (0..4).map(|_| Impostor::start("tengine", TITLE, |_| {}, Some(65534))).collect();
    let roots = Impostor::start("tengine", "nginx: master process nginx -c /a.conf", |_| {}, None);
    let discovery = discover();
    assert!(roots.found(&discovery).is_some());
    let mut problems: Vec<_> = crowd.iter().flat_map(|one| one.problems(&discovery)).collect();
    let problem = problems.pop().unwrap();
    assert_eq!(problems, []);
    assert_eq!((problem.code, problem.severity), ("balancer-not-root", Severity::Note));
    assert!(problem.message.ends_with("(and 3 more like it)"), "{problem}");
}

#[test]
fn nothing_is_held_open_of_those_that_are_not_believed() {
    let crowd = Impostor::start("freenginx", TITLE, |_| {}, Some(65534));
    let seen = Candidates::among(&[crowd.child.id()]);
    assert!(seen.believed.is_empty() && seen.problems().len() == 1);
    let directory = format!("/proc/{}", crowd.child.id());
    let held =
        fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    assert_eq!(held.filter(|path| path.starts_with(&directory)).count(), 0);
}

#[test]
fn what_others_can_have_written_is_not_believed() {
    let owned = |path: &Path| chown(path, Some(65534), None).unwrap();
    let open = |path: &Path| fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
    let powerful = |path: &Path| fs::set_permissions(path, Permissions::from_mode(0o4755)).unwrap();
    let prepared: [&dyn Fn(&Path); 3] = [&owned, &open, &powerful];
    for prepare in prepared {
        let nginx = Impostor::start("nginx", TITLE, prepare, None);
        let discovery = discover();
        assert!(nginx.found(&discovery).is_none());
        let problems = nginx.problems(&discovery);
        assert_eq!((problems.len(), problems[0].code), (1, "executable-not-trusted"));
        assert!(problems[0].hint.as_ref().unwrap().contains("--nginx"));
    }
}

#[test]
fn what_only_calls_itself_a_balancer_is_none() {
    let cat = Impostor::start("cat", TITLE, |_| {}, None);
    let discovery = discover();
    assert!(cat.found(&discovery).is_none());
    assert_eq!(cat.problems(&discovery), []);
}

#[test]
fn what_cannot_be_said_is_a_problem_with_a_remedy() {
    for (name, title, code) in [
        ("nginx", "nginx: master process nginx -c /a -c /b", "configuration-unknown"),
        ("nginx", "nginx: master process nginx -c a.conf", "configuration-unknown"),
        ("envoy", "envoy", "configuration-unknown"),
    ] {
        let process = Impostor::start(name, title, |_| {}, None);
        let discovery = discover();
        assert!(process.found(&discovery).is_none(), "{title}");
        let problems = process.problems(&discovery);
        assert_eq!((problems.len(), problems[0].code), (1, code), "{title}");
        assert!(problems[0].hint.as_ref().unwrap().contains("FILE"));
    }
    let inline = Impostor::start("nginx", "nginx: master process nginx -g include x; -c /a", |_| {}, None);
    let discovery = discover();
    assert_eq!(inline.problems(&discovery)[0].code, "inline-configuration");
    assert!(inline.found(&discovery).is_some());
}

#[test]
fn what_is_called_haproxy_and_names_no_file_serves_nobody() {
    let haproxy = Impostor::start("haproxy", "haproxy", |_| {}, None);
    let discovery = discover();
    assert!(haproxy.found(&discovery).is_none());
    assert_eq!(haproxy.problems(&discovery), []);
}

#[test]
fn a_worker_belongs_to_its_master_and_is_no_balancer() {
    let worker = Impostor::start("nginx", "nginx: worker process", |_| {}, None);
    let discovery = discover();
    assert!(worker.found(&discovery).is_none());
    assert_eq!(worker.problems(&discovery), []);
}
