//! `docs/report.schema.json` describes what the program prints for programs: every key that is
//! printed stands there, every key that stands there is printed, and both say the same of it.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::sync::LazyLock;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use windrow::report::{
    ExportReport, FunctionReport, HistoryReport, LimitReport, PlanReport, ProgressEvent, RunReport,
    VacuumReport,
};

use super::support::{self, Bars, write_parquet};

/// Commands: the definition of what they print, their words, their exit code (-1 of those that are
/// killed), and where they are killed or wait.
const COMMANDS: [(&str, &str, i32, &str); 13] = [
    // The run waits before it commits, so that it tells how far it is.
    ("run", "run set.sql --to out --json --progress json", 0, "wait:rows-written"),
    ("run", "run queries/wrong.sql --to none --progress json", 1, ""),
    ("run", "run queries/good.sql --source bars=files --to part --keep-going --json", 1, ""),
    ("run", "compact bars sorted --json", 0, ""),
    ("export", "export queries --json", 1, ""),
    ("export", "export queries --resume --json", 1, ""),
    ("run", "run set.sql --to out", -1, "rows-written"),
    ("runs", "runs out --json", 0, ""),
    ("vacuum", "vacuum out --json", 0, ""),
    ("plan", "explain set.sql --json", 0, ""),
    ("functions", "functions --json", 0, ""),
    ("function", "functions rsi --json", 0, ""),
    ("limits", "limits --json", 0, ""),
];

/// What the commands print, each document with the name of its definition.
static DOCUMENTS: LazyLock<Vec<(&str, String)>> = LazyLock::new(|| {
    let folder = prepare();
    let mut documents = Vec::new();
    for (definition, words, code, fault) in COMMANDS {
        let mut command = support::windrow(folder.path());
        command.args(words.split_whitespace()).env("WINDROW_FAULT", fault);
        let done = command.output().unwrap();
        let printed = String::from_utf8(done.stdout).unwrap();
        let told = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code().unwrap_or(-1), code, "{words}\n{told}");
        assert_eq!(words.contains("--json"), !printed.is_empty(), "{words}\n{printed}");
        if !printed.is_empty() {
            documents.push((definition, printed));
        }
        let events = told.lines().filter(|line| line.starts_with('{'));
        documents.extend(events.map(|line| ("event", line.to_string())));
    }
    documents
});

/// Sources and sets for the commands: a set with each kind of output, one that is wrong, and one
/// that reads it.
fn prepare() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let bars = Bars::new(5, 120);
    bars.write(&path.join("bars/all.parquet"));
    for (symbol, batch) in bars.symbols.iter().zip(bars.batches()) {
        write_parquet(&path.join(format!("files/{symbol}.parquet")), &batch);
    }
    let broken = path.join("files/S002.parquet");
    let whole = fs::read(&broken).unwrap();
    fs::write(&broken, &whole[..2000]).unwrap();
    let everything = "/*\n\
        description: One output of each kind\n\
        labels: [next, level]\n\
        audits: [price > 0]\n\
        */\n\
        SELECT symbol, ts, close AS price, sma(close, 5) OVER w AS ma,\n\
        ema(close, 9) OVER w AS smooth, obv(close, volume) OVER w AS flow,\n\
        lead(close, 2) OVER w AS next,\n\
        avg(close) OVER (PARTITION BY symbol) AS level\n\
        FROM bars WINDOW w AS (PARTITION BY symbol ORDER BY ts)";
    fs::create_dir(path.join("queries")).unwrap();
    for (name, text) in [
        ("windrow.yaml", "sources: {bars: bars}\ntargets: {export: 'features/{set}'}\n"),
        ("set.sql", everything),
        ("queries/good.sql", "SELECT symbol, ts, close FROM bars"),
        ("queries/wrong.sql", "SELECT symbol, ts, clos FROM bars"),
        ("queries/above.sql", "SELECT symbol, ts, clos FROM wrong"),
    ] {
        fs::write(path.join(name), text).unwrap();
    }
    folder
}

