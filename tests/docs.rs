//! What README and guide say, held against the crate: settings and their defaults, routes, links,
//! commands.
//!
//! Their Rust blocks are compiled and run as the documentation of `rocket_batch::guide`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use figment::{
    Figment,
    providers::{Format, Toml},
};
use rocket::local::blocking::Client;
use rocket_batch::{Batch, Config, config};
use serde_json::Value;

/// One setting, as the config itself describes it.
struct Setting {
    kind: String,
    default: String,
    meaning: String,
    /// The default as the doc comment says it.
    said: Option<String>,
}

/// `docs/guide/settings.md` is made from here; `UPDATE=1 cargo test --test docs` writes it.
#[test]
fn the_page_of_settings_is_what_the_config_says() {
    let file = root().join("docs/guide/settings.md");
    let page = settings_page();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, &page).unwrap();
    }

    assert!(fs::read_to_string(file).unwrap() == page, "settings.md is old: UPDATE=1 cargo test --test docs");
}

#[test]
fn a_doc_comment_says_the_default_that_counts() {
    // The two queues share a type; what `status` has of its own stands at its key.
    for (key, setting) in settings().iter().filter(|(key, _)| !key.starts_with("status.")) {
        let said = setting.said.as_deref().unwrap_or_else(|| panic!("`{key}` does not say its default"));
        assert_eq!(plain(said), plain(&setting.default), "{key}");
    }
}

#[test]
fn the_readme_names_settings_with_their_defaults() {
    let settings = settings();
    let rows: Vec<_> = table_rows(&read("README.md"), "| setting |").collect();
    assert!(rows.len() > 10, "the table of settings is not where it was");

    for row in rows {
        let key = row[0].trim_matches('`');
        let setting = settings.get(key).unwrap_or_else(|| panic!("README: there is no setting `{key}`"));
        assert_eq!(plain(&row[1]), plain(&setting.default), "README: {key}");
    }
}

/// What an option of BullMQ became: settings in the middle cell, their defaults in the same order
/// in the last, equal ones once.
#[test]
fn the_page_for_those_who_come_from_node_names_settings_with_their_defaults() {
    let settings = settings();
    let mut named = 0;

    for row in table_rows(&read("docs/guide/coming_from_node.md"), "| in Node |") {
        let keys = row[1].split('`').skip(1).step_by(2).filter(|key| settings.contains_key(*key));
        let mut defaults: Vec<_> = keys.map(|key| plain(&settings[key].default)).collect();
        named += defaults.len();
        defaults.dedup();
        let said: Vec<_> = row[2].replace(" and ", ", ").split(", ").map(plain).collect();
        assert!(defaults.is_empty() || said == defaults, "{}: {defaults:?}, but it says {said:?}", row[1]);
    }
    assert!(named > 15, "the table is not where it was");
}

#[test]
fn every_setting_in_a_file_or_a_block_exists() {
    let example = ("examples/Rocket.toml".to_owned(), read("examples/Rocket.toml"));
    let blocks =
        pages().into_iter().flat_map(|page| blocks_of(&page, "toml").into_iter().map(move |b| (page.clone(), b)));

    for (file, toml) in blocks.chain([example]) {
        let host = Figment::from(rocket::Config::default()).merge(Toml::string(&toml).nested());
        for profile in host.profiles().map(Clone::clone).collect::<Vec<_>>() {
            let read = Config::from(&host.clone().select(profile)).and_then(|config| config.check());
            assert!(read.is_ok(), "{file}: {read:?} in\n{toml}");
        }
    }
}

#[test]
fn every_variable_names_a_setting() {
    let settings = settings();

    for (page, text) in texts() {
        for (at, prefix) in text.match_indices("ROCKET_BATCH__") {
            let name = text[at + prefix.len()..].split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next();
            let key = name.unwrap().to_lowercase().replace("__", ".");
            let known = key.is_empty() || settings.contains_key(&key);
            assert!(known, "{page}: `ROCKET_BATCH__` has no `{key}`");
        }
    }
}

