//! Checks the structure of the source: which module may use which, no cycles between files, short
//! files and functions, short lines.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::{Delimiter, LineColumn, Span, TokenStream, TokenTree};
use syn::{Attribute, Item, UseTree, spanned::Spanned, visit::Visit};

/// Which module may use which. The fairing uses everything and nothing uses it. Workers, the
/// service and the routes name no database.
const ARROWS: [(&str, &[&str]); 17] = [
    ("guide", &[]),
    ("domain", &[]),
    ("trace", &["domain"]),
    ("config", &["domain"]),
    ("ledger", &["domain", "ledger/sqlite", "ledger/postgres"]),
    ("ledger/sqlite", &["domain", "ledger"]),
    ("ledger/postgres", &["domain", "ledger"]),
    ("queue", &["domain", "config", "telemetry/events"]),
    ("live", &["domain", "ledger"]),
    ("telemetry/events", &[]),
    // Its tests use a ledger in memory.
    ("telemetry", &["domain", "ledger", "ledger/sqlite", "queue", "telemetry/events"]),
    ("worker", &["domain", "trace", "config", "ledger", "queue", "live", "telemetry/events"]),
    ("service", &["domain", "trace", "config", "ledger", "queue", "live"]),
    ("sqlite", &["domain", "ledger", "ledger/sqlite", "service"]),
    ("postgres", &["domain", "ledger", "ledger/postgres", "service"]),
    ("http", &["domain", "trace", "config", "service", "live"]),
    ("fairing", &["*"]),
];

/// The maximum number of lines of a file in `src`. A longer file must give its reason in a header
/// comment with `Longer than`.
const MAX_FILE: usize = 400;

/// The maximum number of lines of a function in `src`, from `fn` to its closing brace.
const MAX_FUNCTION: usize = 30;

/// The 90th percentile of the lines of functions in `src`.
const MAX_P90_FUNCTION: usize = 15;

/// The widest comment, in columns.
const MAX_COMMENT: usize = 100;

/// The widest line of code in `src`, in columns.
const MAX_CODE: usize = 120;

