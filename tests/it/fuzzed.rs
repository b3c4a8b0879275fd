//! Bytes that somebody else wrote, of every kind that windrow reads: the seeds of fuzz/seeds and mutations of them, the
//! same ones each time. What must hold of them is in fuzz/inputs.rs; `fuzz/run` looks for worse ones.
//!
//! `WINDROW_FUZZED=FILE ./test fuzzed::KIND` runs one file instead, such as one that failed here or there.

use std::collections::BTreeSet;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

#[path = "../../fuzz/inputs.rs"]
mod inputs;

use inputs::KINDS;

/// A test for each kind, and how many mutations of each of its seeds it runs: more where an input takes less. All of
/// them together take about half a minute on two cores.
macro_rules! kinds {
    ($($kind:ident: $mutations:literal,)*) => {
        const TESTED: &[&str] = &[$(stringify!($kind)),*];
        $(#[test]
        fn $kind() {
            hold(stringify!($kind), $mutations);
        })*
    };
}

kinds! {
    config: 100,
    csv: 25,
    header: 40,
    location: 200,
    parquet: 4,
    record: 15,
    sql: 8,
    template: 100,
}

/// The bytes that a mutation may grow an input to.
const LONGEST: usize = 64 << 10;

/// Numbers that lengths and counts are replaced with.
const NUMBERS: [u32; 8] = [0, 1, 255, 65_536, 1 << 30, i32::MAX as u32, i32::MIN as u32, u32::MAX];

/// Runs the seeds of a kind and their mutations. The input at work lies in a file: a stack that overflows and memory
/// that is not there end the process without another word.
fn hold(kind: &str, mutations: u64) {
    let check = KINDS.iter().find(|(name, _)| *name == kind).unwrap().1;
    if let Some(file) = std::env::var_os("WINDROW_FUZZED") {
        return check(&std::fs::read(file).unwrap());
    }
    let (seeds, tokens) = (seeds(kind), tokens(kind));
    let scratch = std::env::temp_dir();
    let at_work = scratch.join(format!("windrow-fuzzed-{kind}-{}", std::process::id()));
    let mut wrong = Vec::new();
    for (name, seed) in &seeds {
        for number in 0..=mutations {
            let input = match number {
                0 => seed.clone(),
                _ => mutated(seed, &seeds, &tokens, Chance::of(name, number)),
            };
            std::fs::write(&at_work, &input).unwrap();
            let Err(panic) = catch_unwind(|| check(&input)) else { continue };
            let text = panic.downcast_ref::<&str>().copied();
            let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            let file = scratch.join(format!("windrow-fuzzed-{kind}-{number}-{name}"));
            std::fs::write(&file, &input).unwrap();
            wrong.push(format!(
                "{kind}, seed {name}, mutation {number}: {}\n    WINDROW_FUZZED={} ./test fuzzed::{kind}",
                text.unwrap_or("a panic"),
                file.display()
            ));
            break;
        }
    }
    std::fs::remove_file(&at_work).unwrap();
    assert!(wrong.is_empty(), "{} of {} seeds:\n{}", wrong.len(), seeds.len(), wrong.join("\n"));
}

/// The seeds of a kind by name, in order.
fn seeds(kind: &str) -> Vec<(String, Vec<u8>)> {
    let mut paths = listed(&Path::new("fuzz/seeds").join(kind));
    paths.sort();
    let seed = |path: PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, std::fs::read(path).unwrap())
    };
    paths.into_iter().map(seed).collect()
}