#[test]
fn every_route_that_is_named_is_mounted_and_the_readme_names_all() {
    let mounted = mounted();
    let named: BTreeMap<_, _> = texts().into_iter().map(|(page, text)| (page, routes_in(&text))).collect();

    for (page, routes) in &named {
        for route in routes {
            assert!(
                mounted.iter().any(|other| route.is(other)),
                "{page}: {} {} is not mounted",
                route.verb,
                route.path
            );
        }
    }
    for route in &mounted {
        let in_readme = named["README.md"].iter().any(|other| other.is(route));
        assert!(in_readme, "README does not name {} {}", route.verb, route.path);
    }
}

/// What a message names, a number or an id, is a place in the source: `Batch 123 completed` is
/// `Batch {id} completed`.
#[test]
fn every_log_line_of_the_guide_is_written() {
    let sources = sources_below(&root().join("src"));
    let messages: Vec<_> =
        table_rows(&read("docs/guide/operating.md"), "| level |").map(|row| row[1].clone()).collect();
    assert!(messages.len() > 10, "the table of the log is not where it was");

    for message in messages {
        let words = message.trim_matches('`').split(' ').filter(|word| !word.contains(|c: char| c.is_ascii_digit()));
        let words: Vec<_> = words.collect();
        let said = sources.lines().filter(|line| !line.trim_start().starts_with("//")).any(|line| {
            let mut rest = line;
            words.iter().all(|word| rest.split_once(word).map(|(_, after)| rest = after).is_some())
        });
        assert!(said, "nothing says {message}");
    }
}

#[test]
fn every_kind_of_problem_is_in_the_guide() {
    let (source, page) = (read("src/http/problem.rs"), read("docs/guide/rights.md"));
    let kinds: Vec<_> = source.split('"').filter(|text| text.starts_with("urn:rocket-batch:")).collect();
    assert!(kinds.len() > 5, "the kinds are not where they were");

    for kind in kinds {
        assert!(page.contains(&format!("`{kind}`")), "rights.md lacks {kind}");
    }
}

#[test]
fn every_link_leads_to_a_file() {
    let decisions = files_in("docs/decisions");

    for page in pages().into_iter().chain(decisions).chain(["CHANGELOG.md".to_owned()]) {
        for link in links_in(&read(&page)) {
            let target = root().join(&page).parent().unwrap().join(link.split('#').next().unwrap());
            assert!(target.exists(), "{page}: {link}");
        }
    }
}

/// A page that is not in `src/guide.rs` is not compiled, and a link that is not in
/// `src/guide/links.md` leads nowhere on docs.rs.
#[test]
fn every_page_is_part_of_the_documentation() {
    let [module, links, index] = ["src/guide.rs", "src/guide/links.md", "docs/guide/README.md"].map(read);

    for page in files_in("docs/guide") {
        let name = Path::new(&page).file_stem().unwrap().to_str().unwrap();
        assert!(name == "README" || module.contains(&format!("page!({name});")), "{page} is not in src/guide.rs");
        assert!(name == "README" || index.contains(&format!("[{name}]: {name}.md")), "{page} is not in the index");
        for link in links_in(&read(&page)) {
            let label = link.strip_suffix(".md").unwrap_or_else(|| panic!("{page}: docs.rs has no {link}"));
            let here = links.contains(&format!("[{label}]: crate::guide::{label}\n"));
            assert!(here && read(&page).contains(&format!("\n[{label}]: {link}")), "{page}: {link}");
        }
    }
}

#[test]
fn every_command_of_the_readme_names_what_is_there() {
    let commands = blocks_of("README.md", "sh").join("\n");
    assert!(commands.contains("--example") && commands.contains("tests/"), "{commands}");

    for line in commands.lines() {
        let words: Vec<_> = line.split_whitespace().take_while(|word| *word != "#").collect();
        if let Some(at) = words.iter().position(|word| *word == "--example") {
            assert!(root().join(format!("examples/{}.rs", words[at + 1])).exists(), "{line}");
        }
        let script = words.first().filter(|word| word.contains('/'));
        assert!(script.is_none_or(|script| root().join(script).exists()), "{line}");
    }
}

// The settings, from the schema and the defaults of the config.

fn settings() -> BTreeMap<String, Setting> {
    in_order().into_iter().collect()
}

fn in_order() -> Vec<(String, Setting)> {
    let schema = schemars::schema_for!(Config).to_value();
    let defaults = serde_json::to_value(Config::default()).unwrap();
    let mut settings = Vec::new();
    walk(&schema, &schema, &defaults, "", &mut settings);
    settings
}

