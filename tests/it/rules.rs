//! Rules of the optimizer can be switched off by name, to find the one that a wrong value comes from.

use std::path::Path;

use windrow::exec::{DisabledRules, physical_rule_names, physical_rules};
use windrow::guards::logical_rule_names;

use super::support::{Bars, windrow};

fn prepare() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    Bars::new(4, 300).write(&folder.path().join("bars/all.parquet"));
    folder
}

/// Output and whether it is good, without some rules.
fn sql(folder: &Path, rules: &str, text: &str) -> (bool, String) {
    let words = ["sql", text, "--source", "bars=bars", "--format", "csv", "--threads", "2"];
    let output = windrow(folder).args(words).env("WINDROW_DISABLED_RULES", rules).output().unwrap();
    let text = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.success(), String::from_utf8(text).unwrap())
}

const WINDOWS: &str = "SELECT symbol, ts, rsi(close, 14) OVER w AS r, sum(volume) OVER w AS s FROM bars \
    WINDOW w AS (PARTITION BY symbol ORDER BY ts) ORDER BY symbol, ts";

const JOIN: &str = "SELECT a.symbol, a.ts, b.close, n FROM bars a JOIN bars b ON a.symbol = b.symbol AND a.ts = b.ts \
    CROSS JOIN (SELECT count(*) AS n FROM bars) ORDER BY 1, 2";

/// After an upgrade of DataFusion that renames a rule, this fails and no plan is made.
#[test]
fn every_rule_that_plans_depend_on_is_there() {
    let rules = physical_rules(&DisabledRules::default()).unwrap();
    let names: Vec<&str> = rules.iter().map(|rule| rule.name()).collect();
    assert_eq!(names[0], "first_steps");
    let at = |name: &str| names.iter().position(|known| *known == name).unwrap();
    assert_eq!(at("steps_before_requirements") + 1, at("EnsureRequirements"));
    assert!(!names.iter().any(|name| name.starts_with("FilterPushdown")), "{names:?}");
    // Repeated parts of a plan are alike after this one.
    assert!(logical_rule_names().contains(&"push_down_filter".to_string()));
}

#[test]
fn a_step_that_is_off_changes_the_plan_and_no_value() {
    let folder = prepare();
    let folder = folder.path();
    let plan = |rules: &str, text: &str| sql(folder, rules, &format!("EXPLAIN {text}")).1;
    assert!(plan("", WINDOWS).contains("StreamWindowExec"));
    let without = plan("stream_windows", WINDOWS);
    assert!(
        !without.contains("StreamWindowExec") && without.contains("WindowAggExec"),
        "{without}"
    );
    assert!(plan("", JOIN).contains("RangeJoinExec"), "{}", plan("", JOIN));
    assert!(!plan("merge_join", JOIN).contains("RangeJoinExec"));
    let (windows, join) = (sql(folder, "", WINDOWS), sql(folder, "", JOIN));
    assert!(windows.0 && join.0, "{windows:?} {join:?}");
    for rule in physical_rule_names() {
        assert_eq!(sql(folder, &rule, JOIN), join, "{rule}");
    }
    for rule in ["stream_windows", "settle_window_order", "merge_join", "swap_cross_join"] {
        assert_eq!(sql(folder, rule, WINDOWS), windows, "{rule}");
    }
}

#[test]
fn a_guard_that_is_off_shows_the_value_without_it() {
    let folder = prepare();
    // 1 is in the rows, and of 2 nobody knows, for NULL is among them.
    let text = "SELECT count(*) AS n FROM (VALUES (1), (2)) t(x) \
        WHERE (x IN (SELECT y FROM (VALUES (1), (NULL)) u(y))) IS NULL";
    assert_eq!(sql(folder.path(), "", text), (true, "n\n1\n".to_string()));
    let without = sql(folder.path(), "membership_of_three_values", text);
    assert_eq!(without, (true, "n\n0\n".to_string()));
}

#[test]
fn what_is_wrong_with_rules_is_named() {
    let folder = prepare();
    let folder = folder.path();
    let (good, told) = sql(folder, "stream_window", "SELECT 1");
    assert!(!good);
    assert_eq!(
        told,
        "error: disabled_rules: there is no rule stream_window; did you mean stream_windows?\n"
    );
    for rule in ["EnsureRequirements", "push_down_filter", "type_coercion"] {
        let (good, told) = sql(folder, rule, "SELECT 1");
        let expected = format!("error: disabled_rules: {rule} cannot be switched off; ");
        assert!(!good && told.starts_with(&expected), "{told}");
    }
    std::fs::write(folder.join("s.sql"), "SELECT symbol, ts, close FROM bars").unwrap();
    for words in [
        &["run", "s.sql", "--source", "bars=bars", "--to", "out"][..],
        &["compact", "bars", "out"],
        &["sql", "COPY (SELECT 1) TO 'a.csv'", "--write"],
    ] {
        let output = windrow(folder)
            .args(words)
            .env("WINDROW_DISABLED_RULES", "merge_join")
            .output()
            .unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?} {told}");
        assert!(told.contains("error: disabled_rules is merge_join: without a rule, "), "{told}");
        assert!(!folder.join("out/_windrow").exists() && !folder.join("a.csv").exists());
    }
}
