//! A folder with bars, sets and settings, in which processes of the service start.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::client::Client;
use super::process::{Process, Server, wait_until};
use super::rows::{Rows, read_target};
use crate::support::{Bars, ok, windrow};

/// A quick set with a parameter.
pub(super) const QUICK: &str = "/*\ndescription: A set that is computed in no time\nparams: {days: 14}\n\
    outputs:\n  rsi: relative strength index\n*/\n\
    SELECT symbol, ts, close, rsi(close, {{ days }}) OVER w AS rsi, \
    avg(close) OVER (PARTITION BY symbol ORDER BY ts ROWS 4 PRECEDING) AS mean \
    FROM bars WINDOW w AS (PARTITION BY symbol ORDER BY ts)";

/// A set that takes as long as its parameter says: about a second for each 3,000.
const SLOW: &str = "/*\nparams: {loops: 10}\nlabels: [n]\n*/\n\
    WITH RECURSIVE g(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM g WHERE v < {{ loops }}) \
    SELECT b.symbol, b.ts, b.close, x.n FROM bars b CROSS JOIN (SELECT max(v) AS n FROM g) x";

/// A set that reads a table function beside its source.
const SERIES: &str = "/*\nlabels: [n]\n*/\nSELECT b.symbol, b.ts, b.close, x.n FROM bars b CROSS JOIN \
    (SELECT sum(g.value) AS n FROM generate_series(1, 9) AS g) x";

/// A set that fails for one symbol.
const FAILING: &str =
    "SELECT symbol, ts, close, 1 / CASE WHEN symbol = 'S003' THEN 0 ELSE 1 END AS n FROM bars";

/// A folder in which a service runs.
pub(super) struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    /// A folder with bars of so many symbols and days. `serve` is the section of that name, a line of flow YAML.
    pub(super) fn new(symbols: usize, days: usize, serve: &str) -> Self {
        Self::with_bars(&Bars::new(symbols, days), serve)
    }

    pub(super) fn with_bars(bars: &Bars, serve: &str) -> Self {
        let stage = Self { folder: tempfile::tempdir().unwrap() };
        bars.write(&stage.path().join("bars/all.parquet"));
        for (name, set) in
            [("quick", QUICK), ("slow", SLOW), ("failing", FAILING), ("series", SERIES)]
        {
            std::fs::write(stage.path().join(format!("{name}.sql")), set).unwrap();
        }
        stage.configure(serve);
        stage
    }

    /// Writes `windrow.yaml`.
    pub(super) fn configure(&self, serve: &str) {
        let text = format!(
            "sources: {{bars: bars}}\ntargets: {{out: out, other: other, file: rows.csv}}\n\
             serve: {{{serve}}}\n"
        );
        std::fs::write(self.path().join("windrow.yaml"), text).unwrap();
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = windrow(self.path());
        command.args(words).env("WINDROW_LOG", "info");
        command
    }

    /// Starts a command that serves or works.
    pub(super) fn process(&self, words: &[&str]) -> Process {
        Process::start(self.command(words), self.path())
    }

    /// Starts `windrow serve` on a free port.
    pub(super) fn serve(&self, more: &[&str]) -> Server {
        let mut words = vec!["serve", "--listen", "127.0.0.1:0"];
        words.extend(more);
        Server::new(self.process(&words))
    }

    /// Makes a token.
    pub(super) fn token(&self, name: &str, scope: &str) -> String {
        ok(self.path(), &["token", "new", name, "--scope", scope]).trim().to_string()
    }

    /// The rows of a set as `windrow run` computes them.
    pub(super) fn computed(&self, set: &str, more: &[&str]) -> Rows {
        let place = tempfile::tempdir_in(self.path()).unwrap();
        let target = place.path().join("rows");
        let mut words = vec!["run", set, "--to", target.to_str().unwrap()];
        words.extend(more);
        ok(self.path(), &words);
        read_target(&target)
    }
}

/// The body of a request for one set.
pub(super) fn batch(set: &str, symbols: &[&str]) -> Value {
    json!({"symbols": symbols, "feature_types": [set]})
}

impl Client {
    /// Queues a batch; the answer.
    pub(super) fn queue(&self, body: &Value) -> Value {
        self.post("/compute/batch", body).expect(202).json()
    }

    /// Waits until a group is no longer running; the group.
    pub(super) fn wait_for_group(&self, accepted: &Value) -> Value {
        let path = format!("/groups/{}", accepted["group_id"].as_str().unwrap());
        wait_until(&path, || {
            let group = self.get(&path).expect(200).json();
            (group["state"] != "running").then_some(group)
        })
    }

    /// Waits until a job has a state; the job.
    pub(super) fn wait_for_job(&self, id: &str, states: &[&str]) -> Value {
        let path = format!("/jobs/{id}");
        wait_until(&format!("{path} is one of {states:?}"), || {
            let job = self.get(&path).expect(200).json();
            states.contains(&job["state"].as_str().unwrap()).then_some(job)
        })
    }

    /// Queues a batch, which must be done in the end.
    pub(super) fn compute(&self, body: &Value) -> Value {
        let group = self.wait_for_group(&self.queue(body));
        assert_eq!(group["state"], "done", "{group:#}");
        group
    }
}

/// The ids of the jobs of an accepted request.
pub(super) fn job_ids(accepted: &Value) -> Vec<String> {
    let ids = accepted["job_ids"].as_array().unwrap();
    ids.iter().map(|id| id.as_str().unwrap().to_string()).collect()
}

/// A request for the slow set.
pub(super) fn slow_batch(symbols: &[&str], loops: u32) -> Value {
    let mut body = batch("slow", symbols);
    body["params"] = json!({"loops": loops});
    body
}
