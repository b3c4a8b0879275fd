//! Completion on Tab: functions of the text and the names; only file names are read from disk.

use super::commands::{self, ArgumentKind};
use super::function_catalog::FunctionCatalog;
use super::lexer::{Token, TokenKind, is_word_char, tokenize_sql};
use super::split::has_open_token;
use crate::error::Result;
use crate::render::Format;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The names of the session, as of the last prompt.
#[derive(Debug, Default)]
pub(super) struct SessionNames {
    /// Tables and their columns.
    pub(super) tables: BTreeMap<String, Vec<String>>,
    /// The columns of the last result.
    pub(super) result: Vec<String>,
    /// The parameters set by `\set`.
    pub(super) parameters: Vec<String>,
    /// The functions that a query may call.
    pub(super) functions: FunctionCatalog,
}

/// One proposed completion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Completion {
    /// The text in the list of completions.
    pub(super) display: String,
    /// The text that replaces the word before the cursor.
    pub(super) replacement: String,
}

impl Completion {
    fn from_word(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { display: text.clone(), replacement: text }
    }
}

const KEYWORDS: &str = "SELECT FROM WHERE GROUP BY HAVING ORDER LIMIT OFFSET WINDOW \
    OVER PARTITION ROWS RANGE BETWEEN UNBOUNDED PRECEDING FOLLOWING CURRENT ROW AND OR NOT NULL IS IN \
    LIKE ILIKE AS ON USING JOIN INNER LEFT RIGHT FULL OUTER CROSS SEMI ANTI UNION ALL EXCEPT \
    INTERSECT DISTINCT CASE WHEN THEN ELSE END CAST TRY_CAST WITH RECURSIVE VALUES ASC DESC NULLS FIRST \
    LAST TRUE FALSE INTERVAL DATE TIMESTAMP EXISTS FILTER QUALIFY EXPLAIN ANALYZE SHOW TABLES \
    COLUMNS DESCRIBE CREATE VIEW TABLE EXTRACT IGNORE RESPECT LATERAL UNNEST DOUBLE VARCHAR BIGINT \
    INTEGER BOOLEAN";

pub(super) fn is_keyword(word: &str) -> bool {
    KEYWORDS.split_whitespace().any(|keyword| keyword.eq_ignore_ascii_case(word))
}

/// Returns the start of the completed word in `text`, and the completions. `text` ends at the cursor; `after`
/// is the text behind the cursor, which may name tables too.
pub(super) fn complete_input(
    names: &SessionNames,
    text: &str,
    after: &str,
) -> (usize, Vec<Completion>) {
    match command_start(text) {
        Some(start) => complete_command(names, text, start),
        None => complete_sql(names, text, after),
    }
}

/// Returns the start of the last line if that line is a command.
pub(super) fn command_start(text: &str) -> Option<usize> {
    let line = text.rfind('\n').map_or(0, |at| at + 1);
    let start = line + text[line..].len() - text[line..].trim_start().len();
    (text[start..].starts_with('\\') && !has_open_token(&text[..line])).then_some(start)
}

fn complete_command(names: &SessionNames, text: &str, start: usize) -> (usize, Vec<Completion>) {
    let line = &text[start + 1..];
    let Some((name, argument)) = line.split_once(char::is_whitespace) else {
        let all = commands::COMMANDS.iter().filter(|command| command.name.starts_with(line));
        let all = all.map(|command| Completion {
            display: format!("\\{}", command.name),
            replacement: format!(
                "\\{}{}",
                command.name,
                if command.args.is_empty() { "" } else { " " }
            ),
        });
        return (start, all.collect());
    };
    let kind =
        commands::find_command(name).map_or(ArgumentKind::Nothing, |command| command.argument);
    let base = text.len() - argument.trim_start().len();
    let argument = &text[base..];
    let words = |all: &mut dyn Iterator<Item = &str>| match_prefix(all, argument);
    match kind {
        ArgumentKind::Nothing => (base, Vec::new()),
        ArgumentKind::Table => (base, words(&mut names.tables.keys().map(String::as_str))),
        ArgumentKind::Function => (base, words(&mut names.functions.function_names().into_iter())),
        ArgumentKind::Format => (base, words(&mut Format::ALL.iter().map(|format| format.name()))),
        ArgumentKind::Switch => (base, words(&mut ["on", "off"].into_iter())),
        ArgumentKind::Parameter => (base, words(&mut names.parameters.iter().map(String::as_str))),
        ArgumentKind::File => (base, complete_path(argument)),
        ArgumentKind::Location => match argument.find('=') {
            Some(at) => (base + at + 1, complete_path(&argument[at + 1..])),
            None => (base, Vec::new()),
        },
        ArgumentKind::Plot => complete_plot(names, text, base),
    }
}

