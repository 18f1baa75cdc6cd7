//! Asking HAProxy, in bounded time and memory.

use super::ServerState;
use super::parse::parse;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, getsockopt, socket};
use nix::sys::stat::{Mode, SFlag, fstat};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long HAProxy is waited for: it answers within milliseconds, or something is wrong with it.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// A line has some 120 bytes; nobody has as many servers as this holds.
const MOST_BYTES: usize = 32 * 1024 * 1024;
/// Between attempts to connect while HAProxy's queue is full.
const PAUSE: Duration = Duration::from_millis(10);

/// Holds a socket of this host that somebody named.
///
/// # Errors
/// Why not, and the remedy, to stand behind its name.
pub fn open(path: &Path) -> Result<OwnedFd, String> {
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    nix::fcntl::open(path, flags, Mode::empty()).map_err(|error| explain(&error.into()))
}

/// The servers of the HAProxy behind a socket that is held ([`open`],
/// [`crate::discovery::ProcessSurroundings::socket`]). `is_believed`: whether what this user listens on can be it, since
/// anybody may listen where HAProxy's socket was, or is to be; what anybody else says is not even read.
///
/// # Errors
/// Why not, and the remedy, to stand behind its name.
pub fn server_states(
    held: impl AsFd,
    patience: Duration,
    is_believed: impl FnOnce(u32) -> bool,
) -> Result<Vec<ServerState>, String> {
    let kind = fstat(&held).map_err(|error| explain(&error.into()))?.st_mode;
    if SFlag::from_bits_truncate(kind) & SFlag::S_IFMT != SFlag::S_IFSOCK {
        return Err("is no socket: name HAProxy's `stats socket`".into());
    }
    let until = Instant::now() + patience;
    let stream = dial(held, until).map_err(|error| explain(&error))?;
    // Of who began to listen, which a HAProxy that root started does as root.
    let listener = getsockopt(&stream, PeerCredentials).map_err(|error| explain(&error.into()))?.uid();
    if !is_believed(listener) {
        return Err(format!(
            "is listened on by user {listener}, who is not believed: check that it is HAProxy's `stats socket`, and that \
             its directory is root's"
        ));
    }
    let answer = ask(stream, until).map_err(|error| explain(&error))?;
    parse(&String::from_utf8_lossy(&answer))
}

fn ask(mut stream: UnixStream, until: Instant) -> io::Result<Vec<u8>> {
    stream.set_write_timeout(Some(left(until)?))?;
    stream.write_all(b"show servers state\n")?;
    let mut answer = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        stream.set_read_timeout(Some(left(until)?))?;
        match stream.read(&mut chunk) {
            Ok(0) => return Ok(answer),
            Ok(count) => answer.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if answer.len() > MOST_BYTES {
            return Err(ErrorKind::FileTooLarge.into());
        }
    }
}

/// Connects without blocking: a UNIX socket whose queue is full would keep us until somebody accepts.
fn dial(held: impl AsFd, until: Instant) -> io::Result<UnixStream> {
    // By what is held: it has no other path here when it is a container's, and no path that is too long.
    let path = format!("/proc/self/fd/{}", held.as_fd().as_raw_fd());
    let address = UnixAddr::new(path.as_str())?;
    loop {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let dialled = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
        match connect(dialled.as_raw_fd(), &address) {
            Ok(()) => {
                let stream = UnixStream::from(dialled);
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(Errno::EAGAIN | Errno::EINTR) => std::thread::sleep(left(until)?.min(PAUSE)),
            Err(error) => return Err(error.into()),
        }
    }
}

/// What is left of the time; never zero, which would mean to wait forever.
fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "no such socket: check that HAProxy runs and has this `stats socket`".into(),
        ErrorKind::PermissionDenied => "may not be asked: run as root".into(),
        ErrorKind::ConnectionRefused => "is listened on by nobody: check that HAProxy runs".into(),
        ErrorKind::TimedOut | ErrorKind::WouldBlock => "does not answer in time".into(),
        ErrorKind::FileTooLarge => "answers without end: check that it is HAProxy's `stats socket`".into(),
        _ => format!("cannot be asked: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::thread;

    const SOON: Duration = Duration::from_millis(50);
    const AGES: Duration = Duration::from_secs(60);
    const ANSWER: &[u8] =
        b"1\n# be_name srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_port\n\
                            b s 10.0.0.1 2 0 5 80\n\n";

    fn answered_by(
        respond: impl FnOnce(UnixStream) + Send + 'static,
        patience: Duration,
    ) -> Result<Vec<ServerState>, String> {
        let directory = tempfile::tempdir().unwrap();
        // Longer than the address of a socket can be.
        let deep = directory.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let short = directory.path().join("s");
        let listener = UnixListener::bind(&short).unwrap();
        std::fs::rename(&short, deep.join("s")).unwrap();
        thread::scope(|scope| {
            scope.spawn(move || respond(listener.accept().unwrap().0));
            server_states(open(&deep.join("s")).unwrap(), patience, |_| true)
        })
    }

    #[test]
    fn the_answer_is_read_to_its_end() {
        let respond = |mut stream: UnixStream| {
            let mut asked = [0; 64];
            let count = stream.read(&mut asked).unwrap();
            assert_eq!(&asked[..count], b"show servers state\n");
            for byte in ANSWER {
                stream.write_all(&[*byte]).unwrap();
            }
        };
        assert_eq!(answered_by(respond, AGES).unwrap()[0].user_weight, 5);
    }

    #[test]
    fn who_does_not_answer_is_not_waited_for() {
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let silent = move |_stream: UnixStream| receiver.recv_timeout(AGES);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let waiting = thread::spawn(move || silent(listener.accept().unwrap().0).is_err());
        assert!(server_states(open(&path).unwrap(), SOON, |_| true).unwrap_err().contains("in time"));
        drop(sender);
        assert!(waiting.join().unwrap(), "ends with the sender");
    }

    #[test]
    fn a_full_queue_does_not_block() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let listener = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
        nix::sys::socket::bind(listener.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
        nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = dial(open(&path).unwrap(), Instant::now() + SOON) {
            queued.push(stream);
            assert!(queued.len() < 100, "the queue has an end");
        }
        assert!(server_states(open(&path).unwrap(), SOON, |_| true).unwrap_err().contains("in time"));
    }

    #[test]
    fn who_is_not_believed_is_not_asked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let own = nix::unistd::geteuid().as_raw();
        let refused = server_states(open(&path).unwrap(), AGES, |user| user != own).unwrap_err();
        assert!(refused.contains(&format!("by user {own}, who is not believed")), "{refused}");
        let mut asked = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut asked).unwrap();
        assert_eq!(asked, b"");
    }

    #[test]
    fn an_answer_without_end_is_given_up() {
        let respond = |mut stream: UnixStream| while stream.write_all(&[b'x'; 65536]).is_ok() {};
        assert!(answered_by(respond, AGES).unwrap_err().contains("without end"));
    }

    #[test]
    fn what_cannot_be_asked_says_why() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        assert!(open(&path).unwrap_err().contains("no such socket"));
        drop(UnixListener::bind(&path).unwrap());
        assert!(server_states(open(&path).unwrap(), AGES, |_| true).unwrap_err().contains("by nobody"));
        assert!(
            server_states(open(directory.path()).unwrap(), AGES, |_| true)
                .unwrap_err()
                .contains("is no socket")
        );
    }
}
