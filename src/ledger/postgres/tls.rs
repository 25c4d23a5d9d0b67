//! Encryption of the way to the server, by rustls with ring.
//!
//! | `sslmode` | encrypted | the server's certificate |
//! |---|---|---|
//! | `disable` | no | |
//! | `prefer`, the default | if the server can | not looked at: whoever can change the traffic can read it |
//! | `require`, `verify-full` | always | must be for the host's name, and signed by an authority that the system, or `sslrootcert`, knows |
//!
//! `require` is stricter than libpq's, which looks at no certificate unless a root is given.

use std::{io, path::Path, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use tokio_postgres_rustls::MakeRustlsConnect;

/// What is asked of the server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trust {
    /// Nothing.
    Anybody,
    /// That an authority stands for it: one of the system's, or of this file.
    Verified(Option<String>),
}

/// Makes connections encrypted, when the server and the address want that.
pub(super) fn connector(trust: &Trust) -> io::Result<MakeRustlsConnect> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let config = match trust {
        Trust::Anybody => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))).with_no_client_auth()
        }
        Trust::Verified(file) => builder.with_root_certificates(roots(file.as_deref())?).with_no_client_auth(),
    };
    Ok(MakeRustlsConnect::new(config))
}

fn roots(file: Option<&str>) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let found = match file {
        None => rustls_native_certs::load_native_certs().certs,
        Some(file) => of_file(file.as_ref())?,
    };
    roots.add_parsable_certificates(found);
    if roots.is_empty() {
        return Err(io::Error::other(match file {
            None => {
                "the system has no certificates of authorities; install ca-certificates, or name a file by `sslrootcert`"
            }
            Some(_) => "the file of `sslrootcert` has no certificate",
        }));
    }
    Ok(roots)
}

fn of_file(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let wrong = |why| io::Error::other(format!("the file of `sslrootcert` can't be read: {why}"));
    CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(wrong)
}

/// Takes any certificate, and still checks that the server has its key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
