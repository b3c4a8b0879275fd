//! Digests of a computation and of its inputs: equal only where the results are equal bit for bit.
//!
//! Two digests identify a run, so that each can be compared alone. The digest of its definition covers what
//! is computed and how it is written; the digest of its inputs covers the rows that it reads.

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest, Sha256};

/// Everything that a commit depends on, except the rows of its sources.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Definition {
    /// The versions of the programs that compute, by name.
    pub versions: BTreeMap<&'static str, String>,
    /// The set and the sets that it reads, in the order in which they are read. Each has its name and its SQL
    /// as planned, with the parameters filled in.
    pub statements: Vec<(String, String)>,
    /// The indicators that the statements call, each with the version of its computation.
    pub functions: BTreeMap<String, u32>,
    /// The sources that the statements read, by name.
    pub sources: BTreeMap<String, SourceDefinition>,
    /// The header's declarations that belong to the output, by key.
    pub header: BTreeMap<&'static str, Vec<String>>,
    /// Names and types of the columns as written to the target.
    pub columns: Vec<(String, String)>,
    /// The compression of the pages of parquet files; empty for targets without pages.
    pub compression: String,
}

/// The definition of a source, without its rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SourceDefinition {
    /// Names and types of the columns.
    pub columns: Vec<(String, String)>,
    /// The settings that decide which rows count and what they mean.
    pub policy: Vec<(&'static str, String)>,
}

impl Definition {
    /// Returns the digest: 32 hexadecimal digits.
    pub fn digest(&self) -> String {
        // JSON delimits each text.
        truncated_sha256(serde_json::to_string(self).unwrap_or_default().as_bytes())
    }
}

/// Returns the digest of the rows of some files or tables. Each of them has a location, a number of bytes,
/// and a state that distinguishes these bytes from others. None if the state of one of them is unknown.
pub fn digest_inputs(
    files: impl IntoIterator<Item = (String, u64, Option<String>)>,
) -> Option<String> {
    let known = files.into_iter().map(|(place, bytes, state)| Some((place, bytes, state?)));
    let mut known = known.collect::<Option<Vec<_>>>()?;
    known.sort_unstable();
    Some(truncated_sha256(serde_json::to_string(&known).ok()?.as_bytes()))
}

/// Returns the digest of some texts, which also depends on where each text ends.
pub fn digest_texts(texts: &[&str]) -> String {
    truncated_sha256(serde_json::to_string(texts).unwrap_or_default().as_bytes())
}

/// Returns the first half of SHA-256 as 32 hexadecimal digits.
fn truncated_sha256(bytes: &[u8]) -> String {
    encode_hex(&Sha256::digest(bytes)[..16])
}

/// Returns bytes as hexadecimal digits.
pub fn encode_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect()
    }

    #[test]
    fn every_ingredient_of_a_definition_counts() {
        let source = SourceDefinition {
            columns: texts(&[("close", "Float64")]),
            policy: vec![("duplicates", "last".into())],
        };
        let one = Definition {
            versions: BTreeMap::from([("windrow", "1".into())]),
            statements: texts(&[("a", "SELECT 1"), ("b", "SELECT 2")]),
            functions: BTreeMap::from([("rsi".into(), 1)]),
            sources: BTreeMap::from([("bars".into(), source)]),
            header: BTreeMap::from([("labels", vec!["x".into(), "y".into()])]),
            columns: texts(&[("rsi_14", "Float64")]),
            compression: "zstd:1".into(),
        };
        let mut others = vec![one.clone(); 11];
        others[0].versions.insert("windrow", "2".into());
        others[1].statements.swap(0, 1);
        others[2].statements[1].1 = "SELECT 3".into();
        others[3].functions.insert("rsi".into(), 2);
        others[4].sources.clear();
        for (other, change) in others[5..].iter_mut().zip(0..) {
            let bars = other.sources.get_mut("bars").unwrap();
            match change {
                0 => bars.columns[0].1 = "Float32".into(),
                1 => bars.policy[0].1 = "first".into(),
                // The end of a text is part of the digest.
                2 => other.header = BTreeMap::from([("labels", vec!["xy".into()])]),
                3 => other.header = BTreeMap::from([("audits", vec!["x".into(), "y".into()])]),
                4 => other.columns[0].1 = "Float32".into(),
                _ => other.compression = "lz4".into(),
            }
        }
        let digests: std::collections::BTreeSet<String> =
            others.iter().chain([&one]).map(Definition::digest).collect();
        assert_eq!(digests.len(), 12);
        assert_eq!(one.digest(), one.clone().digest());
    }

    #[test]
    fn files_are_known_by_path_length_and_state_in_any_order() {
        let files = |list: &[(&str, u64, Option<&str>)]| {
            let owned = |state: Option<&str>| state.map(str::to_string);
            digest_inputs(
                list.iter().map(|(path, bytes, state)| (path.to_string(), *bytes, owned(*state))),
            )
        };
        let one = files(&[("a", 1, Some("s")), ("b", 2, Some("t"))]);
        assert!(one.is_some());
        assert_eq!(one, files(&[("b", 2, Some("t")), ("a", 1, Some("s"))]));
        for other in [
            files(&[("a", 1, Some("s"))]),
            files(&[("a", 1, Some("s")), ("c", 2, Some("t"))]),
            files(&[("a", 1, Some("s")), ("b", 3, Some("t"))]),
            files(&[("a", 1, Some("s")), ("b", 2, Some("u"))]),
        ] {
            assert_ne!(one, other);
        }
        assert_eq!(files(&[("a", 1, Some("s")), ("b", 2, None)]), None);
    }
}
