//! Connections: each gets a place, a time for every head, and an end at shutdown.
//!
//! Must never let one client hold more than its connection costs.

use std::{net::SocketAddr, pin::pin, sync::Arc};

use axum::{Extension, Router, extract::ConnectInfo};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use platform::shutdown::Shutdown;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tokio_io_timeout::TimeoutStream;

use crate::{
    access::{Gate, limiter::Counted},
    limits,
    live::Hangup,
};

/// Serves until shutdown.
pub(crate) async fn serve(listener: TcpListener, router: Router, gate: Arc<Gate>, shutdown: Shutdown) {
    let places = Arc::new(Semaphore::new(limits::CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = shutdown.requested() => break,
            Some(_ended) = connections.join_next() => {}
            (stream, peer, place) = accept(&listener, &places) => {
                let Some(counted) = gate.limiter.connection(peer.ip()) else {
                    gate.metrics.connections.increment(1);
                    tracing::debug!(%peer, "an address has too many connections; this one is closed");
                    continue;
                };
                let place = (place, counted);
                connections.spawn(serve_connection(stream, peer, place, router.clone(), shutdown.clone()));
            }
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits::DRAIN_MAX, all).await.is_err() {
        tracing::debug!("web connections were still open at shutdown");
    }
}

/// The next connection, once there is a place for it. Safe to drop at any point.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let place = places.clone().acquire_owned().await;
    let place = place.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, place),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection on the web port");
                tokio::time::sleep(limits::ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Axum's own server has no timer, so that a client could hold a connection open for ever with half a head.
async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    _place: (OwnedSemaphorePermit, Option<Counted>),
    router: Router,
    shutdown: Shutdown,
) {
    // Answers are written in few large pieces: waiting for more only adds delay.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    // Who takes nothing more of an answer does not keep it in memory.
    stream.set_write_timeout(Some(limits::UNREAD_ANSWER_MAX));
    let hangup = Hangup::default();
    let router = router
        .layer(Extension(ConnectInfo(peer)))
        .layer(Extension(hangup.clone()));
    let service = TowerToHyperService::new(router);
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits::REQUEST_HEAD_MAX)
            .max_buf_size(limits::WRITE_BUFFER_BYTES)
            .serve_connection(TokioIo::new(Box::pin(stream)), service)
    );
    let served = async {
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = shutdown.requested() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    let ended = tokio::select! {
        ended = served => ended,
        () = hangup.wanted() => {
            tracing::debug!(%peer, "a live stream that nobody reads is closed");
            return;
        }
    };
    // Clients that break off, dawdle or talk nonsense are their own problem.
    if let Err(error) = ended {
        tracing::debug!(%error, "a web connection ended");
    }
}
