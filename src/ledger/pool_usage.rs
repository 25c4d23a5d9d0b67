//! How many connections of a pool are in use.

/// The connections of this process to the database, and the calls that wait for one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolUsage {
    /// Connections that run a call.
    pub used: usize,
    /// Open connections that run none.
    pub idle: usize,
    /// Calls that wait for a connection.
    pub waiting: usize,
}
