//! A path that takes its time: packets to some addresses pass by a thread that holds each back for as long.

use super::address::Block;
use super::netns::{Namespace, Network};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The namespace at its far end, and the threads between; gone when dropped.
pub(crate) struct SlowPath {
    pub(crate) far: Namespace,
    stopping: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl SlowPath {
    /// Packets to `addresses` get behind the router after `delay`, and those back at once.
    pub(crate) fn new(
        block: Block,
        network: &Network,
        addresses: impl IntoIterator<Item = SocketAddr>,
        delay: Duration,
    ) -> Self {
        let far = Namespace::new(block.name("s"));
        let near_end = network.router.run(|| tun("slow0"));
        let far_end = far.run(|| tun("slow1"));
        network.router.ip("link set slow0 up");
        far.ip("link set slow1 up");
        far.ip("route add default dev slow1");
        for address in addresses {
            far.ip(&format!("addr add {}/32 dev lo", address.ip()));
            network.router.ip(&format!("route add {}/32 dev slow0", address.ip()));
        }
        let stopping = Arc::new(AtomicBool::new(false));
        let (held_back, due) = channel::<(Instant, Vec<u8>)>();
        let (to_far, to_near) = (far_end.try_clone().unwrap(), near_end.try_clone().unwrap());
        let (stop_there, stop_back) = (stopping.clone(), stopping.clone());
        let threads = vec![
            std::thread::spawn(move || {
                each_packet(near_end, &stop_there, |packet| {
                    held_back.send((Instant::now() + delay, packet.to_vec())).unwrap();
                });
            }),
            std::thread::spawn(move || {
                for (moment, packet) in due {
                    std::thread::sleep(moment.saturating_duration_since(Instant::now()));
                    (&to_far).write_all(&packet).unwrap();
                }
            }),
            std::thread::spawn(move || {
                each_packet(far_end, &stop_back, |packet| (&to_near).write_all(packet).unwrap());
            }),
        ];
        Self { far, stopping, threads }
    }
}

impl Drop for SlowPath {
    fn drop(&mut self) {
        self.stopping.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Reads packets until it is to stop.
fn each_packet(mut end: File, stopping: &AtomicBool, mut take: impl FnMut(&[u8])) {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
    epoll.add(&end, EpollEvent::new(EpollFlags::EPOLLIN, 0)).unwrap();
    let mut packet = [0; 2048];
    while !stopping.load(Relaxed) {
        let _ = epoll.wait(&mut [EpollEvent::empty()], EpollTimeout::from(100_u8));
        while let Ok(length) = end.read(&mut packet) {
            take(&packet[..length]);
        }
    }
}

/// A network interface of the calling thread's namespace whose packets are read from, and written to, the file.
fn tun(name: &str) -> File {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")
        .unwrap_or_else(|error| panic!("/dev/net/tun: {error} (needs a kernel with CONFIG_TUN)"));
    // SAFETY: all zero bytes are a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI).try_into().unwrap();
    // SAFETY: the request is an `ifreq`, as TUNSETIFF wants it, and lives for the call.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw const request) };
    Errno::result(result).unwrap_or_else(|error| panic!("TUNSETIFF {name}: {error}"));
    file
}
