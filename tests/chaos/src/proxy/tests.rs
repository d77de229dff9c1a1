//! Each fault of the proxy does what its name says, and nothing more.

use std::time::Instant;

use tokio::time::timeout;

use super::*;

const SOON: Duration = Duration::from_secs(5);
const A_WHILE: Duration = Duration::from_millis(150);

/// A server that sends back what it gets, and a proxy before it.
async fn world() -> (Proxy, u16) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    let proxy = Proxy::start(0, port).unwrap();
    let port = proxy.port();
    (proxy, port)
}

async fn connect(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).await.unwrap()
}

/// Sends, and reads the same back.
async fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    let mut answer = vec![0; bytes.len()];
    stream.read_exact(&mut answer).await?;
    assert_eq!(answer, bytes);
    Ok(())
}

async fn is_reset(stream: &mut TcpStream) -> bool {
    let read = timeout(SOON, stream.read(&mut [0])).await.unwrap();
    matches!(read, Err(error) if error.kind() == io::ErrorKind::ConnectionReset)
}

#[tokio::test]
async fn bytes_pass_unchanged_and_are_counted_and_an_end_passes_too() {
    let (proxy, port) = world().await;
    let mut stream = connect(port).await;
    let many: Vec<u8> = (0..200_000_u32).map(|index| index as u8).collect();
    let (mut read, mut write) = stream.split();
    let mut answer = Vec::new();
    let send = async {
        write.write_all(&many).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let ((), read) = timeout(SOON, async { tokio::join!(send, read.read_to_end(&mut answer)) })
        .await
        .unwrap();
    read.unwrap();
    assert!(answer == many);
    assert_eq!(proxy.to_server_bytes(), 200_000);
}

#[tokio::test]
async fn delayed_bytes_come_late_and_whole() {
    let (proxy, port) = world().await;
    let mut stream = connect(port).await;
    proxy.set(Mode::Delay(A_WHILE));
    let started = Instant::now();
    timeout(SOON, exchange(&mut stream, b"slow")).await.unwrap().unwrap();
    assert!(started.elapsed() >= 2 * A_WHILE, "there and back");
}

#[tokio::test]
async fn a_stall_holds_bytes_and_lets_them_go_on() {
    let (proxy, port) = world().await;
    let mut stream = connect(port).await;
    exchange(&mut stream, b"before").await.unwrap();
    proxy.set(Mode::Stall);
    stream.write_all(b"held").await.unwrap();
    let mut answer = [0; 4];
    assert!(timeout(A_WHILE, stream.read_exact(&mut answer)).await.is_err());
    proxy.set(Mode::Pass);
    timeout(SOON, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"held");
}

#[tokio::test]
async fn a_one_way_drop_loses_that_direction_and_ends_the_connection_when_it_heals() {
    for (lost, arrives) in [(Direction::ToServer, 0), (Direction::ToClient, 4)] {
        let (proxy, port) = world().await;
        let mut stream = connect(port).await;
        exchange(&mut stream, b"before").await.unwrap();
        proxy.set(Mode::OneWay(lost));
        stream.write_all(b"lost").await.unwrap();
        assert!(timeout(A_WHILE, stream.read(&mut [0])).await.is_err(), "{lost:?}");
        assert_eq!(proxy.to_server_bytes(), 6 + arrives);
        proxy.set(Mode::Pass);
        assert!(is_reset(&mut stream).await, "{lost:?}");
        timeout(SOON, exchange(&mut connect(port).await, b"after"))
            .await
            .unwrap()
            .unwrap();
    }
}

#[tokio::test]
async fn a_reset_ends_connections_and_not_those_that_come_after() {
    let (proxy, port) = world().await;
    let mut stream = connect(port).await;
    exchange(&mut stream, b"before").await.unwrap();
    proxy.reset();
    assert!(is_reset(&mut stream).await);
    timeout(SOON, exchange(&mut connect(port).await, b"after"))
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_cut_lets_exactly_so_many_bytes_through() {
    let (proxy, port) = world().await;
    let mut old = connect(port).await;
    exchange(&mut old, b"before").await.unwrap();
    proxy.set(Mode::CutAfter(3));
    for mut stream in [old, connect(port).await] {
        let before = proxy.to_server_bytes();
        stream.write_all(b"longer").await.unwrap();
        assert!(is_reset(&mut stream).await);
        assert_eq!(proxy.to_server_bytes() - before, 3);
    }
}

#[tokio::test]
async fn refused_is_refused_and_what_stands_stays() {
    let (proxy, port) = world().await;
    let mut old = connect(port).await;
    exchange(&mut old, b"before").await.unwrap();
    proxy.set(Mode::Refuse);
    assert!(is_reset(&mut connect(port).await).await);
    timeout(SOON, exchange(&mut old, b"goes on")).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_server_that_is_gone_shows_as_a_reset() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let target = listener.local_addr().unwrap().port();
    drop(listener);
    let proxy = Proxy::start(0, target).unwrap();
    assert!(is_reset(&mut connect(proxy.port()).await).await);
}

#[tokio::test]
async fn a_peer_that_does_not_read_does_not_hold_up_a_reset() {
    let (proxy, port) = world().await;
    let mut stream = connect(port).await;
    // Nobody reads the echo, so sooner or later no more is taken.
    let fill = async {
        loop {
            stream.write_all(&[0; 64 << 10]).await.unwrap();
        }
    };
    assert!(timeout(A_WHILE, fill).await.is_err());
    proxy.reset();
    let mut bytes = vec![0; 1 << 20];
    let ended = async { while stream.read(&mut bytes).await.is_ok_and(|count| count > 0) {} };
    timeout(SOON, ended).await.unwrap();
}
