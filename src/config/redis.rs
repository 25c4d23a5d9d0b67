//! The settings of Redis, `[default.batch.redis]`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    error::{ConfigError, check_range},
    values::Secret,
};

/// The address of Redis and how to connect to it. The environment variables `REDIS_HOST`,
/// `REDIS_PORT`, `REDIS_PASSWORD` and `REDIS_DB` set these as well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RedisSettings {
    /// The host name or address of Redis. If it is not set, and neither are `nodes` or
    /// `sentinels`, the queues are in this process. Default: none.
    pub host: Option<String>,

    /// The port of Redis. Default: 6379.
    pub port: u16,

    /// The user name, if Redis needs one. Default: none.
    pub username: Option<String>,

    /// The password, if Redis needs one. Default: none.
    #[serde(skip_serializing)]
    #[schemars(with = "Option<String>")]
    pub password: Option<Secret>,

    /// The number of the database in Redis, 0 to 255. Default: 0.
    pub db: u32,

    /// Whether to use TLS for connections to Redis, its Sentinels and its nodes. Default: false.
    pub tls: bool,

    /// A PEM file with the certificates of the authorities that Redis and its Sentinels are
    /// verified with. If it is not set, the authorities of the system are used. Needs `tls`.
    /// Default: none.
    pub ca: Option<PathBuf>,

    /// A PEM file with the client certificate that this process presents to Redis, its Sentinels
    /// and its nodes, followed by any intermediate certificates. Needs `tls` and `key`. Default:
    /// none.
    pub cert: Option<PathBuf>,

    /// A PEM file with the private key of `cert`, without a passphrase. Default: none.
    pub key: Option<PathBuf>,

    /// Some nodes of the Redis Cluster that has the queues, each as `host:port`, instead of `host`
    /// and `port`. The other nodes are discovered from these. Needs a hash tag in `prefix`.
    /// Default: `[]`.
    pub nodes: Vec<String>,

    /// The Sentinels that give the address of the Redis master, each as `host:port`, instead of
    /// `host` and `port`. Default: `[]`.
    pub sentinels: Vec<String>,

    /// The name of the master in the configuration of the Sentinels. Default: `"mymaster"`.
    pub master: String,

    /// The user name, if the Sentinels need one. Default: none.
    pub sentinel_username: Option<String>,

    /// The password, if the Sentinels need one. Default: none.
    #[serde(skip_serializing)]
    #[schemars(with = "Option<String>")]
    pub sentinel_password: Option<Secret>,

    /// The prefix of all keys in Redis, followed by a colon: letters, digits, `_`, `.`, `-`, and
    /// at most one hash tag in braces, such as `{bull}`. All processes of one ledger with the same
    /// prefix share the queues. Two ledgers need two prefixes. Default: `"bull"`.
    pub prefix: String,
}

impl Default for RedisSettings {
    fn default() -> Self {
        Self {
            host: None,
            port: 6379,
            username: None,
            password: None,
            db: 0,
            tls: false,
            ca: None,
            cert: None,
            key: None,
            nodes: Vec::new(),
            sentinels: Vec::new(),
            master: "mymaster".into(),
            sentinel_username: None,
            sentinel_password: None,
            prefix: "bull".into(),
        }
    }
}

