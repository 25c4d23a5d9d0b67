//! Serves every metric of the table in the text format, with every combination of labels. Counters
//! grow with each scrape.

use std::fmt::Write as _;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    metrics::{Kind, METRICS, Metric},
    support::TestResult,
};

/// Starts the exporter and returns its URL. It ends with the runtime of the test.
pub async fn start() -> TestResult<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/metrics", listener.local_addr()?);
    tokio::spawn(async move {
        for scrape in 1.. {
            let (mut caller, _) = listener.accept().await.expect("the listener is open");
            // A scrape fits into one packet.
            let _ = caller.read(&mut [0; 4096]).await;
            let body = text(scrape);
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\n";
            let _ = caller.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).await;
        }
    });
    Ok(url)
}

fn text(scrape: u64) -> String {
    METRICS.iter().map(|metric| text_of(metric, scrape)).collect()
}

fn text_of(metric: &Metric, scrape: u64) -> String {
    let name = format!("rocket_batch_{}", metric.name);
    let mut text = String::new();
    for labels in metric.combinations() {
        match metric.kind {
            Kind::Counter => writeln!(text, "{name}{{{labels}}} {}", 10 * scrape),
            Kind::Gauge => writeln!(text, "{name}{{{labels}}} 1"),
            Kind::Histogram => {
                let (fast, all) = (7 * scrape, 10 * scrape);
                writeln!(text, "{name}_bucket{{{labels}le=\"0.1\"}} {fast}\n{name}_bucket{{{labels}le=\"+Inf\"}} {all}")
                    .and_then(|()| writeln!(text, "{name}_sum{{{labels}}} {scrape}\n{name}_count{{{labels}}} {all}"))
            }
        }
        .expect("a text takes more text");
    }
    text
}
