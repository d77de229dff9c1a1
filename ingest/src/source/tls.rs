//! TLS for `mqtts`: whom we trust, and who we are. Never falls back to plain text, never skips verification.

use std::{path::Path, sync::Arc};

use rumqttc::{TlsConfiguration, Transport};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::SetupError;
use crate::config::TlsFiles;

/// The transport for these files.
pub(super) fn transport(files: &TlsFiles) -> Result<Transport, SetupError> {
    let roots = match &files.ca_file {
        Some(path) => roots_of_file(path)?,
        None => roots_of_machine()?,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(fault)?
        .with_root_certificates(roots);
    let config = match (&files.certificate_file, &files.key_file) {
        (Some(certificate), Some(key)) => builder
            .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
            .map_err(fault)?,
        _ => builder.with_no_client_auth(),
    };
    Ok(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(config))))
}

fn roots_of_file(path: &Path) -> Result<RootCertStore, SetupError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(fault)?;
    }
    Ok(roots)
}

fn roots_of_machine() -> Result<RootCertStore, SetupError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(fault(
            "this machine trusts no authority: install `ca-certificates` or set `ca_file`",
        ));
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let pem = read(path)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| fault(format!("`{}`: {error}", path.display())))?;
    if certificates.is_empty() {
        return Err(fault(format!(
            "`{}` holds no certificate in PEM format",
            path.display()
        )));
    }
    Ok(certificates)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, SetupError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| fault(format!("`{}`: {error}", path.display())))
}

fn read(path: &Path) -> Result<Vec<u8>, SetupError> {
    std::fs::read(path).map_err(|source| SetupError::File {
        path: path.to_owned(),
        source,
    })
}

fn fault(reason: impl ToString) -> SetupError {
    SetupError::Tls {
        reason: reason.to_string(),
    }
}
