//! The messages of the program as text: the Markdown files below `tests/cases/`, whose README describes their format.
//! `WINDROW_REWRITE=1 ./test cases` writes the messages of today into them, and `git diff` shows what changed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Output;

use regex::Regex;

use super::support::{Bars, RAW, windrow};

/// The variable that makes this test write the files.
const REWRITE: &str = "WINDROW_REWRITE";

/// Stands in an expected line for text that differs from run to run.
const ANYTHING: &str = "[..]";

/// Cases whose messages still show names of DataFusion. This list may only shrink.
const STILL_RAW: [&str; 5] = [
    "A date as a difference",
    "A default of another type",
    "ORDER BY an interval",
    "Rows with another type of time",
    "coalesce of times with and without a zone",
];

/// A fenced block: the words behind its fence, its lines in the file, and their text.
struct Block {
    info: Vec<String>,
    lines: Range<usize>,
    text: String,
}

/// The blocks below one heading.
struct Case {
    title: String,
    line: usize,
    blocks: Vec<Block>,
}

impl Case {
    fn blocks_of<'a>(&'a self, info: &'a [&str]) -> impl Iterator<Item = &'a Block> {
        self.blocks.iter().filter(move |block| block.info == info)
    }

    /// Writes the files and folders that it shows or describes.
    fn write_files(&self, folder: &Path) {
        for block in &self.blocks {
            match block.info.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["sh", _] => {}
                ["bars", path] => write_bars(&folder.join(path), &block.text),
                ["folder", path] => std::fs::create_dir_all(folder.join(path)).unwrap(),
                [kind, path] => {
                    let path = folder.join(path);
                    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                    // Most sets are typed without a newline at their end.
                    let text = if kind == "sql" { block.text.trim_end() } else { &block.text };
                    std::fs::write(path, text).unwrap();
                }
                _ => {}
            }
        }
    }
}

/// Writes the bars that a text such as `3 symbols, 60 days` describes.
fn write_bars(path: &Path, text: &str) {
    let numbers = text.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok());
    let [symbols, days]: [usize; 2] = numbers.collect::<Vec<_>>().try_into().expect(text);
    Bars::new(symbols, days).write(path);
}

/// Parses the cases of a file. The first one is the preamble above all headings.
fn parse_cases(text: &str) -> Vec<Case> {
    let mut cases = vec![Case { title: "the preamble".to_string(), line: 1, blocks: Vec::new() }];
    let mut open: Option<Block> = None;
    for (number, line) in text.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(info)) => {
                let info = info.split(' ').map(str::to_string).collect();
                open = Some(Block { info, lines: number + 1..number + 1, text: String::new() });
            }
            (Some(_), Some("")) => {
                let mut block = open.take().unwrap();
                block.lines.end = number;
                cases.last_mut().unwrap().blocks.push(block);
            }
            (Some(block), _) => block.text += &format!("{line}\n"),
            (None, None) => {
                if let Some(title) = line.strip_prefix("## ") {
                    cases.push(Case { title: title.into(), line: number + 1, blocks: Vec::new() });
                }
            }
        }
    }
    assert!(open.is_none(), "a block is not closed");
    cases
}

/// Splits a line into words as a shell does: quotes of both kinds, and nothing else.
fn split_words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(end), c) if c == end => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    assert!(quote.is_none(), "a quote is not closed: {line}");
    words
}

/// Returns a word as the program gets it: `$(cat FILE)` is the text of that file.
fn expand_word(folder: &Path, word: &str) -> String {
    match word.strip_prefix("$(cat ").and_then(|rest| rest.strip_suffix(')')) {
        Some(path) => std::fs::read_to_string(folder.join(path)).unwrap(),
        None => word.to_string(),
    }
}

/// Runs a line such as `NAME=value windrow WORDS`.
fn run_line(folder: &Path, line: &str) -> Output {
    let words = split_words(line);
    let at = words.iter().position(|word| word == "windrow").expect(line);
    let variables = words[..at].iter().map(|word| word.split_once('=').expect(line));
    let args = words[at + 1..].iter().map(|word| expand_word(folder, word));
    windrow(folder).envs(variables).args(args).output().unwrap()
}

/// Returns what a person sees: standard output, standard error, and the exit code unless it is 0.
fn shown_text(folder: &Path, output: &Output) -> String {
    let mut text = String::from_utf8(output.stdout.clone()).unwrap();
    text += &String::from_utf8(output.stderr.clone()).unwrap();
    if !output.status.success() {
        writeln!(text, "exit {}", output.status.code().unwrap_or(-1)).unwrap();
    }
    text.replace(&*folder.to_string_lossy(), "FOLDER")
}

