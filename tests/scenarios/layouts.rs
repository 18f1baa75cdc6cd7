//! Agents whose maps are laid out otherwise take over from each other: what was counted goes on, whoever counts.

use super::pins::{addresses, backends, equals_and_nothing_is_adopted, kill, pinned, stop, unpin};
use crate::support::address::Block;
use crate::support::backend::{Backend, Behaviour::*, wait_until_closed};
use crate::support::bpffs::{Bpffs, names};
use crate::support::client::Client;
use crate::support::load::Load;
use crate::support::nginx::Nginx;
use crate::support::tracer::accepted;
use crate::support::{require_root, turn, wait};
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Duration;
use tracer_ebpf::ABI_VERSION;

/// How often an agent of one layout or the other is ended; `TRACER_KILLS` says otherwise.
const KILLS: u32 = 8;
/// The other layout's number.
const OTHER: u16 = ABI_VERSION + 1;
/// A set without sockets is ended within a look and a tick.
const LOOK: Duration = Duration::from_secs(20);

fn sets(bpffs: &Bpffs) -> Vec<String> {
    names(&bpffs.pins())
}

#[test]
fn totals_go_on_over_layouts_whose_agents_end_at_any_moment() {
    require_root();
    let (_turn, block, bpffs) = (turn::traffic(), Block::new(), Bpffs::mount());
    let backends = backends(block);
    let _nginx = Nginx::at(block.balancer(1)).servers(addresses(&backends)).workers(2).start();
    let kills = std::env::var("TRACER_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    kill(pinned(&bpffs, &backends).start());
    Load::on(block.balancer(1)).run_while(|| {
        for number in 0..kills {
            match number % 4 {
                0 => {
                    let other = Client::of_layout(&bpffs.pins(), OTHER);
                    std::thread::sleep(Duration::from_millis(fastrand::u64(0..1_500)));
                    drop(other);
                }
                1 => {
                    let starting = pinned(&bpffs, &backends).spawn();
                    std::thread::sleep(Duration::from_millis(fastrand::u64(1..300)));
                    kill(starting);
                }
                2 => {
                    // While it takes over.
                    let starting = Client::starting_of_layout(&bpffs.pins(), OTHER);
                    std::thread::sleep(Duration::from_millis(fastrand::u64(1..300)));
                    drop(starting);
                }
                _ => {
                    let running = pinned(&bpffs, &backends).start();
                    std::thread::sleep(Duration::from_millis(fastrand::u64(0..1_500)));
                    stop(running);
                }
            }
        }
    });
    wait_until_closed(&backends);
    let ended = stop(pinned(&bpffs, &backends).start());
    println!("{kills} ends, {} connections; {}", accepted(&backends), sets(&bpffs).join(" "));
    equals_and_nothing_is_adopted(&ended, &backends);
    ended.ensure(!ended.stderr.contains("judging begins anew"), "what was judged is of the same counters");
}

#[test]
fn a_layout_that_no_longer_counts_follows_its_connections_to_their_end() {
    // It ends when no socket is its own: those of other scenarios would be.
    let (_turn, block, bpffs) = (turn::alone(), Block::new(), Bpffs::mount());
    let backend = Backend::start(block.backend(1), Hold);
    let all = std::slice::from_ref(&backend);
    let mut client = Client::start("e2e-client");
    assert_eq!(client.ask(format!("keep 3 {}", backend.address)), "ok");
    let first = pinned(&bpffs, all).start();
    assert_eq!(client.ask(format!("keep 20 {}", backend.address)), "ok");
    stop(first);
    let (own, other, ended) =
        (format!("v{ABI_VERSION}"), format!("v{OTHER}"), format!("v{ABI_VERSION}-ended-1"));
    let mut second = Client::of_layout(&bpffs.pins(), OTHER);
    assert_eq!(client.ask(format!("keep 7 {}", backend.address)), "ok");
    let read = format!("read {}", backend.address);
    assert_eq!(second.ask(&read), "attempts 27 adopted 3 established 27 failed 0 closed 0 live 30");
    assert_eq!(client.ask("close 12"), "ok");
    wait::until("twelve are closed", LOOK, || (backend.report().closed == 12).then_some(()));
    assert_eq!(second.ask(&read), "attempts 27 adopted 3 established 27 failed 0 closed 12 live 18");
    assert_eq!(sets(&bpffs), ["switch", &own, &other]);
    assert_eq!(client.ask("close 18"), "ok");
    wait_until_closed([&backend]);
    wait::until("it is ended", LOOK, || {
        assert_eq!(second.ask(&read), "attempts 27 adopted 3 established 27 failed 0 closed 30 live 0");
        (sets(&bpffs) == ["switch", &ended, &other]).then_some(())
    });
    assert!(
        !names(&bpffs.pins().join(&ended)).contains(&"lifecycle".to_owned()),
        "its programs are detached"
    );
    drop(second);
    // And back: a third set of maps for a second agent of this layout.
    let third = pinned(&bpffs, all).start();
    assert_eq!(client.ask(format!("exchange 5 {}", backend.address)), "ok");
    wait_until_closed([&backend]);
    let last = stop(third);
    last.member("app", backend.address).adds_up().is("adopted", 3).is("established", 32).is("closed", 35);
    // What has ended keeps the places that were used.
    let mut show = Command::new("bpftool");
    show.args(["-j", "map", "show", "pinned"]).arg(bpffs.pins().join(&ended).join("CELLS"));
    let shown: serde_json::Value = serde_json::from_slice(&show.output().unwrap().stdout).unwrap();
    assert!(shown["max_entries"].as_u64().unwrap() < 64, "{shown}");
    unpin(&bpffs).exits(0);
    assert!(!bpffs.pins().exists());
}

#[test]
fn what_another_layout_does_not_say_of_itself_is_removed_and_told() {
    let (_turn, block, bpffs) = (turn::traffic(), Block::new(), Bpffs::mount());
    let backends = backends(block);
    drop(Client::of_layout(&bpffs.pins(), OTHER));
    let pin = bpffs.pins().join(format!("v{OTHER}/LAYOUT"));
    let zeros = "0 ".repeat(tracer_ebpf::LAYOUT_BYTES);
    let mut update = Command::new("bpftool");
    update.args(["map", "update", "pinned"]).arg(&pin).args(["key", "0", "0", "0", "0", "value"]);
    assert!(update.args(zeros.split_whitespace()).status().unwrap().success());
    let mut client = Client::start("e2e-client");
    let running = pinned(&bpffs, &backends).start();
    assert_eq!(client.ask(format!("exchange 5 {}", backends[0].address)), "ok");
    wait_until_closed(&backends);
    let ended = stop(running);
    let said = format!("removed the pins v{OTHER} of another version");
    ended.ensure(ended.stderr.contains(&said) && ended.stderr.contains("description"), &said);
    ended.member("app", backends[0].address).is("established", 5).is("closed", 5);
    assert_eq!(sets(&bpffs), ["switch".to_owned(), format!("v{ABI_VERSION}")]);
}

/// Adoption is the last step of a start: whoever is ended before it leaves it to the next, of whatever layout.
#[test]
fn connections_from_before_are_adopted_once_whoever_is_killed_before_it_has() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backend = Backend::start(block.backend(1), Hold);
    let all = std::slice::from_ref(&backend);
    let mut client = Client::start("e2e-client");
    for round in 0..5 {
        let bpffs = Bpffs::mount();
        assert_eq!(client.ask(format!("keep 5 {}", backend.address)), "ok");
        for start in 0..4 {
            let moment = Duration::from_millis(fastrand::u64(1..250));
            if (round + start) % 2 == 0 {
                let starting = Client::starting_of_layout(&bpffs.pins(), OTHER);
                std::thread::sleep(moment);
                drop(starting);
            } else {
                let starting = pinned(&bpffs, all).spawn();
                std::thread::sleep(moment);
                kill(starting);
            }
        }
        let running = pinned(&bpffs, all).start();
        assert_eq!(client.ask("close 5"), "ok");
        assert_eq!(client.ask(format!("exchange 4 {}", backend.address)), "ok");
        wait_until_closed([&backend]);
        let ended = stop(running);
        let member = ended.member("app", backend.address).adds_up();
        member.is("adopted", 5).is("attempts", 4).is("established", 4).is("closed", 9).is("live", 0);
    }
}

