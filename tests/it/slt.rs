//! SQL in, rows out: the files of `tests/slt/`, run through the engine.

use std::sync::Arc;

use futures::TryStreamExt;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType};
use windrow::Engine;
use windrow::config::Config;

use super::support::Bars;

struct Db {
    engine: Arc<Engine>,
}

#[derive(Debug)]
struct Failed(String);

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

#[async_trait::async_trait]
impl AsyncDB for Db {
    type Error = Failed;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Failed> {
        let failed = |error: windrow::error::Error| Failed(error.to_string());
        let query = self.engine.query(sql).await.map_err(failed)?;
        let columns = query.schema().fields().len();
        let stream = query.stream().map_err(failed)?;
        let batches: Vec<_> =
            stream.try_collect().await.map_err(|e| Failed(query.explain_error(&e).to_string()))?;
        if columns == 0 {
            return Ok(DBOutput::StatementComplete(0));
        }
        let mut rows = Vec::new();
        for batch in &batches {
            for row in 0..batch.num_rows() {
                let cell = |column| {
                    let column = batch.column(column);
                    if column.is_null(row) {
                        return "NULL".to_string();
                    }
                    datafusion::arrow::util::display::array_value_to_string(column, row).unwrap()
                };
                rows.push((0..columns).map(cell).collect());
            }
        }
        Ok(DBOutput::Rows { types: vec![DefaultColumnType::Any; columns], rows })
    }

    fn engine_name(&self) -> &str {
        "windrow"
    }

    async fn sleep(duration: std::time::Duration) {
        tokio::time::sleep(duration).await;
    }

    async fn shutdown(&mut self) {}
}

#[test]
fn sql_files() {
    let folder = tempfile::tempdir().unwrap();
    Bars::new(2, 40).write(&folder.path().join("bars/all.parquet"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut paths: Vec<_> =
        std::fs::read_dir("tests/slt").unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        let bars = folder.path().join("bars").to_string_lossy().into_owned();
        runtime.block_on(async {
            let config = Config { parallel_workers: 2, ..Config::default() };
            let mut engine = Engine::new(config).unwrap();
            engine.add_source("bars", &bars).await.unwrap();
            let engine = Arc::new(engine);
            let mut runner = sqllogictest::Runner::new(|| {
                let engine = Arc::clone(&engine);
                async { Ok(Db { engine }) }
            });
            if let Err(error) = runner.run_file_async(&path).await {
                panic!("{}", error.display(false));
            }
        });
    }
}
