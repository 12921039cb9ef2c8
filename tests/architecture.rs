//! The layout, enforced: who may use whom, where features may appear, how long a file may be, and that every type has
//! one public path. Read from the sources, with nothing but the standard library.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The floors, as the comments of `src/lib.rs` have them. A file belongs to the longest prefix that fits.
///
/// A file may use a lower floor, and its own subject: the first part of its path. Beyond that:
/// [`Floor::Words`] of one floor may use each other, without a circle; [`Floor::Apart`] never do, they meet through
/// what is below.
const FLOORS: &[(Floor, &[&str])] = &[
    (Floor::Words, &["clock", "error", "id", "issuer", "secret"]),
    (Floor::Words, &["auth_method", "event", "jose", "policy", "profile", "revocation", "token"]),
    (Floor::Words, &["jwt", "wire"]),
    (Floor::Words, &["client", "store", "throttle"]),
    (Floor::Apart, IMPLEMENTATIONS),
    (Floor::Apart, &["ownership"]),
    (Floor::Apart, &["authority"]),
    (Floor::Apart, &["introspect", "logout", "metadata", "revoke"]),
    (Floor::Words, &["guide", "integration", "testkit"]),
];

/// Implementations: only their own subject may name them. A flow that did would be tied to one of them.
const IMPLEMENTATIONS: &[&str] = &[
    "client/assertion",
    "client/certificate",
    "client/hashed",
    "client/jwks",
    "client/registered",
    "client/registry",
    "client/replay",
    "client/secret",
    "store/embedded",
    "store/instrumented",
    "store/layered",
    "store/memory",
    "store/postgres",
    "store/redis",
    "throttle/limiter",
];

/// Functions that only exist with a feature. Everything else that a feature adds is a module, a re-export or an impl.
const FEATURE_FUNCTIONS: &[(&str, &str)] = &[
    // Randomness comes with the store that needs it.
    ("token/digest.rs", "pub fn random()"),
    // Reads a private field for the edge.
    ("wire/response.rs", "pub(crate) fn into_body("),
];

/// Types with a second public path: the words that every host writes are at the root too.
const TWO_PATHS: &[&str] = &[
    "Cascade",
    "EmbeddedStore",
    "LogoutSuccess",
    "MemoryStore",
    "Policy",
    "RedisStore",
    "Request",
    "Response",
];

/// How many lines a file may have, in the library and in its tests, benches and examples.
const LONGEST: usize = 600;

/// Files that are longer, until they are split.
const TOO_LONG: &[&str] = &["tests/model.rs"];

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Floor {
    Apart,
    Words,
}

/// One source file: its module path, `store/memory` for `src/store/memory/mod.rs`, and its text.
struct Source {
    file: String,
    module: String,
    text: String,
}

impl Source {
    /// Without comments, string contents and `#[cfg(test)]` modules: what the compiler builds into the library.
    fn code(&self) -> String {
        let code = one_item_a_line(&without_comments_and_strings(&self.text));
        match code.find("#[cfg(test)]\nmod tests {") {
            // The tests are last, by the style card; the architecture of a test is its own.
            Some(tests) => code[..tests].to_owned(),
            None => code,
        }
    }
}

fn sources() -> Vec<Source> {
    let mut sources: Vec<Source> = rust_files("src")
        .into_iter()
        .map(|(file, text)| {
            let module = file.trim_end_matches(".rs").trim_end_matches("/mod").to_owned();
            Source { file, module, text }
        })
        .collect();
    sources.sort_by(|a, b| a.file.cmp(&b.file));
    assert!(sources.len() > 30, "the sources were not found");
    sources
}

