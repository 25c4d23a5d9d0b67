//! The address of the server, and the settings of connections to it.

use std::{fmt, time::Duration};

use tokio_postgres::{Client, Config, Error, config::Host};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{error::message_of, tls::Trust};

/// The address of the server. It contains a password, so it has no `Debug`.
#[derive(Clone)]
pub(super) struct Address {
    /// The driver's configuration.
    pub config: Config,
    /// How the server's certificate is verified.
    pub trust: Trust,
}

/// The timeouts of a pool.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    /// For a statement, enforced by the server.
    pub statement: Duration,
    /// For opening a connection, and for waiting for a free one.
    pub connect: Duration,
}

impl Timeouts {
    /// For a lock. Chunks and claims hold locks briefly.
    fn lock(&self) -> Duration {
        self.statement / 2
    }

    /// For any response, even a timeout of the statement. After this, the server or the connection
    /// is considered dead.
    pub(super) fn response(&self) -> Duration {
        self.statement + Duration::from_secs(2)
    }
}

impl Address {
    /// Parses a URL: `postgres://user:password@host:5432/database`, with parameters. The error
    /// message suggests a correct one. It never repeats any part of the URL, because an unescaped
    /// password may be anywhere in it.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let (url, trust) = split_trust(url)?;
        let config: Config = url.parse().map_err(|_| UNREADABLE.to_owned())?;
        let odd = |host: &Host| matches!(host, Host::Tcp(name) if name.is_empty() || name.contains(['@', ':', '/']));
        if config.get_hosts().is_empty() || config.get_hosts().iter().any(odd) {
            return Err(UNREADABLE.into());
        }
        Ok(Self { config, trust })
    }

    /// Adds the settings of a session: the search path, the timeouts, and keepalives.
    pub(super) fn in_session(mut self, search_path: &str, timeouts: Timeouts) -> Self {
        let own = self.config.get_options().unwrap_or_default();
        let millis = |limit: Duration| limit.as_millis();
        // The statements rely on `read committed`, whatever the database's default is.
        let options = format!(
            "{own} -c search_path={search_path} -c default_transaction_isolation=read\\ committed -c statement_timeout={} \
             -c lock_timeout={} -c idle_in_transaction_session_timeout={}",
            millis(timeouts.statement),
            millis(timeouts.lock()),
            millis(timeouts.statement),
        );
        self.config
            .options(options.trim_start())
            .connect_timeout(timeouts.connect)
            .keepalives(true)
            .keepalives_idle(Duration::from_secs(5))
            .keepalives_interval(Duration::from_secs(2))
            .keepalives_retries(3)
            .tcp_user_timeout(Duration::from_secs(10));
        if self.config.get_application_name().is_none() {
            self.config.application_name("rocket_batch");
        }
        self
    }

    /// Opens a connection, and drives it in a task of its own.
    pub(super) async fn connect(&self, tls: &MakeRustlsConnect) -> Result<Client, Error> {
        let (client, connection) = self.config.connect(tls.clone()).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = message_of(&error), "a database connection failed");
            }
        });
        Ok(client)
    }
}

const UNREADABLE: &str = "is not a PostgreSQL URL; try \"postgres://user:password@host:5432/database\", and escape special characters in \
                          the password (`@` as %40, `/` as %2F)";

/// Removes the parameters that the driver does not support, `verify-full` and `sslrootcert`.
fn split_trust(url: &str) -> Result<(String, Trust), String> {
    let Some((address, parameters)) = url.split_once('?') else { return Ok((url.into(), Trust::AnyCertificate)) };
    let (mut kept, mut verified, mut root) = (Vec::new(), false, None);
    for parameter in parameters.split('&') {
        match parameter.split_once('=') {
            Some(("sslmode", "require" | "verify-full")) => {
                verified = true;
                kept.push("sslmode=require");
            }
            Some(("sslmode", mode)) if mode != "disable" && mode != "prefer" => {
                return Err("has an unknown `sslmode`; try disable, prefer, require or verify-full".into());
            }
            Some(("sslrootcert", file)) => root = Some(file.replace("%2F", "/")),
            _ => kept.push(parameter),
        }
    }
    let trust = if verified { Trust::Verified(root) } else { Trust::AnyCertificate };
    Ok((format!("{address}?{}", kept.join("&")), trust))
}

/// Shows the servers, without user and password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = self.config.get_ports();
        for (at, host) in self.config.get_hosts().iter().enumerate() {
            let port = ports.get(at).or_else(|| ports.first()).copied().unwrap_or(5432);
            let comma = if at > 0 { ", " } else { "" };
            match host {
                Host::Tcp(name) => write!(f, "{comma}{name}:{port}")?,
                Host::Unix(path) => write!(f, "{comma}{}:{port}", path.display())?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_servers_and_how_to_verify_them() {
        let table = [
            ("postgres://me:secret@here/shop", "here:5432", Trust::AnyCertificate),
            ("postgresql://me:se%40cret@here:5433/shop?sslmode=prefer", "here:5433", Trust::AnyCertificate),
            ("postgres://me@here,there:5433/shop?sslmode=disable", "here:5432, there:5433", Trust::AnyCertificate),
            ("postgres://me@here/shop?sslmode=verify-full&application_name=x", "here:5432", Trust::Verified(None)),
            (
                "postgres://me@here/shop?sslmode=require&sslrootcert=/ca.pem",
                "here:5432",
                Trust::Verified(Some("/ca.pem".into())),
            ),
        ];

        for (url, shown, trust) in table {
            let address = Address::parse(url).unwrap();
            assert_eq!((address.to_string().as_str(), address.trust), (shown, trust), "{url}");
        }
    }

    #[test]
    fn no_error_shows_a_password() {
        for url in [
            "postgres://me:sec@ret@here/shop",
            "postgres://me:secret@/shop?x=secret",
            "postgres://me:secret@here:port/shop",
            "postgres://me:secret@here/shop?sslmode=secret",
            "postgres://",
            "mysql://me:secret@here/shop",
        ] {
            let why = Address::parse(url).err().unwrap();
            assert!(!why.contains("secret") && !why.contains("ret@") && why.contains("try"), "{url}: {why}");
        }
    }

    #[test]
    fn a_session_keeps_the_options_of_the_host() {
        let address = Address::parse("postgres://me@here/shop?options=-c%20work_mem%3D8MB").unwrap();
        let timeouts = Timeouts { statement: Duration::from_secs(10), connect: Duration::from_secs(5) };

        let options = address.in_session("shop,public", timeouts).config.get_options().unwrap().to_owned();

        assert!(options.starts_with("-c work_mem=8MB -c search_path=shop,public "), "{options}");
        assert!(options.contains("statement_timeout=10000") && options.contains("lock_timeout=5000"), "{options}");
    }
}