#[test]
fn what_only_looks_like_another_layout_is_not_touched() {
    let (_turn, block, bpffs) = (turn::traffic(), Block::new(), Bpffs::mount());
    let backends = backends(block);
    stop(pinned(&bpffs, &backends).start());
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("lifecycle"), "somebody's").unwrap();
    for name in ["v6", "v6-ended-1"] {
        symlink(elsewhere.path(), bpffs.pins().join(name)).unwrap();
    }
    stop(pinned(&bpffs, &backends).start());
    assert_eq!(names(elsewhere.path()), ["lifecycle"]);
    unpin(&bpffs).exits(0);
    assert!(!bpffs.pins().exists());
    assert_eq!(names(elsewhere.path()), ["lifecycle"]);
}

#[test]
fn without_the_switch_nobody_can_tell_who_counts() {
    let (_turn, block, bpffs) = (turn::traffic(), Block::new(), Bpffs::mount());
    let backends = backends(block);
    drop(Client::of_layout(&bpffs.pins(), OTHER));
    std::fs::remove_file(bpffs.pins().join("switch")).unwrap();
    let refused = pinned(&bpffs, &backends).spawn().finish();
    refused.exits(2);
    let said = refused.stderr.contains("switch: it is missing") && refused.stderr.contains("--unpin");
    refused.ensure(said, "what is missing, and the remedy");
    unpin(&bpffs).exits(0);
    stop(pinned(&bpffs, &backends).start());
}
