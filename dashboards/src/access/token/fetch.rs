//! Fetching the keys of an issuer: one small document from one configured place, within bounded time.
//!
//! Must never follow a redirection: whoever answers at the configured address is the one that is trusted.

use std::{fs, path::Path, sync::Arc};

use axum::body::Body;
use hyper::{Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use platform::config::Url;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::KeySource;
use crate::limits;

/// The document, wherever it is.
pub(super) async fn keys(source: &KeySource, ca_file: Option<&Path>) -> Result<Vec<u8>, String> {
    match source {
        KeySource::File(path) => {
            let text = fs::read(path).map_err(|error| format!("`{}`: {error}", path.display()))?;
            match text.len() <= limits::ISSUER_KEYS_BYTES_MAX {
                true => Ok(text),
                false => Err(format!("`{}` is larger than any list of keys", path.display())),
            }
        }
        KeySource::Url(url) => {
            let fetched = timeout(limits::ISSUER_KEYS_WAIT, get(url, ca_file)).await;
            let fetched = fetched.unwrap_or_else(|_elapsed| Err("no answer".to_owned()));
            fetched.map_err(|error| format!("`{url}`: {error}"))
        }
    }
}

async fn get(url: &Url, ca_file: Option<&Path>) -> Result<Vec<u8>, String> {
    let is_tls = url.scheme == "https";
    let port = url.port.unwrap_or(if is_tls { 443 } else { 80 });
    let stream = TcpStream::connect((url.host.as_str(), port)).await;
    let stream = stream.map_err(|error| error.to_string())?;
    if !is_tls {
        return ask(stream, url).await;
    }
    let name = ServerName::try_from(url.host.clone()).map_err(|error| error.to_string())?;
    let connector = TlsConnector::from(Arc::new(trusting(ca_file)?));
    let stream = connector.connect(name, stream).await;
    ask(stream.map_err(|error| error.to_string())?, url).await
}

fn trusting(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(path) => {
            let failed = |error: String| format!("`{}`: {error}", path.display());
            let certificates = CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| failed(error.to_string()))?;
                roots.add(certificate).map_err(|error| failed(error.to_string()))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

async fn ask(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, url: &Url) -> Result<Vec<u8>, String> {
    let words = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(words)?;
    // Ends with the sender.
    tokio::spawn(connection);
    let path = if url.path.is_empty() { "/" } else { &url.path };
    let host = url.port.map_or(url.host.clone(), |port| format!("{}:{port}", url.host));
    let request = Request::get(path)
        .header(header::HOST, host)
        .header(header::ACCEPT, "application/json, application/jwk-set+json")
        .body(Body::empty())
        .map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(words)?;
    if response.status() != StatusCode::OK {
        return Err(format!("the answer is {}", response.status()));
    }
    let body = axum::body::to_bytes(Body::new(response.into_body()), limits::ISSUER_KEYS_BYTES_MAX).await;
    body.map(|bytes| bytes.to_vec()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use rustls::{
        ServerConfig,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    };
    use tempfile::TempDir;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// An issuer on loopback with a certificate of its own for `localhost`.
    struct Issuer {
        port: u16,
        folder: TempDir,
    }

    impl Issuer {
        /// Says `answer` to everybody who trusts it.
        async fn answering(answer: String) -> Self {
            let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("ca.pem"), own.cert.pem()).unwrap();
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
            let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![own.cert.der().clone()], key)
                .unwrap();
            let acceptor = TlsAcceptor::from(Arc::new(config));
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let Ok(mut stream) = acceptor.accept(stream).await else {
                        continue;
                    };
                    let mut request = [0; 1024];
                    let read = stream.read(&mut request).await.unwrap_or(0);
                    assert!(request[..read].starts_with(b"GET /keys HTTP/1.1\r\n"));
                    // Who stops reading too long an answer closes first.
                    let _ = stream.write_all(answer.as_bytes()).await;
                    let _ = stream.shutdown().await;
                }
            });
            Self { port, folder }
        }

        async fn with_body(body: &str) -> Self {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            Self::answering(head + body).await
        }

        async fn fetch(&self, host: &str, ca_file: Option<&Path>) -> Result<Vec<u8>, String> {
            let url = format!("https://{host}:{}/keys", self.port);
            keys(&KeySource::Url(Url::parse(&url, &["https"]).unwrap()), ca_file).await
        }

        async fn fetch_trusting(&self) -> Result<Vec<u8>, String> {
            self.fetch("localhost", Some(&self.folder.path().join("ca.pem"))).await
        }
    }

    #[tokio::test]
    async fn an_issuer_is_asked_over_tls_by_those_who_trust_it() {
        let issuer = Issuer::with_body("{\"keys\":[]}").await;
        assert_eq!(issuer.fetch_trusting().await.unwrap(), b"{\"keys\":[]}");
        let stranger = issuer.fetch("localhost", None).await.unwrap_err();
        assert!(stranger.contains("certificate"), "{stranger}");
        let ca_file = issuer.folder.path().join("ca.pem");
        let other_name = issuer.fetch("127.0.0.1", Some(&ca_file)).await.unwrap_err();
        assert!(other_name.contains("certificate"), "{other_name}");
        let missing = Path::new("/no/such/ca.pem");
        let unreadable = issuer.fetch("localhost", Some(missing)).await.unwrap_err();
        assert!(unreadable.contains("/no/such/ca.pem"), "{unreadable}");
    }

    #[tokio::test]
    async fn neither_a_redirection_nor_an_endless_list_is_followed() {
        let elsewhere = "HTTP/1.1 302 Found\r\nLocation: https://localhost/other\r\nContent-Length: 0\r\n\r\n";
        let moved = Issuer::answering(elsewhere.to_owned()).await;
        assert!(moved.fetch_trusting().await.unwrap_err().contains("302"));
        let endless = Issuer::with_body(&" ".repeat(limits::ISSUER_KEYS_BYTES_MAX + 1)).await;
        assert!(endless.fetch_trusting().await.is_err());
        let most = Issuer::with_body(&" ".repeat(limits::ISSUER_KEYS_BYTES_MAX)).await;
        assert_eq!(
            most.fetch_trusting().await.unwrap().len(),
            limits::ISSUER_KEYS_BYTES_MAX
        );
    }
}
