//! Certificates for TLS: the authority that signed the server's certificate, and our client
//! certificate with its key.
//!
//! Files are read and checked at launch, so an error names the file. Otherwise the server would
//! only close the connection.

use std::{fmt, path::Path, sync::Once};

use bullmq::options::TlsCerts;
use rustls::{
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};

use super::error::BoxResult;
use crate::config::RedisSettings;

/// Reads the files of `settings`; `None` if no file is configured.
pub(super) fn certificates(settings: &RedisSettings) -> BoxResult<Option<TlsCerts>> {
    let root_cert = settings.ca.as_deref().map(|file| read_certificates("ca", file)).transpose()?;
    let (Some(cert), Some(key)) = (&settings.cert, &settings.key) else {
        return Ok(root_cert.map(|ca| TlsCerts { root_cert: Some(ca), ..TlsCerts::default() }));
    };
    let (client_cert, client_key) = (read_certificates("cert", cert)?, read_key(key)?);
    check_key(&client_cert, &client_key).map_err(|error| {
        format!("`redis.key` ({}) does not match `redis.cert` ({}): {error}", key.display(), cert.display())
    })?;
    Ok(Some(TlsCerts { root_cert, client_cert: Some(client_cert), client_key: Some(client_key) }))
}

/// Reads a PEM file that contains at least one certificate.
fn read_certificates(field: &str, file: &Path) -> BoxResult<Vec<u8>> {
    let invalid = |reason: &dyn fmt::Display| {
        format!("the certificates of `redis.{field}` can't be read from {}: {reason}", file.display())
    };
    let pem = std::fs::read(file).map_err(|error| invalid(&error))?;
    let count = CertificateDer::pem_slice_iter(&pem).try_fold(0, |count, certificate| certificate.map(|_| count + 1));
    match count {
        Ok(0) => Err(invalid(&"it contains no certificate").into()),
        Ok(_) => Ok(pem),
        Err(error) => Err(invalid(&error).into()),
    }
}

/// Reads a PEM file that contains an unencrypted private key.
fn read_key(file: &Path) -> BoxResult<Vec<u8>> {
    let invalid =
        |reason: &dyn fmt::Display| format!("the key of `redis.key` can't be read from {}: {reason}", file.display());
    let pem = std::fs::read(file).map_err(|error| invalid(&error))?;
    match PrivateKeyDer::from_pem_slice(&pem) {
        Ok(_) => Ok(pem),
        // The error is dropped, because it may quote the file.
        Err(_) => Err(invalid(&"it contains no private key in PEM format, or only an encrypted one").into()),
    }
}

/// Checks that the private key belongs to the certificate.
fn check_key(cert: &[u8], key: &[u8]) -> BoxResult<()> {
    let chain = CertificateDer::pem_slice_iter(cert).collect::<Result<Vec<_>, _>>()?;
    let provider = CryptoProvider::get_default().cloned().unwrap_or_else(|| ring::default_provider().into());
    CertifiedKey::from_der(chain, PrivateKeyDer::from_pem_slice(key)?, &provider)?;
    Ok(())
}

/// Installs a default crypto provider, if the host has not. Without a default, `rediss://` panics
/// if two libraries of the host bring a provider each.
pub(super) fn install_crypto_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if CryptoProvider::get_default().is_none() {
            // An error means that another thread has just installed one, which is sufficient.
            let _ = ring::default_provider().install_default();
        }
    });
}