impl RedisSettings {
    /// The host of Redis, if one is set. An empty text counts as none, because compose files often
    /// set all variables.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref().map(str::trim).filter(|host| !host.is_empty())
    }

    /// The address of Redis as log and error messages show it; `None` if the queues are in this
    /// process.
    pub(crate) fn address_for_messages(&self) -> Option<String> {
        match self.host() {
            _ if !self.sentinels.is_empty() => {
                Some(format!("the Redis that the Sentinels {} call `{}`", self.sentinels.join(", "), self.master))
            }
            _ if !self.nodes.is_empty() => Some(format!("the Redis Cluster of {}", self.nodes.join(", "))),
            Some(host) => Some(format!("Redis at {host}:{}", self.port)),
            None => None,
        }
    }

    /// Host and port of each Sentinel. An IPv6 address is written in brackets, as in a URL.
    #[cfg(feature = "redis")]
    pub(crate) fn sentinel_addresses(&self) -> impl Iterator<Item = (String, u16)> {
        self.sentinels.iter().filter_map(|address| parse_address(address))
    }

    /// Host and port of each configured node of the cluster.
    #[cfg(feature = "redis")]
    pub(crate) fn node_addresses(&self) -> impl Iterator<Item = (String, u16)> {
        self.nodes.iter().filter_map(|address| parse_address(address))
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.address_for_messages().is_some() && cfg!(not(feature = "redis")) {
            let reason = "is set, but this build has no Redis queue; enable the feature `redis` of rocket_batch, or \
                          unset REDIS_HOST to use the queue in the process";
            return Err(ConfigError::new("redis.host", reason));
        }
        check_range("redis.db", self.db.into(), 0, 255)?;
        self.check_host()?;
        self.check_one_address()?;
        check_addresses("redis.sentinels", &self.sentinels, 26_379)?;
        check_addresses("redis.nodes", &self.nodes, 6_379)?;
        self.check_tls()?;
        self.check_prefix()?;
        self.check_cluster()
    }

    /// Refuses a host with a port or a scheme. Does not show it, since a URL may contain a
    /// password.
    fn check_host(&self) -> Result<(), ConfigError> {
        let has_port = |host: &str| host.matches(':').count() == 1 || host.contains("]:");
        let is_wrong = |host: &str| has_port(host) || host.contains(['/', '@', ' ']);
        if self.host().is_none_or(|host| !is_wrong(host)) {
            return Ok(());
        }
        let reason = "must be a host name or an address without a scheme and without a port; set `batch.redis.port` \
                      (REDIS_PORT) to the port";
        Err(ConfigError::new("redis.host", reason))
    }

    /// Refuses more than one of `host`, `sentinels` and `nodes`.
    fn check_one_address(&self) -> Result<(), ConfigError> {
        let both = match (self.sentinels.is_empty(), self.nodes.is_empty(), self.host()) {
            (false, _, Some(_)) => ("redis.sentinels", "`batch.redis.host` (REDIS_HOST) is"),
            (_, false, Some(_)) => ("redis.nodes", "`batch.redis.host` (REDIS_HOST) is"),
            (false, false, None) => ("redis.nodes", "`batch.redis.sentinels` are"),
            _ => return Ok(()),
        };
        Err(ConfigError::new(both.0, format!("are set, and {} set too; remove one of them", both.1)))
    }

    fn check_tls(&self) -> Result<(), ConfigError> {
        let files = [("ca", &self.ca), ("cert", &self.cert), ("key", &self.key)];
        if let Some((name, _)) = files.iter().find(|(_, file)| file.is_some() && !self.tls) {
            let reason = "is set, but `redis.tls` is false; set it to true, or remove the file";
            return Err(ConfigError::new(format!("redis.{name}"), reason));
        }
        let (present, missing) = match (&self.cert, &self.key) {
            (Some(_), None) => ("redis.cert", "redis.key"),
            (None, Some(_)) => ("redis.key", "redis.cert"),
            _ => return Ok(()),
        };
        Err(ConfigError::new(present, format!("is set, but `batch.{missing}` is not; set both, or remove both")))
    }

    /// Checks what a cluster requires: database 0, and all keys in one slot.
    fn check_cluster(&self) -> Result<(), ConfigError> {
        let Self { nodes, db, prefix, .. } = self;
        if nodes.is_empty() {
            return Ok(());
        }
        if *db != 0 {
            let reason =
                format!("must be 0 if `batch.redis.nodes` are set, because a cluster has no other, but is {db}");
            return Err(ConfigError::new("redis.db", reason));
        }
        if !prefix.contains('{') {
            let reason = format!(
                "must have a hash tag if `batch.redis.nodes` are set, so that one node has all keys, but is \
                 {prefix:?}; try \"{{{prefix}}}\""
            );
            return Err(ConfigError::new("redis.prefix", reason));
        }
        Ok(())
    }

    fn check_prefix(&self) -> Result<(), ConfigError> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let name = without_hash_tag(&self.prefix);
        if name.is_some_and(|name| (1..=64).contains(&name.len()) && name.chars().all(is_plain)) {
            return Ok(());
        }
        let rule = "must be 1 to 64 letters, digits, `_`, `.` or `-`, with at most one hash tag in braces";
        Err(ConfigError::new("redis.prefix", format!("{rule}, but is {:?}; try \"bull\"", self.prefix)))
    }
}

/// `prefix` without the braces of its first hash tag, if it has one; `None` if that is empty or not
/// closed.
fn without_hash_tag(prefix: &str) -> Option<String> {
    let Some((before, rest)) = prefix.split_once('{') else { return Some(prefix.to_owned()) };
    let (tag, after) = rest.split_once('}')?;
    (!tag.is_empty()).then(|| format!("{before}{tag}{after}"))
}

fn check_addresses(key: &str, addresses: &[String], example_port: u16) -> Result<(), ConfigError> {
    let Some(wrong) = addresses.iter().find(|address| parse_address(address).is_none()) else { return Ok(()) };
    let reason = format!("must each be `host:port`, but one is {wrong:?}; try [\"10.0.0.1:{example_port}\"]");
    Err(ConfigError::new(key, reason))
}

/// Host and port of `host:port`.
fn parse_address(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.trim().rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_plain = |host: &str| !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || "[]@/".contains(c));
    let is_whole = is_plain(bare.unwrap_or(host)) && (bare.is_some() || !host.contains(':'));
    is_whole.then(|| (bare.unwrap_or(host).to_owned(), port))
}