fn line_matches(expected: &str, found: &str) -> bool {
    if !expected.contains(ANYTHING) {
        return expected == found;
    }
    let parts: Vec<String> = expected.split(ANYTHING).map(regex::escape).collect();
    Regex::new(&format!("^{}$", parts.join(".*"))).unwrap().is_match(found)
}

fn text_matches(expected: &str, found: &str) -> bool {
    expected.lines().count() == found.lines().count()
        && expected
            .lines()
            .zip(found.lines())
            .all(|(expected, found)| line_matches(expected, found))
}

/// Returns the lines that were found. One that an expected line matches is taken from there.
fn rewrite_lines(expected: &str, found: &str) -> String {
    let lines = found.lines().map(|line| {
        let known = expected.lines().find(|expected| line_matches(expected, line));
        format!("{}\n", known.unwrap_or(line))
    });
    lines.collect()
}

/// The bytes of all files below a folder, and its folders.
type Tree = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// Reads everything below a folder but the locks of targets.
fn read_tree(folder: &Path) -> Tree {
    let mut found = Tree::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path.clone());
                found.insert(path, None);
            } else if !path.to_string_lossy().ends_with(".windrow-lock") {
                let bytes = std::fs::read(&path).unwrap();
                found.insert(path, Some(bytes));
            }
        }
    }
    found
}

/// Puts everything below a folder back as it was.
fn restore_tree(folder: &Path, before: &Tree) {
    let after = read_tree(folder);
    for path in after.keys().filter(|path| !before.contains_key(*path)) {
        // A new folder goes with all that it holds, and its files are not found after that.
        let is_folder = path.is_dir();
        let _ = if is_folder { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    }
    for (path, bytes) in before.iter().filter(|(path, bytes)| after.get(*path) != Some(*bytes)) {
        match bytes {
            None => std::fs::create_dir_all(path).unwrap(),
            Some(bytes) => std::fs::write(path, bytes).unwrap(),
        }
    }
}

/// The result of the cases of one file.
#[derive(Default)]
struct Findings {
    /// Mistakes of the program that no text of the file excuses.
    wrong: Vec<String>,
    /// Cases that say something other than the file.
    differing: Vec<String>,
    /// The titles of cases with a message that shows names of DataFusion.
    raw_titles: Vec<String>,
    /// Lines of the file, and those that belong there.
    edits: Vec<(Range<usize>, String)>,
}

/// Runs the commands of a case, and returns all that they print.
fn run_commands(
    folder: &Path,
    case: &Case,
    name: &str,
    commands: &[&Block],
    found: &mut Findings,
) -> String {
    let raw = Regex::new(RAW).unwrap();
    let mut text = String::new();
    for line in commands.iter().flat_map(|block| block.text.lines()) {
        let untouched = read_tree(folder);
        let output = run_line(folder, line);
        let shown = shown_text(folder, &output);
        if !output.status.success() {
            let errors = shown.lines().filter(|line| line.starts_with("error: ")).count();
            if errors > 1 {
                found.wrong.push(format!("{name}: more than one error:\n{shown}"));
            }
            if errors > 0 && read_tree(folder) != untouched {
                found.wrong.push(format!("{name}: a refused command changed files: {line}"));
            }
            if shown.lines().any(|line| raw.is_match(line)) {
                found.raw_titles.push(case.title.clone());
                if !STILL_RAW.contains(&case.title.as_str()) {
                    found.wrong.push(format!("{name}: no sentence for people:\n{shown}"));
                }
            }
        }
        text += &shown;
    }
    if text.is_empty() {
        found.wrong.push(format!("{name}: nothing is printed"));
    }
    text
}

/// Runs the cases of a file.
fn run_file(path: &Path, text: &str) -> Findings {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().canonicalize().unwrap();
    let cases = parse_cases(text);
    let (preamble, cases) = cases.split_first().unwrap();
    let mut found = Findings::default();
    preamble.write_files(&folder);
    for line in preamble.blocks_of(&["sh"]).flat_map(|block| block.text.lines()) {
        let output = run_line(&folder, line);
        if !output.status.success() {
            let shown = shown_text(&folder, &output);
            found.wrong.push(format!("{}: the preamble: {line}\n{shown}", path.display()));
            return found;
        }
    }
    let each: Vec<&Block> = preamble.blocks_of(&["sh", "each"]).collect();
    for case in cases {
        let name = format!("{}:{}: {}", path.display(), case.line, case.title);
        let before = read_tree(&folder);
        case.write_files(&folder);
        let own: Vec<&Block> = case.blocks_of(&["sh"]).collect();
        let commands = if own.is_empty() { &each } else { &own };
        let shown = run_commands(&folder, case, &name, commands, &mut found);
        restore_tree(&folder, &before);
        let expected = case.blocks_of(&["text"]).next();
        if expected.is_some_and(|block| text_matches(&block.text, &shown)) {
            continue;
        }
        let said = expected.map_or("nothing yet\n", |block| &block.text);
        found.differing.push(format!("{name}:\nexpected\n{said}found\n{shown}"));
        match (expected, case.blocks.last()) {
            (Some(block), _) => {
                found.edits.push((block.lines.clone(), rewrite_lines(&block.text, &shown)));
            }
            // The text of a new case goes behind the fence that ends its last block.
            (None, Some(last)) => {
                let at = last.lines.end + 1;
                found.edits.push((at..at, format!("\n```text\n{shown}```\n")));
            }
            (None, None) => {}
        }
    }
    found
}

/// Returns a text with other lines where it is edited.
fn apply_edits(text: &str, edits: &[(Range<usize>, String)]) -> String {
    let mut lines: Vec<String> = text.lines().map(|line| format!("{line}\n")).collect();
    for (range, new) in edits.iter().rev() {
        lines.splice(range.clone(), [new.clone()]);
    }
    lines.concat()
}

/// Runs the cases of a file, and writes what they say into it if that is wanted.
fn check_file(path: &Path, rewrite: bool) -> Findings {
    let text = std::fs::read_to_string(path).unwrap();
    let mut found = run_file(path, &text);
    if rewrite {
        if !found.edits.is_empty() {
            std::fs::write(path, apply_edits(&text, &found.edits)).unwrap();
        }
        found.differing.clear();
    }
    found
}

fn case_files() -> Vec<PathBuf> {
    let files = std::fs::read_dir("tests/cases").unwrap().map(|entry| entry.unwrap().path());
    let is_cases = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "md") && !path.ends_with("README.md")
    };
    let mut files: Vec<PathBuf> = files.filter(is_cases).collect();
    files.sort();
    files
}

