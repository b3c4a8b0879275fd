//! Files read period by period give the bits of one sorted file, for every layout, kind of window and
//! number of threads. Which operators a plan has stands in `tests/slt/plans.slt`.

use std::path::Path;

use datafusion::arrow::array::{RecordBatch, UInt64Array};
use datafusion::arrow::compute::{concat_batches, take_record_batch};
use futures::TryStreamExt;
use windrow::Engine;
use windrow::config::Config;

use super::support::{Bars, write_parquet};

const DAYS: usize = 500;
const SYMBOLS: usize = 120;

/// Batches so small that the rows are several periods: one is 8 batches.
fn config(threads: usize) -> Config {
    Config { batch_size: 2048, parallel_workers: threads, ..Config::default() }
}

/// The rows of some days, those of one day together and in the order of the symbols.
fn days(all: &RecordBatch, days: std::ops::Range<usize>) -> RecordBatch {
    pick(all, days.flat_map(|day| (0..SYMBOLS).map(move |s| s * DAYS + day)))
}

/// The length of files that are padded.
const PADDED: u64 = 8 << 20;

/// Makes a file as long as asked, with bytes between its pages and its footer that nobody reads.
fn pad_parquet(file: &Path, length: u64) {
    let mut bytes = std::fs::read(file).unwrap();
    let tail = bytes.len() - 8;
    let footer = u32::from_le_bytes(bytes[tail..tail + 4].try_into().unwrap()) as usize;
    let missing = usize::try_from(length).unwrap() - bytes.len();
    let at = tail - footer;
    bytes.splice(at..at, std::iter::repeat_n(0, missing));
    std::fs::write(file, bytes).unwrap();
}

fn pick(all: &RecordBatch, rows: impl Iterator<Item = usize>) -> RecordBatch {
    let rows = UInt64Array::from_iter_values(rows.map(|row| row as u64));
    take_record_batch(all, &rows).unwrap()
}

pub(crate) fn write_layouts(root: &Path) {
    let bars = Bars::new(SYMBOLS, DAYS);
    let all = bars.all();
    let at = |name: String| root.join(name);
    write_parquet(&at("one/all.parquet".into()), &all);
    for (i, batch) in bars.batches().iter().enumerate() {
        write_parquet(&at(format!("by_symbol/symbol={}/a.parquet", bars.symbols[i])), batch);
        let file = i / 40;
        if i % 40 == 0 {
            let some = all.slice(file * 40 * DAYS, 40 * DAYS);
            write_parquet(&at(format!("ranges/{file}.parquet")), &some);
        }
    }
    for day in 0..DAYS {
        write_parquet(&at(format!("by_date/date={day:03}/a.parquet")), &days(&all, day..day + 1));
    }
    for (i, day) in (0..DAYS).step_by(100).enumerate() {
        write_parquet(&at(format!("by_time/{i}.parquet")), &days(&all, day..day + 100));
    }
    // Sorted files of one stretch of time each, and files whose times overlap.
    for half in 0..2 {
        let rows = (0..SYMBOLS).flat_map(|s| (0..250).map(move |d| s * DAYS + half * 250 + d));
        write_parquet(&at(format!("by_half/{half}.parquet")), &pick(&all, rows));
        let odd = (0..all.num_rows()).filter(|row| row % 2 == half).rev();
        write_parquet(&at(format!("overlapping/{half}.parquet")), &pick(&all, odd));
    }
    // More rows of one stretch of time than a period may have.
    let many = (0..5).flat_map(|_| (0..all.num_rows()).rev());
    write_parquet(&at("unsorted/all.parquet".into()), &pick(&all, many));
}

const LAYOUTS: [&str; 8] =
    ["one", "ranges", "by_symbol", "by_date", "by_time", "by_half", "overlapping", "unsorted"];

/// Windows that step over the bars of a symbol.
const STEPS: &str = "SELECT symbol, ts, rsi(close, 14) OVER w AS a, \
     avg(close) OVER (PARTITION BY symbol ORDER BY ts ROWS 9 PRECEDING) AS b, lag(close) OVER w AS c \
     FROM bars WINDOW w AS (PARTITION BY symbol ORDER BY ts)";

/// A nested window: the result of one is the input of the next.
const NESTED: &str = "SELECT symbol, ts, ema(a, 9) OVER (PARTITION BY symbol ORDER BY ts) AS a, b, c \
     FROM (SELECT symbol, ts, rsi(close, 14) OVER w AS a, sma(close, 5) OVER w AS b, \
     row_number() OVER w AS c FROM bars WINDOW w AS (PARTITION BY symbol ORDER BY ts)) \
     WHERE c > 3";

/// Groups that are part of a symbol.
const SESSIONS: &str = "SELECT symbol, ts, sum(volume) OVER w AS a, \
     first_value(open) OVER w AS b, row_number() OVER w AS c \
     FROM bars WINDOW w AS (PARTITION BY symbol, date_trunc('month', ts) ORDER BY ts)";

