//! What ARCHITECTURE.md and the docs name exists, and their sentences have subjects.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use super::syntax::{CRATES, SourceFile, read_sources};

fn documents() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"].map(PathBuf::from).to_vec();
    found.extend(std::fs::read_dir("docs").unwrap().map(|entry| entry.unwrap().path()));
    found.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    found.sort();
    found
}

/// The text without the lines of code blocks.
fn prose(text: &str) -> String {
    let mut in_code = false;
    let is_prose = |line: &&str| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    };
    text.lines().filter(is_prose).collect::<Vec<_>>().join("\n")
}

/// True if a word in backquotes is a path of the repository.
fn is_path(word: &str) -> bool {
    let roots = ["src/", "udfs/", "tests/", "fuzz/", "docs/", "benches/", "queries/", "vendor/"];
    roots.iter().any(|root| word.starts_with(root)) && !word.contains(['*', ' ', '{', '<'])
}

#[test]
fn every_path_exists() {
    let mut wrong = Vec::new();
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        // A history names what was.
        if document == Path::new("CHANGELOG.md") {
            continue;
        }
        for word in prose(&text).split('`').skip(1).step_by(2).filter(|word| is_path(word)) {
            if !Path::new(word.trim_end_matches('/')).exists() {
                wrong.push(format!("{}: {word}", document.display()));
            }
        }
    }
    // Behind the folder that a row names first, files stand by their names.
    let architecture = std::fs::read_to_string("ARCHITECTURE.md").unwrap();
    let sources: Vec<String> = CRATES
        .iter()
        .chain(&["tests", "fuzz"])
        .flat_map(|folder| read_sources(folder))
        .map(|file| file.path.display().to_string())
        .collect();
    for word in prose(&architecture).split('`').skip(1).step_by(2) {
        let is_file = word.ends_with(".rs") && !word.contains(' ');
        if is_file && !sources.iter().any(|path| format!("/{path}").ends_with(&format!("/{word}")))
        {
            wrong.push(format!("ARCHITECTURE.md: {word}"));
        }
    }
    assert!(wrong.is_empty(), "paths that do not exist:\n{}", wrong.join("\n"));
}

/// True if the file defines a function, or another item, of this name.
fn defines(file: &SourceFile, name: &str) -> bool {
    const WORDS: [&str; 8] = ["fn", "struct", "enum", "trait", "const", "static", "type", "mod"];
    WORDS.iter().any(|word| {
        let definition = format!("{word} {name}");
        let mut found = file.text.match_indices(&definition);
        found.any(|(at, _)| {
            let behind = file.text[at + definition.len()..].chars().next();
            behind.is_some_and(|c| !c.is_alphanumeric() && c != '_')
        })
    })
}

/// Whether `Owner::item` exists: in a file that defines the type or has an `impl` of it, or in the module of that name.
fn has_item(file: &SourceFile, owner: &str, item: &str) -> bool {
    let path = file.path.display().to_string();
    let is_module = path.ends_with(&format!("/{owner}.rs")) || path.contains(&format!("/{owner}/"));
    let is_type = defines(file, owner)
        || file.text.contains(&format!("impl {owner} "))
        || file.text.contains(&format!("for {owner} "));
    let is_variant = || {
        file.text.contains(&format!("    {item},")) || file.text.contains(&format!("    {item}("))
    };
    (is_module && defines(file, item)) || (is_type && (defines(file, item) || is_variant()))
}

/// The names in backquotes outside of tables of code: `Type::function`, `module::function` and `a_function`.
#[test]
fn every_function_of_the_architecture_exists() {
    let text = prose(&std::fs::read_to_string("ARCHITECTURE.md").unwrap());
    let (before, table) = text.split_once("### Only here").unwrap();
    let after = table.split_once("### ").unwrap().1;
    let folders = CRATES.iter().chain(&["tests"]);
    let sources: Vec<SourceFile> = folders.flat_map(|folder| read_sources(folder)).collect();
    let named = Regex::new(r"`(\w+(?:::\w+)*)(?:\(\))?`").unwrap();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for found in named.captures_iter(before).chain(named.captures_iter(after)) {
        let words: Vec<&str> = found[1].split("::").filter(|word| !word.is_empty()).collect();
        let exists = match words.as_slice() {
            [.., owner, item] => sources.iter().any(|file| has_item(file, owner, item)),
            // A word may be a key, a command or a directory as well; a name of several words is of the code.
            [name] if name.contains('_') => {
                sources.iter().any(|file| file.text.contains(name))
                    || std::fs::exists(name).unwrap()
            }
            _ => continue,
        };
        count += 1;
        if !exists {
            wrong.push(found[1].to_string());
        }
    }
    assert!(count > 30, "only {count} functions are named");
    assert!(wrong.is_empty(), "ARCHITECTURE.md names what is not there:\n{}", wrong.join("\n"));
}

