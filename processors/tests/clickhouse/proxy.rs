//! A TCP proxy before the server that fails on demand, and remembers every request that passed.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What happens to one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The server gets the whole request and commits; its answer is lost.
    CutAfterCommit,
    /// The server gets this many bytes of the request, then both sides are cut.
    CutInBody(usize),
    /// The proxy answers for the server: HTTP 500 with this text.
    Answer(&'static str),
}

/// A running proxy; it ends with the runtime of its test.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    fates: VecDeque<Fate>,
    requests: Vec<Vec<u8>>,
}

impl Proxy {
    /// The first connections meet these fates, later ones pass.
    pub(crate) async fn start(server: SocketAddr, fates: &[Fate]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        Self::serve(listener, server, fates)
    }

    pub(crate) fn serve(listener: TcpListener, server: SocketAddr, fates: &[Fate]) -> Self {
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            fates: fates.iter().copied().collect(),
            requests: Vec::new(),
        }));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(connection(client, server, Arc::clone(&shared)));
            }
        });
        Self { address, state }
    }

    /// What clients sent, one entry a connection.
    pub(crate) fn requests(&self) -> Vec<Vec<u8>> {
        self.state.lock().unwrap().requests.clone()
    }
}

async fn connection(client: TcpStream, server: SocketAddr, state: Arc<Mutex<State>>) {
    let (fate, index) = {
        let mut state = state.lock().unwrap();
        state.requests.push(Vec::new());
        (state.fates.pop_front(), state.requests.len() - 1)
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = TcpStream::connect(server).await.unwrap().into_split();
    let (mut request, mut answer) = (vec![0; 65_536], vec![0; 65_536]);
    let mut passed = 0;
    loop {
        tokio::select! {
            read = from_client.read(&mut request) => {
                let Ok(length @ 1..) = read else { return };
                state.lock().unwrap().requests[index].extend_from_slice(&request[..length]);
                match fate {
                    Some(Fate::CutInBody(limit)) => {
                        let pass = length.min(limit - passed);
                        let _ = to_server.write_all(&request[..pass]).await;
                        passed += pass;
                        if passed == limit {
                            return;
                        }
                    }
                    Some(Fate::Answer(text)) => {
                        // After the end of the chunked body, so that the client is listening.
                        if request[..length].ends_with(b"0\r\n\r\n") {
                            let answer = format!(
                                "HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{text}",
                                text.len()
                            );
                            let _ = to_client.write_all(answer.as_bytes()).await;
                            return;
                        }
                    }
                    Some(Fate::CutAfterCommit) | None => {
                        if to_server.write_all(&request[..length]).await.is_err() {
                            return;
                        }
                    }
                }
            }
            read = from_server.read(&mut answer) => {
                let Ok(length @ 1..) = read else { return };
                if fate == Some(Fate::CutAfterCommit) {
                    return;
                }
                if to_client.write_all(&answer[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}
