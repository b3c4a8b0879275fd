//! Arrows between the files of a room run one way, too.
//!
//! The units of a folder are its files and folders. An arrow goes to the unit that defines what a path names: a name
//! that `mod.rs` passes on belongs to the file it comes from, and what `mod.rs` defines to the folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::syntax::{CRATES, read_sources};

/// The path of a module below its crate.
type ModulePath = Vec<String>;

/// The modules of a crate, with the code of each.
struct Modules {
    code: BTreeMap<ModulePath, String>,
    /// The names that each module imports, with their paths as written.
    imports: BTreeMap<ModulePath, BTreeMap<String, Vec<String>>>,
}

impl Modules {
    fn read(folder: &str) -> Self {
        let mut code = BTreeMap::new();
        for file in read_sources(folder) {
            let below = file.path.strip_prefix(folder).unwrap();
            if below != Path::new("main.rs") && !below.ends_with("tests.rs") {
                code.insert(module_path(below), without_comments(file.without_tests()));
            }
        }
        let imported = |code: &String| -> BTreeMap<String, Vec<String>> {
            let paths = use_trees(code).into_iter().filter(|path| !path.is_empty());
            paths.map(|path| (path[path.len() - 1].clone(), path)).collect()
        };
        let imports = code.iter().map(|(path, code)| (path.clone(), imported(code))).collect();
        Self { code, imports }
    }

    /// A path of a module, counted from the crate; None if it leads out of it.
    fn absolute(&self, module: &[String], path: &[String]) -> Option<ModulePath> {
        let rest = |from: usize| path[from..].iter().cloned();
        let ups = path.iter().take_while(|word| *word == "super").count();
        match path.first()?.as_str() {
            "crate" => Some(rest(1).collect()),
            "self" => Some(module.iter().cloned().chain(rest(1)).collect()),
            "super" => {
                let above = module.len().checked_sub(ups)?;
                Some(module[..above].iter().cloned().chain(rest(ups)).collect())
            }
            first => {
                let child: ModulePath = module.iter().cloned().chain([first.to_string()]).collect();
                self.code.contains_key(&child).then(|| child.into_iter().chain(rest(1)).collect())
            }
        }
    }

    /// The module that defines what a path names.
    fn definer(&self, path: &[String], depth: usize) -> Option<ModulePath> {
        let longest = (0..=path.len()).rev().find(|end| self.code.contains_key(&path[..*end]))?;
        let module = &path[..longest];
        if let Some(name) = path.get(longest).filter(|_| depth < 8)
            && let Some(import) = self.imports[module].get(name)
            && let Some(mut origin) = self.absolute(module, import)
            && origin != path[..=longest]
        {
            origin.extend_from_slice(&path[longest + 1..]);
            return self.definer(&origin, depth + 1);
        }
        Some(module.to_vec())
    }

    /// The modules that a module names.
    fn named_by(&self, module: &ModulePath) -> BTreeSet<ModulePath> {
        let code = &self.code[module];
        let paths = use_trees(code).into_iter().chain(inline_paths(code));
        let definer = |path: Vec<String>| self.definer(&self.absolute(module, &path)?, 0);
        paths.filter_map(definer).collect()
    }

    /// Arrows between the units of each folder.
    fn arrows(&self) -> BTreeMap<ModulePath, BTreeMap<String, BTreeSet<String>>> {
        let mut arrows: BTreeMap<_, BTreeMap<_, BTreeSet<_>>> = BTreeMap::new();
        for from in self.code.keys() {
            for to in self.named_by(from) {
                let same = from.iter().zip(&to).take_while(|(from, to)| from == to).count();
                if same < from.len() && same < to.len() {
                    let folder = arrows.entry(from[..same].to_vec()).or_default();
                    folder.entry(from[same].clone()).or_default().insert(to[same].clone());
                }
            }
        }
        arrows
    }
}

fn module_path(file: &Path) -> ModulePath {
    let words = file.with_extension("");
    let mut words: ModulePath =
        words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    if words.last().is_some_and(|last| last == "mod" || last == "lib") {
        words.pop();
    }
    words
}

