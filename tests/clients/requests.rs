//! Connections with many requests on them, sent and read in every way that TCP knows.

use super::connected;
use nix::errno::Errno;
use nix::fcntl::{SpliceFFlags, splice};
use nix::sys::sendfile::sendfile;
use nix::sys::socket::{MsgFlags, recv};
use std::io::{Read, Seek, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

static OPEN: Mutex<Vec<TcpStream>> = Mutex::new(Vec::new());

/// What a pipe holds at least.
const PART: usize = 4096;

/// Does one of the commands here; `None`: it is not one.
///
/// * `open N ADDRESS`: opens N connections for requests. `shut`: ends them by FIN.
///
/// On each of them, one after the other:
/// * `requests M`: M requests with their responses.
/// * `in-pieces M`: a request whose head goes out in M writes.
/// * `upload-by WAY BYTES`: a request with a body that goes out by `write`, `sendfile` or `splice`.
/// * `peeked`: a request whose response is looked at before it is read.
/// * `spliced`: a request whose response is read by splice(2), which is tried before there is one.
/// * `unanswered`: a request, and splice(2) until the other side has closed.
pub(crate) fn obey(words: &[&str]) -> Option<String> {
    let number = |at: usize| words[at].parse::<usize>().unwrap();
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    match words[0] {
        "open" => {
            for _ in 0..number(1) {
                let stream = connected(words[2].parse().unwrap()).unwrap();
                stream.set_nodelay(true).unwrap();
                open.push(stream);
            }
        }
        "shut" => open.clear(),
        "requests" => {
            for stream in &mut *open {
                for _ in 0..number(1) {
                    stream.write_all(b"GET / HTTP/1.1\r\nHost: pool\r\n\r\n").unwrap();
                    response(stream);
                }
            }
        }
        "in-pieces" => open.iter_mut().for_each(|stream| in_pieces(stream, number(1))),
        "upload-by" => open.iter_mut().for_each(|stream| upload(stream, words[1], number(2))),
        "peeked" => open.iter_mut().for_each(peeked),
        "spliced" => open.iter_mut().for_each(|stream| spliced(stream, true)),
        "unanswered" => open.iter_mut().for_each(|stream| spliced(stream, false)),
        _ => return None,
    }
    Some("ok".to_owned())
}

/// Reads a whole response.
fn response(stream: &mut TcpStream) {
    let mut seen = Vec::new();
    let mut part = [0; 65_536];
    while !is_complete(&seen) {
        let read = stream.read(&mut part).unwrap();
        assert!(read > 0, "the response ends early");
        seen.extend_from_slice(&part[..read]);
    }
}

/// Whether head and body are there, by Content-Length.
fn is_complete(seen: &[u8]) -> bool {
    let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&seen[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    seen.len() == end + 4 + length.parse::<usize>().unwrap()
}

fn in_pieces(stream: &mut TcpStream, pieces: usize) {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: pool\r\n").unwrap();
    for piece in 2..pieces {
        write!(stream, "X-{piece}: y\r\n").unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
    stream.write_all(b"\r\n").unwrap();
    response(stream);
}

fn upload(stream: &mut TcpStream, way: &str, bytes: usize) {
    write!(stream, "POST / HTTP/1.1\r\nHost: pool\r\nContent-Length: {bytes}\r\n\r\n").unwrap();
    let mut left = bytes;
    match way {
        "write" => {
            while left > 0 {
                left -= stream.write(&vec![b'x'; left.min(PART)]).unwrap();
            }
        }
        "sendfile" => {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&vec![b'x'; bytes]).unwrap();
            file.rewind().unwrap();
            while left > 0 {
                left -= sendfile(&*stream, &file, None, left).unwrap();
            }
        }
        "splice" => {
            let (reader, mut writer) = std::io::pipe().unwrap();
            while left > 0 {
                let part = left.min(PART);
                writer.write_all(&vec![b'x'; part]).unwrap();
                let mut in_pipe = part;
                while in_pipe > 0 {
                    in_pipe -= splice(&reader, None, &*stream, None, in_pipe, SpliceFFlags::empty()).unwrap();
                }
                left -= part;
            }
        }
        other => panic!("nobody uploads by {other}"),
    }
    response(stream);
}

fn peeked(stream: &mut TcpStream) {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: pool\r\n").unwrap();
    // The rest of the request after a moment: what is not there cannot be peeked at.
    let early = recv(stream.as_raw_fd(), &mut [0; 16], MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT);
    assert_eq!(early, Err(Errno::EAGAIN));
    stream.write_all(b"\r\n").unwrap();
    for _ in 0..3 {
        assert!(recv(stream.as_raw_fd(), &mut [0; 16], MsgFlags::MSG_PEEK).unwrap() > 0);
    }
    response(stream);
}

fn spliced(stream: &mut TcpStream, answered: bool) {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let try_to =
        |stream: &TcpStream| splice(stream, None, &writer, None, PART, SpliceFFlags::SPLICE_F_NONBLOCK);
    stream.set_nonblocking(true).unwrap();
    for piece in ["GET / HTTP/1.1\r\n", "Host: pool\r\n", "\r\n"] {
        stream.write_all(piece.as_bytes()).unwrap();
        if piece != "\r\n" {
            assert_eq!(try_to(stream), Err(Errno::EAGAIN), "there is no response before its request");
        }
    }
    let mut seen = Vec::new();
    while answered && !is_complete(&seen) {
        match try_to(stream) {
            Ok(read) => {
                let mut part = vec![0; read];
                reader.read_exact(&mut part).unwrap();
                seen.extend(part);
            }
            Err(Errno::EAGAIN) => std::thread::sleep(Duration::from_millis(1)),
            Err(errno) => panic!("splice: {errno}"),
        }
    }
    while !answered && try_to(stream) != Ok(0) {
        std::thread::sleep(Duration::from_millis(1));
    }
    stream.set_nonblocking(false).unwrap();
}
