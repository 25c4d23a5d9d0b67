//! A proxy that can fall silent: its connections stay open and transfer no further byte.

use std::sync::Arc;

use tokio::{
    io,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Forwards connections from its own port to a server until it is dropped.
pub struct Proxy {
    pub port: u16,
    generation: Arc<watch::Sender<u64>>,
    listener: tokio::task::JoinHandle<()>,
}

impl Proxy {
    pub async fn to(server: u16) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let generation = Arc::new(watch::Sender::new(0));
        let current = generation.clone();
        let accept_loop = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, server, current.subscribe()));
            }
        });
        Ok(Self { port, generation, listener: accept_loop })
    }

    /// Silences every open connection. New connections work.
    pub fn silence(&self) {
        self.generation.send_modify(|generation| *generation += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn forward(mut client: TcpStream, server: u16, mut silenced: watch::Receiver<u64>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    tokio::select! {
        _ = io::copy_bidirectional(&mut client, &mut server) => {}
        // The sockets stay open.
        Ok(()) = silenced.changed() => std::future::pending().await,
    }
}
