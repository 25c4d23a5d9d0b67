//! An authority that nobody knows but the settings, and servers and Sentinels that it vouches for.

use std::{
    error::Error,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use rocket_batch::config::RedisSettings;
use tempfile::TempDir;

use crate::{
    server::{Redis, free_port},
    suite::TestResult,
};

/// What a server asks of those who connect to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clients {
    Anybody,
    /// A certificate of the same authority, which is what Redis does unless it is told otherwise.
    Certified,
}

/// A folder with `ca.pem`, and `server` and `client` with a certificate in `.pem` and a key in
/// `.key`, for the address 127.0.0.1.
pub struct Authority(TempDir);

impl Authority {
    pub fn new() -> Result<Self, Box<dyn Error>> {
        let certificate_authority = Self(TempDir::new()?);
        std::fs::write(certificate_authority.file("names"), "subjectAltName = IP:127.0.0.1")?;
        certificate_authority.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=test-ca")?;
        for whom in ["server", "client"] {
            certificate_authority.vouch_for(whom)?;
        }
        Ok(certificate_authority)
    }

    fn vouch_for(&self, whom: &str) -> TestResult {
        self.openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {whom}.key -out request.pem -subj /CN={whom}"
        ))?;
        self.openssl(&format!(
            "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out {whom}.pem"
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

    /// A server that it vouches for, with a port for TLS beside its other one, and more options.
    pub async fn redis(&self, clients: Clients, options: &[&str]) -> (Redis, u16) {
        let port = free_port();
        let tls = self.lines(clients).into_iter().chain([("tls-port", port.to_string())]);
        let words: Vec<String> = tls.flat_map(|(key, word)| [format!("--{key}"), word]).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).chain(options.iter().copied()).collect();
        (Redis::with(&words).await, port)
    }

    /// A lone Sentinel, which speaks TLS only, and calls the master that listens there `mq`; more
    /// lines for its settings.
    pub fn sentinel(&self, clients: Clients, port: u16, master: u16, more: &str) -> Result<Sentinel, Box<dyn Error>> {
        let tls: String = self.lines(clients).into_iter().map(|(key, word)| format!("{key} {word}\n")).collect();
        let lines = format!(
            "port 0\ntls-port {port}\ntls-replication yes\nbind 127.0.0.1\n{tls}sentinel monitor mq 127.0.0.1 {master} 1\n\
             sentinel down-after-milliseconds mq 1000\nsentinel failover-timeout mq 6000\n{more}\n"
        );
        let file = self.file("sentinel.conf");
        std::fs::write(&file, lines)?;
        let mut command = Command::new("redis-server");
        command.arg(&file).arg("--sentinel").current_dir(&self.0).stdout(Stdio::null());
        Ok(Sentinel(command.spawn()?))
    }

    fn lines(&self, clients: Clients) -> [(&'static str, String); 4] {
        let [ca, cert, key] = ["ca.pem", "server.pem", "server.key"].map(|name| self.file(name).display().to_string());
        let asked = if clients == Clients::Certified { "yes" } else { "no" };
        [("tls-ca-cert-file", ca), ("tls-cert-file", cert), ("tls-key-file", key), ("tls-auth-clients", asked.into())]
    }

    /// Settings for whoever trusts it.
    pub fn trusted(&self) -> RedisSettings {
        let mut settings = RedisSettings::default();
        (settings.tls, settings.ca) = (true, Some(self.file("ca.pem")));
        settings
    }

    /// Settings for whoever trusts it, and has a certificate of it.
    pub fn certified(&self) -> RedisSettings {
        let mut settings = self.trusted();
        (settings.cert, settings.key) = (Some(self.file("client.pem")), Some(self.file("client.key")));
        settings
    }
}

/// It ends with the test.
pub struct Sentinel(Child);

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