#[test]
fn every_case_says_what_its_file_says() {
    let rewrite = std::env::var_os(REWRITE).is_some();
    let files = case_files();
    assert!(!files.is_empty());
    let found: Vec<Findings> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            files.iter().map(|path| scope.spawn(move || check_file(path, rewrite))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let is_raw = |title: &str| found.iter().any(|file| file.raw_titles.iter().any(|t| t == title));
    let clean = STILL_RAW.into_iter().filter(|title| !is_raw(title));
    let mut wrong: Vec<String> =
        clean.map(|title| format!("{title}: take it off the list STILL_RAW")).collect();
    wrong.extend(found.iter().flat_map(|file| file.wrong.iter().cloned()));
    let differing: Vec<&str> =
        found.iter().flat_map(|file| file.differing.iter().map(String::as_str)).collect();
    if !differing.is_empty() {
        wrong.push(differing.join("\n"));
        wrong.push(format!(
            "cases that say something other than their file: {}; `{REWRITE}=1 ./test cases` writes what they say into \
             the files, and `git diff` shows it",
            differing.len()
        ));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn words_and_wildcards() {
    assert_eq!(
        split_words("windrow sql 'a  \"b\"' \"it's\" ''"),
        ["windrow", "sql", "a  \"b\"", "it's", ""]
    );
    assert!(text_matches("in [..] ms\n", "in 12 ms\n"));
    assert!(!text_matches("in [..] ms\n", "in 12 s\n"));
    assert!(!text_matches("a\n", "a\nb\n"));
    assert_eq!(rewrite_lines("in [..] ms\nold\n", "new\nin 12 ms\n"), "new\nin [..] ms\n");
    let text = "# T\n\n## one\n\n```sh\nwindrow\n```\n";
    assert_eq!(parse_cases(text)[1].blocks[0].lines, 5..6);
    let edited = apply_edits(text, &[(7..7, "\n```text\nx\n```\n".to_string())]);
    assert_eq!(edited, format!("{text}\n```text\nx\n```\n"));
}