fn listed(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// The words of a dictionary of libFuzzer: one in double quotes a line, with `\\`, `\"` and `\x41` in it.
fn tokens(kind: &str) -> Vec<Vec<u8>> {
    let text = std::fs::read_to_string(format!("fuzz/dictionaries/{kind}.dict")).unwrap();
    let word = |line: &str| {
        let inside = line.strip_prefix('"')?.strip_suffix('"')?;
        let (mut word, mut rest) = (Vec::new(), inside.as_bytes());
        while let Some((&byte, tail)) = rest.split_first() {
            let (byte, left) = match (byte, tail) {
                (b'\\', [b'x', high, low, tail @ ..]) => {
                    let digits = [*high, *low];
                    let digits = std::str::from_utf8(&digits).ok()?;
                    (u8::from_str_radix(digits, 16).ok()?, tail)
                }
                (b'\\', [escaped, tail @ ..]) => (*escaped, tail),
                _ => (byte, tail),
            };
            word.push(byte);
            rest = left;
        }
        Some(word)
    };
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| word(line).unwrap_or_else(|| panic!("{kind}.dict: {line}"))).collect()
}

/// Chance that is the same each time: Marsaglia's xorshift, begun from a name and a number.
struct Chance(u64);

impl Chance {
    fn of(name: &str, number: u64) -> Self {
        let mix = |state: u64, byte: u8| (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let start = name.bytes().fold(0xcbf2_9ce4_8422_2325 ^ number, mix);
        let mut chance = Self(start | 1);
        for _ in 0..8 {
            chance.draw(1); // Names that are alike begin alike.
        }
        chance
    }

    /// A number below another one; 0 below 0.
    fn draw(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % (below as u64).max(1)) as usize
    }

    /// A stretch of so many bytes, of at most 64.
    fn stretch(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.draw(length);
        start..(start + 1 + self.draw(64)).min(length)
    }
}

/// A seed after one to four changes.
fn mutated(
    seed: &[u8],
    seeds: &[(String, Vec<u8>)],
    tokens: &[Vec<u8>],
    mut chance: Chance,
) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=chance.draw(4) {
        let at = chance.draw(bytes.len());
        match chance.draw(9) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << chance.draw(8),
            1 if !bytes.is_empty() => bytes[at] = [0, 255, 128, 127, b'\n', b'"'][chance.draw(6)],
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(chance.stretch(bytes.len()))),
            4 => {
                let copy = bytes[chance.stretch(bytes.len())].repeat(1 + chance.draw(40));
                bytes.splice(at..at, copy);
            }
            5 => {
                let (_, other) = &seeds[chance.draw(seeds.len())];
                bytes.truncate(at);
                bytes.extend(&other[chance.draw(other.len())..]);
            }
            6 => {
                let number = NUMBERS[chance.draw(NUMBERS.len())].to_le_bytes();
                let end = (at + number.len()).min(bytes.len());
                bytes.splice(at..end, number);
            }
            _ => {
                let token = &tokens[chance.draw(tokens.len())];
                bytes.splice(at..at, token.iter().copied());
            }
        }
    }
    bytes.truncate(LONGEST);
    bytes
}

#[test]
fn every_kind_has_all_that_it_needs() {
    let kinds = KINDS.map(|(name, _)| name);
    assert_eq!(TESTED, kinds);
    let manifest = std::fs::read_to_string("fuzz/Cargo.toml").unwrap();
    let binaries = manifest.split("[[bin]]\nname = \"").skip(1);
    let binaries: Vec<&str> = binaries.map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(binaries, kinds);
    let stems = |folder: &str| -> BTreeSet<String> {
        let stem = |path: PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
        listed(Path::new(folder)).into_iter().map(stem).collect()
    };
    for folder in ["fuzz/targets", "fuzz/seeds", "fuzz/dictionaries"] {
        assert!(stems(folder).iter().eq(kinds.iter()), "{folder}");
    }
    for kind in kinds {
        let binary = std::fs::read_to_string(format!("fuzz/targets/{kind}.rs")).unwrap();
        assert!(binary.contains(&format!("inputs::{kind}(")), "{kind}");
        assert!(!tokens(kind).is_empty(), "{kind}");
    }
    let bytes: usize = kinds.iter().flat_map(|kind| seeds(kind)).map(|(_, seed)| seed.len()).sum();
    assert!(bytes < 300_000, "{bytes} bytes of seeds: a few small ones of each sort are enough");
}
