//! Connections, accepted and served; on the listener's own thread.

use super::answer::{Reach, Text, Written, answer, event};
use super::connections::Connections;
use super::{Published, lock};
use crate::outputs::Past;
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

/// Bytes of a request's head, and of it that wait to be understood.
const MOST_HEADER_BYTES: usize = 8 * 1_024;
/// Fields of a request's head.
const MOST_HEADERS: usize = 64;
/// How often is looked for connections whose time is over.
const LOOK: Duration = Duration::from_millis(500);
/// After an error of accept(2), which is want of descriptors or memory, before it is tried again.
const BREATH: Duration = Duration::from_millis(100);

/// Shared by all connections.
struct Shared {
    reach: Reach,
    published: watch::Receiver<Option<Published>>,
    /// Held for as long as it takes to copy what is sent: the tick waits for it.
    past: Arc<Mutex<Past>>,
    written: Mutex<Written>,
    connections: Mutex<Connections<AbortHandle>>,
}

/// Serves for ever.
pub(super) async fn serve(
    socket: TcpListener,
    reach: Reach,
    published: watch::Receiver<Option<Published>>,
    past: Arc<Mutex<Past>>,
) {
    let Ok(socket) = tokio::net::TcpListener::from_std(socket) else { return };
    let (written, connections) = (Mutex::default(), Mutex::default());
    let shared = Arc::new(Shared { reach, published, past, written, connections });
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((stream, _)) => {
                    shared.admit(stream);
                    // The one that was accepted is read before the next: if it has asked already, it does not have to go
                    // for those behind it.
                    tokio::task::yield_now().await;
                }
                Err(_) => tokio::time::sleep(BREATH).await,
            },
            _ = look.tick() => {
                let overdue = lock(&shared.connections).overdue(Instant::now());
                overdue.iter().for_each(AbortHandle::abort);
            }
        }
    }
}

impl Shared {
    fn admit(self: &Arc<Self>, stream: TcpStream) {
        let (number, goes) = lock(&self.connections).admit();
        if let Some(end) = goes {
            end.abort();
        }
        let task = tokio::spawn(Arc::clone(self).serve_one(stream, number));
        lock(&self.connections).insert(number, task.abort_handle(), Instant::now());
    }

    /// Serves one connection to its end. Errors are the client's, and nobody's business.
    async fn serve_one(self: Arc<Self>, stream: TcpStream, number: u64) {
        let _gone = Gone { shared: &self, number };
        let service = service_fn(|request: Request<Incoming>| {
            let response = self.respond(&request, number);
            async { Ok::<_, Infallible>(response) }
        });
        let _ = http1::Builder::new()
            // One answer a connection: who asks a thousand times in a row has to come a thousand times.
            .keep_alive(false)
            // Who has said all may close that way (`nc -N`): the answer goes the other.
            .half_close(true)
            // How long a head takes is limited with all else that a client does.
            .header_read_timeout(None)
            .max_buf_size(MOST_HEADER_BYTES)
            .max_headers(MOST_HEADERS)
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }

    fn respond(self: &Arc<Self>, request: &Request<Incoming>, number: u64) -> Response<Answer> {
        let now = Instant::now();
        lock(&self.connections).asked(number, now);
        let published = self.published.borrow().clone();
        let response = answer(request, self.reach, published.as_ref(), &mut lock(&self.written), now);
        response.map(|text| match text {
            Text::Whole(text) => Answer::Whole(text),
            Text::Events => Answer::Events(self.events(number)),
        })
    }

    /// An event for each interval that the client takes, with what is news since the one before, the first with all
    /// that is remembered. What is said while it takes none is left out.
    fn events(self: &Arc<Self>, number: u64) -> mpsc::Receiver<Bytes> {
        let goes = lock(&self.connections).stays(number, Instant::now());
        goes.iter().for_each(AbortHandle::abort);
        let (sender, events) = mpsc::channel(1);
        let (shared, mut published) = (Arc::clone(self), self.published.clone());
        tokio::spawn(async move {
            let mut known = 0;
            loop {
                let latest = published.borrow_and_update().clone();
                let told = lock(&shared.past).since(known);
                known = told.until();
                let event = latest.map(|latest| event(&latest, &told, &mut lock(&shared.written)));
                // Without a text there is nothing to send; a client that is gone takes none.
                if let Some(Ok(event)) = event
                    && sender.send(event).await.is_err()
                {
                    break;
                }
                tokio::select! {
                    changed = published.changed() => if changed.is_err() { break },
                    () = sender.closed() => break,
                }
            }
        });
        events
    }
}

/// Takes a connection off the list when it is over, however it ended.
struct Gone<'a> {
    shared: &'a Shared,
    number: u64,
}

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        lock(&self.shared.connections).remove(self.number);
    }
}

/// The text of an answer, as far as it is not on its way.
enum Answer {
    Whole(Bytes),
    Events(mpsc::Receiver<Bytes>),
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Whole(text) => {
                let text = std::mem::take(text);
                Poll::Ready((!text.is_empty()).then(|| Ok(Frame::data(text))))
            }
            Self::Events(events) => {
                events.poll_recv(context).map(|event| event.map(|text| Ok(Frame::data(text))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(text) if text.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(text) => SizeHint::with_exact(text.len() as u64),
            Self::Events(_) => SizeHint::default(),
        }
    }
}
