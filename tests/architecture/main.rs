//! The layout, enforced: who may use whom, where features may appear, how long a file may be, and that every type has
//! one public path. Read from the sources, with nothing but the standard library.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

mod reader;

use reader::{re_exported_from, resolve, rust_files, sources, uses, without_comments_and_strings};

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
const TOO_LONG: &[&str] = &[];

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Floor {
    Apart,
    Words,
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

/// A circle makes one file of two: neither can be read, tested or moved without the other.
#[test]
fn files_use_each_other_without_a_circle() {
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (user, used) in uses(&sources()) {
        graph.entry(user).or_default().insert(used);
    }
    assert!(graph.len() > 100, "only {} files use others", graph.len());
    let circles = without_ends(graph);
    assert!(circles.is_empty(), "{circles:#?}");
}

/// What is left of a graph once all that leads to no circle is taken away.
fn without_ends(
    mut graph: BTreeMap<String, BTreeSet<String>>,
) -> BTreeMap<String, BTreeSet<String>> {
    while let Some(done) = graph
        .iter()
        .find(|(_, used)| used.iter().all(|used| !graph.contains_key(used)))
        .map(|(user, _)| user.clone())
    {
        graph.remove(&done);
    }
    // And what only leads there, and is in none.
    loop {
        let used: BTreeSet<String> = graph.values().flatten().cloned().collect();
        let before = graph.len();
        graph.retain(|user, _| used.contains(user));
        if graph.len() == before {
            return graph;
        }
    }
}

#[test]
fn a_circle_is_seen_and_what_leads_to_it_is_none() {
    let graph = |pairs: &[(&str, &str)]| {
        let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (user, used) in pairs {
            graph.entry((*user).to_owned()).or_default().insert((*used).to_owned());
        }
        without_ends(graph)
    };
    assert!(graph(&[("a", "b"), ("b", "c"), ("a", "c")]).is_empty());
    let circle = graph(&[("a", "b"), ("b", "c"), ("c", "b"), ("c", "d")]);
    assert_eq!(circle.into_keys().collect::<Vec<_>>(), ["b", "c"]);
}

/// They share the rules and the ports; what one of them does is nothing to another.
#[test]
fn engines_never_see_each_other() {
    for (user, used) in uses(&sources()) {
        let engine = |module: &str| {
            let (place, engine) = (floor_of(module)?.1, module.split('/').nth(1)?.to_owned());
            (place.starts_with("store/") && IMPLEMENTATIONS.contains(&place)).then_some(engine)
        };
        if let (Some(user_engine), Some(used_engine)) = (engine(&user), engine(&used)) {
            assert_eq!(user_engine, used_engine, "{user} uses {used}");
        }
        let rules = user.starts_with("store/rules") && user != used;
        let upward = rules && engine(&used).is_some();
        assert!(!upward, "a rule uses a store: {user} uses {used}");
    }
}

/// A client's revocation comes out of the proof that the token is its own; every other way would be a way round it.
#[test]
fn only_ownership_makes_the_revocation_of_a_client() {
    let users: Vec<String> = sources()
        .into_iter()
        .filter(|source| source.code().contains("by_client("))
        .map(|source| source.module)
        .collect();
    assert_eq!(users, ["ownership", "revocation"]);
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
