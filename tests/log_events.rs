//! The page of the guide on the log, held against the source: it lists every event at `info`,
//! `warn` and `error`, with its level, its message and its fields.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::Visit;

/// An event in the source, or a row of the page.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    level: String,
    /// With placeholders in the source, with example values in the page.
    message: String,
    fields: BTreeSet<String>,
}

impl Event {
    /// Returns whether a row describes this event of the source.
    fn is_described_by(&self, row: &Self) -> bool {
        (&self.level, &self.fields) == (&row.level, &row.fields) && fits(&self.message, &row.message)
    }
}

#[test]
fn the_guide_lists_every_event_with_its_fields() {
    let (events, rows) = (events(), rows(&read("docs/guide/logs.md")));
    assert!(events.len() > 40, "the source has only {} events", events.len());

    let missing: BTreeSet<_> =
        events.iter().filter(|event| !rows.iter().any(|row| event.is_described_by(row))).collect();
    let outdated: BTreeSet<_> =
        rows.iter().filter(|row| !events.iter().any(|event| event.is_described_by(row))).collect();

    assert!(missing.is_empty(), "docs/guide/logs.md lacks {missing:#?}");
    assert!(outdated.is_empty(), "docs/guide/logs.md lists what the source does not log: {outdated:#?}");
}

#[test]
fn an_event_is_read_with_its_level_message_and_fields() {
    let source = r#"
        fn log() {
            tracing::warn!(queue = self.name, %error, ?delay, attempt.number, "it failed {n} times; it will \
                           be tried again");
            let end = || tracing::info!("the end");
            job_event!(work, done, "Processed {done}");
            tracing::debug!("not listed");
        }
    "#;
    let fields = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let event = |level: &str, message: &str, names: &[&str]| Event {
        level: level.into(),
        message: message.into(),
        fields: fields(names),
    };

    let expected = [
        event("warn", "it failed {n} times; it will be tried again", &["attempt.number", "delay", "error", "queue"]),
        event("info", "the end", &[]),
        event("info", "Processed {done}", &["done"]),
    ];
    assert_eq!(events_in(source), expected);
    let page = "| level | message | fields | meaning |\n|---|---|---|---|\n| info | `Processed 7` | `done` | yes |\n";
    assert!(expected[2].is_described_by(&rows(page)[0]));
    assert!(!expected[1].is_described_by(&rows(page)[0]));
}

/// All events of the library.
fn events() -> Vec<Event> {
    rust_files(&root().join("src")).iter().flat_map(|file| events_in(&fs::read_to_string(file).unwrap())).collect()
}

fn events_in(source: &str) -> Vec<Event> {
    let mut macros = Macros::default();
    macros.visit_file(&syn::parse_file(source).unwrap());
    macros.0
}

/// The events of the macros that it visits.
#[derive(Default)]
struct Macros(Vec<Event>);

impl<'ast> Visit<'ast> for Macros {
    fn visit_macro(&mut self, node: &'ast syn::Macro) {
        let path: Vec<_> = node.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let path: Vec<_> = path.iter().map(String::as_str).collect();
        let (level, arguments) = match path[..] {
            ["tracing", level @ ("info" | "warn" | "error")] => (level, arguments(&node.tokens)),
            // Its first argument decides on the level.
            ["job_event"] => ("info", arguments(&node.tokens).split_off(1)),
            _ => return,
        };
        self.0.push(event(level, &arguments));
    }
}

fn event(level: &str, arguments: &[Vec<TokenTree>]) -> Event {
    let mut event = Event { level: level.into(), message: String::new(), fields: BTreeSet::new() };
    for argument in arguments {
        match &argument[..] {
            [TokenTree::Literal(text)] if event.message.is_empty() => {
                event.message = syn::parse_str::<syn::LitStr>(&text.to_string()).unwrap().value();
            }
            // The arguments of the message.
            _ if !event.message.is_empty() => {}
            tokens => {
                let name = tokens.iter().take_while(|token| !is(token, '='));
                let name = name.filter(|token| !is(token, '%') && !is(token, '?'));
                event.fields.insert(name.map(ToString::to_string).collect());
            }
        }
    }
    event
}

/// Splits the arguments of a macro at its commas.
fn arguments(tokens: &TokenStream) -> Vec<Vec<TokenTree>> {
    let tokens: Vec<_> = tokens.clone().into_iter().collect();
    let arguments = tokens.split(|token| is(token, ',')).map(<[TokenTree]>::to_vec);
    arguments.filter(|argument| !argument.is_empty()).collect()
}

fn is(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}

/// The rows of all tables with the columns level, message, fields and meaning.
fn rows(page: &str) -> Vec<Event> {
    let cells = |line: &str| line.trim().trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    let rows = page.lines().filter(|line| line.starts_with('|')).map(cells);
    let is_event = |row: &Vec<String>| row.len() == 4 && ["info", "warn", "error"].contains(&row[0].as_str());
    rows.filter(is_event).map(|row| row_event(&row)).collect()
}

fn row_event(row: &[String]) -> Event {
    let quoted = row[1].strip_prefix("`` ").and_then(|text| text.strip_suffix(" ``"));
    let message = quoted.unwrap_or_else(|| row[1].trim_matches('`'));
    let fields = row[2].split(',').map(|field| field.trim().trim_matches('`').to_owned());
    let fields = fields.filter(|field| !field.is_empty()).collect();
    Event { level: row[0].clone(), message: message.into(), fields }
}

/// Returns whether `text` is `template` with any values in the places of its placeholders.
fn fits(template: &str, text: &str) -> bool {
    let mut literals = Vec::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        literals.push(before);
        rest = after.split_once('}').map_or("", |(_, after)| after);
    }
    let last = rest;
    let Some((first, inner)) = literals.split_first() else { return template == text };
    let Some(mut open) = text.strip_prefix(first) else { return false };
    for literal in inner {
        let Some((_, after)) = open.split_once(literal) else { return false };
        open = after;
    }
    open.ends_with(last)
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
