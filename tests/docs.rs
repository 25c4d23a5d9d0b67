//! Checks README and guide against the crate: settings and their defaults, routes, messages, links,
//! commands.
//!
//! The Rust blocks of README and guide are compiled and run as doc tests of `rocket_batch::guide`.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
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

/// One setting, from the schema and the default of `Config`.
struct Setting {
    kind: String,
    default: String,
    meaning: String,
    /// The default that the doc comment states.
    documented_default: Option<String>,
}

/// `docs/guide/settings.md` is generated here; `UPDATE=1 cargo test --test docs` writes it.
#[test]
fn the_settings_page_is_generated_from_the_config() {
    let file = root().join("docs/guide/settings.md");
    let page = settings_page();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, &page).unwrap();
    }

    assert!(fs::read_to_string(file).unwrap() == page, "settings.md is out of date: UPDATE=1 cargo test --test docs");
}

#[test]
fn doc_comments_state_the_default_of_their_setting() {
    // The two queues share a type; the defaults of `status` are documented at its own key.
    for (key, setting) in settings().iter().filter(|(key, _)| !key.starts_with("status.")) {
        let documented = setting.documented_default.as_deref();
        let documented = documented.unwrap_or_else(|| panic!("`{key}` does not state its default"));
        assert_eq!(plain(documented), plain(&setting.default), "{key}");
    }
}

/// `global_concurrency`, a number without a default, was once listed as a text.
#[test]
fn every_setting_takes_a_value_of_the_type_in_the_table() {
    for (key, setting) in settings() {
        let value: Value = match setting.kind.as_str() {
            "whole number" => 7.into(),
            "duration" | "duration, or `\"forever\"`" => "7s".into(),
            "rate" => "7 per 7s".into(),
            "`true` or `false`" => true.into(),
            "list of texts" => vec!["7"].into(),
            "text" => "seven".into(),
            kind => kind.split('"').nth(1).unwrap_or_else(|| panic!("{key}: {kind}")).into(),
        };

        let host = Figment::from(rocket::Config::default()).merge((format!("batch.{key}"), &value));

        assert!(Config::from(&host).is_ok(), "`{key}` is a {}, but does not take {value}", setting.kind);
    }
}

#[test]
fn the_readme_lists_settings_with_their_defaults() {
    let settings = settings();
    let rows: Vec<_> = table_rows(&read("README.md"), "| setting |").collect();
    assert!(rows.len() > 10, "README has no table of settings");

    for row in rows {
        let key = row[0].trim_matches('`');
        let setting = settings.get(key).unwrap_or_else(|| panic!("README: there is no setting `{key}`"));
        assert_eq!(plain(&row[1]), plain(&setting.default), "README: {key}");
    }
}

/// Each row maps an option of BullMQ to settings. The middle cell names the settings, the last cell
/// their defaults in the same order, equal ones once.
#[test]
fn the_page_on_coming_from_node_lists_settings_with_their_defaults() {
    let settings = settings();
    let mut named = 0;

    for row in table_rows(&read("docs/guide/coming_from_node.md"), "| in Node |") {
        let keys = row[1].split('`').skip(1).step_by(2).filter(|key| settings.contains_key(*key));
        let mut defaults: Vec<_> = keys.map(|key| plain(&settings[key].default)).collect();
        named += defaults.len();
        defaults.dedup();
        let listed: Vec<_> = row[2].replace(" and ", ", ").split(", ").map(plain).collect();
        assert!(defaults.is_empty() || listed == defaults, "{}: {defaults:?}, but the page has {listed:?}", row[1]);
    }
    assert!(named > 15, "the page has no table of settings");
}