fn schema() -> Value {
    let text = fs::read_to_string("docs/report.schema.json").unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The definitions of the schema by name.
fn definitions(schema: &Value) -> &Map<String, Value> {
    schema["$defs"].as_object().unwrap()
}

/// Where the properties stand in the schema.
fn properties(schema: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (definition, rules) in definitions(schema) {
        for (name, _) in rules["properties"].as_object().into_iter().flatten() {
            found.insert(format!("/$defs/{definition}/properties/{name}"));
        }
    }
    found
}

/// What a schema says of a document.
#[derive(Default)]
struct Found {
    /// The properties of the document, by their places in the schema.
    described: BTreeSet<String>,
    /// What the schema does not allow.
    wrong: Vec<String>,
}

impl Found {
    /// Of a document that the part of the schema at `at` describes.
    fn of(schema: &Value, at: &str, document: &Value) -> Self {
        let mut found = Self::default();
        found.hold(schema, at, document, "");
        found
    }

    /// Holds a value, which stands at `place` in its document, against the part of the schema at
    /// `at`. A word of JSON Schema that is not known here may not stand there.
    fn hold(&mut self, schema: &Value, at: &str, value: &Value, place: &str) {
        let rules = schema.pointer(at).and_then(Value::as_object);
        let rules = rules.unwrap_or_else(|| panic!("{at} is no part of the schema"));
        for (keyword, wanted) in rules {
            let fits = match keyword.as_str() {
                "$schema" | "$defs" | "title" | "description" => true,
                "$ref" => {
                    let to = wanted.as_str().and_then(|to| to.strip_prefix('#')).unwrap();
                    self.hold(schema, to, value, place);
                    true
                }
                "const" => value == wanted,
                "enum" => list(wanted).contains(value),
                "type" if wanted.is_array() => list(wanted).iter().any(|ty| is(value, ty)),
                "type" => is(value, wanted),
                "minimum" => value.as_f64().is_none_or(|number| number >= wanted.as_f64().unwrap()),
                "items" => {
                    let at = format!("{at}/items");
                    for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.hold(schema, &at, item, &format!("{place}/{number}"));
                    }
                    true
                }
                "properties" => {
                    for name in wanted.as_object().unwrap().keys() {
                        let Some(inner) = value.get(name) else { continue };
                        let at = format!("{at}/properties/{name}");
                        self.hold(schema, &at, inner, &format!("{place}/{name}"));
                        self.described.insert(at);
                    }
                    true
                }
                "required" => {
                    let there = |name: &Value| value.get(name.as_str().unwrap()).is_some();
                    list(wanted).iter().all(there)
                }
                "additionalProperties" => {
                    assert_eq!(wanted, &Value::Bool(false), "{at}");
                    let known = |name: &String| rules["properties"].get(name).is_some();
                    value.as_object().is_none_or(|object| object.keys().all(known))
                }
                "oneOf" => {
                    let branch =
                        |number: usize| Self::of(schema, &format!("{at}/oneOf/{number}"), value);
                    let branches = (0..list(wanted).len()).map(branch);
                    let fitting: Vec<Self> = branches.filter(|b| b.wrong.is_empty()).collect();
                    let one = fitting.len() == 1;
                    self.described.extend(fitting.into_iter().flat_map(|b| b.described));
                    one
                }
                other => panic!("{at}: this test does not know {other}"),
            };
            if !fits {
                self.wrong.push(format!("{place}: {at}/{keyword} does not allow {value}"));
            }
        }
    }
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

/// Whether a value is of a type of JSON Schema.
fn is(value: &Value, ty: &Value) -> bool {
    match ty.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is no type"),
    }
}

#[test]
fn the_schema_describes_what_is_printed_and_nothing_else() {
    let schema = schema();
    let mut described = BTreeSet::new();
    for (definition, text) in DOCUMENTS.iter() {
        let document: Value = serde_json::from_str(text).unwrap();
        for at in [String::new(), format!("/$defs/{definition}")] {
            let found = Found::of(&schema, &at, &document);
            assert!(found.wrong.is_empty(), "{definition}: {:#?}\n{text}", found.wrong);
            described.extend(found.described);
        }
    }
    let all = properties(&schema);
    let never: Vec<&String> = all.difference(&described).collect();
    assert!(never.is_empty(), "no command printed {never:#?}");
    for (definition, rules) in definitions(&schema) {
        assert!(rules["description"].is_string(), "{definition}");
        let object = rules["type"] == "object";
        let closed = object && rules["additionalProperties"] == Value::Bool(false);
        assert_eq!(rules.get("properties").is_some(), closed, "{definition}");
    }
}

#[test]
fn a_key_that_is_missing_or_added_or_of_another_type_is_noticed() {
    let schema = schema();
    let mut tried = 0;
    for (definition, text) in DOCUMENTS.iter() {
        let document: Value = serde_json::from_str(text).unwrap();
        let Some(object) = document.as_object() else { continue };
        let mut changed = Vec::new();
        for key in object.keys() {
            let (mut without, mut other) = (object.clone(), object.clone());
            without.remove(key);
            other.insert(key.clone(), Value::Object(Map::new()));
            changed.extend([(key.as_str(), without), (key.as_str(), other)]);
        }
        let mut more = object.clone();
        more.insert("more".to_string(), Value::Null);
        changed.push(("more", more));
        for (key, changed) in changed {
            let changed = Value::Object(changed);
            for at in [String::new(), format!("/$defs/{definition}")] {
                let found = Found::of(&schema, &at, &changed);
                assert!(!found.wrong.is_empty(), "{definition}, {key}: {changed}");
                tried += 1;
            }
        }
    }
    assert!(tried > 100, "{tried}");
}

