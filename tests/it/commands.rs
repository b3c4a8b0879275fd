//! docs/command-line.md names the commands and flags that the program has, all of them and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use regex::Regex;

use super::support::ok;

type Flags = BTreeSet<String>;

/// Flags of every command, which the docs name once.
const EVERYWHERE: [&str; 2] = ["--help", "--log-format"];

/// The commands of `windrow --help`, each with the flags of its own help, and of the commands in it.
fn commands_of_help() -> BTreeMap<String, Flags> {
    let names = commands_in(&ok(Path::new("."), &["--help"]));
    names.into_iter().map(|name| (name.clone(), flags_of_help(&[&name]))).collect()
}

/// The names that a help lists as commands.
fn commands_in(help: &str) -> Vec<String> {
    let Some(listed) = help.split("Commands:\n").nth(1) else { return Vec::new() };
    let listed = listed.split("\n\n").next().unwrap();
    let names = listed.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).map(str::to_string).collect()
}

fn flags_of_help(command: &[&str]) -> Flags {
    let help = ok(Path::new("."), &[command, &["--help"]].concat());
    let flag = Regex::new(r"(?m)^ +(?:-\w, )?(--[a-z0-9-]+)").unwrap();
    let flags = flag.captures_iter(&help).map(|found| found[1].to_string());
    let own = flags.filter(|flag| !EVERYWHERE.contains(&flag.as_str()));
    let inner = commands_in(&help);
    own.chain(inner.iter().flat_map(|name| flags_of_help(&[command, &[name]].concat()))).collect()
}

/// The commands of the block below "Commands", with the flags that it shows.
fn commands_of_docs(text: &str) -> BTreeMap<String, Flags> {
    let block = text.split("## Commands\n```\n").nth(1).unwrap().split("```").next().unwrap();
    let flag = Regex::new(r"--[a-z0-9-]+").unwrap();
    let commands = block.split("windrow ").filter(|command| !command.is_empty());
    commands
        .map(|command| {
            let name = command.split_whitespace().next().unwrap().to_string();
            (name, flag.find_iter(command).map(|flag| flag.as_str().to_string()).collect())
        })
        .collect()
}

#[test]
fn the_docs_show_every_flag_of_every_command() {
    let text = std::fs::read_to_string("docs/command-line.md").unwrap();
    let (has, shows) = (commands_of_help(), commands_of_docs(&text));
    assert!(has.len() > 10 && has["run"].contains("--symbols"), "{has:?}");
    let names = |commands: &BTreeMap<String, Flags>| commands.keys().cloned().collect::<Flags>();
    assert_eq!(names(&shows), names(&has), "docs/command-line.md, Commands");
    for (command, flags) in &has {
        assert_eq!(&shows[command], flags, "docs/command-line.md: windrow {command}");
    }
    for flag in EVERYWHERE.iter().filter(|flag| **flag != "--help") {
        assert!(text.contains(flag), "docs/command-line.md does not name {flag}");
    }
}

#[test]
fn docs_name_no_flag_that_is_not_there() {
    // Of `./bench`, cargo and the like, which the docs show too.
    const OTHERS: [&str; 15] = [
        "--bars",
        "--bin",
        "--encodings",
        "--features",
        "--lib",
        "--locked",
        "--markdown",
        "--only",
        "--path",
        "--quick",
        "--release",
        "--repeat",
        "--test",
        "--timings",
        "--workspace",
    ];
    let mut known: Flags = commands_of_help().into_values().flatten().collect();
    known.extend(EVERYWHERE.iter().chain(&OTHERS).map(|flag| flag.to_string()));
    let flag = Regex::new(r"(?:^|[\s`(])(--[a-z][a-z0-9-]*)").unwrap();
    let mut wrong = Vec::new();
    let docs = std::fs::read_dir("docs").unwrap().map(|entry| entry.unwrap().path());
    let docs = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    for path in docs.chain([Path::new("README.md").to_path_buf()]) {
        let text = std::fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            for found in flag.captures_iter(line).filter(|found| !known.contains(&found[1])) {
                wrong.push(format!("{}:{}: {}", path.display(), number + 1, &found[1]));
            }
        }
    }
    assert!(wrong.is_empty(), "flags that no command has:\n{}", wrong.join("\n"));
}