#[test]
fn modules_use_only_what_the_table_allows() {
    let tree = Tree::read();
    let mut wrong = BTreeSet::new();
    for (from, to) in &tree.edges() {
        let (Some((user, allowed)), Some((used, _))) = (arrows_of(from), arrows_of(to)) else { continue };
        if user != used && !allowed.contains(&used) && *allowed != ["*"] {
            wrong.insert(format!("{from} uses {to}"));
        }
    }

    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_files_use_each_other_in_a_cycle() {
    let cycle_edges = Graph::of(Tree::read().edges()).cycle_edges();

    assert!(cycle_edges.is_empty(), "{cycle_edges:#?}");
}

#[test]
fn no_file_is_long_without_a_reason() {
    let long = |(path, text): &(String, String)| {
        let head = text.lines().take_while(|line| line.starts_with("//"));
        let mut head = head.filter(|line| line.contains("Longer than"));
        let lines = text.lines().count();
        (lines > MAX_FILE && head.next().is_none()).then(|| format!("{path}: {lines} lines"))
    };
    let long: Vec<_> = sources().iter().filter_map(long).collect();

    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn functions_are_short() {
    let mut functions = Vec::new();
    for file in &Tree::read().files {
        let mut found = Functions::default();
        found.visit_file(&file.syntax);
        functions.extend(found.0.into_iter().map(|(name, lines)| (lines, format!("{}: {name}", file.path))));
    }
    functions.sort();
    let long: Vec<_> = functions.iter().filter(|(lines, _)| *lines > MAX_FUNCTION).collect();
    let (p90, _) = functions[functions.len() * 9 / 10];

    assert!(long.is_empty(), "{long:#?}");
    assert!(p90 <= MAX_P90_FUNCTION, "nine of ten have at most {p90} lines");
}

#[test]
fn lines_are_short() {
    let mut wide = Vec::new();
    // Preact is unchanged from npm.
    for (path, text) in all_sources().into_iter().filter(|(path, _)| !path.ends_with("dashboard/preact.js")) {
        let with_code = path.starts_with("src/") || path.ends_with("sql");
        wide.extend(wide_lines(&text, with_code).into_iter().map(|line| format!("{path}:{line}")));
    }

    assert!(wide.is_empty(), "{} lines: {wide:#?}", wide.len());
}

/// The numbers of the lines that are too wide and can be broken. Code is held to its width only if
/// `with_code`.
fn wide_lines(text: &str, with_code: bool) -> Vec<usize> {
    let mut is_fenced = false;
    let mut is_wide = |line: &str| {
        let marker = ["//!", "///", "//", "--"].into_iter().find(|marker| line.trim_start().starts_with(marker));
        is_fenced ^= marker.is_some() && line.contains("```");
        let text = line.trim_start().strip_prefix(marker.unwrap_or_default()).unwrap_or_default().trim_start();
        let is_row = marker.is_some() && text.starts_with('|');
        let max = if marker.is_some() && !is_fenced { MAX_COMMENT } else { MAX_CODE };
        (with_code || marker.is_some()) && !is_row && can_be_broken(line, text, max)
    };
    text.lines().enumerate().filter(|(_, line)| is_wide(line)).map(|(at, _)| at + 1).collect()
}

/// Whether `line`, which ends with `text`, is wider than `max` columns and has a space at which it
/// could be broken.
fn can_be_broken(line: &str, text: &str, max: usize) -> bool {
    let width = line.chars().count();
    let before_text = width - text.chars().count();
    let first = text.split(' ').next().unwrap_or_default().chars().count();
    width > max && before_text + first < max && text.contains(' ')
}

#[test]
fn only_tests_import_everything_of_a_module() {
    // The other rules do not see what a glob brings in.
    let mut globs = Vec::new();
    for file in Tree::read().files.iter().filter(|file| !file.path.ends_with("/tests.rs")) {
        let all = names_in(&file.syntax).into_iter().filter(|name| name.last().is_some_and(|last| last == "*"));
        globs.extend(all.map(|name| format!("{}: {}", file.path, name.join("::"))));
    }

    assert!(globs.is_empty(), "{globs:#?}");
}

#[test]
fn the_domain_is_pure() {
    for (path, text) in sources().into_iter().filter(|(path, _)| path.starts_with("domain/")) {
        let code = code_of(&text);
        for word in ["async ", ".await", "rocket::", "tokio", "std::fs", "std::env", "Utc::now", "Instant", "fastrand"]
        {
            assert!(!code.contains(word), "{path} has {word}");
        }
    }
}

#[test]
fn contracts_stay_narrow() {
    let verbs = |name: &str| {
        let declares = |file: &&SourceFile| find_trait(file, name).is_some();
        let tree = Tree::read();
        let file = tree.files.iter().find(declares).unwrap_or_else(|| panic!("no trait {name}"));
        find_trait(file, name).unwrap().items.iter().filter(|item| matches!(item, syn::TraitItem::Fn(_))).count()
    };

    assert!(verbs("Ledger") <= 20);
    assert!(verbs("Records") <= 10);
    assert!(verbs("JobRecords") <= 10);
    assert!(verbs("Totals") <= 10);
    assert!(verbs("ItemChecks") <= 10);
    assert!(verbs("Queue") <= 10);
}

/// Where rustc can't infer an error type, it lists every `impl From<E>` for one type, of private
/// types as well. So only public types have such impls for types that a host meets. A generic impl
/// is not listed.
#[test]
fn only_public_types_convert_from_types_that_a_host_meets() {
    let tree = Tree::read();
    let public: BTreeSet<_> = ["lib.rs", "config/mod.rs", "sqlite.rs", "postgres.rs"]
        .into_iter()
        .flat_map(|path| exported_by(tree.files.iter().find(|file| file.path == path).unwrap()))
        .collect();
    let defined: BTreeSet<_> = tree.files.iter().flat_map(|file| type_names(&file.syntax)).collect();
    let mut wrong = Vec::new();
    for file in &tree.files {
        for (from, to) in conversions(&file.syntax) {
            let is_met = public.contains(&from) || !defined.contains(&from);
            if is_met && defined.contains(&to) && !public.contains(&to) {
                wrong.push(format!("{}: {to} from {from}", file.path));
            }
        }
    }

    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(public.contains("BatchError") && public.contains("Config") && defined.contains("VerbError"));
}

/// The names that a file exports with `pub use`.
fn exported_by(file: &SourceFile) -> Vec<String> {
    let mut names = Vec::new();
    for item in &file.syntax.items {
        match item {
            Item::Use(item) if matches!(item.vis, syn::Visibility::Public(_)) => {
                let mut brought = Vec::new();
                flatten(&item.tree, &mut Vec::new(), &mut brought);
                names.extend(brought.into_iter().map(|(name, _)| name));
            }
            Item::Struct(item) => names.push(item.ident.to_string()),
            Item::Enum(item) => names.push(item.ident.to_string()),
            _ => {}
        }
    }
    names
}

fn type_names(file: &syn::File) -> Vec<String> {
    let name = |item: &Item| match item {
        Item::Struct(item) => Some(item.ident.to_string()),
        Item::Enum(item) => Some(item.ident.to_string()),
        _ => None,
    };
    file.items.iter().filter_map(name).collect()
}

/// The names of the types in each `impl From<A> for B`, and of `#[from]` fields of errors. A tuple
/// and a reference are named `()`. Impls for a type parameter are left out.
fn conversions(file: &syn::File) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for item in &file.items {
        match item {
            Item::Impl(item) => found.extend(conversion(item)),
            Item::Enum(item) => {
                let fields = item.variants.iter().flat_map(|variant| &variant.fields);
                let from = fields.filter(|field| field.attrs.iter().any(|attribute| attribute.path().is_ident("from")));
                found.extend(from.map(|field| (type_name(&field.ty), item.ident.to_string())));
            }
            _ => {}
        }
    }
    found
}

fn conversion(item: &syn::ItemImpl) -> Option<(String, String)> {
    let last = item.trait_.as_ref()?.1.segments.last()?;
    let syn::PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    let (Some(syn::GenericArgument::Type(from)), true) = (arguments.args.first(), last.ident == "From") else {
        return None;
    };
    let from = type_name(from);
    let is_parameter = item.generics.type_params().any(|parameter| parameter.ident == from);
    (!is_parameter).then(|| (from, type_name(&item.self_ty)))
}

fn type_name(ty: &syn::Type) -> String {
    match ty {
        syn::Type::Path(path) => path.path.segments.last().map_or_else(String::new, |last| last.ident.to_string()),
        _ => "()".into(),
    }
}

fn find_trait<'a>(file: &'a SourceFile, name: &str) -> Option<&'a syn::ItemTrait> {
    file.syntax.items.iter().find_map(|item| match item {
        Item::Trait(item) if item.ident == name => Some(item),
        _ => None,
    })
}