#[test]
fn every_toml_block_is_a_valid_configuration() {
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
fn every_environment_variable_belongs_to_a_setting() {
    let settings = settings();

    for (page, text) in texts() {
        for (at, prefix) in text.match_indices("ROCKET_BATCH__") {
            let name = text[at + prefix.len()..].split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next();
            let key = name.unwrap().to_lowercase().replace("__", ".");
            let known = key.is_empty() || settings.contains_key(&key);
            assert!(known, "{page}: no setting `{key}` for this `ROCKET_BATCH__` variable");
        }
    }
}

#[test]
fn every_documented_route_is_mounted_and_the_readme_has_all_routes() {
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

/// A quote may have any value where the source has a placeholder: `Batch 123 was paused` quotes
/// `Batch {id} was {status}`.
#[test]
fn every_message_that_the_guide_quotes_is_in_the_source() {
    let templates: Vec<_> = rust_files_below(&root().join("src")).iter().flat_map(|file| literals_in(file)).collect();
    let logs = quotes_in(&read("docs/guide/logs.md"));
    assert!(logs.len() > 30, "logs.md has no log messages");

    for (page, text) in texts() {
        for quote in quotes_in(&text) {
            let found = templates.iter().any(|template| is_quote_of(&quote, template));
            assert!(found, "{page}: no source has the message {quote:?}");
        }
    }
}

#[test]
fn a_quote_is_recognised_and_compared_with_the_whole_message() {
    let page = r#"
Set `drain = "8s"`, send `POST /batches`, see `a`, run `docker stop -t 30`.

| `` `batch.lock` must be `1` or more `` |

```sh
git log # `not a quote here`
```

```text
it is gone
```

```text
one line
two lines
```
"#;
    assert_eq!(quotes_in(page), ["must be `1` or more", "it is gone"]);

    let source = r#"
        // "a comment"
        warn!("job {job} failed for {}; it says \"no\" \
               again");
        text.trim_matches('"') + "end"
    "#;
    assert_eq!(literals_in(source), ["job {job} failed for {}; it says \"no\" again", "end"]);

    let table = [
        ("job 7 failed for batch 8", "job {job} failed for batch {batch}", true),
        ("job 7 failed for batch 8", "job {job} failed for batch {batch}; it will be tried again", false),
        ("job 7 failed for batch 8", "failed for batch {batch}", false),
        ("job failed", "{job} {what}", false),
        ("worker replaced", "worker replaced", true),
    ];
    for (quote, template, expected) in table {
        assert_eq!(is_quote_of(quote, template), expected, "{quote} / {template}");
    }
}

#[test]
fn the_guide_lists_every_problem_type() {
    let (source, page) = (read("src/http/problem.rs"), read("docs/guide/rights.md"));
    let kinds: Vec<_> = source.split('"').filter(|text| text.starts_with("urn:rocket-batch:")).collect();
    assert!(kinds.len() > 5, "problem.rs has no problem types");

    for kind in kinds {
        assert!(page.contains(&format!("`{kind}`")), "rights.md lacks {kind}");
    }
}

#[test]
fn every_link_target_exists() {
    let decisions = files_in("docs/decisions");

    for page in pages().into_iter().chain(decisions).chain(["CHANGELOG.md".to_owned()]) {
        for link in links_in(&read(&page)) {
            let target = root().join(&page).parent().unwrap().join(link.split('#').next().unwrap());
            assert!(target.exists(), "{page}: {link}");
        }
    }
}

/// Only pages in `src/guide.rs` are compiled, and only links in `src/guide/links.md` work on
/// docs.rs.
#[test]
fn every_guide_page_is_part_of_the_rust_documentation() {
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

/// Each host of `tests/compat` is built and run, and depends on its database library as the guide
/// says.
#[test]
fn the_guide_lists_each_database_library_that_is_tested_beside_the_crate() {
    let folders = fs::read_dir(root().join("tests/compat")).unwrap().map(|entry| entry.unwrap().path());
    let hosts: Vec<_> = folders.filter(|path| path.is_dir()).collect();
    let table: Vec<_> = table_rows(&read("docs/guide/start.md"), "| your database library |").collect();
    assert!(hosts.len() >= 10, "{hosts:?}");

    for host in &hosts {
        let manifest = fs::read_to_string(host.join("Cargo.toml")).unwrap();
        let (_, dependencies) = manifest.split_once("[dependencies]\n").unwrap();
        let own = dependencies.lines().take_while(|line| !line.is_empty()).last().unwrap();
        assert!(table.iter().any(|row| row[1] == format!("`{own}`")), "the guide does not have `{own}`");
    }
    assert_eq!(table.len(), hosts.len() + 1, "one row is for an app without a database library");
}

#[test]
fn every_command_of_the_readme_names_an_existing_file() {
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

/// Collects the keys of a table and of its sub-tables, in the order of the struct's fields. The
/// schema has no order, so it comes from the source.
fn walk(schema: &Value, table: &Value, defaults: &Value, path: &str, settings: &mut Vec<(String, Setting)>) {
    let properties = table["properties"].as_object().unwrap();
    let mut keys: Vec<_> = properties.keys().collect();
    let source = ["mod", "queue", "redis", "dashboard"].map(|file| read(&format!("src/config/{file}.rs"))).concat();
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
    let (meaning, documented_default) = match description.split_once(" Default: ") {
        Some((meaning, default)) => (meaning.to_owned(), Some(default.trim_end_matches('.').to_owned())),
        None => (description, None),
    };
    let is_port = shape["format"] == "uint16";
    let shown = if is_port { default.to_string() } else { shown(default) };
    Setting { kind: kind(shape, default), default: shown, meaning, documented_default }
}

fn kind(shape: &Value, default: &Value) -> String {
    if let Some(variants) = shape["oneOf"].as_array() {
        let words = variants.iter().map(|variant| format!("`{}`", variant["const"]));
        return format!("one of {}", words.collect::<Vec<_>>().join(", "));
    }
    let is = |kind: &str| match &shape["type"] {
        Value::Array(kinds) => kinds.iter().any(|other| other == kind),
        other => other == kind,
    };
    match default.as_str().unwrap_or_default() {
        "off" => "rate".into(),
        "forever" => "duration, or `\"forever\"`".into(),
        text if text.contains(" per ") => "rate".into(),
        text if humantime::parse_duration(text).is_ok() => "duration".into(),
        _ if is("integer") => "whole number".into(),
        _ if is("boolean") => "`true` or `false`".into(),
        _ if is("array") => "list of texts".into(),
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

/// A default without quotes, backticks, commas and dots, for comparisons.
fn plain(default: &str) -> String {
    default.chars().filter(|c| !"`\",".contains(*c)).collect()
}

fn settings_page() -> String {
    let mut page = String::from(SETTINGS_HEAD);
    for (key, Setting { kind, default, meaning, .. }) in in_order() {
        writeln!(page, "| `{key}` | {kind} | {default} | {meaning} |").unwrap();
    }
    page + SETTINGS_FOOT
}

const SETTINGS_HEAD: &str = "\
# Settings

Which settings are there, and what does each one do? This page lists every setting under `[default.batch]`. It is generated from
`rocket_batch::Config`, and a test keeps it up to date. The sources of settings and their precedence are in [Configuration][configuration].

- A **whole number** is written without quotes. The description gives its unit.
- A **duration** is a text with its unit: `\"500ms\"`, `\"10s\"`, `\"1h 30m\"`. It is at most 30 days, unless the description has another limit.
- A **rate** is `\"<number> per <duration>\"`, such as `\"5 per 10s\"`, or `\"off\"`.

A dot separates a table from its key: `generate.concurrency` is `concurrency` under `[default.batch.generate]`, and
`ROCKET_BATCH__GENERATE__CONCURRENCY` in the environment.

| setting | type | default | description |
|---|---|---|---|
";

const SETTINGS_FOOT: &str = "
The settings of the database are under `[default.databases.batch]`: see [Configuration][configuration].

[configuration]: configuration.md
";

// The routes.

#[derive(Debug, PartialEq)]
struct Route {
    verb: String,
    path: String,
}

impl Route {
    /// Whether this is `other`, possibly with values instead of parameters. A path from a URL has
    /// no verb and matches any.
    fn is(&self, other: &Self) -> bool {
        let segments = |route: &Self| route.path.split('/').map(str::to_owned).collect::<Vec<_>>();
        let (ours, theirs) = (segments(self), segments(other));
        let same = |(our, their): (&String, &String)| our == their || !our.starts_with('<') && their.starts_with('<');
        let verb = self.verb == other.verb || self.verb.is_empty();
        verb && ours.len() == theirs.len() && ours.iter().zip(&theirs).all(same)
    }
}

/// The mounted routes, with their path below the base. The files that the documentation page loads
/// are left out.
fn mounted() -> Vec<Route> {
    let settings = rocket::Config::figment().merge(("log_level", "off")).merge(config::testing());
    let client = Client::untracked(rocket::custom(settings).attach(Batch::fairing().public())).unwrap();
    let routes = client
        .rocket()
        .routes()
        .map(|route| Route { verb: route.method.to_string(), path: below_the_base(route.uri.path()) });
    routes.filter(|route| !["/docs/", "/dashboard/"].iter().any(|page| route.path.starts_with(page))).collect()
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

// The quotes of messages.

/// Starts of texts that look like messages, but come from other programs.
const OTHER_PROGRAMS: [&str; 8] = [
    "appendonly yes",
    "docker stop",
    "duplicate key value",
    "invalid type: ",
    "node count.js",
    "openssl rand",
    "timeout http-request",
    "umask 077",
];

/// The messages that a page quotes: inline code of at least two words that is neither code nor a
/// request, and `text` blocks of one line. A setting that is named in front of its message is left
/// out.
fn quotes_in(text: &str) -> Vec<String> {
    let mut parts = text.split("\n```");
    let mut quotes = spans_in(parts.next().unwrap_or_default());
    while let (Some(block), outside) = (parts.next(), parts.next()) {
        let only_line = block.strip_prefix("text\n").filter(|body| !body.contains('\n'));
        quotes.extend(only_line.map(str::to_owned));
        quotes.extend(spans_in(outside.unwrap_or_default()));
    }
    quotes.into_iter().map(without_setting).filter(|quote| is_message(quote)).collect()
}

/// The inline code of a text without blocks. It may be quoted by several backticks.
fn spans_in(text: &str) -> Vec<String> {
    let mut spans = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('`') {
        let ticks = rest[start..].len() - rest[start..].trim_start_matches('`').len();
        rest = &rest[start + ticks..];
        let fence = "`".repeat(ticks);
        let Some(end) = rest.match_indices(&fence).map(|(at, _)| at).find(|at| !rest[at + ticks..].starts_with('`'))
        else {
            continue;
        };
        spans.push(rest[..end].split_whitespace().collect::<Vec<_>>().join(" "));
        rest = &rest[end + ticks..];
    }
    spans
}

fn without_setting(quote: String) -> String {
    let setting = quote.strip_prefix("`batch.").or_else(|| quote.strip_prefix("`databases.batch."));
    setting.and_then(|rest| rest.split_once("` ")).map(|(_, message)| message.to_owned()).unwrap_or(quote)
}

fn is_message(text: &str) -> bool {
    let mut words = text.split(' ').map(|word| word.trim_matches(&['`', ','][..]));
    let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let is_word = |word: &str| !word.is_empty() && word.chars().all(char::is_alphabetic);
    let is_upper = first.len() > 1 && first.chars().all(char::is_uppercase);
    let is_foreign = OTHER_PROGRAMS.iter().any(|start| text.starts_with(start));
    is_word(first) && !is_upper && !second.is_empty() && second != "=" && !is_foreign
}

/// The texts of the string literals in Rust code.
fn literals_in(source: &str) -> Vec<String> {
    let code: Vec<_> = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n").replace("'\"'", "").replace(r"\\", "\u{1}").replace(r#"\""#, "\u{2}");
    let literals = code.split('"').skip(1).step_by(2);
    let one_line = |text: &str| {
        let lines: Vec<_> =
            text.split("\\\n").enumerate().map(|(n, l)| if n == 0 { l } else { l.trim_start() }).collect();
        lines.concat().replace('\u{1}', r"\").replace('\u{2}', "\"")
    };
    literals.map(one_line).collect()
}

/// Whether `quote` is `template` with a value for each placeholder. A template must have some text
/// of its own.
fn is_quote_of(quote: &str, template: &str) -> bool {
    let pieces: Vec<_> =
        template.split('{').map(|piece| piece.split_once('}').map_or(piece, |(_, text)| text)).collect();
    let own_text = pieces.concat().chars().filter(|c| c.is_alphabetic()).count();
    let (Some((first, between)), true) = (pieces.split_first(), own_text >= 8) else { return false };
    let (Some(mut rest), Some((last, between))) = (quote.strip_prefix(first), between.split_last()) else {
        return quote == template;
    };
    for piece in between {
        // A value has at least one character.
        let Some((at, _)) = rest.match_indices(piece).find(|(at, _)| *at > 0) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.len() > last.len() && rest.ends_with(last)
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
    assert!(pages.len() > 5, "docs/guide has too few pages");
    pages.push("README.md".into());
    pages
}

fn rust_files_below(folder: &Path) -> Vec<String> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| match path.extension() {
        None => rust_files_below(&path),
        Some(rs) if rs == "rs" => vec![fs::read_to_string(path).unwrap()],
        Some(_) => Vec::new(),
    };
    paths.flat_map(read).collect()
}

fn texts() -> Vec<(String, String)> {
    pages().into_iter().map(|page| (page.clone(), read(&page))).collect()
}

fn files_in(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().file_name());
    let names = entries.map(|name| format!("{folder}/{}", name.to_str().unwrap()));
    names.filter(|name| name.ends_with("md")).collect()
}

/// The code blocks of a page in this language.
fn blocks_of(page: &str, language: &str) -> Vec<String> {
    let text = read(page);
    let blocks = text.split("\n```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix(&format!("{language}\n")).map(str::to_owned)).collect()
}

/// The cells of the table whose header starts with `head`.
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
