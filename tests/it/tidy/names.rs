//! A name says what it names, to whoever sees its use and not its definition.

use std::collections::BTreeMap;

use super::syntax::{CRATES, read_sources};

/// The largest share of functions whose name is one word, in percent.
const ONE_WORD: f64 = 20.0;

/// The smallest share of functions whose name no other has, in percent.
const UNIQUE: f64 = 75.0;

/// Types of one name in several files, each for a reason.
const TYPES_OF_ONE_NAME: [&str; 0] = [];

/// Words that say nothing where a call stands alone.
const EMPTY_NAMES: [&str; 16] = [
    "of", "told", "said", "left", "held", "kept", "seen", "taken", "wanted", "asked", "known",
    "by", "do_it", "helper", "util", "inner",
];

#[test]
fn a_type_is_one_thing() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in CRATES.iter().flat_map(|folder| read_sources(folder)) {
        for name in file.types() {
            places.entry(name).or_default().push(file.path.display().to_string());
        }
    }
    assert!(places.len() > 500, "types are not found");
    let twice =
        |name: &str, files: &[String]| files.len() > 1 && !TYPES_OF_ONE_NAME.contains(&name);
    let wrong: Vec<String> = places
        .iter()
        .filter(|(name, files)| twice(name, files))
        .map(|(name, files)| format!("{name}: {}", files.join(", ")))
        .collect();
    assert!(wrong.is_empty(), "types of one name:\n{}", wrong.join("\n"));
}

#[test]
fn functions_say_what_they_do() {
    let (mut counts, mut wrong) = (BTreeMap::<String, usize>::new(), Vec::new());
    for file in CRATES.iter().flat_map(|folder| read_sources(folder)) {
        for function in file.functions().into_iter().filter(|function| !function.is_trait_impl) {
            if EMPTY_NAMES.contains(&function.name.as_str()) {
                let (path, line) = (file.path.display(), function.line);
                wrong.push(format!("{path}:{line}: {} says nothing", function.name));
            }
            *counts.entry(function.name).or_default() += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let share = |counted: &dyn Fn(&str, usize) -> usize| {
        let all: usize = counts.values().sum();
        let some: usize = counts.iter().map(|(name, count)| counted(name, *count)).sum();
        100.0 * some as f64 / all as f64
    };
    let is_one_word = |name: &str| !name.trim_matches('_').contains('_');
    let one_word = share(&|name, count| if is_one_word(name) { count } else { 0 });
    let unique = share(&|_, count| if count == 1 { 1 } else { 0 });
    eprintln!("functions of one word: {one_word:.1} %, of a name of their own: {unique:.1} %");
    assert!(one_word <= ONE_WORD, "{one_word:.1} % of the functions have names of one word");
    assert!(unique >= UNIQUE, "only {unique:.1} % of the functions have a name of their own");
}
