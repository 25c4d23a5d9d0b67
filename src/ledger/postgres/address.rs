//! Where the server is, how a connection to it is made, and what is asked of it.

use std::{fmt, time::Duration};

use tokio_postgres::{Config, config::Host};

use super::tls::Trust;

/// What the host says of the server. It has a password, so it is never shown.
#[derive(Clone)]
pub(super) struct Address {
    /// For the driver.
    pub config: Config,
    /// Of the server's certificate.
    pub trust: Trust,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    /// A statement, at the server.
    pub statement: Duration,
    /// Making a connection, and waiting for a free one.
    pub connect: Duration,
}

impl Timeouts {
    /// A lock: the chunks and begins that hold one are short.
    fn lock(&self) -> Duration {
        self.statement / 2
    }

    /// No answer at all, not even that the statement took too long: the server or the way to it is
    /// gone.
    pub(super) fn silence(&self) -> Duration {
        self.statement + Duration::from_secs(2)
    }
}

impl Address {
    /// Reads a URL: `postgres://user:password@host:5432/database`, with parameters. The error says
    /// what to write instead, and never repeats any of it: a password that was not escaped may
    /// stand anywhere.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let (url, trust) = without_trust(url)?;
        let config: Config = url.parse().map_err(|_| UNREADABLE.to_owned())?;
        let odd = |host: &Host| matches!(host, Host::Tcp(name) if name.is_empty() || name.contains(['@', ':', '/']));
        if config.get_hosts().is_empty() || config.get_hosts().iter().any(odd) {
            return Err(UNREADABLE.into());
        }
        Ok(Self { config, trust })
    }

    /// The same with the session's settings: the schema, the timeouts, and a watch on the way to
    /// the server.
    pub(super) fn in_session(mut self, schema: &str, timeouts: Timeouts) -> Self {
        let own = self.config.get_options().unwrap_or_default();
        let millis = |limit: Duration| limit.as_millis();
        // The statements rely on seeing what was committed before each of them, whatever the
        // database's default is.
        let options = format!(
            "{own} -c search_path={schema},public -c default_transaction_isolation=read\\ committed -c statement_timeout={} \
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
}

const UNREADABLE: &str = "can't be read; write \"postgres://user:password@host:5432/database\", and escape what is special in the password \
                          (`@` as %40, `/` as %2F)";

/// The driver knows neither `verify-full` nor `sslrootcert`.
fn without_trust(url: &str) -> Result<(String, Trust), String> {
    let Some((place, parameters)) = url.split_once('?') else { return Ok((url.into(), Trust::Anybody)) };
    let (mut kept, mut verified, mut root) = (Vec::new(), false, None);
    for parameter in parameters.split('&') {
        match parameter.split_once('=') {
            Some(("sslmode", "require" | "verify-full")) => {
                verified = true;
                kept.push("sslmode=require");
            }
            Some(("sslmode", mode)) if mode != "disable" && mode != "prefer" => {
                return Err("has an `sslmode` that is none; write disable, prefer, require or verify-full".into());
            }
            Some(("sslrootcert", file)) => root = Some(file.replace("%2F", "/")),
            _ => kept.push(parameter),
        }
    }
    let trust = if verified { Trust::Verified(root) } else { Trust::Anybody };
    Ok((format!("{place}?{}", kept.join("&")), trust))
}

/// The servers, without user and password.
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
    fn a_url_names_servers_and_what_is_asked_of_them() {
        let table = [
            ("postgres://me:secret@here/shop", "here:5432", Trust::Anybody),
            ("postgresql://me:se%40cret@here:5433/shop?sslmode=prefer", "here:5433", Trust::Anybody),
            ("postgres://me@here,there:5433/shop?sslmode=disable", "here:5432, there:5433", Trust::Anybody),
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
    fn a_password_shows_in_no_refusal() {
        for url in [
            "postgres://me:sec@ret@here/shop",
            "postgres://me:secret@/shop?x=secret",
            "postgres://me:secret@here:port/shop",
            "postgres://me:secret@here/shop?sslmode=secret",
            "postgres://",
            "mysql://me:secret@here/shop",
        ] {
            let why = Address::parse(url).err().unwrap();
            assert!(!why.contains("secret") && !why.contains("ret@") && why.contains("write"), "{url}: {why}");
        }
    }

    #[test]
    fn a_session_keeps_the_options_of_the_host() {
        let address = Address::parse("postgres://me@here/shop?options=-c%20work_mem%3D8MB").unwrap();
        let timeouts = Timeouts { statement: Duration::from_secs(10), connect: Duration::from_secs(5) };

        let options = address.in_session("shop", timeouts).config.get_options().unwrap().to_owned();

        assert!(options.starts_with("-c work_mem=8MB -c search_path=shop,public "), "{options}");
        assert!(options.contains("statement_timeout=10000") && options.contains("lock_timeout=5000"), "{options}");
    }
}
