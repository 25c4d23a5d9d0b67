//! Where a database is, and how a connection to it is made.

use std::{
    fmt,
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, OpenFlags};

/// More than there are, so that each is prepared once a connection.
const STATEMENTS: usize = 64;

/// A file, or the memory of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// The path of the file.
    File(PathBuf),
    /// Gone with its one connection.
    Memory,
}

impl Address {
    /// Reads a URL: `sqlite://batch.db`, `sqlite:///var/lib/batch.db`, `sqlite::memory:`. The error
    /// says what to write instead.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let rest = url.strip_prefix("sqlite:").map(|rest| rest.strip_prefix("//").unwrap_or(rest));
        match rest {
            Some(":memory:") => Ok(Self::Memory),
            Some("") => Err("names no file; write \"sqlite://batch.db\", say".into()),
            Some(path) if path.contains('?') => Err("takes no parameters; leave out all from the `?` on".into()),
            Some(path) => Ok(Self::File(path.into())),
            // Not shown, since the URL of another database may carry a password.
            None => {
                Err("is no URL of SQLite; write \"sqlite://batch.db\" or \"sqlite:///var/lib/batch.db\", say".into())
            }
        }
    }

    /// The connection that changes the database, which is made when there is none.
    pub(super) fn writer(&self, patience: Duration) -> rusqlite::Result<Connection> {
        let conn = match self {
            Self::Memory => Connection::open_in_memory()?,
            Self::File(path) => {
                make_private(path);
                let conn = open(path, OpenFlags::SQLITE_OPEN_CREATE)?;
                conn.busy_timeout(patience)?;
                use_log(&conn, Instant::now() + patience)?;
                conn
            }
        };
        conn.pragma_update(None, "synchronous", "FULL")?;
        conn.pragma_update(None, "foreign_keys", true)?;
        conn.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(conn)
    }

    /// The same without links and relative parts, so that whoever means this file says so by the
    /// same path.
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

/// A connection that only reads, to a file that is there.
pub(super) fn reader(path: &Path, patience: Duration) -> rusqlite::Result<Connection> {
    let conn = open(path, OpenFlags::empty())?;
    conn.busy_timeout(patience)?;
    conn.pragma_update(None, "query_only", true)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(conn)
}

fn open(path: &Path, more: OpenFlags) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | more)
}

/// Makes the file where there is none, for its owner alone: it keeps the code key. SQLite gives its
/// mode to the files beside it, and takes an empty one for a new database. Where this fails, SQLite
/// says why.
///
/// A file that is there is not opened: closing it would let go of the locks that this process has
/// on it.
fn make_private(path: &Path) {
    // A link may lead to a file that is not there yet.
    let target = fs::read_link(path).ok().and_then(|target| Some(path.parent()?.join(target)));
    let _ = private().create_new(true).open(target.as_deref().unwrap_or(path));
}

/// How a file is made that its owner alone may read and write.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Sets the write-ahead log. Two who do it at once get "locked" at once, whatever the busy timeout
/// says.
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
    fn a_url_is_a_file_or_the_memory() {
        let table = [
            ("sqlite://batch.db", Ok(Address::File("batch.db".into()))),
            ("sqlite:batch.db", Ok(Address::File("batch.db".into()))),
            ("sqlite:///var/lib/batch.db", Ok(Address::File("/var/lib/batch.db".into()))),
            ("sqlite:/var/lib/batch.db", Ok(Address::File("/var/lib/batch.db".into()))),
            ("sqlite://:memory:", Ok(Address::Memory)),
            ("sqlite::memory:", Ok(Address::Memory)),
            ("sqlite://", Err("names no file")),
            ("sqlite://a.db?mode=ro", Err("takes no parameters")),
            ("postgres://me:secret@host/db", Err("is no URL of SQLite")),
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