fn complete_plot(names: &SessionNames, text: &str, base: usize) -> (usize, Vec<Completion>) {
    let argument = &text[base..];
    let all = tokenize_sql(argument);
    if let Some(from) =
        all.iter().find(|token| token.matches_keyword("from") && token.end() < argument.len())
    {
        let query = &argument[from.end()..];
        if query.trim_start().contains(char::is_whitespace) {
            return complete_sql(names, text, "");
        }
        let at = text.len() - query.trim_start().len();
        let known = names.tables.keys().map(String::as_str);
        return (at, match_prefix(known.chain(["SELECT"]), query.trim_start()));
    }
    let start = word_start(text);
    let columns = names.result.iter().map(String::as_str);
    let mut found = match_prefix(columns, &text[start..]);
    if argument[..start - base].trim_end().ends_with(|c| is_word_char(c) || c == '"') {
        found = match_prefix(["of", "from"], &text[start..]);
    }
    (start, found)
}

fn match_prefix<'a>(all: impl IntoIterator<Item = &'a str>, prefix: &str) -> Vec<Completion> {
    let prefix = prefix.to_lowercase();
    all.into_iter()
        .filter(|word| word.to_lowercase().starts_with(&prefix))
        .map(|word| Completion::from_word(sql_identifier(word)))
        .collect()
}

/// Writes the name as SQL needs it: quoted unless it is plain and lower case, or a keyword in upper case.
fn sql_identifier(name: &str) -> String {
    let plain = name.chars().all(|c| is_word_char(c) && !c.is_uppercase() || c == '\\');
    let word = is_keyword(name) && !name.chars().any(char::is_lowercase);
    if plain || word { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

fn complete_path(prefix: &str) -> Vec<Completion> {
    let (folder, start) = match prefix.rfind('/') {
        Some(at) => (&prefix[..=at], &prefix[at + 1..]),
        None => ("", prefix),
    };
    let path = if folder.is_empty() { Path::new(".") } else { Path::new(folder) };
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let mut found: Vec<Completion> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            let hidden = name.starts_with('.') && !start.starts_with('.');
            if hidden || !name.starts_with(start) {
                return None;
            }
            let slash = if entry.path().is_dir() { "/" } else { "" };
            Some(Completion {
                display: format!("{name}{slash}"),
                replacement: format!("{folder}{name}{slash}"),
            })
        })
        .collect();
    found.sort_by(|a, b| a.display.cmp(&b.display));
    found
}

fn word_start(text: &str) -> usize {
    text.len()
        - text.chars().rev().take_while(|c| is_word_char(*c)).map(char::len_utf8).sum::<usize>()
}

fn complete_sql(names: &SessionNames, text: &str, after: &str) -> (usize, Vec<Completion>) {
    let before = tokenize_sql(text);
    let open = before.last().filter(|token| !token.closed || token.text.starts_with("--"));
    let (start, quoted) = match open {
        Some(token) if token.kind == TokenKind::Name => (token.start, true),
        Some(_) => return (text.len(), Vec::new()),
        None => (word_start(text), false),
    };
    let prefix = text[start..].trim_start_matches('"');
    let said: Vec<&Token> =
        before.iter().filter(|token| token.start < start && !token.is_blank()).collect();
    let whole = format!("{text}{after}");
    let used = used_tables(names, &whole);
    let columns = |table: &str| names.tables.get(table).into_iter().flatten().map(String::as_str);
    let mut found: Vec<Completion> = match said.as_slice() {
        [.., owner, dot] if dot.text == "." => {
            let owner = normalize_identifier(owner.text);
            let table = used.iter().find(|(alias, table)| *alias == owner || *table == owner);
            match_prefix(table.into_iter().flat_map(|(_, table)| columns(table)), prefix)
        }
        [.., last]
            if ["from", "join", "describe", "table"]
                .iter()
                .any(|word| last.matches_keyword(word)) =>
        {
            match_prefix(names.tables.keys().map(String::as_str), prefix)
        }
        _ => {
            let own = used.iter().flat_map(|(_, table)| columns(table));
            let others = names.tables.keys().flat_map(|table| columns(table));
            let mut all = dedup_completions(match_prefix(own.chain(others), prefix));
            if !quoted {
                all.extend(complete_words(names, prefix));
            }
            all
        }
    };
    if quoted {
        found.iter_mut().for_each(|found| ensure_quotes(&mut found.replacement));
    }
    (start, found)
}

fn ensure_quotes(name: &mut String) {
    if !name.starts_with('"') {
        *name = format!("\"{name}\"");
    }
}

fn dedup_completions(mut all: Vec<Completion>) -> Vec<Completion> {
    let mut seen = BTreeSet::new();
    all.retain(|candidate| seen.insert(candidate.display.clone()));
    all
}

/// Completes functions, keywords and tables; nothing for an empty prefix, since there are too many.
fn complete_words(names: &SessionNames, prefix: &str) -> Vec<Completion> {
    if prefix.is_empty() {
        return Vec::new();
    }
    let lower = prefix.to_lowercase();
    let functions =
        names.functions.function_names().into_iter().filter(|name| name.starts_with(&lower));
    let functions = functions
        .map(|name| Completion { display: name.to_string(), replacement: format!("{name}(") });
    let small = prefix.chars().all(|c| !c.is_uppercase());
    let keywords =
        KEYWORDS.split_whitespace().filter(|word| word.to_lowercase().starts_with(&lower));
    let keywords = keywords
        .map(|word| Completion::from_word(if small { word.to_lowercase() } else { word.into() }));
    let tables = match_prefix(names.tables.keys().map(String::as_str), prefix);
    functions.chain(keywords).chain(tables).collect()
}

