//! `windrow repl`, driven as a person does, through a pseudo-terminal, and as a script does,
//! through a pipe.

use rexpect::session::{Options, PtySession, spawn_with_options};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_windrow");

/// Sixty daily bars of two symbols.
fn bars(folder: &Path) {
    let mut text = String::from("symbol,ts,open,high,low,close,volume\n");
    for (symbol, base) in [("AAPL", 100.0), ("MSFT", 400.0)] {
        for day in 0..60 {
            let close = base + f64::from(day % 7) + f64::from(day) / 8.0;
            let (high, low) = (close + 1.0, close - 1.0);
            let ts = format!("2024-{:02}-{:02}", 1 + day / 28, 1 + day % 28);
            writeln!(text, "{symbol},{ts},{close},{high},{low},{close},{}", 1000 + day).unwrap();
        }
    }
    fs::write(folder.join("bars.csv"), text).unwrap();
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(BINARY);
    command
        .args(["repl", "--source", "bars=bars.csv"])
        .current_dir(folder)
        .env("XDG_STATE_HOME", folder.join("state"))
        .env("TERM", "xterm")
        .env("NO_COLOR", "1");
    command
}

/// A session in a terminal.
struct Person(PtySession);

impl Person {
    fn sits_down(command: Command) -> Self {
        let options = Options::new().timeout_ms(Some(60_000)).strip_ansi_escape_codes(true);
        let mut person = Self(spawn_with_options(command, options).unwrap());
        person.sees(&["\\? for help", "windrow> "]);
        person
    }

    fn sees(&mut self, texts: &[&str]) {
        for text in texts {
            // The terminal is read byte by byte.
            let bytes: String = text.bytes().map(char::from).collect();
            if let Err(error) = self.0.exp_string(&bytes) {
                panic!("waiting for {text:?}: {error}");
            }
        }
    }

    fn presses(&mut self, keys: &str) {
        self.0.send(keys).unwrap();
        self.0.flush().unwrap();
    }

    /// Types a line; sees the texts one after the other, and then the next prompt.
    fn types(&mut self, line: &str, then: &[&str]) {
        self.0.send_line(line).unwrap();
        self.sees(then);
        self.sees(&["windrow> "]);
    }

    /// Types a line that does not end its statement.
    fn begins(&mut self, line: &str) {
        self.0.send_line(line).unwrap();
        self.sees(&["     -> "]);
    }

    fn leaves(mut self) {
        self.0.send_line("\\q").unwrap();
        self.0.exp_eof().unwrap();
        let status = format!("{:?}", self.0.process().wait().unwrap());
        assert!(status.starts_with("Exited(") && status.ends_with(", 0)"), "{status}");
    }
}