mod examples {
    use super::*;

    const SOURCES: [(&str, &str); 4] = [
        ("lib.rs", "mod a; mod b; pub use a::Leaf;"),
        ("a/mod.rs", "mod leaf; mod other; pub use leaf::Leaf; use crate::b;"),
        ("a/leaf.rs", "pub struct Leaf; #[cfg(test)] mod tests { use crate::b::Four; }"),
        ("b.rs", "use crate::a::{Leaf as One}; fn f() -> crate::Leaf { super::a::other::four() }"),
    ];

    fn tree() -> Tree {
        let more = [("a/other.rs", "use super::leaf; pub fn four() {}")];
        Tree::of(SOURCES.into_iter().chain(more).map(|(path, text)| (path.to_owned(), text.to_owned())))
    }

    #[test]
    fn a_use_leads_to_the_file_that_defines_the_name() {
        let edges = [
            ("a/mod.rs", "a/leaf.rs"),
            ("a/mod.rs", "b.rs"),
            ("a/other.rs", "a/leaf.rs"),
            ("b.rs", "a/leaf.rs"),
            ("b.rs", "a/other.rs"),
            ("lib.rs", "a/leaf.rs"),
        ];

        let found = tree().edges();

        assert_eq!(found.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect::<Vec<_>>(), edges);
    }

    #[test]
    fn functions_of_traits_and_macros_are_counted() {
        let source = "trait A { fn none(); fn two() {\n} }\nendpoint! { async fn three(a: B) -> C {\n{\n} } }";
        let mut found = Functions::default();

        found.visit_file(&syn::parse_file(source).unwrap());

        assert_eq!(found.0, [("two".to_owned(), 2), ("three".to_owned(), 3)]);
    }

    #[test]
    fn paths_in_macros_are_found() {
        let source = "fn f() { call!(super::b::Four, { x: crate::c }, one.two, d::e(g::h)); }";
        let found: Vec<_> = names_in(&syn::parse_file(source).unwrap()).iter().map(|path| path.join("::")).collect();

        assert_eq!(found, ["super::b::Four", "crate::c", "d::e", "g::h"]);
    }

    #[test]
    fn only_tables_pictures_and_single_words_may_be_wide() {
        let words = "word ".repeat(22);
        let lines = [
            format!("//! {words}"),
            format!("//! see [it]({words})"),
            format!("// | {words} |"),
            format!("//! [{}](x)", "x".repeat(99)),
            format!("let a = \"{words}{words}\";"),
            format!("    \"{}\"", "x".repeat(130)),
            format!("//! ```text\n//! {words}\n//! {words}{words}\n//! ```"),
        ];

        assert_eq!(wide_lines(&lines.join("\n"), true), [1, 2, 5, 9]);
        assert_eq!(wide_lines(&lines.join("\n"), false), [1, 2, 9]);
    }

