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
