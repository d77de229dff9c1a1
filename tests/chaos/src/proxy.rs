//! A TCP connection with faults: bytes pass between a client and a server, or are late, stand still, get lost or cut.
//!
//! Works below every protocol, so it must never look into the bytes. What TCP promises still holds as long as the
//! connection lives: bytes come in order, once. A direction that lost bytes therefore ends with its connection.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// Bytes taken at once: as much as one segment of loopback carries.
const BUFFER_BYTES: usize = 64 << 10;

/// From whom to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// What happens to bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They pass.
    Pass,
    /// They pass, each piece after a pause.
    Delay(Duration),
    /// They stay where they are, and pass when this is over.
    Stall,
    /// Those of one direction are lost. When this is over, connections end: what was lost never comes.
    OneWay(Direction),
    /// After so many bytes of both directions together, connections are reset.
    CutAfter(u32),
    /// New connections are reset at once.
    Refuse,
}

#[derive(Clone, Copy, Debug)]
struct Control {
    mode: Mode,
    /// Counts resets: a connection that was made under another number ends.
    generation: u64,
}

/// A port that leads to another one.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    control: watch::Sender<Control>,
    to_server_bytes: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on `port` and leads to `target_port`, both on loopback. Needs a runtime.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn start(port: u16, target_port: u16) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", port))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let listener = TcpListener::from_std(listener)?;
        let mode = Mode::Pass;
        let (control, controlled) = watch::channel(Control { mode, generation: 0 });
        let to_server_bytes = Arc::new(AtomicU64::new(0));
        let accepting = tokio::spawn(accept(listener, target_port, controlled, Arc::clone(&to_server_bytes)));
        Ok(Self {
            port,
            control,
            to_server_bytes,
            accepting,
        })
    }

    /// Where clients connect.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Bytes that went to the server so far.
    #[must_use]
    pub fn to_server_bytes(&self) -> u64 {
        self.to_server_bytes.load(Ordering::Relaxed)
    }

    /// From now on this happens.
    pub fn set(&self, mode: Mode) {
        self.control.send_modify(|control| {
            // Bytes are missing there: no protocol could go on.
            if matches!(control.mode, Mode::OneWay(_)) {
                control.generation += 1;
            }
            control.mode = mode;
        });
    }

    /// Ends all connections with a reset.
    pub fn reset(&self) {
        self.control.send_modify(|control| control.generation += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.reset();
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    target_port: u16,
    controlled: watch::Receiver<Control>,
    to_server_bytes: Arc<AtomicU64>,
) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            // Out of descriptors for a moment.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let (controlled, to_server_bytes) = (controlled.clone(), Arc::clone(&to_server_bytes));
        tokio::spawn(serve(client, target_port, controlled, to_server_bytes));
    }
}

async fn serve(
    mut client: TcpStream,
    target_port: u16,
    controlled: watch::Receiver<Control>,
    to_server_bytes: Arc<AtomicU64>,
) {
    let control = *controlled.borrow();
    if control.mode == Mode::Refuse {
        let _ = client.set_zero_linger();
        return;
    }
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", target_port)).await else {
        let _ = client.set_zero_linger();
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let budget = Arc::new(AtomicI64::new(match control.mode {
        Mode::CutAfter(bytes) => i64::from(bytes),
        _ => i64::MAX,
    }));
    let link = Link {
        controlled,
        generation: control.generation,
        budget,
        passed: Arc::default(),
    };
    let up = Link {
        passed: to_server_bytes,
        ..link.clone()
    };
    let outcome = {
        // Borrowed halves: those that are owned say goodbye when they are dropped, which a reset must not.
        let (client_read, client_write) = client.split();
        let (server_read, server_write) = server.split();
        // A half that is closed waits for the other; a reset ends both.
        tokio::try_join!(
            up.pass(client_read, server_write, Direction::ToServer),
            link.pass(server_read, client_write, Direction::ToClient)
        )
    };
    if outcome.is_err() {
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    }
}

/// One connection's view of what happens.
#[derive(Clone)]
struct Link {
    controlled: watch::Receiver<Control>,
    generation: u64,
    /// Bytes until the cut, shared by both directions.
    budget: Arc<AtomicI64>,
    passed: Arc<AtomicU64>,
}

/// The connection ends with a reset.
struct Reset;

impl Link {
    async fn pass(mut self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, direction: Direction) -> Result<(), Reset> {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let mode = self.now()?;
            if mode == Mode::Stall {
                self.changed().await?;
                continue;
            }
            let count = tokio::select! {
                biased;
                changed = self.controlled.changed() => {
                    changed.map_err(|_| Reset)?;
                    continue;
                }
                read = from.read(&mut buffer) => read.map_err(|_| Reset)?,
            };
            if count == 0 {
                return to.shutdown().await.map_err(|_| Reset);
            }
            let mut bytes = &buffer[..count];
            match mode {
                Mode::OneWay(lost) if lost == direction => continue,
                Mode::Delay(pause) => tokio::time::sleep(pause).await,
                Mode::CutAfter(limit) => bytes = self.spend(bytes, limit),
                Mode::Pass | Mode::OneWay(_) | Mode::Stall | Mode::Refuse => {}
            }
            self.write(&mut to, bytes).await?;
            self.passed.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            if bytes.len() < count {
                return Err(Reset);
            }
        }
    }

    /// What may still pass before the cut.
    fn spend<'a>(&self, bytes: &'a [u8], limit: u32) -> &'a [u8] {
        // A connection from before the cuts began has its bytes still to come.
        let _ = self
            .budget
            .compare_exchange(i64::MAX, i64::from(limit), Ordering::Relaxed, Ordering::Relaxed);
        let before = self.budget.fetch_sub(bytes.len() as i64, Ordering::Relaxed);
        let left = usize::try_from(before).unwrap_or(0);
        &bytes[..bytes.len().min(left)]
    }

    /// A peer that does not read holds this up, but not beyond a reset.
    async fn write(&mut self, to: &mut WriteHalf<'_>, bytes: &[u8]) -> Result<(), Reset> {
        let generation = self.generation;
        tokio::select! {
            biased;
            written = to.write_all(bytes) => written.map_err(|_| Reset),
            _ = self.controlled.wait_for(|control| control.generation != generation) => Err(Reset),
        }
    }

    async fn changed(&mut self) -> Result<(), Reset> {
        self.controlled.changed().await.map_err(|_| Reset)
    }

    fn now(&mut self) -> Result<Mode, Reset> {
        let control = *self.controlled.borrow_and_update();
        if control.generation == self.generation {
            Ok(control.mode)
        } else {
            Err(Reset)
        }
    }
}

#[cfg(test)]
mod tests;