fn normalize_identifier(name: &str) -> String {
    match name.strip_prefix('"') {
        Some(inner) => inner.trim_end_matches('"').replace("\"\"", "\""),
        None => name.to_lowercase(),
    }
}

/// Returns the tables that the text names, each as alias and table name.
fn used_tables(names: &SessionNames, text: &str) -> Vec<(String, String)> {
    let all = tokenize_sql(text);
    let said: Vec<&Token> = all.iter().filter(|token| !token.is_blank()).collect();
    let mut used = Vec::new();
    for (place, token) in said.iter().enumerate() {
        let table = normalize_identifier(token.text);
        if !matches!(token.kind, TokenKind::Word | TokenKind::Name)
            || !names.tables.contains_key(&table)
        {
            continue;
        }
        let next = said[place + 1..].iter().find(|token| !token.matches_keyword("as"));
        let alias = next
            .filter(|next| {
                matches!(next.kind, TokenKind::Word | TokenKind::Name) && !is_keyword(next.text)
            })
            .map_or_else(|| table.clone(), |next| normalize_identifier(next.text));
        used.push((alias, table));
    }
    used
}

/// Returns the column names for [`SessionNames`]; none if the columns could not be read.
pub(super) fn column_names<T>(columns: Result<Vec<(String, T, bool)>>) -> Vec<String> {
    columns.map(|all| all.into_iter().map(|(name, ..)| name).collect()).unwrap_or_default()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::repl) fn names() -> SessionNames {
        let columns = |all: &[&str]| all.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        SessionNames {
            tables: [
                ("bars".to_string(), columns(&["symbol", "ts", "open", "close", "Weird Name"])),
                ("sectors".to_string(), columns(&["symbol", "sector"])),
            ]
            .into(),
            result: columns(&["ts", "close", "sma_20"]),
            parameters: columns(&["fast", "slow"]),
            functions: FunctionCatalog::new(),
        }
    }

    /// Completes with the cursor at `|`.
    fn at(text: &str) -> (usize, Vec<String>) {
        let (before, after) = text.split_once('|').unwrap();
        let (start, found) = complete_input(&names(), before, after);
        (start, found.into_iter().map(|candidate| candidate.replacement).collect())
    }

    #[test]
    fn completions() {
        let cases: [(&str, usize, &[&str]); 22] = [
            ("SELECT * FROM ba|", 14, &["bars"]),
            ("SELECT * FROM |", 14, &["bars", "sectors"]),
            ("SELECT sym| FROM bars", 7, &["symbol"]),
            ("SELECT sect| FROM bars", 7, &["sector", "sectors"]),
            ("SELECT b.c| FROM bars b", 9, &["close"]),
            ("SELECT b.| FROM bars AS b", 9, &["symbol", "ts", "open", "close", "\"Weird Name\""]),
            ("SELECT \"W| FROM bars", 7, &["\"Weird Name\""]),
            ("SELECT rsi| FROM bars", 7, &["rsi("]),
            ("SELECT * FROM bars wher|", 19, &["where"]),
            ("SELECT * FROM bars WHER|", 19, &["WHERE"]),
            ("SELECT 'fr|", 10, &[]),
            ("SELECT 1 -- fr|", 14, &[]),
            ("\\tim|", 0, &["\\timing "]),
            ("\\timing |", 8, &["on", "off"]),
            ("\\format j|", 8, &["json"]),
            ("\\d b|", 3, &["bars"]),
            ("\\unset f|", 7, &["fast"]),
            ("\\plot cl|", 6, &["close"]),
            ("\\plot close, s|", 13, &["sma_20"]),
            ("\\plot close f|", 12, &["from"]),
            ("\\plot close from b|", 17, &["bars"]),
            ("SELECT 1\n\\rs|", 9, &[]),
        ];
        for (text, start, expected) in cases {
            assert_eq!(
                at(text),
                (start, expected.iter().map(|s| s.to_string()).collect()),
                "{text}"
            );
        }
    }

    #[test]
    fn file_names() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["trend.sql", "trend.csv", ".hidden"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        fs::create_dir(folder.path().join("sub")).unwrap();
        let path = folder.path().display().to_string();
        let (start, found) = at(&format!("\\i {path}/tr|"));
        assert_eq!(start, 3);
        assert_eq!(found, [format!("{path}/trend.csv"), format!("{path}/trend.sql")]);
        assert_eq!(at(&format!("\\i {path}/s|")).1, [format!("{path}/sub/")]);
        assert_eq!(at(&format!("\\source bars={path}/s|")).1, [format!("{path}/sub/")]);
    }
}
