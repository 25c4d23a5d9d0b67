//! What TLS needs: certificates that vouch for Redis, and one that says to Redis who we are.
//!
//! Files are read and tried at the start, so that what is wrong with one is said with its name, and
//! not by a server that hangs up.

use std::{fmt, path::Path, sync::Once};

use bullmq::options::TlsCerts;
use rustls::{
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};

use super::server::BoxError;
use crate::config::RedisSettings;

/// The files of `settings`; `None` where they name none.
pub(super) fn certificates(settings: &RedisSettings) -> Result<Option<TlsCerts>, BoxError> {
    let root_cert = settings.ca.as_deref().map(|file| certificates_of("ca", file)).transpose()?;
    let (Some(cert), Some(key)) = (&settings.cert, &settings.key) else {
        return Ok(root_cert.map(|ca| TlsCerts { root_cert: Some(ca), ..TlsCerts::default() }));
    };
    let (client_cert, client_key) = (certificates_of("cert", cert)?, key_of(key)?);
    belongs_to(&client_cert, &client_key).map_err(|why| {
        format!("`redis.key` ({}) is no key to `redis.cert` ({}): {why}", key.display(), cert.display())
    })?;
    Ok(Some(TlsCerts { root_cert, client_cert: Some(client_cert), client_key: Some(client_key) }))
}

/// The certificates of a file, as they stand there.
fn certificates_of(field: &str, file: &Path) -> Result<Vec<u8>, BoxError> {
    let wrong = |why: &dyn fmt::Display| {
        format!("the certificates of `redis.{field}` can't be read from {}: {why}", file.display())
    };
    let pem = std::fs::read(file).map_err(|error| wrong(&error))?;
    let count = CertificateDer::pem_slice_iter(&pem).try_fold(0, |count, found| found.map(|_| count + 1));
    match count {
        Ok(0) => Err(wrong(&"it has none").into()),
        Ok(_) => Ok(pem),
        Err(error) => Err(wrong(&error).into()),
    }
}

/// The private key of a file, as it stands there.
fn key_of(file: &Path) -> Result<Vec<u8>, BoxError> {
    let wrong = |why: &dyn fmt::Display| format!("the key of `redis.key` can't be read from {}: {why}", file.display());
    let pem = std::fs::read(file).map_err(|error| wrong(&error))?;
    match PrivateKeyDer::from_pem_slice(&pem) {
        Ok(_) => Ok(pem),
        // The error itself may quote the file.
        Err(_) => Err(wrong(&"it has no private key in PEM, or only one that a passphrase guards").into()),
    }
}

fn belongs_to(cert: &[u8], key: &[u8]) -> Result<(), BoxError> {
    let chain = CertificateDer::pem_slice_iter(cert).collect::<Result<Vec<_>, _>>()?;
    let provider = CryptoProvider::get_default().cloned().unwrap_or_else(|| ring::default_provider().into());
    CertifiedKey::from_der(chain, PrivateKeyDer::from_pem_slice(key)?, &provider)?;
    Ok(())
}

/// `rediss://` panics when two libraries of the host brought a provider each, and none was chosen.
pub(super) fn bring_a_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if CryptoProvider::get_default().is_none() {
            // An error says that somebody else was quicker, which is as good.
            let _ = ring::default_provider().install_default();
        }
    });
}