fn piped(folder: &Path, input: &str) -> Output {
    let mut command = command(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn statements() {
    let folder = tempfile::tempdir().unwrap();
    bars(folder.path());
    let mut person = Person::sits_down(command(folder.path()));
    // Three lines, with a semicolon in a string; then two statements on one line.
    person.begins("SELECT symbol, ';' AS semi,");
    person.begins("  count(*) AS n");
    person.types(
        "FROM bars GROUP BY symbol ORDER BY symbol;",
        &["│ AAPL", "60 │", "│ MSFT", "(2 rows)"],
    );
    person.types("SELECT 1 AS one; SELECT 2 AS two;", &["one", "(1 row)", "two", "(1 row)"]);
    // A command in the middle of a statement leaves it waiting.
    person.begins("SELECT 3");
    person.begins("\\timing off");
    person.types("AS three;", &["three", "(1 row)"]);
    // What is longer than the screen is cut, with a count.
    person.types("SELECT * FROM bars;", &["2024-01-01", "…", "(120 rows, 16 shown)"]);
    person.types("\\rows 4", &["4 rows are shown"]);
    person.types("SELECT * FROM bars;", &["(120 rows, 4 shown)"]);
    person.leaves();
}

#[test]
fn what_a_user_registers_wins_over_a_set_of_its_name() {
    let folder = tempfile::tempdir().unwrap();
    bars(folder.path());
    let input = "CREATE VIEW volume AS SELECT 42 AS answer;\nSELECT * FROM volume;\n\
                 SELECT count(*) AS n FROM returns;\nCREATE TABLE returns AS SELECT 43 AS answer;\n\
                 SELECT * FROM returns;\n";
    let output = piped(folder.path(), &format!("\\format csv\n{input}"));
    let shown = text(&output.stdout);
    assert!(shown.starts_with("answer\n42\nn\n120\nanswer\n43\n"), "{shown}");
}

#[test]
fn commands() {
    let folder = tempfile::tempdir().unwrap();
    bars(folder.path());
    let mut person = Person::sits_down(command(folder.path()));
    let cases: [(&str, &[&str]); 18] = [
        ("\\d", &["table", "│ bars", "bars.csv", "(1 row)"]),
        ("\\d bars", &["│ symbol", "varchar", "│ close", "double", "(7 rows)"]),
        ("\\d barz", &["error: unknown table barz; did you mean bars?"]),
        ("\\f", &["Momentum indicators", "rsi ", "SQL's own"]),
        ("\\f rsi", &["index. ", "rsi(close, timeperiod => 14)"]),
        ("\\f rsii", &["error: unknown function rsii; did you mean rsi?"]),
        ("\\timming", &["error: unknown command \\timming; did you mean \\timing?"]),
        ("\\?", &["\\plot COLUMN", "\\unset NAME", "Ctrl-C"]),
        ("\\timing on", &["timing is on"]),
        ("SELECT 1;", &["(1 row)", "Time: "]),
        ("\\timing", &["timing is off"]),
        ("\\timing maybe", &["error: \\timing takes on or off, not maybe"]),
        ("\\format json", &["format is json"]),
        ("SELECT 1 AS one;", &["[", "{\"one\":1}", "]"]),
        ("SELECT * FROM bars;", &["\"AAPL\"", "120 rows, the first 16 shown"]),
        ("\\format xml", &["error: unknown format xml, expected table, csv, json, markdown"]),
        ("\\format table", &["format is table"]),
        ("help", &["this help"]),
    ];
    for (line, then) in cases {
        person.types(line, then);
    }
    person.leaves();
}

#[test]
fn errors_point_at_their_place_and_the_session_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    bars(folder.path());
    let mut person = Person::sits_down(command(folder.path()));
    person.begins("SELECT symbol,");
    let caret = ["error: ", "clos", "close", "LINE 2:   clos FROM bars", "          ^"];
    person.types("  clos FROM bars;", &caret);
    person.types("SELEC 1;", &["error: "]);
    let zero = "SELECT rsi(close, 0) OVER (PARTITION BY symbol ORDER BY ts) FROM bars;";
    person.types(zero, &["error: ", "timeperiod is 0"]);
    person.types("SELECT 7 AS seven;", &["seven", "(1 row)"]);
    person.leaves();
}

const MEANS: &str = "\
/*
description: means
params: {n: 3}
*/
SELECT symbol, ts, sma(close, {{ n }}) OVER w AS sma_{{ n }}
FROM bars
WINDOW w AS (PARTITION BY symbol ORDER BY ts)
";

#[test]
fn files_with_parameters() {
    let folder = tempfile::tempdir().unwrap();
    bars(folder.path());
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("means.sql", MEANS);
    write("two.sql", "SELECT 1 AS first;\n\\format csv\nSELECT 2 AS second;\n");
    write("again.sql", "SELECT 1 AS x;\n\\i again.sql\n");
    let mut person = Person::sits_down(command(folder.path()));
    let cases: [(&str, &[&str]); 16] = [
        ("\\set", &["no parameters"]),
        ("\\i means.sql", &["sma_3", "(120 rows, "]),
        ("\\set n=5", &[]),
        ("\\set", &["│ n", "│ 5", "(1 row)"]),
        ("\\i means.sql", &["sma_5", "(120 rows, "]),
        ("\\plot sma_5 of MSFT", &["MSFT, 60 rows", "sma_5", "2024-01-01", "2024-03-04"]),
        ("\\set 5", &["error: \\set 5: expected NAME=VALUE"]),
        ("\\unset m", &["error: parameter m is not set; did you mean n?"]),
        ("\\unset n", &[]),
        ("\\i means.sql", &["sma_3", "(120 rows, "]),
        ("\\i two.sql", &["first", "(1 row)", "format is csv", "second", "2"]),
        ("\\i again.sql", &["error: ", "files run each other 16 deep"]),
        ("\\i missing.sql", &["error: cannot read missing.sql"]),
        ("\\source more=bars.csv", &[]),
        ("SELECT count(*) AS n FROM more;", &["n", "120"]),
        ("\\source more", &["error: \\source more: expected NAME=LOCATION"]),
    ];
    for (line, then) in cases {
        person.types(line, then);
    }
    person.leaves();
}

#[test]
fn charts() {
    let folder = tempfile::tempdir().unwrap();
    bars(folder.path());
    let mut person = Person::sits_down(command(folder.path()));
    let select = "SELECT symbol, ts, close, macd(close) OVER w AS macd FROM bars \
                  WINDOW w AS (PARTITION BY symbol ORDER BY ts);";
    let cases: [(&str, &[&str]); 10] = [
        ("\\plot close", &["error: there is no result to draw yet"]),
        (
            "\\plot close, volume of MSFT from bars",
            &["MSFT, 60 rows", "close", "│", "volume", "2024-01-01"],
        ),
        (select, &["(120 rows, "]),
        ("\\plot close AAPL", &["AAPL, 60 rows", "⠒⠒ close", "2024-01-01"]),
        ("\\plot close", &["AAPL, 60 rows", "AAPL is the first of several symbols"]),
        ("\\plot macd.macdsignal of AAPL", &["AAPL, 60 rows", "macd.macdsignal"]),
        ("\\plot clos", &["error: the result has no column clos; did you mean close?"]),
        ("\\plot symbol", &["error: symbol is varchar, only numbers can be drawn"]),
        ("\\plot close of NONE", &["error: the result has no rows of NONE"]),
        ("\\plot", &["error: \\plot takes columns, such as \\plot close, sma_20 of AAPL"]),
    ];
    for (line, then) in cases {
        person.types(line, then);
    }
    person.leaves();
}

#[test]
fn ctrl_c_stops_the_query_and_not_the_program() {
    let folder = tempfile::tempdir().unwrap();
    bars(folder.path());
    let mut person = Person::sits_down(command(folder.path()));
    // At the prompt it clears what was typed, the lines above included.
    person.begins("SELECT nonsense");
    person.presses("more \u{3}");
    person.sees(&["windrow> "]);
    let endless = "bars a, bars b, bars c, bars d, bars e, bars f";
    for query in [
        format!("SELECT count(*) FROM {endless};"),
        format!("SELECT a.close FROM {endless};"),
        format!(
            "\\plot close from SELECT a.close FROM {endless} \
             WHERE a.close + b.close + c.close + d.close + e.close + f.close < 0;"
        ),
    ] {
        person.0.send_line(&query).unwrap();
        sleep(Duration::from_millis(1000));
        let start = Instant::now();
        person.presses("\u{3}");
        person.sees(&["cancelled", "windrow> "]);
        assert!(start.elapsed() < Duration::from_secs(5), "{query}: {:?}", start.elapsed());
        person.types("SELECT 7 AS seven;", &["seven", "(1 row)"]);
    }
    person.leaves();
}

#[test]
fn history_outlives_the_session() {
    let folder = tempfile::tempdir().unwrap();
    bars(folder.path());
    let mut person = Person::sits_down(command(folder.path()));
    person.begins("SELECT 'kept'");
    person.types("AS word;", &["word", "kept", "(1 row)"]);
    person.leaves();
    let history = fs::read_to_string(folder.path().join("state/windrow/history")).unwrap();
    assert!(history.contains("SELECT 'kept'\\nAS word;\n"), "{history}");

    // Two up: behind the \q lies the statement, whole.
    let mut person = Person::sits_down(command(folder.path()));
    person.presses("\u{1b}[A");
    person.sees(&["\\q"]);
    person.presses("\u{1b}[A");
    person.sees(&["SELECT 'kept'"]);
    person.types("", &["word", "kept", "(1 row)"]);
    person.leaves();
}

#[test]
fn a_history_that_cannot_be_written_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    bars(folder.path());
    fs::write(folder.path().join("state"), "a file where a directory should be").unwrap();
    let mut person = Person::sits_down(command(folder.path()));
    person.types("SELECT 7 AS seven;", &["seven", "(1 row)"]);
    person.leaves();
}

