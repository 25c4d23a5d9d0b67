//! Ports and signals.

use std::{net::TcpListener, process::Command};

/// Returns a port of this machine on which no server listens.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port is free").port()
}

/// Sends a signal, such as `STOP`.
pub fn signal(process: u32, name: &str) {
    let kill = format!("kill -{name} {process}");
    let sent = Command::new("sh").arg("-c").arg(&kill).status();
    assert!(sent.is_ok_and(|status| status.success()), "{kill}");
}
