//! The dashboard for Grafana and the alert rules for Prometheus, in `docs/`.
//!
//! ```text
//!   metrics.rs       the table of metrics
//!   expression.rs    which metrics and labels an expression uses
//!   exporter.rs      serves every metric of the table
//!   alerts.rs        the alert rules
//!   dashboard.rs     the dashboard
//! ```
//!
//! `tests/run` installs Prometheus with its `promtool`, Node and Grafana's types.

mod alerts;
mod dashboard;
mod exporter;
mod expression;
mod metrics;
#[path = "../support/mod.rs"]
mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rules_file() -> PathBuf {
    root().join("docs/prometheus/alerts.yml")
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Runs a program of `tests/run` in a folder of the repository.
fn run(program: &str, folder: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root().join(folder));
    command.output().unwrap_or_else(|error| panic!("{program}: {error}; run tests/run, which installs it"))
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
