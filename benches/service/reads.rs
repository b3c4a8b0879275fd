//! Rows of one symbol: computed while the caller waits, and from the cache.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::bars::Bars;
use crate::client::{ARROW, Answer, JSON, Pace, Script, get_request, play_script};
use crate::compute::{SETS, compute, finish, fresh_scope, warm_engine};
use crate::figures::{Bound, Figure, Meter, print_figure};
use crate::server::Server;
use crate::{Bench, Outcome};

/// The connections that read from the cache.
const READERS: usize = 32;

/// The ended jobs that a queue keeps, by default.
const HISTORY: usize = 100_000;

/// One symbol x 1,260 bars that are not cached, while the caller waits.
pub(crate) async fn measure_waits(bench: &Bench) -> Outcome<()> {
    let bars = bench.write_bars("wait", 500, 1_260)?;
    fill_history(bench, &bars).await?;
    let server = bench.serve("wait", &bars, "", &[]).await?;
    warm_engine(&server, &bars, "momentum").await?;
    let requests = bench.scale(300);
    let mut asked = 0;
    for (media, name) in [(ARROW, "Arrow"), (JSON, "JSON")] {
        let (mut middles, mut ends, mut longest) = (Vec::new(), Vec::new(), 0.0_f64);
        let meter = Meter::start(Some(&server))?;
        for _ in 0..bench.rounds.min(3) {
            let script = Arc::new(Waits { symbols: bars.symbols.clone(), first: asked, media });
            asked += requests;
            let taken = play_script(server.address, &script, &Pace::count(1, requests)).await?;
            middles.push(taken.quantile(0.5));
            ends.push(taken.quantile(0.99));
            longest = longest.max(taken.quantile(1.0));
        }
        let spent = meter.stop(Some(&server))?;
        let what = format!("one symbol x 1,260 bars, not cached, ?wait, {name}");
        print_figure(&Figure {
            what: &format!("{what}: median"),
            values: middles,
            unit: "ms",
            bound: Bound::None,
            theirs: "",
            beside: spent.tell(),
        });
        print_figure(&Figure {
            what: &format!("{what}: p99"),
            values: ends,
            unit: "ms",
            bound: Bound::AtMost(30.0),
            theirs: "100 ms",
            beside: format!("{requests} requests each; longest {longest:.0} ms"),
        });
    }
    finish(server).await
}

