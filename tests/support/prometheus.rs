//! A Prometheus server on a free port, with a folder of its own, that scrapes what a test names.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    TestResult,
    process::free_port,
    wait::{WAIT_TIMEOUT, until},
};

/// The server. It is killed when the value is dropped.
pub struct Prometheus {
    port: u16,
    server: Child,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts a server that scrapes each target every second as the job `rocket_batch`, and waits
    /// until it answers. A target is a URL such as `http://127.0.0.1:8000/batches/metrics`.
    pub async fn scraping(targets: &[&str], rules: &Path, token: Option<&str>) -> TestResult<Self> {
        let folder = TempDir::new()?;
        let config = folder.path().join("prometheus.yml");
        fs::write(&config, config_of(targets, rules, token)?)?;
        let port = free_port();
        let server = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--log.level=error")
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("Prometheus can't be started ({error}); run tests/run, which installs it"))?;
        let prometheus = Self { port, server, _folder: folder };
        until("Prometheus is ready", WAIT_TIMEOUT, || prometheus.get("/-/ready", &[]), Result::is_ok).await??;
        Ok(prometheus)
    }

    /// Evaluates an expression now.
    ///
    /// # Errors
    ///
    /// What the server says about the expression.
    pub async fn query(&self, expression: &str) -> TestResult<Vec<Value>> {
        let answer = self.json("/api/v1/query", &[("query", expression)]).await?;
        Ok(answer["data"]["result"].as_array().ok_or(format!("{expression}: {answer}"))?.clone())
    }

    /// Repeats an expression until it returns at least one series.
    pub async fn until_data(&self, expression: &str) -> TestResult<Vec<Value>> {
        let what = format!("Prometheus has data for {expression}");
        let has_data = |data: &TestResult<Vec<Value>>| data.as_ref().map_or(true, |series| !series.is_empty());
        until(what, WAIT_TIMEOUT, || self.query(expression), has_data).await?
    }

    /// Returns the rules with their state and health.
    pub async fn rules(&self) -> TestResult<Vec<Value>> {
        let answer = self.json("/api/v1/rules", &[]).await?;
        let groups = answer["data"]["groups"].as_array().ok_or("no groups of rules")?;
        Ok(groups.iter().flat_map(|group| group["rules"].as_array().into_iter().flatten().cloned()).collect())
    }

    async fn json(&self, path: &str, query: &[(&str, &str)]) -> TestResult<Value> {
        Ok(serde_json::from_str(&self.get(path, query).await?)?)
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> TestResult<String> {
        let url = reqwest::Url::parse_with_params(&format!("http://127.0.0.1:{}{path}", self.port), query)?;
        let response = reqwest::get(url).await?;
        let (status, body) = (response.status(), response.text().await?);
        if status.is_success() { Ok(body) } else { Err(format!("{status}: {body}").into()) }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn config_of(targets: &[&str], rules: &Path, token: Option<&str>) -> TestResult<String> {
    let mut config = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{}']\nscrape_configs:\n",
        rules.display()
    );
    for (at, target) in targets.iter().enumerate() {
        let (host, path) = target.trim_start_matches("http://").split_once('/').ok_or("the target has no path")?;
        // Each target has a section of its own, since the path belongs to the section.
        writeln!(config, "  - job_name: 'target {at}'\n    metrics_path: '/{path}'")?;
        writeln!(config, "    static_configs: [{{targets: ['{host}'], labels: {{job: rocket_batch}}}}]")?;
        if let Some(token) = token {
            writeln!(config, "    authorization: {{credentials: '{token}'}}")?;
        }
    }
    Ok(config)
}