#[test]
fn tab_completes() {
    let folder = tempfile::tempdir().unwrap();
    bars(folder.path());
    fs::write(folder.path().join("momentum.sql"), "SELECT 1 AS one").unwrap();
    let mut person = Person::sits_down(command(folder.path()));
    person.presses("SELECT vol\t");
    person.sees(&["SELECT volume"]);
    person.presses(" FROM ba\t");
    person.sees(&["FROM bars"]);
    person.types(" LIMIT 2;", &["volume", "(2 rows)"]);
    person.presses("\\tim\t");
    person.sees(&["\\timing "]);
    person.types("on", &["timing is on"]);
    person.presses("\\i mom\t");
    person.sees(&["momentum.sql"]);
    person.types("", &["one", "(1 row)", "Time: "]);
    // Several ways on: the second Tab lists them.
    person.presses("SELECT stoch\t\t");
    person.sees(&["stochf", "stochrsi"]);
    person.presses("\u{15}");
    person.leaves();
}

#[test]
fn colours_and_the_signature_as_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    bars(folder.path());
    let mut command = command(folder.path());
    command.env_remove("NO_COLOR");
    let options = Options::new().timeout_ms(Some(60_000));
    let mut session = spawn_with_options(command, options).unwrap();
    session.exp_string("windrow> ").unwrap();
    session.send("SELECT rsi(").unwrap();
    session.flush().unwrap();
    session.exp_string("\u{1b}[1;34mSELECT\u{1b}[0m \u{1b}[33mrsi\u{1b}[0m(").unwrap();
    session.exp_string("\u{1b}[90mclose, timeperiod => 14) -> double").unwrap();
    session.send("\u{15}\u{4}").unwrap();
    session.flush().unwrap();
    session.exp_eof().unwrap();
}