/// Results that wait for later rows.
const LABELS: &str = "SELECT symbol, ts, lead(close, 5) OVER w AS a, \
     avg(close) OVER (PARTITION BY symbol) AS b, sma(close, 5) OVER w AS c \
     FROM bars WINDOW w AS (PARTITION BY symbol ORDER BY ts)";

/// Sets that read the same bars, joined by the keys: each side is there once, in order.
const JOINED: &str = "SELECT l.symbol, l.ts, l.a, m.b, r.c \
     FROM (SELECT symbol, ts, rsi(close, 14) OVER (PARTITION BY symbol ORDER BY ts) AS a FROM bars) l \
     JOIN (SELECT symbol, ts, sma(high, 5) OVER (PARTITION BY symbol ORDER BY ts) AS b FROM bars) m \
     ON m.ts = l.ts AND m.symbol = l.symbol \
     LEFT JOIN (SELECT symbol, ts, mom(low, 9) OVER (PARTITION BY symbol ORDER BY ts) AS c FROM bars \
     WHERE volume > 0) r ON r.symbol = l.symbol AND r.ts = l.ts";

/// Both directions.
const MIXED: &str = "SELECT symbol, ts, cs_rank(r) OVER (PARTITION BY ts) AS a, r AS b, \
     ema(r, 3) OVER (PARTITION BY symbol ORDER BY ts) AS c \
     FROM (SELECT symbol, ts, rsi(close, 14) OVER (PARTITION BY symbol ORDER BY ts) AS r FROM bars)";

#[tokio::test(flavor = "multi_thread")]
async fn periods_give_the_bits_of_a_sorted_file() {
    let folder = tempfile::tempdir().unwrap();
    write_layouts(folder.path());
    for sql in [STEPS, NESTED, SESSIONS, LABELS, JOINED, MIXED] {
        let sql = format!("SELECT * FROM ({sql}) ORDER BY symbol, ts");
        let mut expected: Option<RecordBatch> = None;
        for (layout, threads) in
            LAYOUTS.into_iter().flat_map(|layout| [1, 3].map(|threads| (layout, threads)))
        {
            let mut engine = Engine::new(config(threads)).unwrap();
            let location = folder.path().join(layout);
            engine.add_source("bars", &location.to_string_lossy()).await.unwrap();
            let query = engine.query(&sql).await.unwrap();
            let batches: Vec<_> = query.stream().unwrap().try_collect().await.unwrap();
            let found = concat_batches(&query.schema(), &batches).unwrap();
            match &expected {
                None => expected = Some(found),
                Some(expected) => assert!(found == *expected, "{sql}\n{layout}, {threads} threads"),
            }
        }
    }
}

/// Files are believed no longer than they stay what they were: a file that is written again between
/// the look at it and the reading of it is named with the row that gives it away.
#[tokio::test(flavor = "multi_thread")]
async fn a_false_order_is_named_with_file_and_row() {
    let folder = tempfile::tempdir().unwrap();
    let bars = Bars::new(SYMBOLS, DAYS);
    let all = bars.all();
    let one = folder.path().join("one/all.parquet");
    let few = Bars::new(10, 300).all();
    write_parquet(&one, &few);
    for (i, day) in (0..DAYS).step_by(100).enumerate() {
        let file = folder.path().join(format!("by_time/{i}.parquet"));
        write_parquet(&file, &days(&all, day..day + 100));
        pad_parquet(&file, PADDED);
    }
    pad_parquet(&one, PADDED);
    let last = folder.path().join("by_time/4.parquet");
    // A symbol turns up again; a file of later times holds an earlier day.
    let again = pick(&few, (0..few.num_rows()).map(|row| if row == 7 * 300 { 0 } else { row }));
    let earlier = days(&all, 250..350);
    for (file, changed, told) in [
        (&one, &again, "row 2101 of FILE, S000 2019-04-14, stands behind S006 2020-02-07, though"),
        (
            &last,
            &earlier,
            "row 1 of FILE is of 2019-12-20, behind rows up to 2020-05-17: the statistics",
        ),
    ] {
        let mut engine = Engine::new(config(2)).unwrap();
        engine.add_source("bars", &file.parent().unwrap().to_string_lossy()).await.unwrap();
        let query = engine.query(STEPS).await.unwrap();
        // A file of another length or time would be noticed before its order is.
        let before = std::fs::metadata(file).unwrap();
        write_parquet(file, changed);
        pad_parquet(file, before.len());
        let written = std::fs::File::options().write(true).open(file).unwrap();
        written.set_modified(before.modified().unwrap()).unwrap();
        let failed = query.stream().unwrap().try_collect::<Vec<_>>().await.unwrap_err();
        let failed = query.explain_error(&failed).to_string();
        let expected = told.replace("FILE", &file.to_string_lossy());
        assert!(failed.contains(&expected), "{failed}\nexpected {expected}");
    }
}
