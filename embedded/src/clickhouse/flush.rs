//! Knowing when all bytes of a connection have gone to the socket.
//!
//! A body that ends in an error makes hyper drop the connection with whatever it still holds in its buffer, and with it
//! the text that says what went wrong. hyper calls `poll_flush` of the stream below it only when that buffer is empty,
//! so a broken-off body asks for such a call and ends after it.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

use hyper::rt::{Read, ReadBufCursor, Write};

#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    Asked(Option<Waker>),
    Flushed,
}

/// Tells a body that everything before a moment has been written.
#[derive(Clone, Debug, Default)]
pub(super) struct Flushed {
    state: Arc<Mutex<State>>,
}

impl Flushed {
    /// From now on: the next flush counts.
    pub(super) fn ask(&self) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::Asked(None);
    }

    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *state {
            State::Asked(waker) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
            State::Idle | State::Flushed => Poll::Ready(()),
        }
    }

    fn happened(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Asked(waker) = &mut *state {
            let waker = waker.take();
            *state = State::Flushed;
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

/// A stream that reports its flushes.
pub(super) struct Watched<S> {
    inner: S,
    flushed: Flushed,
}

impl<S> Watched<S> {
    pub(super) fn new(inner: S, flushed: Flushed) -> Self {
        Self { inner, flushed }
    }
}

impl<S: Read + Unpin> Read for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: Write + Unpin> Write for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_flush(context);
        if outcome.is_ready() {
            self.flushed.happened();
        }
        outcome
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, data)
    }
}
