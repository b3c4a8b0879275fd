//! As much of Rust's syntax as the tidy tests need, read from text that `rustfmt` has formatted.

use std::path::{Path, PathBuf};

/// The folders of the crates that users get.
pub(super) const CRATES: [&str; 2] = ["src", "udfs/src"];

/// A Rust file.
pub(super) struct SourceFile {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// A function as it is defined.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: String,
    /// The number of the first line, from 1.
    pub(super) line: usize,
    /// The number of lines from `fn` to the closing bracket.
    pub(super) lines: usize,
    /// True if a trait demands the name.
    pub(super) is_trait_impl: bool,
}

/// Reads all Rust files below a folder, sorted by path.
pub(super) fn read_sources(folder: &str) -> Vec<SourceFile> {
    let mut paths = Vec::new();
    collect_paths(Path::new(folder), &mut paths);
    paths.sort();
    let read = |path: PathBuf| SourceFile { text: std::fs::read_to_string(&path).unwrap(), path };
    paths.into_iter().map(read).collect()
}

fn collect_paths(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect_paths(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

impl SourceFile {
    /// The text without its tests.
    pub(super) fn without_tests(&self) -> &str {
        let is_test_file = self.path.file_name().is_some_and(|name| name == "tests.rs");
        let end = if is_test_file { Some(0) } else { self.text.find("#[cfg(test)]\nmod tests {") };
        &self.text[..end.unwrap_or(self.text.len())]
    }

    /// The functions without those of tests.
    pub(super) fn functions(&self) -> Vec<Function> {
        let lines: Vec<&str> = self.without_tests().lines().collect();
        let mut found = Vec::new();
        let mut trait_impl_ends = 0;
        for (at, line) in lines.iter().enumerate() {
            if is_trait_impl(&lines, at) {
                trait_impl_ends = block_end(&lines, at);
            }
            if let Some(name) = defined_name(line, &["fn"]) {
                found.push(Function {
                    name: name.to_string(),
                    line: at + 1,
                    lines: block_end(&lines, at) - at + 1,
                    is_trait_impl: at < trait_impl_ends,
                });
            }
        }
        found
    }

    /// The types without those of tests and those that a trait demands.
    pub(super) fn types(&self) -> Vec<String> {
        const WORDS: [&str; 5] = ["struct", "enum", "trait", "type", "union"];
        let lines: Vec<&str> = self.without_tests().lines().collect();
        let mut found = Vec::new();
        let mut trait_impl_ends = 0;
        for (at, line) in lines.iter().enumerate() {
            if is_trait_impl(&lines, at) {
                trait_impl_ends = block_end(&lines, at);
            }
            if at >= trait_impl_ends
                && let Some(name) = defined_name(line, &WORDS)
            {
                found.push(name.to_string());
            }
        }
        found
    }
}

/// The name that a line defines by one of the words, behind any of the words that may stand before it.
fn defined_name<'a>(line: &'a str, words: &[&str]) -> Option<&'a str> {
    let mut rest = line.trim_start();
    for before in ["pub", "default", "const", "async", "unsafe"] {
        if let Some(behind) = rest.strip_prefix(before) {
            let behind = match behind.strip_prefix('(') {
                Some(scope) => scope.split_once(')')?.1,
                None => behind,
            };
            rest = behind.strip_prefix(' ').unwrap_or(rest);
        }
    }
    let (word, rest) = rest.split_once(' ')?;
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    (words.contains(&word) && end > 0).then_some(&rest[..end])
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Whether a line begins `impl Trait for Type`.
fn is_trait_impl(lines: &[&str], at: usize) -> bool {
    let line = lines[at].trim_start();
    let head = line.strip_prefix("unsafe ").unwrap_or(line);
    if !head.starts_with("impl ") && !head.starts_with("impl<") {
        return false;
    }
    let mut head = String::new();
    for line in &lines[at..] {
        head += line;
        head.push(' ');
        if line.contains('{') {
            break;
        }
    }
    let head = head.split('{').next().unwrap_or_default();
    head.contains(" for ") && !head.contains("for<")
}

/// The index of the line that ends what begins at a line: by a bracket of the same indentation, or on the line itself.
fn block_end(lines: &[&str], at: usize) -> usize {
    let line = lines[at].trim_end();
    if line.ends_with(['}', ';']) {
        return at;
    }
    let depth = indentation(line);
    let ends = |line: &&str| {
        let closes = line.trim() == "}" || line.trim_end().ends_with(';');
        closes && indentation(line) == depth
    };
    lines[at + 1..].iter().position(ends).map_or(at, |found| at + 1 + found)
}

#[test]
fn syntax_is_read() {
    let text = "impl A for B {\n    fn one(&self) {\n        1;\n    }\n}\n\npub(crate) const fn two() {}\n\
                async fn three(\n    a: u8,\n) -> u8 {\n    1\n}\npub struct Four;\n#[cfg(test)]\nmod tests {\n    fn five() {}\n}\n";
    let file = SourceFile { path: PathBuf::from("a.rs"), text: text.to_string() };
    let functions = file.functions();
    let found: Vec<_> =
        functions.iter().map(|f| (f.name.as_str(), f.line, f.lines, f.is_trait_impl)).collect();
    assert_eq!(found, [("one", 2, 3, true), ("two", 7, 1, false), ("three", 8, 5, false)]);
    assert_eq!(file.types(), ["Four"]);
}
