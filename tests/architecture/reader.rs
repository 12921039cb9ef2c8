//! Reads the sources, with nothing but the standard library: what a file uses, and where that is defined.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// One source file: its module path, `store/memory` for `src/store/memory/mod.rs`, and its text.
pub(crate) struct Source {
    pub(crate) file: String,
    pub(crate) module: String,
    pub(crate) text: String,
}

impl Source {
    /// Without comments, string contents and `#[cfg(test)]` modules: what the compiler builds into the library.
    pub(crate) fn code(&self) -> String {
        let code = one_item_a_line(&without_comments_and_strings(&self.text));
        match code.find("#[cfg(test)]\nmod tests {") {
            // The tests are last, by the style card; the architecture of a test is its own.
            Some(tests) => code[..tests].to_owned(),
            None => code,
        }
    }
}

pub(crate) fn sources() -> Vec<Source> {
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
pub(crate) fn rust_files(folder: &str) -> Vec<(String, String)> {
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
pub(crate) fn one_item_a_line(code: &str) -> String {
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
pub(crate) fn without_comments_and_strings(text: &str) -> String {
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

pub(crate) fn string_end(text: &str) -> usize {
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

pub(crate) fn ends_in_word(text: &str) -> bool {
    text.ends_with(|last: char| last.is_alphanumeric() || last == '_')
}

/// Every path that begins with `crate::`, in `use` items with their braces resolved and in the midst of code.
pub(crate) fn crate_paths(code: &str) -> Vec<Vec<String>> {
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
pub(crate) fn read_tree(text: &str, before: &[String], paths: &mut Vec<Vec<String>>) -> usize {
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

/// The file that a path leads to, through the re-exports of the modules it passes.
pub(crate) fn resolve(path: &[String], modules: &BTreeMap<String, String>) -> Option<String> {
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

pub(crate) fn re_exported_from(code: &str, item: &str) -> Option<String> {
    code.lines().find_map(|line| {
        let (visibility, path) = line.trim().split_once("use ")?;
        let (child, name) = path.trim_end_matches(';').rsplit_once("::")?;
        (visibility.starts_with("pub") && name == item && !child.contains("::"))
            .then(|| child.to_owned())
    })
}

/// Who uses whom: pairs of files, by module path.
pub(crate) fn uses(sources: &[Source]) -> Vec<(String, String)> {
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
fn the_reader_of_sources_sees_what_is_there() {
    let text = "use crate::a::{b, c::{D, E}};\nlet s = \"crate::no\"; // crate::no\n\
                /// crate::no\nfn f<'a>() -> crate::g::H<'a> { 'x'; '\\''; crate::i::j::<u8>() }\n\
                let r = r#\"crate::no \"quoted\"\"#; mycrate::no();";
    let code = without_comments_and_strings(text);
    assert_eq!(code.lines().count(), text.lines().count());
    let paths: Vec<String> = crate_paths(&code).iter().map(|path| path.join("::")).collect();
    assert_eq!(paths, ["a::b", "a::c::D", "a::c::E", "g::H", "i::j"]);
}
