//! A private certificate authority, and servers and Sentinels with its certificates.

use std::{path::PathBuf, process::Command};

use rocket_batch::config::RedisSettings;
use tempfile::TempDir;

use crate::support::{TestResult, process::free_port, redis::Redis, sentinels::Sentinel};

/// Whether a server requires a certificate of its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificates {
    Optional,
    /// A certificate of the same authority. This is the default of Redis.
    Required,
}

/// A folder with `ca.pem`, and with certificates (`.pem`) and keys (`.key`) of `server` and
/// `client` for the address 127.0.0.1.
pub struct CertificateAuthority(TempDir);

impl CertificateAuthority {
    pub fn new() -> TestResult<Self> {
        let authority = Self(TempDir::new()?);
        std::fs::write(authority.file("names"), "subjectAltName = IP:127.0.0.1")?;
        authority.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=test-ca")?;
        for name in ["server", "client"] {
            authority.sign(name)?;
        }
        Ok(authority)
    }

    fn sign(&self, name: &str) -> TestResult {
        self.openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out request.pem -subj /CN={name}"
        ))?;
        self.openssl(&format!(
            "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out {name}.pem"
        ))
    }

    pub fn openssl(&self, words: &str) -> TestResult {
        let done = Command::new("openssl").args(words.split(' ')).current_dir(&self.0).output()?;
        if done.status.success() {
            return Ok(());
        }
        Err(format!("openssl {words}: {}", String::from_utf8_lossy(&done.stderr)).into())
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Starts a server with a certificate, and returns it with its TLS port.
    pub async fn redis(&self, clients: ClientCertificates, options: &[&str]) -> (Redis, u16) {
        let port = free_port();
        let tls = self.lines(clients).into_iter().chain([("tls-port", port.to_string())]);
        let words: Vec<String> = tls.flat_map(|(key, word)| [format!("--{key}"), word]).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).chain(options.iter().copied()).collect();
        (Redis::with(&words).await, port)
    }

    /// Starts a Sentinel that accepts TLS only, and watches the master on port `master` as `mq`.
    /// `more` are lines for its configuration file.
    pub fn sentinel(&self, clients: ClientCertificates, port: u16, master: u16, more: &str) -> Sentinel {
        let tls = self.lines(clients).map(|(key, word)| format!("{key} {word}\n")).concat();
        let lines = format!("port 0\ntls-port {port}\ntls-replication yes\n{tls}{more}");
        Sentinel::start(self.0.path(), &lines, master, 1)
    }

    fn lines(&self, clients: ClientCertificates) -> [(&'static str, String); 4] {
        let [ca, cert, key] = ["ca.pem", "server.pem", "server.key"].map(|name| self.file(name).display().to_string());
        let auth_clients = if clients == ClientCertificates::Required { "yes" } else { "no" };
        [
            ("tls-ca-cert-file", ca),
            ("tls-cert-file", cert),
            ("tls-key-file", key),
            ("tls-auth-clients", auth_clients.into()),
        ]
    }

    /// Settings that trust this authority.
    pub fn trusted(&self) -> RedisSettings {
        let mut settings = RedisSettings::default();
        (settings.tls, settings.ca) = (true, Some(self.file("ca.pem")));
        settings
    }

    /// Settings that trust this authority and contain a client certificate of it.
    pub fn with_client_certificate(&self) -> RedisSettings {
        let mut settings = self.trusted();
        (settings.cert, settings.key) = (Some(self.file("client.pem")), Some(self.file("client.key")));
        settings
    }
}
