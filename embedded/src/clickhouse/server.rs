//! The HTTP side: accepts connections, checks who asks, hands requests to the engine's threads.

use std::{convert::Infallible, pin::pin, sync::Arc};

use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use platform::browsers;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    task::JoinSet,
};

use super::{
    body::Spool,
    engine::Engine,
    execute,
    fault::{Code, Fault},
    flush::{Flushed, Watched},
    reply::{self, Reply, ReplyBody},
    request::{Ask, Credentials},
    session::Sessions,
};
use crate::limits;

/// What every request needs.
pub(super) struct Shared {
    pub(super) engine: Arc<Engine>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) places: Arc<Semaphore>,
    pub(super) user: Option<(String, String)>,
    /// It listens to this machine only.
    pub(super) is_loopback: bool,
    pub(super) server_name: String,
}

/// Serves until `stop` turns true, then lets the open requests end.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let connection_places = Arc::new(Semaphore::new(limits::HTTP_CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let place = tokio::select! {
            () = stopped(&mut stop) => break,
            place = Arc::clone(&connection_places).acquire_owned() => place.expect("the semaphore is never closed"),
        };
        let accepted = tokio::select! {
            () = stopped(&mut stop) => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(serve_connection(stream, Arc::clone(&shared), stop.clone(), place));
            }
            Err(error) => {
                // Out of descriptors, or a peer that left at once: the next one may fare better.
                tracing::warn!(%error, "cannot accept a connection to the ClickHouse port");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A dropped sender is a stopped server too.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn serve_connection(
    stream: TcpStream,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
) {
    // Answers are written in few large pieces: waiting for more only adds delay.
    let _ = stream.set_nodelay(true);
    let flushed = Flushed::default();
    let stream = Watched::new(TokioIo::new(stream), flushed.clone());
    let service = service_fn(move |request| {
        let (shared, flushed) = (Arc::clone(&shared), flushed.clone());
        async move { Ok::<_, Infallible>(handle(&shared, flushed, request).await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits::REQUEST_HEAD_MAX)
            .serve_connection(stream, service)
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the ClickHouse port broke");
    }
}

async fn handle(shared: &Shared, flushed: Flushed, request: Request<Incoming>) -> Response<ReplyBody> {
    let path = request.uri().path();
    let plain = |status, text: &'static str| {
        let mut response = Response::new(ReplyBody::whole(text));
        *response.status_mut() = status;
        reply::add_server_headers(&mut response, &shared.server_name);
        response
    };
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    match path {
        "/ping" | "/replicas_status" if is_read => plain(StatusCode::OK, "Ok.\n"),
        "/" | "/query" if is_read && request.uri().query().is_none_or(|query| !query.contains("query=")) => {
            plain(StatusCode::OK, "Ok.\n")
        }
        "/" | "/query" if is_read || *request.method() == Method::POST => match ask(shared, flushed, request).await {
            Ok(response) => response,
            Err(fault) => reply::fault_response(&fault, &shared.server_name, shared.engine.version()),
        },
        "/" | "/query" => plain(StatusCode::METHOD_NOT_ALLOWED, "use GET or POST\n"),
        _ => plain(
            StatusCode::NOT_FOUND,
            "there is no handle for this path; statements go to /\n",
        ),
    }
}

async fn ask(shared: &Shared, flushed: Flushed, request: Request<Incoming>) -> Result<Response<ReplyBody>, Fault> {
    let (parts, incoming) = request.into_parts();
    let (ask, credentials) = Ask::read(&parts)?;
    match &shared.user {
        Some(user) => check_user(user, &credentials)?,
        None => check_site(&parts.headers, shared.is_loopback)?,
    }
    let body = Spool::new(shared.engine.data_dir()).receive(incoming).await?;
    let waiting = Arc::clone(&shared.places).acquire_owned();
    let place = tokio::time::timeout(limits::STATEMENT_WAIT_MAX, waiting).await;
    let place = place.ok().and_then(Result::ok).ok_or_else(|| {
        let text = format!(
            "{} statements are running already: try again later",
            limits::STATEMENTS_MAX
        );
        Fault::new(Code::TOO_MANY_SIMULTANEOUS_QUERIES, text)
    })?;
    let (sender, pieces) = mpsc::channel(limits::RESULT_PIECES_MAX);
    let version = shared.engine.version().to_owned();
    let answer = Reply::new(sender, ask.query_id.clone(), version, ask.compress);
    let (engine, sessions) = (Arc::clone(&shared.engine), Arc::clone(&shared.sessions));
    std::thread::Builder::new()
        .name("clickhouse-query".to_owned())
        .spawn(move || {
            execute::run(&engine, &sessions, ask, body, answer);
            // The engine first: who holds all places may rely on being its last owner.
            drop((engine, sessions));
            drop(place);
        })
        .map_err(|error| {
            Fault::new(
                Code::TOO_MANY_SIMULTANEOUS_QUERIES,
                format!("cannot start a thread: {error}"),
            )
        })?;
    Ok(reply::respond(pieces, flushed, &shared.server_name, shared.engine.version()).await)
}

/// Without a configured user anyone on this machine may ask, under any name; but not the pages that are open there.
fn check_site(headers: &HeaderMap, is_loopback: bool) -> Result<(), Fault> {
    if browsers::is_led_by_another_site(headers) {
        let text = "pages of other sites, and links on them, get no answer; send no `Origin` of another site, enter the \
                    address by hand, or configure a user";
        return Err(Fault::new(Code::AUTHENTICATION_FAILED, text));
    }
    if is_loopback && browsers::is_for_another_machine(headers) {
        let text =
            "without a user this is answered under the name localhost, 127.0.0.1 or [::1] only; configure a user";
        return Err(Fault::new(Code::AUTHENTICATION_FAILED, text));
    }
    Ok(())
}

fn check_user((name, password): &(String, String), credentials: &Credentials) -> Result<(), Fault> {
    let given_name = credentials.user.as_deref().unwrap_or("default");
    let given_password = credentials.password.as_deref().unwrap_or_default();
    if given_name == name && same_bytes(given_password.as_bytes(), password.as_bytes()) {
        return Ok(());
    }
    let text =
        format!("{given_name}: Authentication failed: password is incorrect, or there is no user with such name");
    Err(Fault::new(Code::AUTHENTICATION_FAILED, text))
}

/// Takes the same time wherever the first difference is.
fn same_bytes(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len()
        && left
            .iter()
            .zip(right)
            .fold(0, |difference, (a, b)| difference | (a ^ b))
            == 0
}
