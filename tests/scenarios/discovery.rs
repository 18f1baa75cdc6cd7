//! Running balancers are found with the configuration that they run.

use crate::support::address::Block;
use crate::support::nginx::Nginx;
use crate::support::server::Server;
use crate::support::{require_root, wait};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tracer::discovery::{Found, Kind, discover, not_reloaded};
use tracer::imports::Surroundings;

const SOON: Duration = Duration::from_secs(20);

/// What is found of a server that is there.
#[track_caller]
fn find(server: &Server) -> Found {
    wait::until("the balancer is found, with a worker", SOON, || {
        let found = discover().found.into_iter().find(|found| found.pid == server.pid());
        found.filter(|found| found.newest_worker.is_some())
    })
}

fn read(found: &Found, path: &Path) -> String {
    String::from_utf8(found.surroundings().read(path).unwrap()).unwrap()
}

fn only_file(found: &Found) -> PathBuf {
    assert_eq!(found.files.len(), 1);
    found.files[0].clone()
}

/// Whether the files of a balancer are found to be newer than what it runs.
fn is_stale(found: &Found) -> bool {
    let mut surroundings = found.surroundings();
    found.files.iter().for_each(|file| drop(surroundings.read(file).unwrap()));
    let stale = not_reloaded(found, &surroundings.files());
    stale.is_some_and(|stale| stale.problem(found).to_string().contains("the newest worker of nginx (pid "))
}

#[test]
fn nginx_is_found_with_its_file_and_is_stale_until_it_is_reloaded() {
    require_root();
    let block = Block::new();
    let nginx = Nginx::at(block.balancer(1)).server(block.backend(1), "").workers(2);
    let server = nginx.start();
    let found = find(&server);
    assert_eq!((found.kind, found.command.as_str(), found.draining_workers), (Kind::Nginx, "nginx", 0));
    let file = only_file(&found);
    let text = read(&found, &file);
    assert!(text.contains(&block.backend(1).to_string()), "{text}");
    assert!(!is_stale(&found), "it was written before nginx started");

    // What the clocks can tell is over some time.
    wait::until("the file is seen to be newer", SOON, || {
        std::fs::write(&file, &text).unwrap();
        is_stale(&found).then_some(())
    });
    nginx.reload(&server);
    let again = wait::until("newer workers are seen", SOON, || {
        Some(find(&server)).filter(|again| again.generation > found.generation)
    });
    assert!(!is_stale(&again));
}

#[test]
fn a_path_is_looked_up_where_the_balancer_sees_it() {
    require_root();
    let block = Block::new();
    let listens = block.balancer(1);
    // Its own mounts: its /etc/nginx/nginx.conf is not that of the host.
    let script = r#"mount --bind "$0" /etc/nginx/nginx.conf && exec nginx -g "daemon off;""#;
    let server = Server::start(
        "unshare",
        None,
        listens,
        |directory| {
            let directory = directory.display();
            format!(
                "user root;\nerror_log stderr;\npid {directory}/pid;\nevents {{}}\nhttp {{\n  access_log off;\n  server {{ listen {listens}; }}\n}}\n"
            )
        },
        |file| {
            let file = file.to_str().unwrap();
            ["--mount", "sh", "-c", script, file].map(ToOwned::to_owned).to_vec()
        },
    );
    let found = find(&server);
    assert_eq!(only_file(&found), Path::new("/etc/nginx/nginx.conf"), "what it was built with");
    assert!(read(&found, Path::new("/etc/nginx/nginx.conf")).contains(&listens.to_string()));
    let surroundings = found.surroundings();
    drop(server);
    assert!(surroundings.clone().read(Path::new("/etc/nginx/nginx.conf")).is_ok(), "its files outlive it");
}

#[test]
fn haproxy_is_found_by_its_master_across_a_reload() {
    require_root();
    let block = Block::new();
    let (listens, backend) = (block.balancer(1), block.backend(1));
    let configuration = move |_: &Path| {
        format!(
            "global\n  nbthread 1\ndefaults\n  mode http\n  timeout connect 1s\n  timeout client 9s\n  timeout server 9s\n\
             listen app\n  bind {listens}\n  server s1 {backend}\n"
        )
    };
    let arguments = |file: &Path| ["-W", "-f", file.to_str().unwrap()].map(ToOwned::to_owned).to_vec();
    let server = Server::start("haproxy", None, listens, configuration, arguments);
    let found = find(&server);
    assert_eq!((found.kind, found.command.as_str()), (Kind::Haproxy, "haproxy"));
    let file = only_file(&found);
    assert!(read(&found, &file).contains(&backend.to_string()));
    assert_eq!(found.surroundings().variable("PATH"), std::env::var("PATH").ok());

    // A master that has not finished its start only writes its state when it is told to reload.
    let mut asked = None;
    let again = wait::until("a newer worker is seen", SOON, || {
        if asked.is_none_or(|asked: Instant| asked.elapsed() > Duration::from_secs(2)) {
            server.reload(configuration);
            asked = Some(Instant::now());
        }
        Some(find(&server)).filter(|again| again.generation > found.generation)
    });
    assert_eq!(again.files, [file], "the list of old processes is no file");
    assert!(again.read_at() > found.read_at());
}
