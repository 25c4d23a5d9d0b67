//! Which metrics and labels an expression of Prometheus uses, and whether they exist.

use crate::metrics::{Kind, Metric};

/// Labels that Prometheus itself adds to every series.
const LABELS_OF_A_TARGET: [&str; 2] = ["job", "instance"];

/// Returns the series that an expression reads, without the text in braces.
pub fn series_in(expression: &str) -> Vec<String> {
    words(&without_braces(expression)).into_iter().filter(|word| word.starts_with("rocket_batch_")).collect()
}

/// Returns what is wrong with an expression: series, labels and values that do not exist.
pub fn problems_in(expression: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let metrics: Vec<_> = series_in(expression).iter().map(|series| (series.clone(), Metric::of(series))).collect();
    for (series, metric) in &metrics {
        if metric.is_none() {
            problems.push(format!("there is no metric {series}"));
        }
    }
    for (series, matchers) in selectors_in(expression) {
        problems.extend(Metric::of(&series).into_iter().flat_map(|metric| problems_of(metric, &matchers)));
    }
    for label in labels_kept_by(expression) {
        let is_bucket = label == "le" && metrics.iter().any(|(series, _)| series.ends_with("_bucket"));
        let is_label = metrics.iter().flat_map(|(_, metric)| metric).any(|metric| metric.label(&label).is_some());
        if !is_label && !is_bucket && !LABELS_OF_A_TARGET.contains(&label.as_str()) {
            problems.push(format!("no metric of the expression has the label {label}"));
        }
    }
    problems
}

/// Returns the labels that an aggregation keeps, and those that a comparison matches.
pub fn labels_kept_by(expression: &str) -> Vec<String> {
    let starts = ["by (", "on ("].into_iter().flat_map(|start| expression.split(start).skip(1));
    starts.flat_map(|rest| words(rest.split(')').next().unwrap_or_default())).collect()
}

fn problems_of(metric: &Metric, matchers: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let mut parts = matchers.split('"');
    while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
        let name = words(name).concat();
        if LABELS_OF_A_TARGET.contains(&name.as_str()) || (name == "le" && metric.kind == Kind::Histogram) {
            continue;
        }
        let Some(label) = metric.label(&name) else {
            problems.push(format!("{} has no label {name}", metric.name));
            continue;
        };
        let unknown = value.split('|').filter(|value| !label.is_open && !label.values.contains(value));
        problems.extend(unknown.map(|value| format!("{}: {name} is never {value}", metric.name)));
    }
    problems
}

/// Returns each series that has a selector in braces, with the text in these.
fn selectors_in(expression: &str) -> Vec<(String, String)> {
    let mut selectors = Vec::new();
    let mut rest = expression;
    while let Some((before, after)) = rest.split_once('{') {
        let (matchers, after) = after.split_once('}').unwrap_or((after, ""));
        selectors.extend(words(before).pop().map(|series| (series, matchers.to_owned())));
        rest = after;
    }
    selectors
}

fn without_braces(expression: &str) -> String {
    expression
        .split('{')
        .map(|part| part.split_once('}').map_or(part, |(_, after)| after))
        .collect::<Vec<_>>()
        .join(" ")
}

fn words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

#[test]
fn finds_series_and_labels_that_do_not_exist() {
    let table: [(&str, &[&str]); 8] = [
        (r#"sum(rate(rocket_batch_items_total{job=~"$job"}[1m]))"#, &[]),
        (r#"max by (state) (rocket_batch_jobs{queue="any", state=~"waiting|active"})"#, &[]),
        ("sum by (le) (rate(rocket_batch_job_wait_seconds_bucket[1m]))", &[]),
        ("rocket_batch_item_total", &["there is no metric rocket_batch_item_total"]),
        ("rocket_batch_job_wait_seconds", &["there is no metric rocket_batch_job_wait_seconds"]),
        (r#"rocket_batch_items_total{queue="a"}"#, &["items_total has no label queue"]),
        (r#"rocket_batch_batches{status=~"pending|open"}"#, &["batches: status is never open"]),
        (
            "sum by (le, part) (rocket_batch_workers)",
            &["no metric of the expression has the label le", "no metric of the expression has the label part"],
        ),
    ];

    for (expression, problems) in table {
        assert_eq!(problems_in(expression), problems, "{expression}");
    }
}