/// The keys of a table and of those in it, in the order of the struct, which the source alone
/// knows.
fn walk(schema: &Value, table: &Value, defaults: &Value, path: &str, settings: &mut Vec<(String, Setting)>) {
    let properties = table["properties"].as_object().unwrap();
    let mut keys: Vec<_> = properties.keys().collect();
    let source = read("src/config.rs");
    keys.sort_by_key(|key| source.find(&format!("    pub {key}: ")).unwrap());
    keys.sort_by_key(|key| resolved(schema, &properties[*key]).get("properties").is_some());
    for key in keys {
        let (full, default) = (format!("{path}{key}"), defaults.get(key).unwrap_or(&Value::Null));
        let shape = resolved(schema, &properties[key]);
        if shape.get("properties").is_some() {
            walk(schema, shape, default, &format!("{full}."), settings);
        } else {
            settings.push((full, setting(&properties[key], shape, default)));
        }
    }
}

fn resolved<'a>(schema: &'a Value, property: &'a Value) -> &'a Value {
    match property["$ref"].as_str() {
        Some(name) => schema.pointer(name.trim_start_matches('#')).unwrap(),
        None => property,
    }
}

fn setting(property: &Value, shape: &Value, default: &Value) -> Setting {
    let description = property["description"].as_str().unwrap_or_default().replace('\n', " ");
    let (meaning, said) = match description.split_once(" Default: ") {
        Some((meaning, said)) => (meaning.to_owned(), Some(said.trim_end_matches('.').to_owned())),
        None => (description, None),
    };
    let is_port = shape["format"] == "uint16";
    let shown = if is_port { default.to_string() } else { shown(default) };
    Setting { kind: kind(shape, default), default: shown, meaning, said }
}

fn kind(shape: &Value, default: &Value) -> String {
    if let Some(variants) = shape["oneOf"].as_array() {
        let words = variants.iter().map(|variant| format!("`{}`", variant["const"]));
        return format!("one of {}", words.collect::<Vec<_>>().join(", "));
    }
    let text = default.as_str().unwrap_or_default();
    match text {
        "off" => "rate".into(),
        "forever" => "duration, or `\"forever\"`".into(),
        text if text.contains(" per ") => "rate".into(),
        text if humantime::parse_duration(text).is_ok() => "duration".into(),
        _ if shape["type"] == "integer" => "whole number".into(),
        _ if shape["type"] == "boolean" => "`true` or `false`".into(),
        _ if shape["type"] == "array" => "list of texts".into(),
        _ => "text".into(),
    }
}

fn shown(default: &Value) -> String {
    match default {
        Value::Null => "none".into(),
        Value::String(text) => format!("`\"{text}\"`"),
        Value::Number(number) => with_commas(&number.to_string()),
        other => other.to_string(),
    }
}

fn with_commas(digits: &str) -> String {
    let reversed: Vec<_> = digits.bytes().rev().collect();
    let groups: Vec<_> = reversed.chunks(3).map(|group| String::from_utf8(group.to_vec()).unwrap()).collect();
    groups.join(",").chars().rev().collect()
}

/// A default without what a reader needs and a comparison does not.
fn plain(default: &str) -> String {
    default.chars().filter(|c| !"`\",".contains(*c)).collect()
}

fn settings_page() -> String {
    let mut page = String::from(SETTINGS_HEAD);
    for (key, Setting { kind, default, meaning, .. }) in in_order() {
        page += &format!("| `{key}` | {kind} | {default} | {meaning} |\n");
    }
    page + SETTINGS_FOOT
}

const SETTINGS_HEAD: &str = "\
# Settings

Every setting under `[default.batch]`. This page is made from the source of `rocket_batch::Config`; the tests hold it to it. Where
settings are written, and which source wins, is in [Configuration][configuration].

- A **whole number** is written without quotes. Its unit stands in the meaning.
- A **duration** is a text with its unit: `\"500ms\"`, `\"10s\"`, `\"1h 30m\"`. At most 30 days, unless its line says otherwise.
- A **rate** is `\"<jobs> per <duration>\"`, such as `\"5 per 10s\"`, or `\"off\"`.

A dot is a table: `generate.concurrency` is `concurrency` under `[default.batch.generate]`, and `ROCKET_BATCH__GENERATE__CONCURRENCY` in
the environment.

| setting | type | default | meaning |
|---|---|---|---|
";

