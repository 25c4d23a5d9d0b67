//! The address of a database, and connections to it.

use std::{
    fmt,
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::ledger::open::url_scheme;

/// Size of the statement cache: more than there are statements, so each is prepared once per
/// connection.
const STATEMENTS: usize = 64;

/// A database file, or a database in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// The path of the file.
    File(PathBuf),
    /// A database in memory, which ends with its only connection.
    Memory,
}

impl Address {
    /// Parses a URL: `sqlite://batch.db`, `sqlite:///var/lib/batch.db`, `sqlite::memory:`, or a
    /// path alone. A path below `~` is in the home directory. The error message suggests a correct
    /// one. It does not show the URL, which may contain a password.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let with_scheme = url.strip_prefix("sqlite:").map(|rest| rest.strip_prefix("//").unwrap_or(rest));
        match with_scheme.unwrap_or(url) {
            ":memory:" => Ok(Self::Memory),
            path if path.trim().is_empty() => Err("names no file; try \"sqlite://batch.db\"".into()),
            path if path.contains('?') => Err("takes no parameters; remove everything from the `?` on".into()),
            path if with_scheme.is_none() && !is_plain_path(path) => Err(NOT_SQLITE.into()),
            path if with_scheme.is_some() && has_percent_encoding(path) => Err(
                "contains a character in percent-encoding, such as `%20`, which is not decoded; write the path as it is"
                    .into(),
            ),
            path if path.ends_with('/') => Err("names a directory; add the name of a file, such as `batch.db`".into()),
            path => below_home(path).map(Self::File),
        }
    }

    /// Opens the writing connection, and creates the database if there is none.
    pub(super) fn writer(&self, wait_timeout: Duration) -> rusqlite::Result<Connection> {
        let conn = match self {
            Self::Memory => Connection::open_in_memory()?,
            Self::File(path) => {
                make_private(path);
                let conn = open(path, OpenFlags::SQLITE_OPEN_CREATE)?;
                conn.busy_timeout(wait_timeout)?;
                use_log(&conn, Instant::now() + wait_timeout)?;
                conn
            }
        };
        conn.pragma_update(None, "synchronous", "FULL")?;
        conn.pragma_update(None, "foreign_keys", true)?;
        conn.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(conn)
    }

    /// The reason why the database can't be opened. SQLite does not say what is missing.
    pub(super) fn explain(&self, why: impl fmt::Display) -> String {
        match self {
            Self::File(path) if path.is_dir() => "it is a directory; add the name of a file".into(),
            Self::File(path)
                if path.parent().is_some_and(|parent| !parent.as_os_str().is_empty() && !parent.is_dir()) =>
            {
                format!("{why}; its directory does not exist, create it first")
            }
            Self::File(_) | Self::Memory => why.to_string(),
        }
    }

    /// The absolute address without symbolic links, which is the same for every process.
    pub(super) fn resolved(self) -> Self {
        match self {
            Self::File(path) => Self::File(path.canonicalize().unwrap_or(path)),
            Self::Memory => Self::Memory,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Memory => f.write_str(":memory:"),
        }
    }
}

const NOT_SQLITE: &str = "is not a SQLite URL; try \"sqlite://batch.db\" or \"sqlite:///var/lib/batch.db\"";

/// Returns whether a text without a scheme is a path, and not the parameters of another database.
fn is_plain_path(text: &str) -> bool {
    url_scheme(text).is_none() && !text.contains(['@', '=']) && !text.contains("://")
}

fn has_percent_encoding(path: &str) -> bool {
    let is_hex = |digit: Option<&u8>| digit.is_some_and(u8::is_ascii_hexdigit);
    let mut rest = path.as_bytes();
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        rest = rest.get(at + 1..).unwrap_or_default();
        if is_hex(rest.first()) && is_hex(rest.get(1)) {
            return true;
        }
    }
    false
}