/// The rows of the table below "Only here" in ARCHITECTURE.md: files, and the code that no other file has.
fn only_places(text: &str) -> Vec<(Vec<String>, Vec<String>)> {
    let table =
        text.split("### Only here\n").nth(1).expect("ARCHITECTURE.md says what is only where");
    let rows = table
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'));
    let quoted = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_string).collect();
    rows.skip(2)
        .map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
            (quoted(cells[0]), quoted(cells[1]))
        })
        .collect()
}

#[test]
fn what_is_only_in_one_place_is() {
    let rows = only_places(&std::fs::read_to_string("ARCHITECTURE.md").unwrap());
    assert!(rows.len() > 5, "{}", rows.len());
    let mut wrong = Vec::new();
    let sources: Vec<_> = CRATES.iter().flat_map(|folder| read_sources(folder)).collect();
    for (places, patterns) in rows {
        for pattern in patterns {
            let mut found = false;
            for file in &sources {
                let path = file.path.display().to_string();
                let is_place = places.iter().any(|place| match place.strip_suffix('/') {
                    Some(folder) => file.path.starts_with(folder),
                    None => path == *place,
                });
                let code = file.without_tests().lines().enumerate();
                let lines = code.filter(|(_, line)| !line.trim_start().starts_with("//"));
                for (number, _) in lines.filter(|(_, line)| line.contains(&pattern)) {
                    found |= is_place;
                    if !is_place {
                        wrong.push(format!("{path}:{}: `{pattern}`", number + 1));
                    }
                }
            }
            if !found {
                wrong.push(format!("{}: `{pattern}` is not there any more", places.join(", ")));
            }
        }
    }
    assert!(wrong.is_empty(), "ARCHITECTURE.md says that this is elsewhere:\n{}", wrong.join("\n"));
}

/// The first words of the sentences of a text that have no subject but a question.
fn riddles(text: &str) -> Vec<String> {
    const START: &str =
        r"(?:^|[.:;]\s+|\n\n)((?:What|Who|Whose|Whether|Whoever|Whatever)\b[^.?!]*[.?!])";
    static RIDDLE: LazyLock<Regex> = LazyLock::new(|| Regex::new(START).unwrap());
    let found = RIDDLE.captures_iter(text).map(|found| found[1].replace('\n', " "));
    found.filter(|sentence| !sentence.ends_with('?')).collect()
}

#[test]
fn sentences_have_subjects() {
    let mut wrong = Vec::new();
    for document in documents() {
        let text = prose(&std::fs::read_to_string(&document).unwrap());
        let is_sentence = |line: &&str| !line.starts_with('#');
        let text = text.lines().filter(is_sentence).collect::<Vec<_>>().join("\n");
        for paragraph in text.split("\n\n") {
            let paragraph = paragraph.trim_start_matches(['-', '#', '*', '|', ' ']);
            let found = riddles(paragraph);
            wrong.extend(found.iter().map(|text| format!("{}: {text}", document.display())));
        }
    }
    for file in CRATES.iter().flat_map(|folder| read_sources(folder)) {
        let mut comment = String::new();
        for (number, line) in file.text.lines().enumerate() {
            let line = line.trim_start();
            match line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) {
                Some(text) => comment += &format!("{}\n", text.trim_start()),
                None if comment.is_empty() => {}
                None => {
                    let place = format!("{}:{}", file.path.display(), number + 1);
                    let found = riddles(&comment);
                    wrong.extend(found.iter().map(|text| format!("{place}: {text}")));
                    comment.clear();
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} sentences:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn riddles_are_found() {
    assert_eq!(riddles("What is kept stays."), ["What is kept stays."]);
    assert_eq!(riddles("It is. Who reads\nwaits."), ["Who reads waits."]);
    assert!(riddles("What is kept? It says what is kept.").is_empty());
}
