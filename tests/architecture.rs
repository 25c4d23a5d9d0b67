//! Which module may know which, as a table, held against the source.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Who may name whom. The fairing sees everything and is seen by none.
const ARROWS: [(&str, &[&str]); 12] = [
    ("guide", &[]),
    ("domain", &[]),
    ("config", &["domain"]),
    ("ledger", &["domain"]),
    ("queue", &["domain", "config"]),
    ("worker", &["domain", "config", "ledger", "queue"]),
    ("service", &["domain", "config", "ledger", "queue"]),
    ("live", &["domain", "ledger"]),
    ("sqlite", &["ledger"]),
    ("postgres", &["ledger"]),
    ("http", &["domain", "config", "service", "live"]),
    ("fairing", &["domain", "config", "ledger", "sqlite", "postgres", "queue", "worker", "service", "live", "http"]),
];

#[test]
fn every_arrow_is_one_of_the_table() {
    let mut wrong = Vec::new();
    for file in sources() {
        let Some(module) = module_of(&file) else { continue };
        let (_, allowed) =
            ARROWS.iter().find(|(name, _)| *name == module).unwrap_or_else(|| panic!("{module} is not in the table"));
        let named = named_in(&code_of(&file));
        let foreign = named.iter().filter(|name| **name != module && !allowed.contains(&name.as_str()));
        wrong.extend(foreign.map(|name| format!("{} names {name}", file.display())));
    }

    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nobody_climbs_out_of_a_module_by_super() {
    for file in sources() {
        let depth = file.strip_prefix(root()).unwrap().components().count();
        let climb = "super::".repeat(depth.max(2));
        assert!(!code_of(&file).contains(&climb), "{}", file.display());
    }
}

#[test]
fn the_domain_is_pure() {
    for file in sources().into_iter().filter(|file| module_of(file).as_deref() == Some("domain")) {
        let code = code_of(&file);
        for word in ["async ", ".await", "rocket::", "tokio", "std::fs", "std::env", "Utc::now", "Instant", "fastrand"]
        {
            assert!(!code.contains(word), "{} has {word}", file.display());
        }
    }
}

#[test]
fn the_contracts_stay_narrow() {
    let verbs = |file: &str, name: &str| {
        let code = code_of(&root().join(file));
        let (_, body) = code.split_once(&format!("pub trait {name}:")).unwrap();
        let (body, _) = body.split_once("\n}").unwrap();
        body.lines().filter(|line| line.contains("fn ")).count()
    };

    assert!(verbs("ledger/verbs.rs", "Ledger") <= 20);
    assert!(verbs("ledger/verbs.rs", "Records") <= 10);
    assert!(verbs("queue/mod.rs", "Queue") <= 10);
}

#[test]
fn the_reader_finds_what_is_named() {
    let code = "use crate::{\n    config::{A, B},\n    domain::C,\n};\nlet x = crate::queue::local::Y;";

    assert_eq!(Vec::from_iter(named_in(code)), ["config", "domain", "queue"]);
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn sources() -> Vec<PathBuf> {
    let mut folders = vec![root()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension() {
                None => folders.push(path),
                Some(end) if end == "rs" => files.push(path),
                Some(_) => {}
            }
        }
    }
    assert!(files.len() > 10, "the sources are not where they were");
    files
}

/// `worker` for `src/worker/feeder.rs`, `service` for `src/service.rs`, none for `src/lib.rs`.
fn module_of(file: &Path) -> Option<String> {
    let first = file.strip_prefix(root()).unwrap().components().next().unwrap();
    let name = Path::new(first.as_os_str()).file_stem().unwrap().to_str().unwrap().to_owned();
    (name != "lib").then_some(name)
}

fn code_of(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The first names after `crate::`, also those in braces.
fn named_in(code: &str) -> BTreeSet<String> {
    code.match_indices("crate::").flat_map(|(at, found)| first_names(&code[at + found.len()..])).collect()
}

fn first_names(rest: &str) -> Vec<String> {
    let word = |text: &str| text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(group) = rest.strip_prefix('{') else { return vec![word(rest)] };
    let mut depth = 0;
    let mut names = Vec::new();
    let mut start = 0;
    for (at, c) in group.char_indices() {
        match c {
            '}' if depth == 0 => {
                names.push(word(&group[start..at]));
                break;
            }
            ',' if depth == 0 => {
                names.push(word(&group[start..at]));
                start = at + 1;
            }
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}
