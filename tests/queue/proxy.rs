//! A way to a server that can fall silent: what is connected stays connected, and not one byte gets
//! through any more.

use std::sync::Arc;

use tokio::{
    io,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Listens on a port of its own and passes on to a server, until it is dropped.
pub struct Proxy {
    pub port: u16,
    generation: Arc<watch::Sender<u64>>,
    listens: tokio::task::JoinHandle<()>,
}

impl Proxy {
    pub async fn to(server: u16) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let generation = Arc::new(watch::Sender::new(0));
        let current = generation.clone();
        let listens = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server, current.subscribe()));
            }
        });
        Ok(Self { port, generation, listens })
    }

    /// Silences every connection there is. New ones are served.
    pub fn silence(&self) {
        self.generation.send_modify(|generation| *generation += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listens.abort();
    }
}

async fn pass(mut client: TcpStream, server: u16, mut silenced: watch::Receiver<u64>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    tokio::select! {
        _ = io::copy_bidirectional(&mut client, &mut server) => {}
        // The sockets stay open, which is the point.
        Ok(()) = silenced.changed() => std::future::pending().await,
    }
}