#[test]
fn a_dumb_terminal_gets_plain_text() {
    let folder = tempfile::tempdir().unwrap();
    bars(folder.path());
    let mut command = command(folder.path());
    command.env_remove("NO_COLOR").env("TERM", "dumb");
    let options = Options::new().timeout_ms(Some(60_000));
    let mut session = spawn_with_options(command, options).unwrap();
    session.exp_string("windrow> ").unwrap();
    session.send_line("\\plot close, open of AAPL from bars").unwrap();
    let seen = session.exp_string("2024-03-04").unwrap();
    assert!(!seen.contains('\u{1b}'), "{seen:?}");
    session.send_line("\\q").unwrap();
    session.exp_eof().unwrap();
}

#[test]
fn a_script_prints_results_only() {
    let folder = tempfile::tempdir().unwrap();
    bars(folder.path());
    let input = "-- a note\nSELECT symbol, count(*) AS n\nFROM bars GROUP BY symbol ORDER BY symbol;\n\
                 \\format csv\nSELECT 1.5 AS x; SELECT ';' AS y\n";
    let output = piped(folder.path(), input);
    let expected = "\
┌────────┬────┐
│ symbol │ n  │
├────────┼────┤
│ AAPL   │ 60 │
│ MSFT   │ 60 │
└────────┴────┘
(2 rows)
x
1.5
y
;
";
    assert_eq!(text(&output.stdout), expected);
    assert_eq!(text(&output.stderr), "format is csv\n");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_plan_is_printed_in_lines() {
    let folder = tempfile::tempdir().unwrap();
    bars(folder.path());
    let output = piped(folder.path(), "EXPLAIN SELECT * FROM bars;");
    let lines: Vec<&str> = text(&output.stdout).lines().collect();
    assert_eq!(lines[0], "logical_plan");
    assert!(lines.contains(&"physical_plan"), "{lines:?}");
    assert!(lines.len() > 4, "{lines:?}");
}

#[test]
fn a_script_keeps_every_row() {
    let folder = tempfile::tempdir().unwrap();
    bars(folder.path());
    for format in ["table", "csv", "markdown", "json"] {
        let output = piped(folder.path(), &format!("\\format {format}\nSELECT * FROM bars;"));
        assert_eq!(text(&output.stdout).matches("MSFT").count(), 60, "{format}");
    }
}

#[test]
fn each_statement_has_the_time_limit() {
    let folder = tempfile::tempdir().unwrap();
    bars(folder.path());
    let endless = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i % 7 FROM n) SELECT count(*) FROM n;\n";
    fs::write(folder.path().join("endless.sql"), endless).unwrap();
    let mut command = command(folder.path());
    command
        .env("WINDROW_TIMEOUT_SECONDS", "1")
        .stdin(fs::File::open(folder.path().join("endless.sql")).unwrap());
    let began = Instant::now();
    let output = command.output().unwrap();
    let told = text(&output.stderr);
    assert!(told.contains("the time limit has passed; raise timeout_seconds"), "{told}");
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_script_stops_at_the_first_error() {
    let folder = tempfile::tempdir().unwrap();
    bars(folder.path());
    let cases = [
        "SELECT 1 AS a;\nSELECT clos FROM bars;\nSELECT 2 AS never;\n",
        "SELECT 1 AS a;\n\\nonsense\nSELECT 2 AS never;\n",
        "SELECT 1 AS a;\n\\i missing.sql\nSELECT 2 AS never;\n",
        "SELECT 1 AS a; SELECT 'open",
    ];
    for input in cases {
        let output = piped(folder.path(), input);
        let (out, told) = (text(&output.stdout), text(&output.stderr));
        assert!(out.contains("│ a │"), "{input}");
        assert!(!out.contains("never"), "{input}");
        let errors = told.lines().filter(|line| line.starts_with("error: ")).count();
        assert_eq!(errors, 1, "{input}: {told}");
        assert_eq!(output.status.code(), Some(1), "{input}");
    }
    let output = piped(folder.path(), "SELECT close,\n  clos\nFROM bars;");
    let told = text(&output.stderr);
    assert!(told.ends_with("\nLINE 2:   clos\n          ^\n"), "{told}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    bars(folder.path());
    let mut command = command(folder.path());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let input = "\\format csv\nSELECT a.* FROM bars a, bars b, bars c;\nSELECT 1;\n";
    // The program may be gone before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    assert_eq!(text(&output.stderr), "format is csv\n");
    assert_eq!(output.status.code(), Some(0));
}
