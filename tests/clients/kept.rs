//! Connections that outlive the command that opened them.

use super::{connect, connected, finish, new_socket};
use nix::sys::socket::{self, sockopt};
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

static KEPT: Mutex<Vec<TcpStream>> = Mutex::new(Vec::new());
static CONNECTING: Mutex<Vec<OwnedFd>> = Mutex::new(Vec::new());
static BUSY: Mutex<Vec<JoinHandle<usize>>> = Mutex::new(Vec::new());
static STOPPING: AtomicBool = AtomicBool::new(false);

/// Connections that a flood keeps at most: descriptors are limited.
const MOST: usize = 12_000;

fn locked<T>(of: &'static Mutex<T>) -> std::sync::MutexGuard<'static, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does one of the commands here; `None`: it is not one.
///
/// * `keep N ADDRESS`: opens N and keeps them. `close N`: closes N of all that are kept.
/// * `say N`: sends ten bytes on each of the first N that are kept. `finish N`: does so and ends N of them by FIN.
/// * `connecting N ADDRESS`: begins to connect N times, and waits for none.
/// * `flood ADDRESS`: opens connections without a pause and keeps them. `churn ADDRESS`: opens and closes them.
/// * `stop`: ends both; answers how many each has opened, in their order.
pub(crate) fn obey(words: &[&str]) -> Option<String> {
    let number = |at: usize| words[at].parse::<usize>().unwrap();
    let address = |at: usize| words[at].parse::<SocketAddr>().unwrap();
    match words[0] {
        "keep" => {
            let opened = (0..number(1)).map(|_| connected(address(2)).unwrap());
            locked(&KEPT).extend(opened);
        }
        "say" => {
            for stream in locked(&KEPT).iter_mut().take(number(1)) {
                stream.write_all(b"0123456789").unwrap();
            }
        }
        "finish" => {
            for stream in locked(&KEPT).drain(..number(1)) {
                finish(stream).unwrap();
            }
        }
        "close" => {
            locked(&KEPT).drain(..number(1)).for_each(reset);
        }
        "connecting" => {
            for _ in 0..number(1) {
                let fd = new_socket();
                TcpStream::from(fd.try_clone().unwrap()).set_nonblocking(true).unwrap();
                assert_eq!(connect(&fd, address(2)), Err(nix::errno::Errno::EINPROGRESS));
                locked(&CONNECTING).push(fd);
            }
        }
        "flood" => begin(address(1), |stream| {
            locked(&KEPT).push(stream);
            // More would be a test of the descriptor limit.
            while locked(&KEPT).len() >= MOST && !STOPPING.load(SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }),
        "churn" => begin(address(1), reset),
        "stop" => {
            STOPPING.store(true, SeqCst);
            let opened: Vec<String> =
                locked(&BUSY).drain(..).map(|thread| thread.join().unwrap().to_string()).collect();
            STOPPING.store(false, SeqCst);
            return Some(opened.join(" "));
        }
        _ => return None,
    }
    Some("ok".to_owned())
}

fn begin(to: SocketAddr, then: impl Fn(TcpStream) + Send + 'static) {
    let work = move || {
        let mut opened = 0;
        while !STOPPING.load(SeqCst) {
            then(connected(to).unwrap());
            opened += 1;
        }
        opened
    };
    locked(&BUSY).push(std::thread::spawn(work));
}

/// Closes with an RST: no port stays behind in TIME_WAIT.
fn reset(stream: TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    socket::setsockopt(&stream, sockopt::Linger, &linger).unwrap();
}
