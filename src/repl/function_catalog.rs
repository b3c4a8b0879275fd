//! Every function that a query may call: windrow's, and those that DataFusion ships.

use crate::error::{Error, Result, did_you_mean};
use datafusion::logical_expr::Documentation;
use datafusion::{functions, functions_aggregate, functions_nested, functions_window};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// The column in which the names of `\f` start.
const INDENT: usize = 27;

/// The names of the functions, with their signatures and documentation.
#[derive(Debug, Default)]
pub(super) struct FunctionCatalog {
    /// The signatures of windrow's functions, by name.
    signatures: BTreeMap<String, String>,
    /// The documentation of DataFusion's functions, by name.
    shipped: BTreeMap<String, Option<Documentation>>,
}

impl FunctionCatalog {
    pub(super) fn new() -> Self {
        let signatures = windrow_udfs::all_functions()
            .map(|entry| (entry.spec.name.to_string(), entry.spec.call_signature()))
            .collect();
        let mut shipped = BTreeMap::new();
        let mut take = |name: &str, text: Option<&Documentation>| {
            if name.chars().all(super::lexer::is_word_char) {
                shipped.insert(name.to_string(), text.cloned());
            }
        };
        for f in functions::all_default_functions() {
            take(f.name(), f.documentation());
        }
        for f in functions_nested::all_default_nested_functions() {
            take(f.name(), f.documentation());
        }
        for f in functions_aggregate::all_default_aggregate_functions() {
            take(f.name(), f.documentation());
        }
        for f in functions_window::all_default_window_functions() {
            take(f.name(), f.documentation());
        }
        Self { signatures, shipped }
    }

    /// Returns every name, in alphabetical order.
    pub(super) fn function_names(&self) -> BTreeSet<&str> {
        self.signatures.keys().chain(self.shipped.keys()).map(String::as_str).collect()
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.signatures.contains_key(name) || self.shipped.contains_key(name)
    }

    /// Returns the signature of a function: `rsi(close, timeperiod => 14) -> double`.
    pub(super) fn find_signature(&self, name: &str) -> Option<String> {
        let shipped = || Some(self.shipped.get(name)?.as_ref()?.syntax_example.clone());
        self.signatures.get(name).cloned().or_else(shipped)
    }

    /// Writes the list of `\f`: windrow's functions by group, and the number of the others.
    pub(super) fn list_by_group(&self, width: usize) -> String {
        let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
        for entry in windrow_udfs::all_functions() {
            let group = entry.spec.group.to_string();
            match groups.last_mut() {
                Some((last, names)) if *last == group => names.push(entry.spec.name),
                _ => groups.push((group, vec![entry.spec.name])),
            }
        }
        let mut text = String::new();
        for (group, names) in &groups {
            let _ = write!(text, "{group:<INDENT$}");
            let mut used = INDENT;
            for name in names {
                if used + name.len() > width {
                    let _ = write!(text, "\n{:INDENT$}", "");
                    used = INDENT;
                }
                let _ = write!(text, "{name} ");
                used += name.len() + 1;
            }
            let _ = writeln!(text);
        }
        let others = self.shipped.len();
        let _ = writeln!(text, "and {others} of SQL's own, such as lag or date_trunc");
        let _ = writeln!(text, "\\f NAME tells about one");
        text
    }

    /// Returns the documentation of one function in lines of this width; both texts if windrow and DataFusion
    /// have a function of this name.
    ///
    /// # Errors
    /// If there is no such function; the error names the nearest one.
    pub(super) fn describe_function(&self, name: &str, width: usize) -> Result<String> {
        let name = name.trim_end_matches("()").to_lowercase();
        let mut parts = Vec::new();
        if let Some(entry) = windrow_udfs::find_function(&name) {
            parts.push(windrow_udfs::docs::describe_entry(entry));
        }
        if let Some(text) = self.shipped.get(&name) {
            parts.push(describe_shipped(&name, text.as_ref()));
        }
        if parts.is_empty() {
            let hint = match did_you_mean(&name, "functions", self.function_names()) {
                near if near.starts_with("did") => near,
                _ => "\\f lists them all".to_string(),
            };
            return Err(Error::query(format!("unknown function {name}")).hint(hint));
        }
        Ok(wrap_documentation(&parts.join("\n"), width))
    }
}

/// Breaks long lines between words. Keeps lines indented by four spaces, which are code or tables.
fn wrap_documentation(text: &str, width: usize) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let indent = if line.starts_with("- ") { "  " } else { "" };
        let mut used = 0;
        for word in line.split(' ').filter(|_| !line.starts_with("    ")) {
            let length = word.chars().count();
            if used > 0 && used + 1 + length > width {
                out.push('\n');
                out.push_str(indent);
                used = indent.len();
            } else if used > 0 {
                out.push(' ');
                used += 1;
            }
            out.push_str(word);
            used += length;
        }
        if line.starts_with("    ") {
            out.push_str(line);
        }
        out.push('\n');
    }
    out
}

fn describe_shipped(name: &str, text: Option<&Documentation>) -> String {
    let Some(text) = text else { return format!("SQL's {name}: no documentation\n") };
    let mut out =
        format!("SQL's {name}: {}\n\n    {}\n", text.description.trim(), text.syntax_example);
    for (argument, meaning) in text.arguments.iter().flatten() {
        let _ = write!(out, "\n- {argument}: {}", meaning.trim());
    }
    if text.arguments.is_some() {
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_and_shipped() {
        let functions = FunctionCatalog::new();
        assert!(
            functions.contains("rsi") && functions.contains("lag") && functions.contains("abs")
        );
        assert!(
            functions.find_signature("rsi").unwrap().starts_with("rsi(close, timeperiod => 14)")
        );
        assert!(functions.describe_function("rsi", 80).unwrap().contains("rsi(close"));
        assert!(functions.describe_function("LAG()", 80).unwrap().starts_with("SQL's lag: "));
        assert!(functions.list_by_group(80).contains(" rsi "));
        assert!(functions.list_by_group(60).lines().all(|line| line.trim_end().len() <= 60));
        let error = functions.describe_function("rsii", 80).unwrap_err().to_string();
        assert_eq!(error, "unknown function rsii; did you mean rsi?");
        let error = functions.describe_function("zzzzzzzzzz", 80).unwrap_err().to_string();
        assert_eq!(error, "unknown function zzzzzzzzzz; \\f lists them all");
    }

    #[test]
    fn long_lines_break_between_words() {
        let cases = [
            ("one two three", "one two\nthree\n"),
            ("- a: one two", "- a: one\n  two\n"),
            ("    code that stays", "    code that stays\n"),
            ("unbreakable", "unbreakable\n"),
            ("", ""),
            ("a\n\nb", "a\n\nb\n"),
        ];
        for (text, expected) in cases {
            assert_eq!(wrap_documentation(text, 8), expected, "{text}");
        }
    }
}