/// Queues jobs of other sets and cancels them, until the queue keeps as many ended jobs as it ever does.
async fn fill_history(bench: &Bench, bars: &Bars) -> Outcome<()> {
    let server = bench.serve("wait", bars, "", &["--workers", "0"]).await?;
    let mut connection = server.connect().await?;
    let body = json!({"symbols": null, "feature_types": SETS[1..]});
    let mut ended = 0;
    while ended < bench.scale(HISTORY) {
        let (group, jobs) = connection.queue_jobs(&body).await?;
        let cancel = format!("DELETE /groups/{group} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        connection.send(cancel.as_bytes()).await?.expect(200)?;
        ended += jobs;
    }
    finish(server).await
}

/// Requests for rows that nobody computed yet.
struct Waits {
    symbols: Vec<String>,
    first: usize,
    media: &'static str,
}

impl Script for Waits {
    fn request(&self, number: u64) -> impl AsRef<[u8]> + Send {
        let number = self.first + number as usize;
        let symbol = &self.symbols[number % self.symbols.len()];
        let from = fresh_scope(number / self.symbols.len());
        get_request(&format!("/features/{symbol}/momentum?wait=5&from={from}"), self.media)
    }

    fn check(&self, _: u64, _: Instant, answer: &Answer<'_>) -> Outcome<()> {
        answer.expect(200)
    }
}

/// Rows from the cache: few of them as JSON, and many as Arrow.
pub(crate) async fn measure_cached(bench: &Bench) -> Outcome<()> {
    let bars = bench.write_bars("cached", 500, 1_260)?;
    let server = bench.serve("cached", &bars, "", &[]).await?;
    let symbols = &bars.symbols[..bars.symbols.len().min(100)];
    compute(&server, &json!({"symbols": symbols, "feature_types": ["trend"]})).await?;
    for (media, rows, columns) in [(JSON, 60, 10), (ARROW, 252, 29)] {
        let script = Arc::new(Reads::prepare(&server, &bars, media, (rows, columns)).await?);
        let (mut rates, mut ends) = (Vec::new(), Vec::new());
        let meter = Meter::start(Some(&server))?;
        for _ in 0..bench.rounds.min(3) {
            let pace = Pace::time(READERS, Duration::from_secs_f64(bench.seconds));
            let taken = play_script(server.address, &script, &pace).await?;
            rates.push(taken.rate());
            ends.push(taken.quantile(0.99));
        }
        let spent = meter.stop(Some(&server))?;
        let name = if media == JSON { "JSON" } else { "Arrow" };
        let bytes = script.expected[0];
        let what =
            format!("from cache, {READERS} connections, {rows} rows x {columns} columns, {name}");
        print_figure(&Figure {
            what: &what,
            values: rates,
            unit: "/s",
            bound: Bound::AtLeast(5_000.0),
            theirs: "",
            beside: format!("{bytes} bytes each; {}", spent.tell()),
        });
        print_figure(&Figure {
            what: &format!("{what}: p99"),
            values: ends,
            unit: "ms",
            bound: Bound::AtMost(20.0),
            theirs: "",
            beside: String::new(),
        });
    }
    finish(server).await
}

/// Requests for rows in the cache; their answers are known.
struct Reads {
    requests: Vec<Vec<u8>>,
    /// The length of each answer.
    expected: Vec<usize>,
}

impl Reads {
    /// Asks once for each symbol, and looks into the first answer.
    async fn prepare(
        server: &Server,
        bars: &Bars,
        media: &str,
        (rows, columns): (usize, usize),
    ) -> Outcome<Self> {
        let mut connection = server.connect().await?;
        let answer = connection.get("/sets/trend", JSON).await?;
        let set = answer.json()?;
        let outputs = set["outputs"].as_array().ok_or("a set has no outputs")?;
        let names = outputs.iter().filter_map(|output| output["name"].as_str());
        let names: Vec<&str> =
            names.filter(|name| !["symbol", "ts"].contains(name)).take(columns - 1).collect();
        // The last rows, whose windows are all filled.
        let from = bars.day(bars.count - rows);
        let (mut requests, mut expected) = (Vec::new(), Vec::new());
        for symbol in &bars.symbols[..bars.symbols.len().min(100)] {
            let chosen = names.join(",");
            let path = format!("/features/{symbol}/trend?from={from}&columns={chosen}");
            let request = get_request(&path, media);
            let answer = connection.send(&request).await?;
            answer.expect(200)?;
            let found = count_cells(&answer, media)?;
            if found != (rows, columns) {
                let (found_rows, found_columns) = found;
                let told = format!("{path}: {found_rows} rows x {found_columns} columns");
                return Err(told.into());
            }
            expected.push(answer.body.len());
            requests.push(request);
        }
        Ok(Self { requests, expected })
    }
}

impl Script for Reads {
    fn request(&self, number: u64) -> impl AsRef<[u8]> + Send {
        self.requests[number as usize % self.requests.len()].as_slice()
    }

    fn check(&self, number: u64, _: Instant, answer: &Answer<'_>) -> Outcome<()> {
        answer.expect(200)?;
        let expected = self.expected[number as usize % self.expected.len()];
        match answer.body.len() == expected {
            true => Ok(()),
            false => Err(format!("{} bytes instead of {expected}", answer.body.len()).into()),
        }
    }
}

/// Counts the rows and columns of an answer.
fn count_cells(answer: &Answer<'_>, media: &str) -> Outcome<(usize, usize)> {
    if media == JSON {
        let body = answer.json()?;
        let rows = body["rows"].as_array().ok_or("an answer has no rows")?;
        let columns = rows.first().and_then(serde_json::Value::as_object);
        return Ok((rows.len(), columns.map_or(0, serde_json::Map::len)));
    }
    let (mut rows, mut columns) = (0, 0);
    for batch in arrow_ipc::reader::StreamReader::try_new(answer.body, None)? {
        let batch = batch?;
        rows += batch.num_rows();
        columns = batch.num_columns();
    }
    Ok((rows, columns))
}
