//! The alert rules: promtool's own checks, and that each one is tested, explained and uses metrics
//! that exist.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{expression::problems_in, printed, read, run};

const FOLDER: &str = "docs/prometheus";

#[test]
fn promtool_accepts_the_rules() {
    let output = run("promtool", FOLDER, &["check", "rules", "--lint-fatal", "alerts.yml"]);

    assert!(output.status.success(), "{}", printed(&output));
}

#[test]
fn each_rule_fires_and_stays_silent_as_its_tests_say() {
    let output = run("promtool", FOLDER, &["test", "rules", "alerts_test.yml"]);

    assert!(output.status.success(), "{}", printed(&output));
}

/// A silence is only worth something in a test whose series would show the alert, so each alert
/// has a firing and a silent moment in one test, and a whole test in which it stays silent.
#[test]
fn each_alert_is_tested_as_firing_and_as_silent() {
    let tests: Value = serde_norway::from_str(&read("docs/prometheus/alerts_test.yml")).unwrap();
    let moments_of = |test: &Value, alert: &str| -> Vec<bool> {
        let all = test["alert_rule_test"].as_array().unwrap();
        let own = all.iter().filter(|moment| moment["alertname"] == *alert);
        own.map(|moment| !moment["exp_alerts"].as_array().unwrap().is_empty()).collect()
    };

    for alert in names() {
        let tests = tests["tests"].as_array().unwrap().iter().map(|test| moments_of(test, &alert));
        let tests: Vec<_> = tests.filter(|moments| !moments.is_empty()).collect();
        assert!(
            tests.iter().any(|moments| moments.contains(&true) && moments.contains(&false)),
            "{alert} never changes"
        );
        assert!(tests.iter().any(|moments| !moments.contains(&true)), "{alert} has no test in which it stays silent");
    }
}

#[test]
fn rules_use_metrics_and_labels_that_exist() {
    for rule in rules() {
        let problems = problems_in(rule["expr"].as_str().unwrap());
        assert!(problems.is_empty(), "{}: {problems:?}", rule["alert"]);
    }
}

#[test]
fn each_alert_says_how_bad_it_is_and_links_to_its_section_of_the_guide() {
    let page = read("docs/guide/watching.md");
    let sections: BTreeSet<_> = page.lines().filter_map(|line| line.strip_prefix("### ")).collect();

    for rule in rules() {
        let alert = rule["alert"].as_str().unwrap();
        let severity = rule["labels"]["severity"].as_str().unwrap_or_default();
        let [summary, description, url] = ["summary", "description", "runbook_url"]
            .map(|name| rule["annotations"][name].as_str().unwrap_or_default());
        assert!(["critical", "warning"].contains(&severity), "{alert}: {severity:?}");
        assert!(!summary.is_empty() && description.ends_with('.'), "{alert}: {summary:?}, {description:?}");
        assert!(sections.contains(alert), "watching.md has no section {alert}");
        assert!(url.ends_with(&format!("/guide/watching/#{}", alert.to_lowercase())), "{alert}: {url}");
    }
    let known = names().into_iter().collect::<Vec<_>>();
    let alerts = sections.iter().filter(|section| section.starts_with("RocketBatch"));
    assert!(alerts.clone().all(|section| known.iter().any(|name| name == section)), "{alerts:?}");
}

fn names() -> BTreeSet<String> {
    rules().iter().map(|rule| rule["alert"].as_str().unwrap().to_owned()).collect()
}

fn rules() -> Vec<Value> {
    let file: Value = serde_norway::from_str(&read("docs/prometheus/alerts.yml")).unwrap();
    let rules = file["groups"][0]["rules"].as_array().unwrap().clone();
    assert!(rules.len() > 5, "alerts.yml has too few rules");
    rules
}
