//! What is said of statements that windrow does not have: `corpus/unsupported.sql`.

use std::sync::Arc;

use futures::TryStreamExt;
use regex::Regex;
use windrow::Engine;
use windrow::config::Config;

use super::support::{Bars, RAW};

async fn told(engine: &Arc<Engine>, statement: &str) -> Option<String> {
    let query = match engine.query(statement).await {
        Ok(query) => query,
        Err(error) => return Some(error.to_string()),
    };
    let rows = match query.stream() {
        Ok(stream) => stream.try_collect::<Vec<_>>().await,
        Err(error) => return Some(error.to_string()),
    };
    rows.err().map(|error| query.explain_error(&error).to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_is_refused_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    Bars::new(2, 20).write(&folder.path().join("bars.parquet"));
    let config = Config { parallel_workers: 2, ..Config::default() };
    let mut engine = Engine::new(config).unwrap();
    engine.add_source("bars", &folder.path().join("bars.parquet").to_string_lossy()).await.unwrap();
    let engine = Arc::new(engine);
    let raw = Regex::new(RAW).unwrap();
    let mut wrong = Vec::new();
    let mut statements = 0;
    let corpus = include_str!("corpus/unsupported.sql");
    for statement in corpus.lines().filter(|line| !line.is_empty() && !line.starts_with("--")) {
        statements += 1;
        match told(&engine, statement).await {
            None => wrong.push(format!("{statement}\n    is not refused")),
            Some(told) if raw.is_match(&told) || told.len() < 12 => {
                wrong.push(format!("{statement}\n    {told}"));
            }
            Some(_) => {}
        }
    }
    assert!(statements >= 500, "{statements}");
    assert!(wrong.is_empty(), "{} of {statements}:\n{}", wrong.len(), wrong.join("\n"));
}