/// Each Rust file below a folder of the repository: its path from that folder, and its text.
fn rust_files(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(&root).unwrap();
                let file = relative.to_str().unwrap().replace('\\', "/");
                files.push((file, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files
}

/// Writes `use a::{b, c};` as `use a::b;` and `use a::c;`, a line each.
fn one_item_a_line(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some(open) = rest.find("::{") {
        let line = rest[..open].rfind('\n').map_or(0, |at| at + 1);
        let start = &rest[line..open];
        let Some(close) = rest[open..].find('}').filter(|_| start.contains("use ")) else {
            out.push_str(&rest[..open + 3]);
            rest = &rest[open + 3..];
            continue;
        };
        out.push_str(&rest[..line]);
        let items = rest[open + 3..open + close].split(',').map(str::trim);
        for item in items.filter(|item| !item.is_empty()) {
            out.push_str(&format!("{start}::{item};\n"));
        }
        rest = rest[open + close + 1..].trim_start_matches(';').trim_start_matches('\n');
    }
    out + rest
}

/// Blanks out comments and what stands in quotes; lines stay lines.
fn without_comments_and_strings(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").unwrap() + 2,
            'r' if rest.starts_with("r#\"") && !ends_in_word(&code) => {
                rest.find("\"#").unwrap() + 2
            }
            '"' => string_end(rest),
            // A character, and not a lifetime.
            '\'' if rest.starts_with("'\\") => rest[2..].find('\'').unwrap() + 3,
            '\'' if rest.chars().nth(2) == Some('\'') => rest.char_indices().nth(3).unwrap().0,
            _ => {
                code.push(first);
                rest = &rest[first.len_utf8()..];
                continue;
            }
        };
        let (gone, left) = rest.split_at(end);
        if gone.starts_with('"') || gone.starts_with("r#") {
            code.push_str("\"\"");
        }
        code.extend(gone.chars().filter(|character| *character == '\n'));
        rest = left;
    }
    code
}

fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn ends_in_word(text: &str) -> bool {
    text.ends_with(|last: char| last.is_alphanumeric() || last == '_')
}

/// Every path that begins with `crate::`, in `use` items with their braces resolved and in the midst of code.
fn crate_paths(code: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find("crate::") {
        let before = &rest[..at];
        rest = &rest[at + "crate::".len()..];
        if !ends_in_word(before) {
            read_tree(rest, &[], &mut paths);
        }
    }
    paths
}

/// A path, or a tree of paths in braces, as in a `use` item. How far it went.
fn read_tree(text: &str, before: &[String], paths: &mut Vec<Vec<String>>) -> usize {
    let mut path = before.to_vec();
    let mut at = 0;
    loop {
        at += text[at..].len() - text[at..].trim_start().len();
        if text[at..].starts_with('{') {
            at += 1;
            loop {
                at += text[at..].len() - text[at..].trim_start().len();
                match text[at..].chars().next() {
                    Some('}') => return at + 1,
                    Some(',') => at += 1,
                    Some(_) => {
                        let read = read_tree(&text[at..], &path, paths);
                        assert!(read > 0, "not a use tree: {}", &text[at..]);
                        at += read;
                    }
                    None => return at,
                }
            }
        }
        let word = text[at..]
            .find(|c: char| !c.is_alphanumeric() && c != '_' && c != '*')
            .unwrap_or(text.len() - at);
        path.push(text[at..at + word].to_owned());
        at += word;
        if !text[at..].starts_with("::") || text[at..].starts_with("::<") {
            paths.push(path);
            return at;
        }
        at += 2;
    }
}

/// Where the floors put a module: the floor's number, and the entry.
fn floor_of(module: &str) -> Option<(usize, &'static str)> {
    FLOORS
        .iter()
        .enumerate()
        .flat_map(|(number, (_, entries))| entries.iter().map(move |entry| (number, *entry)))
        .filter(|(_, entry)| module == *entry || module.starts_with(&format!("{entry}/")))
        .max_by_key(|(_, entry)| entry.len())
}

fn subject(module: &str) -> &str {
    module.split('/').next().unwrap()
}

/// The file that a path leads to, through the re-exports of the modules it passes.
fn resolve(path: &[String], modules: &BTreeMap<String, String>) -> Option<String> {
    let mut module = String::new();
    for part in path {
        let deeper = match module.as_str() {
            "" => part.clone(),
            _ => format!("{module}/{part}"),
        };
        if modules.contains_key(&deeper) {
            module = deeper;
            continue;
        }
        // `pub use child::Item;` in this module says which child.
        let child = modules.get(&module).and_then(|code| re_exported_from(code, part));
        if let Some(child) =
            child.filter(|child| modules.contains_key(&format!("{module}/{child}")))
        {
            module = format!("{module}/{child}");
        }
        break;
    }
    (!module.is_empty()).then_some(module)
}