/// Replaces a leading `~` by the home directory.
fn below_home(path: &str) -> Result<PathBuf, String> {
    match path.strip_prefix('~') {
        None => Ok(path.into()),
        Some(rest) if rest.len() > 1 && rest.starts_with('/') => {
            let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
            let home = home.ok_or("begins with `~`, but HOME is not set; write the path in full")?;
            Ok(home.join(rest.trim_start_matches('/')))
        }
        Some(_) => Err("begins with `~`, but not with `~/`; write the path in full".into()),
    }
}

/// Opens a connection that only reads, to an existing file.
pub(super) fn reader(path: &Path, wait_timeout: Duration) -> rusqlite::Result<Connection> {
    let conn = open(path, OpenFlags::empty())?;
    conn.busy_timeout(wait_timeout)?;
    conn.pragma_update(None, "query_only", true)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(conn)
}

fn open(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | flags)
}

/// Creates the file if there is none, readable by its owner only, because it contains the code key.
/// SQLite uses the same mode for its other files, and accepts an empty file as a new database. If
/// this fails, SQLite reports the error.
///
/// An existing file is not opened: closing it would release this process's locks on it.
fn make_private(path: &Path) {
    // A link may point to a file that does not exist yet.
    let target = fs::read_link(path).ok().and_then(|target| Some(path.parent()?.join(target)));
    let _ = private().create_new(true).open(target.as_deref().unwrap_or(path));
}

/// Options that create a file which only its owner may read and write.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Switches to the write-ahead log. SQLite does not apply the busy timeout to this statement.
fn use_log(conn: &Connection, until: Instant) -> rusqlite::Result<()> {
    loop {
        match conn.pragma_update(None, "journal_mode", "WAL") {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && Instant::now() < until => {
                thread::sleep(Duration::from_millis(10));
            }
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_file_or_memory() {
        let home = std::env::home_dir().unwrap();
        let table = [
            ("sqlite://batch.db", Ok(Address::File("batch.db".into()))),
            ("sqlite:batch.db", Ok(Address::File("batch.db".into()))),
            ("sqlite:///var/lib/batch.db", Ok(Address::File("/var/lib/batch.db".into()))),
            ("sqlite:/var/lib/batch.db", Ok(Address::File("/var/lib/batch.db".into()))),
            ("batch.db", Ok(Address::File("batch.db".into()))),
            ("./data/100%.db", Ok(Address::File("./data/100%.db".into()))),
            ("my shop/a%20b.db", Ok(Address::File("my shop/a%20b.db".into()))),
            ("/var/lib/batch.db", Ok(Address::File("/var/lib/batch.db".into()))),
            ("C:\\shop\\batch.db", Ok(Address::File("C:\\shop\\batch.db".into()))),
            ("~/batch.db", Ok(Address::File(home.join("batch.db")))),
            ("sqlite://~/data/batch.db", Ok(Address::File(home.join("data/batch.db")))),
            ("sqlite://:memory:", Ok(Address::Memory)),
            ("sqlite::memory:", Ok(Address::Memory)),
            (":memory:", Ok(Address::Memory)),
            ("sqlite://", Err("names no file")),
            ("", Err("names no file")),
            ("sqlite://a.db?mode=ro", Err("takes no parameters")),
            ("a.db?mode=ro", Err("takes no parameters")),
            ("sqlite://my%20shop.db", Err("contains a character in percent-encoding")),
            ("sqlite:///var/lib/", Err("names a directory")),
            ("~", Err("begins with `~`, but not with `~/`")),
            ("sqlite://~secret/batch.db", Err("begins with `~`, but not with `~/`")),
            ("postgres://me:secret@host/db", Err("is not a SQLite URL")),
            ("host=db user=me password=secret", Err("is not a SQLite URL")),
            ("secret@host/db", Err("is not a SQLite URL")),
        ];

        for (url, expected) in table {
            match (Address::parse(url), expected) {
                (Ok(address), Ok(expected)) => assert_eq!(address, expected),
                (Err(why), Err(start)) => assert!(why.starts_with(start) && !why.contains("secret"), "{why}"),
                (got, expected) => panic!("{url}: {got:?}, not {expected:?}"),
            }
        }
    }
}
