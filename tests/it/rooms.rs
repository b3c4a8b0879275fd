//! The arrows between rooms run one way: every mention of `crate::` is held against the table of
//! ARCHITECTURE.md.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The rooms that each room may know: the table in ARCHITECTURE.md.
fn table() -> BTreeMap<String, Vec<String>> {
    let text = std::fs::read_to_string("ARCHITECTURE.md").unwrap();
    let table = text.split("| room | what it is for | may know |").nth(1).unwrap();
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|')).skip(1);
    let names = |cell: &str| -> Vec<String> {
        cell.split('`').skip(1).step_by(2).map(str::to_string).collect()
    };
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        assert!(cells.len() == 3, "a room, its sentence, and what it may know: {row}");
        (names(cells[0])[0].clone(), names(cells[2]))
    })
    .collect()
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn room_of(path: &Path) -> String {
    let below = path.strip_prefix("src").unwrap();
    let first = below.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_string()
}

/// The rooms that a file names outside comments, with the line.
fn known(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for (at, _) in code.match_indices("crate::") {
            let rest = code[at + "crate::".len()..].chars();
            let name = rest.take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            found.push((number + 1, name));
        }
        if code.contains("windrow_udfs") {
            found.push((number + 1, "udfs".to_string()));
        }
    }
    found
}

#[test]
fn arrows_run_one_way() {
    let table = table();
    let mut sources = Vec::new();
    files(Path::new("src"), &mut sources);
    let mut wrong = Vec::new();
    for path in sources {
        let room = room_of(&path);
        if ["lib", "main"].contains(&room.as_str()) {
            continue;
        }
        let Some(may) = table.get(&room) else {
            wrong.push(format!("{}: room {room} is not in ARCHITECTURE.md", path.display()));
            continue;
        };
        let text = std::fs::read_to_string(&path).unwrap();
        for (line, name) in known(&text) {
            if name != room && !may.contains(&name) {
                wrong.push(format!("{}:{line}: {room} knows {name}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// An item belongs to the room that defines it: another room that passes it on would hide an arrow.
#[test]
fn no_room_passes_on_what_is_of_another() {
    let mut sources = Vec::new();
    files(Path::new("src"), &mut sources);
    let mut wrong = Vec::new();
    for path in sources.iter().filter(|path| room_of(path) != "lib") {
        let text = std::fs::read_to_string(path).unwrap();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_start();
            let Some(named) = line.strip_prefix("pub use crate::") else { continue };
            let room: String =
                named.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if room != room_of(path) {
                wrong.push(format!("{}:{}: pub use of {room}", path.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_has_no_cycle() {
    fn visit(room: &str, table: &BTreeMap<String, Vec<String>>, path: &mut Vec<String>) {
        assert!(!path.iter().any(|p| p == room), "a cycle: {} -> {room}", path.join(" -> "));
        path.push(room.to_string());
        for next in table.get(room).into_iter().flatten() {
            visit(next, table, path);
        }
        path.pop();
    }
    let table = table();
    for room in table.keys() {
        visit(room, &table, &mut Vec::new());
    }
}

#[test]
fn every_room_of_the_table_exists() {
    for room in table().keys().filter(|room| *room != "udfs") {
        let places = [format!("src/{room}.rs"), format!("src/{room}/mod.rs")];
        assert!(places.iter().any(|p| Path::new(p).exists()), "{room}");
    }
}