fn re_exported_from(code: &str, item: &str) -> Option<String> {
    code.lines().find_map(|line| {
        let (visibility, path) = line.trim().split_once("use ")?;
        let (child, name) = path.trim_end_matches(';').rsplit_once("::")?;
        (visibility.starts_with("pub") && name == item && !child.contains("::"))
            .then(|| child.to_owned())
    })
}

/// Who uses whom: pairs of files, by module path.
fn uses(sources: &[Source]) -> Vec<(String, String)> {
    let modules: BTreeMap<String, String> =
        sources.iter().map(|source| (source.module.clone(), source.code())).collect();
    let mut uses = Vec::new();
    for (module, code) in modules.iter().filter(|(module, _)| *module != "lib") {
        for path in crate_paths(code) {
            let used = resolve(&path, &modules).unwrap_or_else(|| {
                panic!("{module} goes round its module: crate::{}", path.join("::"))
            });
            if used != *module {
                uses.push((module.clone(), used));
            }
        }
    }
    uses
}

#[test]
fn every_file_has_its_floor() {
    for source in sources() {
        let placed = source.module == "lib" || floor_of(&source.module).is_some();
        assert!(placed, "{} is on no floor", source.file);
    }
    let modules: Vec<_> = sources().into_iter().map(|source| source.module).collect();
    for (_, entries) in FLOORS {
        for entry in *entries {
            assert!(modules.iter().any(|module| module == entry), "{entry} is gone");
        }
    }
}

/// The floor comments of `src/lib.rs` and the table here say the same.
#[test]
fn lib_rs_lists_the_modules_floor_by_floor() {
    let mut drawn: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    let mut floor = None;
    let lib = sources().into_iter().find(|source| source.module == "lib").unwrap();
    for line in lib.text.lines() {
        if let Some(comment) = line.strip_prefix("// ── ") {
            floor = Some(comment.split(' ').next().unwrap().parse().unwrap());
        } else if let Some(module) = line.strip_suffix(';').and_then(|line| line.split_once("mod "))
        {
            drawn.entry(floor.unwrap()).or_default().push(module.1.to_owned());
        }
    }
    let tops = |floor: &[usize]| -> Vec<String> {
        let mut tops: Vec<String> = floor
            .iter()
            .flat_map(|number| FLOORS.get(*number).unwrap().1)
            .filter(|entry| !entry.contains('/'))
            .map(|entry| (*entry).to_owned())
            .collect();
        tops.sort();
        tops
    };
    // Ports and their implementations are drawn as one floor, and so are the authority and the flows.
    let expected = [&[0][..], &[1], &[2], &[3, 4], &[5, 6, 7], &[8]].map(tops);
    let drawn: Vec<_> = drawn.into_values().collect();
    assert_eq!(drawn, expected);
}

