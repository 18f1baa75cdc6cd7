//! Connections, accepted and served; on the listener's own thread.

use super::Published;
use super::answer::{Reach, Written, answer};
use super::connections::Connections;
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::watch;
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
    written: Mutex<Written>,
    connections: Mutex<Connections<AbortHandle>>,
}

/// Serves for ever.
pub(super) async fn serve(socket: TcpListener, reach: Reach, published: watch::Receiver<Option<Published>>) {
    let Ok(socket) = tokio::net::TcpListener::from_std(socket) else { return };
    let shared =
        Arc::new(Shared { reach, published, written: Mutex::default(), connections: Mutex::default() });
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
            // How long a head takes is limited with all else that a client does.
            .header_read_timeout(None)
            .max_buf_size(MOST_HEADER_BYTES)
            .max_headers(MOST_HEADERS)
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }

    fn respond(&self, request: &Request<Incoming>, number: u64) -> Response<Answer> {
        let now = Instant::now();
        lock(&self.connections).asked(number, now);
        let published = self.published.borrow().clone();
        let response = answer(request, self.reach, published.as_ref(), &mut lock(&self.written), now);
        response.map(Answer)
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

/// The text of an answer, as long as it is not on its way.
struct Answer(Bytes);

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let text = std::mem::take(&mut self.0);
        Poll::Ready((!text.is_empty()).then(|| Ok(Frame::data(text))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}

/// What is locked is whole after every step: a panic while it was held leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
