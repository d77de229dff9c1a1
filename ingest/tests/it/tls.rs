//! TLS: a broker that the given authority vouches for is spoken to, and no other.

use std::{path::PathBuf, sync::Arc, time::Duration};

use ingest::{BrokerSettings, IngestError};
use rumqttc::tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};
use tempfile::TempDir;
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::running::{PATIENCE, Running, memory_log, settings};

/// A listener with a certificate of its own, and the file that makes it trusted.
struct TlsBroker {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    folder: TempDir,
}

impl TlsBroker {
    async fn start() -> Self {
        let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), own.cert.pem()).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .unwrap();
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            acceptor: TlsAcceptor::from(Arc::new(config)),
            folder,
        }
    }

    fn settings(&self, ca_file: PathBuf) -> BrokerSettings {
        let port = self.listener.local_addr().unwrap().port();
        let mut broker = BrokerSettings::new("secure", &format!("mqtts://localhost:{port}"));
        broker.tls.ca_file = Some(ca_file);
        broker
    }

    fn own_ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    async fn accept(&self) -> std::io::Result<u8> {
        let (stream, _): (TcpStream, _) = timeout(PATIENCE, self.listener.accept()).await.unwrap()?;
        self.acceptor.accept(stream).await?.read_u8().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_broker_is_spoken_to_over_tls() {
    let (broker, log) = (TlsBroker::start().await, memory_log());
    let _running = Running::start(settings(broker.settings(broker.own_ca_file())), &log);
    assert_eq!(broker.accept().await.unwrap(), 0x10, "CONNECT");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_nobody_vouches_for_gets_no_password() {
    let (broker, other, log) = (TlsBroker::start().await, TlsBroker::start().await, memory_log());
    let mut untrusting = broker.settings(other.own_ca_file());
    untrusting.username = Some("ingest".into());
    untrusting.password = Some("secret".into());
    let running = Running::start(settings(untrusting), &log);
    assert!(broker.accept().await.is_err(), "refused before anything was said");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!running.health.report().is_ready());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_certificate_ends_the_start_with_its_path() {
    let (broker, log) = (TlsBroker::start().await, memory_log());
    let missing = broker.folder.path().join("missing.pem");
    let ended = Running::start(settings(broker.settings(missing.clone())), &log)
        .ended()
        .await;
    let error = ended.unwrap_err();
    assert!(matches!(error, IngestError::Source { .. }));
    assert!(error.to_string().contains(&missing.display().to_string()), "{error}");
}