/// Code without comments and texts.
fn without_comments(code: &str) -> String {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let lines = code.lines().filter(is_code);
    lines.map(|line| line.split(" // ").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The paths of all `use` declarations.
fn use_trees(code: &str) -> Vec<Vec<String>> {
    let declarations = code.match_indices("use ").filter(|(at, _)| {
        let before = code[..*at].rsplit('\n').next().unwrap_or_default().trim_start();
        before.is_empty() || (before.starts_with("pub") && before.ends_with(' '))
    });
    let mut paths = Vec::new();
    for (at, word) in declarations {
        let tree = code[at + word.len()..].split(';').next().unwrap_or_default();
        expand_tree(tree, &mut Vec::new(), &mut paths);
    }
    paths
}

/// Expands `a::{b, c::{d, e}}` to its paths.
fn expand_tree(tree: &str, before: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let name = tree.split(" as ").next().unwrap_or_default();
        if !name.is_empty() {
            let words = name.split("::").map(|word| word.trim().to_string());
            paths.push(before.iter().cloned().chain(words).collect());
        }
        return;
    };
    let depth = before.len();
    before.extend(tree[..open].split("::").filter(|word| !word.is_empty()).map(str::to_string));
    let inside = &tree[open + 1..tree.rfind('}').unwrap_or(tree.len())];
    let (mut brackets, mut start) = (0, 0);
    for (at, c) in inside.char_indices() {
        match c {
            '{' => brackets += 1,
            '}' => brackets -= 1,
            ',' if brackets == 0 => {
                expand_tree(&inside[start..at], before, paths);
                start = at + 1;
            }
            _ => {}
        }
    }
    expand_tree(&inside[start..], before, paths);
    before.truncate(depth);
}

/// The paths that code names outside of `use`.
fn inline_paths(code: &str) -> Vec<Vec<String>> {
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let paths = code.split(|c: char| !word(c)).filter(|path| path.contains("::"));
    paths
        .map(|path| path.split("::").filter(|word| !word.is_empty()).map(str::to_string).collect())
        .filter(|path: &Vec<String>| path.len() > 1)
        .collect()
}

/// One way from a unit back to itself.
fn find_circle(arrows: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn visit(
        unit: &str,
        arrows: &BTreeMap<String, BTreeSet<String>>,
        way: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> Option<Vec<String>> {
        if let Some(at) = way.iter().position(|known| known == unit) {
            let circle = way[at..].iter().cloned().chain([unit.to_string()]);
            return Some(circle.collect());
        }
        if done.contains(unit) {
            return None;
        }
        way.push(unit.to_string());
        let next = arrows.get(unit).into_iter().flatten();
        let found = next.into_iter().find_map(|next| visit(next, arrows, way, done));
        way.pop();
        done.insert(unit.to_string());
        found
    }
    let mut done = BTreeSet::new();
    arrows.keys().find_map(|unit| visit(unit, arrows, &mut Vec::new(), &mut done))
}

#[test]
fn files_of_a_room_have_no_circle() {
    let mut wrong = Vec::new();
    for folder in CRATES {
        let arrows = Modules::read(folder).arrows();
        assert!(!arrows.is_empty(), "no arrows are found in {folder}");
        // Between rooms, ARCHITECTURE.md decides: rooms.rs.
        let inside = arrows.iter().filter(|(room, _)| folder != "src" || !room.is_empty());
        for (room, arrows) in inside {
            if let Some(circle) = find_circle(arrows) {
                wrong.push(format!("{folder}/{}: {}", room.join("/"), circle.join(" -> ")));
            }
        }
    }
    assert!(wrong.is_empty(), "circles of files:\n{}", wrong.join("\n"));
}

#[test]
fn paths_are_expanded() {
    let mut paths = Vec::new();
    expand_tree("super::{a::{B, C as D}, e}", &mut Vec::new(), &mut paths);
    let paths: Vec<String> = paths.iter().map(|path| path.join("::")).collect();
    assert_eq!(paths, ["super::a::B", "super::a::C", "super::e"]);
    let arrow = |from: &str, to: &str| (from.to_string(), BTreeSet::from([to.to_string()]));
    let arrows = BTreeMap::from([arrow("a", "b"), arrow("b", "c"), arrow("c", "b")]);
    assert_eq!(find_circle(&arrows).unwrap(), ["b", "c", "b"]);
    assert_eq!(find_circle(&BTreeMap::from([arrow("a", "b")])), None);
}