const SETTINGS_FOOT: &str = "
The database has settings of its own, under `[default.databases.batch]`: see [Configuration][configuration].

[configuration]: configuration.md
";

// The routes.

#[derive(Debug, PartialEq)]
struct Route {
    verb: String,
    path: String,
}

impl Route {
    /// Whether it is `other`, or that with a value in the place of a parameter. A path in a URL has
    /// no verb.
    fn is(&self, other: &Self) -> bool {
        let segments = |route: &Self| route.path.split('/').map(str::to_owned).collect::<Vec<_>>();
        let (ours, theirs) = (segments(self), segments(other));
        let same =
            |(said, there): (&String, &String)| said == there || !said.starts_with('<') && there.starts_with('<');
        let verb = self.verb == other.verb || self.verb.is_empty();
        verb && ours.len() == theirs.len() && ours.iter().zip(&theirs).all(same)
    }
}

/// What is mounted, by its path below the base. The files that the page of the API loads are
/// nobody's route.
fn mounted() -> Vec<Route> {
    let settings = rocket::Config::figment().merge(("log_level", "off")).merge(config::testing());
    let client = Client::untracked(rocket::custom(settings).attach(Batch::fairing().public())).unwrap();
    let routes = client
        .rocket()
        .routes()
        .map(|route| Route { verb: route.method.to_string(), path: below_the_base(route.uri.path()) });
    routes.filter(|route| !route.path.starts_with("/docs/")).collect()
}

fn below_the_base(path: &str) -> String {
    let path = path.strip_prefix("/batches").unwrap_or(path);
    format!("/{}", path.trim_matches('/'))
}

/// Code such as `GET /<id>` or `POST /batches/1/retry`, and URLs of the example.
fn routes_in(text: &str) -> Vec<Route> {
    let spans = text.split('`').skip(1).step_by(2);
    let verbs = spans.filter_map(|span| span.split_once(' ').filter(|(verb, _)| ["GET", "POST"].contains(verb)));
    let urls = text.split("http://127.0.0.1:8000").skip(1).map(|rest| ("", rest));
    verbs.chain(urls).filter_map(|(verb, path)| route(verb, path)).collect()
}

fn route(verb: &str, path: &str) -> Option<Route> {
    let path = path.split(|c: char| c.is_whitespace() || "?'\"`,;)".contains(c)).next()?.trim_end_matches('.');
    let ours = path.starts_with('/') && !path.starts_with("/product-batches");
    ours.then(|| Route { verb: verb.to_owned(), path: below_the_base(path) })
}

// The pages.

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// README and the guide.
fn pages() -> Vec<String> {
    let mut pages = files_in("docs/guide");
    assert!(pages.len() > 5, "the guide is not where it was");
    pages.push("README.md".into());
    pages
}

fn sources_below(folder: &Path) -> String {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| if path.is_dir() { sources_below(&path) } else { fs::read_to_string(path).unwrap() };
    entries.map(read).collect()
}

fn texts() -> Vec<(String, String)> {
    pages().into_iter().map(|page| (page.clone(), read(&page))).collect()
}

fn files_in(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().file_name());
    let names = entries.map(|name| format!("{folder}/{}", name.to_str().unwrap()));
    names.filter(|name| name.ends_with(".md")).collect()
}

/// The code blocks of a page in this language.
fn blocks_of(page: &str, language: &str) -> Vec<String> {
    let text = read(page);
    let blocks = text.split("\n```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix(&format!("{language}\n")).map(str::to_owned)).collect()
}

/// The cells of a table whose head begins so.
fn table_rows<'a>(text: &'a str, head: &str) -> impl Iterator<Item = Vec<String>> + use<'a> {
    let head = head.to_owned();
    let table = text.lines().skip_while(move |line| !line.starts_with(&head)).skip(2);
    let rows = table.take_while(|line| line.starts_with('|'));
    rows.map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
}

/// Relative targets of `[text](target)` and `[label]: target`.
fn links_in(text: &str) -> Vec<String> {
    let inline = text.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    let defined = text.lines().filter(|line| line.starts_with('[')).filter_map(|line| line.split_once("]: "));
    let targets = inline.chain(defined.map(|(_, target)| target.trim()));
    targets.filter(|target| !target.contains("://") && !target.starts_with('#')).map(str::to_owned).collect()
}