#[test]
fn a_file_uses_lower_floors_and_its_own_subject_only() {
    let uses = uses(&sources());
    assert!(uses.len() > 150, "only {} uses were found", uses.len());
    let mut broken = Vec::new();
    for (user, used) in &uses {
        if subject(user) == subject(used) {
            continue;
        }
        let ((from, _), (to, entry)) = (floor_of(user).unwrap(), floor_of(used).unwrap());
        let (kind, _) = FLOORS.get(to).unwrap();
        let ok = to < from || (to == from && *kind == Floor::Words);
        let around = IMPLEMENTATIONS.contains(&entry);
        if !ok || around {
            broken.push(format!("{user} uses {used}"));
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn implementations_do_not_know_the_authority_or_the_flows() {
    for (user, used) in uses(&sources()) {
        let implements = IMPLEMENTATIONS.contains(&floor_of(&user).unwrap().1);
        assert!(!implements || floor_of(&used).unwrap().0 <= 4, "{user} uses {used}");
    }
}

/// Inside a folder a circle may do no harm; between subjects it makes two of them one.
#[test]
fn subjects_use_each_others_files_without_a_circle() {
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (user, used) in uses(&sources()) {
        if subject(&user) != subject(&used) {
            graph.entry(user).or_default().insert(used);
        }
    }
    // What nobody below uses any more is taken away, until nothing is left but circles.
    while let Some(done) = graph
        .iter()
        .find(|(_, used)| used.iter().all(|used| !graph.contains_key(used)))
        .map(|(user, _)| user.clone())
    {
        graph.remove(&done);
    }
    assert!(graph.is_empty(), "{graph:#?}");
}

#[test]
fn paths_go_through_crate_and_never_through_super() {
    for source in sources() {
        let code = source.code().replace("pub(super)", "");
        assert!(!code.contains("super::"), "{} climbs by super::", source.file);
        assert!(!code.contains("#[path"), "{} hides a file", source.file);
        assert!(!code.contains("include!("), "{} hides a file", source.file);
    }
}

#[test]
fn features_switch_modules_re_exports_impls_and_listed_functions_only() {
    let mut functions: Vec<&(&str, &str)> = Vec::new();
    for source in sources() {
        // The code says where, the text says what: strings are blanked in the code.
        let code = without_comments_and_strings(&source.text);
        let lines: Vec<(&str, &str)> = code.lines().zip(source.text.lines()).collect();
        for (n, (code, text)) in lines.iter().enumerate() {
            let place = format!("src/{}:{}", source.file, n + 1);
            let no_macro = !code.contains("cfg!(");
            assert!(no_macro, "{place}: cfg! makes a feature a behaviour");
            let docsrs = text.trim() == "#![cfg_attr(docsrs, feature(doc_cfg))]";
            assert!(!code.contains("cfg_attr") || docsrs, "{place}: {text}");
            if !code.contains("feature") || docsrs {
                continue;
            }
            let name = text.trim().strip_prefix("#[cfg(feature = \"");
            let name = name.and_then(|rest| rest.strip_suffix("\")]"));
            let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
            let plain = name.is_some_and(|name| name.bytes().all(is_plain));
            assert!(plain, "{place}: one feature, by its name: {text}");
            let (item, _) = lines.get(n + 1).unwrap();
            let item = item.trim();
            let listed = FEATURE_FUNCTIONS
                .iter()
                .find(|(file, function)| *file == source.file && item.starts_with(function));
            functions.extend(listed);
            let allowed = ["mod ", "pub mod ", "pub use ", "impl"];
            let ok = listed.is_some() || allowed.iter().any(|start| item.starts_with(start));
            assert!(ok, "{place}: a feature switches `{item}`");
        }
    }
    assert_eq!(functions.len(), FEATURE_FUNCTIONS.len(), "the list is out of date");
}

#[test]
fn no_file_is_longer_than_a_head_can_hold() {
    let mut exceptions = Vec::new();
    for (folder, least) in [("src", 30), ("tests", 90), ("benches", 9), ("examples", 9)] {
        let files = rust_files(folder);
        assert!(files.len() > least, "{folder}: only {} files were found", files.len());
        for (file, text) in files {
            let (file, lines) = (format!("{folder}/{file}"), text.lines().count());
            if lines > LONGEST {
                assert!(TOO_LONG.contains(&&*file), "{file} has {lines} lines");
                exceptions.push(file);
            }
        }
    }
    assert_eq!(exceptions, TOO_LONG, "the list is out of date");
}

#[test]
fn every_silenced_lint_has_a_reason() {
    let mut found = 0;
    for source in sources() {
        let code = without_comments_and_strings(&source.text);
        for start in ["#[expect", "#![expect", "#[allow", "#![allow"] {
            for (at, _) in code.match_indices(start) {
                let attribute = &code[at..at + code[at..].find(")]").unwrap()];
                assert!(attribute.contains("reason = \"\""), "{}: {attribute}", source.file);
                assert!(!start.contains("allow"), "{}: expect, do not allow", source.file);
                found += 1;
            }
        }
    }
    assert!(found > 10, "only {found} were found");
}

#[test]
fn every_type_has_one_public_path() {
    let sources = sources();
    let modules: BTreeMap<String, String> =
        sources.iter().map(|source| (source.module.clone(), source.code())).collect();
    // Each public item by where it is defined, and the paths that lead there.
    let mut paths: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for (module, code) in &modules {
        if !is_public(module, &modules) {
            continue;
        }
        let prefix = if module == "lib" { String::new() } else { format!("{module}/") };
        for line in code.lines() {
            let Some(item) = line.strip_prefix("pub ") else {
                continue;
            };
            if let Some(path) = item.strip_prefix("use ") {
                let path: Vec<String> =
                    path.trim_end_matches(';').split("::").map(str::to_owned).collect();
                let absolute: Vec<String> = match path.split_first() {
                    Some((first, rest)) if first == "crate" => rest.to_vec(),
                    _ => {
                        let own = prefix.split_terminator('/').map(str::to_owned);
                        own.chain(path.iter().cloned()).collect()
                    }
                };
                let name = path.last().unwrap();
                let defined = defining_module(&absolute, &modules);
                let own = is_public(&defined, &modules).then(|| format!("{defined}/{name}"));
                let place = paths.entry((defined, name.clone())).or_default();
                place.insert(format!("{prefix}{name}"));
                // Where a macro makes the item, no line of its module shows it.
                place.extend(own);
            } else if let Some(name) = item_name(item) {
                let place = paths.entry((module.clone(), name.to_owned())).or_default();
                place.insert(format!("{prefix}{name}"));
            }
        }
    }
    assert!(paths.len() > 60, "only {} public items were found", paths.len());
    let twice: BTreeSet<&str> = paths
        .iter()
        .filter(|(_, paths)| paths.len() > 1)
        .map(|((_, name), _)| name.as_str())
        .collect();
    assert_eq!(twice, TWO_PATHS.iter().copied().collect(), "{paths:#?}");
    for ((_, name), paths) in paths.iter().filter(|(_, paths)| paths.len() > 1) {
        assert!(paths.contains(name), "{name} is not at the root: {paths:?}");
    }
}

/// Whether every module on the way is `pub mod`.
fn is_public(module: &str, modules: &BTreeMap<String, String>) -> bool {
    if module == "lib" {
        return true;
    }
    let (parent, name) = module.rsplit_once('/').unwrap_or(("lib", module));
    let declared = format!("pub mod {name};");
    let code = modules.get(parent).unwrap();
    code.lines().any(|line| line == declared) && is_public(parent, modules)
}

/// The module in which an item is defined, however many re-exports are on the way.
fn defining_module(path: &[String], modules: &BTreeMap<String, String>) -> String {
    let module = resolve(path, modules).unwrap();
    let item = path.last().unwrap();
    match modules.get(&module).and_then(|code| re_exported_from(code, item)) {
        Some(child) => format!("{module}/{child}"),
        None => module,
    }
}

fn item_name(item: &str) -> Option<&str> {
    let kinds =
        ["const fn", "async fn", "fn", "struct", "enum", "trait", "type", "const", "static"];
    kinds.iter().find_map(|kind| {
        let rest = item.strip_prefix(kind)?.strip_prefix(' ')?;
        rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()
    })
}

#[test]
fn the_reader_of_sources_sees_what_is_there() {
    let text = "use crate::a::{b, c::{D, E}};\nlet s = \"crate::no\"; // crate::no\n\
                /// crate::no\nfn f<'a>() -> crate::g::H<'a> { 'x'; '\\''; crate::i::j::<u8>() }\n\
                let r = r#\"crate::no \"quoted\"\"#; mycrate::no();";
    let code = without_comments_and_strings(text);
    assert_eq!(code.lines().count(), text.lines().count());
    let paths: Vec<String> = crate_paths(&code).iter().map(|path| path.join("::")).collect();
    assert_eq!(paths, ["a::b", "a::c::D", "a::c::E", "g::H", "i::j"]);
}