    #[test]
    fn a_conversion_from_one_type_is_found_and_a_generic_one_is_not() {
        let text = "impl From<rusqlite::Error> for One {} impl<E: Into<One>> From<E> for Two {}
                    enum Three { Four(#[from] Five), Six(Seven) } impl From<(u8, u8)> for Eight {}";

        let found = conversions(&syn::parse_file(text).unwrap());

        let pairs = [("Error", "One"), ("Five", "Three"), ("()", "Eight")];
        assert_eq!(found, pairs.map(|(from, to)| (from.to_owned(), to.to_owned())));
    }

    #[test]
    fn a_cycle_is_found() {
        let edge = |from: &str, to: &str| (from.to_owned(), to.to_owned());
        let edges = [edge("a", "b"), edge("b", "c"), edge("c", "a"), edge("c", "d"), edge("d", "e")];

        assert_eq!(Graph::of(edges.into_iter().collect()).cycles(), [["a", "b", "c"]]);
        assert!(Graph::of(tree().edges()).cycles().is_empty());
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The Rust files of `src`: path below it, and text.
fn sources() -> Vec<(String, String)> {
    let files = files_below(&root().join("src"), &["rs"]);
    assert!(files.len() > 10, "the sources are not where they were");
    files
}

/// All our files with code: path below the package, and text.
fn all_sources() -> Vec<(String, String)> {
    let of = |folder: &str| {
        let files = files_below(&root().join(folder), &["rs", "sql", "lua", "js"]);
        files.into_iter().map(move |(path, text)| (format!("{folder}/{path}"), text)).collect::<Vec<_>>()
    };
    ["src", "tests", "benches", "examples"].into_iter().flat_map(of).collect()
}

fn files_below(top: &Path, extensions: &[&str]) -> Vec<(String, String)> {
    let (mut folders, mut files) = (vec![top.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("node_modules") {
                folders.push(path);
            } else if path.extension().is_some_and(|end| extensions.iter().any(|one| end == *one)) {
                let name = path.strip_prefix(top).unwrap().to_str().unwrap().replace('\\', "/");
                files.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

fn code_of(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The row of the table for a file: that of `worker` for `worker/feeder.rs`, that of `sqlite` for
/// `sqlite.rs`, none for `lib.rs`.
fn arrows_of(path: &str) -> Option<(&'static str, &'static [&'static str])> {
    let is_of = |name: &str| path.strip_prefix(name).is_some_and(|rest| rest.starts_with(['/', '.']));
    let row = ARROWS.into_iter().filter(|(name, _)| is_of(name)).max_by_key(|(name, _)| name.len());
    assert!(row.is_some() || path == "lib.rs", "{path} is not in the table");
    row
}

type ModulePath = Vec<String>;

struct SourceFile {
    path: String,
    module: ModulePath,
    syntax: syn::File,
}

/// All files of a crate, by their modules.
struct Tree {
    files: Vec<SourceFile>,
    by_module: BTreeMap<ModulePath, usize>,
}

impl Tree {
    fn read() -> Self {
        Self::of(sources())
    }

    fn of(sources: impl IntoIterator<Item = (String, String)>) -> Self {
        let file = |(path, text): (String, String)| {
            let syntax = syn::parse_file(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
            SourceFile { module: module_of(&path), path, syntax }
        };
        let files: Vec<_> = sources.into_iter().map(file).collect();
        let by_module = files.iter().enumerate().map(|(at, file)| (file.module.clone(), at)).collect();
        Self { files, by_module }
    }

    /// Returns which file uses which, except in test modules.
    fn edges(&self) -> BTreeSet<(String, String)> {
        let mut edges = BTreeSet::new();
        for file in &self.files {
            for name in names_in(&file.syntax) {
                if let Some(used) = self.defining(&file.module, &name, 0)
                    && used != file.module
                {
                    edges.insert((file.path.clone(), self.files[self.by_module[&used]].path.clone()));
                }
            }
        }
        edges
    }

    /// The module whose file defines what `name` means in `module`; none for a name of another
    /// crate.
    fn defining(&self, module: &ModulePath, name: &[String], depth: usize) -> Option<ModulePath> {
        let (mut at, rest) = self.start(module, name)?;
        for (index, segment) in rest.iter().enumerate() {
            let child: ModulePath = at.iter().cloned().chain([segment.clone()]).collect();
            if self.by_module.contains_key(&child) {
                at = child;
                continue;
            }
            let exported = self.exported(&at, segment, depth);
            return Some(match exported {
                Some(name) => {
                    let full: Vec<_> = name.into_iter().chain(rest[index + 1..].iter().cloned()).collect();
                    self.defining(&at, &full, depth + 1).unwrap_or(at)
                }
                None => at,
            });
        }
        Some(at)
    }

    /// Where the path of a name begins, and what follows.
    fn start<'a>(&self, module: &ModulePath, name: &'a [String]) -> Option<(ModulePath, &'a [String])> {
        let (first, rest) = name.split_first()?;
        match first.as_str() {
            "crate" => Some((Vec::new(), rest)),
            "self" => Some((module.clone(), rest)),
            "super" => {
                let mut at = module.clone();
                let climbs = name.iter().take_while(|segment| *segment == "super").count();
                at.truncate(at.len().checked_sub(climbs)?);
                Some((at, &name[climbs..]))
            }
            child => {
                let path: ModulePath = module.iter().cloned().chain([child.to_owned()]).collect();
                self.by_module.contains_key(&path).then_some((path, rest))
            }
        }
    }

    /// The path by which the file of `module` imports `name`.
    fn exported(&self, module: &ModulePath, name: &str, depth: usize) -> Option<Vec<String>> {
        let file = &self.files[*self.by_module.get(module)?];
        if depth > 8 {
            return None;
        }
        let uses = file.syntax.items.iter().filter_map(|item| match item {
            Item::Use(item) if !is_test(&item.attrs) => Some(&item.tree),
            _ => None,
        });
        let mut imported = Vec::new();
        uses.for_each(|tree| flatten(tree, &mut Vec::new(), &mut imported));
        imported.into_iter().find(|(as_name, path)| as_name == name && path.last().is_some()).map(|(_, path)| path)
    }
}

/// `[worker, feeder]` for `worker/feeder.rs`, `[worker]` for `worker/mod.rs`, nothing for `lib.rs`.
fn module_of(path: &str) -> ModulePath {
    let mut parts: ModulePath = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| last == "mod" || last == "lib") {
        parts.pop();
    }
    parts
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || (attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test")))
    })
}

/// All paths that a file names.
fn names_in(file: &syn::File) -> Vec<Vec<String>> {
    let mut names = Names::default();
    names.visit_file(file);
    names.found
}

#[derive(Default)]
struct Names {
    found: Vec<Vec<String>>,
    /// Number of modules of the file that contain the current item.
    depth: usize,
}

impl Names {
    /// Adds a path, relative to the file's top module.
    fn add(&mut self, mut path: Vec<String>) {
        let climbs = path.iter().take_while(|segment| *segment == "super").count();
        if climbs > 0 && self.depth > 0 {
            path.drain(..climbs.min(self.depth));
            if climbs <= self.depth {
                path.insert(0, "self".into());
            }
        }
        self.found.push(path);
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Mod(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            _ => return syn::visit::visit_item(self, item),
        };
        if !is_test(attributes) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let mut imported = Vec::new();
        flatten(&item.tree, &mut Vec::new(), &mut imported);
        imported.into_iter().for_each(|(_, path)| self.add(path));
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.depth += 1;
        syn::visit::visit_item_mod(self, item);
        self.depth -= 1;
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            self.add(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        paths_in(called.tokens.clone()).into_iter().for_each(|path| self.add(path));
        syn::visit::visit_macro(self, called);
    }
}

/// The paths of several names in the body of a macro.
fn paths_in(tokens: TokenStream) -> Vec<Vec<String>> {
    let (mut paths, mut path, mut colons) = (Vec::new(), Vec::new(), 0);
    for token in tokens {
        match token {
            TokenTree::Ident(name) if path.is_empty() || colons == 2 => {
                path.push(name.to_string());
                colons = 0;
                continue;
            }
            TokenTree::Punct(mark) if mark.as_char() == ':' && !path.is_empty() && colons < 2 => {
                colons += 1;
                continue;
            }
            TokenTree::Ident(name) => {
                paths.push(std::mem::replace(&mut path, vec![name.to_string()]));
            }
            TokenTree::Group(group) => {
                paths.push(std::mem::take(&mut path));
                paths.extend(paths_in(group.stream()));
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => paths.push(std::mem::take(&mut path)),
        }
        colons = 0;
    }
    paths.push(path);
    paths.retain(|path| path.len() > 1);
    paths
}

/// Adds each name that a `use` brings in, with its whole path.
fn flatten(tree: &UseTree, path: &mut Vec<String>, imported: &mut Vec<(String, Vec<String>)>) {
    let mut leaf = |name: String, as_name: String| {
        let mut full = path.clone();
        if name == "self" {
            let as_name = if as_name == "self" { full.last().cloned().unwrap_or_default() } else { as_name };
            imported.push((as_name, full));
        } else {
            full.push(name);
            imported.push((as_name, full));
        }
    };
    match tree {
        UseTree::Name(name) => leaf(name.ident.to_string(), name.ident.to_string()),
        UseTree::Rename(name) => leaf(name.ident.to_string(), name.rename.to_string()),
        UseTree::Glob(_) => leaf("*".into(), "*".into()),
        UseTree::Path(part) => {
            path.push(part.ident.to_string());
            flatten(&part.tree, path, imported);
            path.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, path, imported)),
    }
}

/// The functions of a file outside of its tests, and how many lines each has.
#[derive(Default)]
struct Functions(Vec<(String, usize)>);

impl Functions {
    fn add(&mut self, name: &syn::Ident, from: Span, to: Span) {
        let (LineColumn { line: first, .. }, LineColumn { line: last, .. }) = (from.start(), to.end());
        self.0.push((name.to_string(), last - first + 1));
    }

    /// Adds the functions in the body of a macro, such as `endpoint!`.
    fn add_all_in(&mut self, tokens: TokenStream) {
        let mut function: Option<(Span, Option<syn::Ident>)> = None;
        for token in tokens {
            match (token, &mut function) {
                (TokenTree::Ident(word), _) if word == "fn" => function = Some((word.span(), None)),
                (TokenTree::Ident(word), Some((_, name @ None))) => *name = Some(word),
                (TokenTree::Group(group), started) if group.delimiter() == Delimiter::Brace => {
                    if let Some((from, Some(name))) = started.take() {
                        self.add(&name, from, group.span());
                    }
                    self.add_all_in(group.stream());
                }
                (TokenTree::Group(_) | TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_), _) => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test(&item.attrs) {
            syn::visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_test(&item.attrs) {
            self.add(&item.sig.ident, item.sig.span(), item.block.span());
            syn::visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.add(&item.sig.ident, item.sig.span(), item.block.span());
        syn::visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.add(&item.sig.ident, item.sig.span(), block.span());
        }
        syn::visit::visit_trait_item_fn(self, item);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.add_all_in(called.tokens.clone());
        syn::visit::visit_macro(self, called);
    }
}

/// Which file uses which.
struct Graph(BTreeMap<String, BTreeSet<String>>);

impl Graph {
    fn of(edges: BTreeSet<(String, String)>) -> Self {
        let mut graph = BTreeMap::<_, BTreeSet<_>>::new();
        for (from, to) in edges {
            graph.entry(to.clone()).or_default();
            graph.entry(from).or_default().insert(to);
        }
        Self(graph)
    }

    /// The edges of each group of files in which every file leads to every other one.
    fn cycle_edges(&self) -> Vec<Vec<String>> {
        let edges = |group: &Vec<String>| {
            let of = |file: &String| {
                let used = self.0[file].iter().filter(|used| group.contains(used));
                used.map(|used| format!("{file} uses {used}")).collect::<Vec<_>>()
            };
            group.iter().flat_map(of).collect()
        };
        self.cycles().iter().map(edges).collect()
    }

    /// Groups of files in which every file leads to every other one.
    fn cycles(&self) -> Vec<Vec<String>> {
        let reached: BTreeMap<_, _> = self.0.keys().map(|file| (file, self.reached_from(file))).collect();
        let mut groups = BTreeSet::new();
        for (file, reach) in &reached {
            let group: Vec<String> = reach.iter().filter(|other| reached[*other].contains(*file)).cloned().collect();
            if group.len() > 1 {
                groups.insert(group);
            }
        }
        groups.into_iter().collect()
    }

    fn reached_from(&self, file: &String) -> BTreeSet<String> {
        let (mut reached, mut next) = (BTreeSet::new(), vec![file]);
        while let Some(file) = next.pop() {
            for used in &self.0[file] {
                if reached.insert(used.clone()) {
                    next.push(used);
                }
            }
        }
        reached
    }
}