#[test]
fn reports_come_back_as_they_were() {
    for (definition, text) in DOCUMENTS.iter() {
        match *definition {
            "run" => comes_back::<RunReport>(text),
            "export" => comes_back::<ExportReport>(text),
            "plan" => comes_back::<PlanReport>(text),
            "runs" => comes_back::<HistoryReport>(text),
            "vacuum" => comes_back::<VacuumReport>(text),
            "function" => comes_back::<FunctionReport>(text),
            "functions" => comes_back::<Vec<FunctionReport>>(text),
            "limits" => comes_back::<Vec<LimitReport>>(text),
            "event" => comes_back::<ProgressEvent>(text),
            other => panic!("{other} has no report"),
        }
    }
}

/// A report that is read and written has the same keys and values, in the same order.
fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(text: &str) {
    let document: Value = serde_json::from_str(text).unwrap();
    let report: T = serde_json::from_str(text).unwrap();
    let written = serde_json::to_string_pretty(&report).unwrap();
    assert_eq!(written, serde_json::to_string_pretty(&document).unwrap());
    let again: T = serde_json::from_value(serde_json::to_value(&report).unwrap()).unwrap();
    assert_eq!(again, report);
}

/// The definitions of the structs in `src/report/`, and of the events.
const DEFINITIONS: [(&str, &str); 20] = [
    ("RunReport", "run"),
    ("ColumnReport", "column"),
    ("InputReport", "input"),
    ("AuditReport", "audit"),
    ("LeftOutReport", "left_out"),
    ("ExportReport", "export"),
    ("ExportedSet", "exported_set"),
    ("PlanReport", "plan"),
    ("OutputReport", "output"),
    ("HistoryStep", "history_step"),
    ("HistoryReport", "runs"),
    ("PastRun", "committed_run"),
    ("VacuumReport", "vacuum"),
    ("FunctionReport", "function"),
    ("Parameter", "parameter"),
    ("LimitReport", "limit"),
    ("Started", "started"),
    ("Progress", "progress"),
    ("Finished", "finished"),
    ("Failed", "failed"),
];

/// The fields of the structs and events in `src/report/`: whose they are, their keys, and their
/// comments.
fn fields() -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("src/report").unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let mut owner = "";
        let mut words: Vec<&str> = Vec::new();
        let mut renamed: Option<&str> = None;
        for line in text.lines().map(str::trim) {
            if let Some(comment) = line.strip_prefix("/// ") {
                words.push(comment);
                continue;
            }
            if line.starts_with("#[") {
                let name = line.strip_prefix("#[serde(rename = \"");
                renamed = name.and_then(|name| name.split('"').next()).or(renamed);
                continue;
            }
            let opened = line.strip_suffix(" {").unwrap_or_default();
            let opened = opened.strip_prefix("pub struct ").unwrap_or(opened);
            if opened.starts_with(char::is_uppercase) && opened.chars().all(char::is_alphanumeric) {
                owner = opened;
            }
            let field = line.strip_prefix("pub ").unwrap_or(line).split_once(": ");
            if let Some((name, _)) = field.filter(|_| line.ends_with(',') && !words.is_empty()) {
                let key = renamed.unwrap_or(name);
                found.push((owner.to_string(), key.to_string(), words.join(" ")));
            }
            words.clear();
            renamed = None;
        }
    }
    found
}

#[test]
fn the_schema_says_of_each_key_what_the_code_says() {
    let schema = schema();
    let mut said = BTreeSet::new();
    for (owner, key, comment) in fields() {
        let definition = DEFINITIONS.iter().find(|(name, _)| *name == owner);
        let (_, definition) = definition.unwrap_or_else(|| panic!("{owner} has no definition"));
        let at = format!("/$defs/{definition}/properties/{key}");
        let described = schema.pointer(&format!("{at}/description")).and_then(Value::as_str);
        assert_eq!(described, Some(comment.as_str()), "{owner}, {key}");
        said.insert(at);
    }
    // The name of an event is that of its variant, and no field.
    let mut all = properties(&schema);
    all.retain(|at| !at.ends_with("/properties/event"));
    assert_eq!(said, all);
}
