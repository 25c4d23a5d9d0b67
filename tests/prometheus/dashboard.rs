//! The dashboard: its shape by Grafana's own types, what its panels show, and that Prometheus
//! answers every expression.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    exporter,
    expression::{labels_kept_by, problems_in, series_in},
    metrics::{Kind, METRICS, Metric},
    printed, read, root, rules_file, run,
    support::{
        TestResult,
        prometheus::Prometheus,
        wait::{WAIT_TIMEOUT, until},
    },
};

#[test]
fn it_has_the_shape_of_grafanas_own_types() {
    let dashboard = root().join("docs/grafana/dashboard.json");
    let output = run("node", "tests/node", &["dashboard_schema.js", dashboard.to_str().unwrap()]);

    assert!(output.status.success() && printed(&output).is_empty(), "{}", printed(&output));
}

/// The check by types is worth nothing if it finds nothing.
#[test]
fn the_check_by_types_finds_unknown_fields_and_values() {
    let scratch = tempfile::TempDir::new().unwrap();
    let table = [
        (r#""graphTooltip": 1"#, r#""graphTooltip": 7"#),
        (r#""refresh": "30s""#, r#""refreshes": "30s""#),
        (r#""palette-classic""#, r#""palette-modern""#),
        (r#""type": "stat""#, r#""type": "statistic""#),
        (r#""schemaVersion": 42"#, r#""schemaVersion": 41"#),
    ];

    for (right, wrong) in table {
        let dashboard = read("docs/grafana/dashboard.json");
        assert!(dashboard.contains(right), "the dashboard has no {right}");
        let file = scratch.path().join("dashboard.json");
        std::fs::write(&file, dashboard.replace(right, wrong)).unwrap();
        let output = run("node", "tests/node", &["dashboard_schema.js", file.to_str().unwrap()]);
        assert!(!printed(&output).is_empty(), "{wrong} was not found");
    }
}

#[test]
fn panels_use_metrics_and_labels_that_exist() {
    let dashboard = dashboard();
    for expression in expressions(&dashboard) {
        let problems = problems_in(&expression);
        assert!(problems.is_empty(), "{expression}: {problems:?}");
        // Without both selectors the variables of the dashboard would do nothing.
        let selectors = expression.matches(r#"job=~"$job", instance=~"$instance""#).count();
        assert_eq!(selectors, series_in(&expression).len(), "{expression}");
    }
}

#[test]
fn every_metric_has_a_panel() {
    let dashboard = dashboard();
    let shown: BTreeSet<_> = expressions(&dashboard).iter().flat_map(|expression| series_in(expression)).collect();

    for metric in METRICS {
        assert!(metric.series().iter().any(|series| shown.contains(series)), "no panel shows {}", metric.name);
    }
}

/// Counters are added over the processes, as rates. Gauges about the whole ledger are the same in
/// each process, so the largest counts; only gauges of one process may be added.
#[test]
fn counters_are_rates_and_gauges_of_the_ledger_are_not_added() {
    let of_a_process = ["database_pool", "event_streams"];
    for expression in expressions(&dashboard()) {
        for series in series_in(&expression) {
            let metric = Metric::of(&series).unwrap();
            let is_rate = expression.contains(&format!("rate({series}"));
            let is_sum = expression.starts_with("sum");
            assert_eq!(is_rate, metric.kind != Kind::Gauge, "{expression}");
            let may_add = metric.kind != Kind::Gauge || of_a_process.contains(&metric.name);
            assert!(!is_sum || may_add, "{expression} adds what every process reports");
        }
    }
}

#[test]
fn every_panel_explains_itself() {
    let dashboard = dashboard();
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().unwrap();
        let description = panel["description"].as_str().unwrap_or_default();
        assert!(description.contains("; worry ") && description.ends_with('.'), "{title}: {description:?}");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title} has no unit");
        for target in panel["targets"].as_array().unwrap() {
            let (legend, expression) = (target["legendFormat"].as_str().unwrap(), target["expr"].as_str().unwrap());
            let kept = labels_kept_by(expression);
            let named = legend.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap());
            assert!(!legend.is_empty(), "{title} has a query without a legend");
            for label in named {
                assert!(kept.iter().any(|other| other == label), "{title}: {expression} does not keep {label}");
            }
        }
    }
}

#[test]
fn panels_do_not_overlap() {
    let dashboard = dashboard();
    let mut taken = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let [x, y, width, height] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
        assert!(x + width <= 24, "{} is too far to the right", panel["title"]);
        let cells = (x..x + width).flat_map(|x| (y..y + height).map(move |y| (x, y)));
        for cell in cells {
            assert!(taken.insert(cell), "{} overlaps another panel at {cell:?}", panel["title"]);
        }
    }
}

#[tokio::test]
async fn prometheus_has_data_for_every_panel_and_evaluates_every_rule() -> TestResult {
    let exporter = exporter::start().await?;
    let prometheus = Prometheus::scraping(&[&exporter], &rules_file(), None).await?;

    every_expression_returns_data(&prometheus, &dashboard()).await?;

    let are_evaluated = |rules: &TestResult<Vec<Value>>| {
        rules.as_ref().map_or(true, |rules| rules.iter().all(|rule| rule["health"] != "unknown"))
    };
    let rules = until("all rules are evaluated", WAIT_TIMEOUT, || prometheus.rules(), are_evaluated).await??;
    assert!(rules.len() > 5, "{rules:?}");
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
    Ok(())
}

/// Runs the expression of every panel on a server that scrapes a host, until each has data.
pub async fn every_expression_returns_data(prometheus: &Prometheus, dashboard: &Value) -> TestResult {
    for expression in expressions(dashboard) {
        prometheus.until_data(&with_variables(&expression)).await?;
    }
    Ok(())
}

/// Puts what Grafana would put in place of the variables, with everything selected.
fn with_variables(expression: &str) -> String {
    let names = [("$__rate_interval", "1m"), ("$job", ".*"), ("$instance", ".*")];
    names.into_iter().fold(expression.to_owned(), |text, (name, value)| text.replace(name, value))
}

fn expressions(dashboard: &Value) -> Vec<String> {
    let targets = panels(dashboard).into_iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

/// Returns the panels without the rows between them.
fn panels(dashboard: &Value) -> Vec<&Value> {
    let panels: Vec<_> =
        dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row").collect();
    assert!(panels.len() > 15, "the dashboard has too few panels");
    panels
}

fn dashboard() -> Value {
    serde_json::from_str(&read("docs/grafana/dashboard.json")).unwrap()
}
