//! The streaming window operator against DataFusion's own: every indicator, the same bits.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch};
use datafusion::arrow::compute::{concat_batches, nullif};
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use windrow::Engine;
use windrow::config::Config;
use windrow_udfs::Kind;

use super::support::{Bars, write_parquet};

/// Bars with holes: every column lacks some values.
fn holed() -> RecordBatch {
    let all = Bars::new(7, 700).all();
    let schema = all.schema();
    let columns = schema.fields().iter().zip(all.columns()).enumerate().map(|(i, (f, c))| {
        let column: ArrayRef = match c.data_type() {
            DataType::Float64 => {
                let holes = (0..c.len()).map(|row| Some((row * 31 + i * 7) % 97 == 0)).collect();
                nullif(c, &holes).unwrap()
            }
            _ => Arc::clone(c),
        };
        (f.name().clone(), column, true)
    });
    RecordBatch::try_from_iter_with_nullable(columns.collect::<Vec<_>>()).unwrap()
}

/// The float columns of a result, structs taken apart.
fn floats(batch: &RecordBatch) -> Vec<Float64Array> {
    fn add(column: &ArrayRef, found: &mut Vec<Float64Array>) {
        match column.data_type() {
            DataType::Float64 => found.push(column.as_primitive::<Float64Type>().clone()),
            DataType::Struct(_) => {
                column.as_struct().columns().iter().for_each(|c| add(c, found));
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    batch.columns().iter().for_each(|column| add(column, &mut found));
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn every_indicator_streams_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bars/all.parquet");
    write_parquet(&path, &holed());
    let stock = SessionContext::new();
    let mut state = stock.state();
    windrow_udfs::register_all(&mut state).unwrap();
    let stock = SessionContext::new_with_state(state);
    stock.register_parquet("bars", path.to_string_lossy(), Default::default()).await.unwrap();
    let config = Config { batch_size: 1024, parallel_workers: 3, ..Config::default() };
    let mut engine = Engine::new(config).unwrap();
    engine.add_source("bars", &path.to_string_lossy()).await.unwrap();
    for entry in windrow_udfs::all().filter(|e| e.spec.kind() == Kind::Indicator) {
        let spec = &entry.spec;
        let mut args: Vec<String> = spec.inputs.iter().map(|i| i.to_string()).collect();
        args.extend(spec.params.iter().map(|p| p.default.to_string()));
        let (name, args) = (spec.name, args.join(", "));
        // Mixed with windows that stay with DataFusion, before and behind.
        let sql = format!(
            "SELECT symbol, ts, lag(close, 3) OVER w AS a, {name}({args}) OVER w AS x, \
             sum(volume) OVER (PARTITION BY symbol ORDER BY ts ROWS 4 PRECEDING) AS b, \
             {name}({args}) OVER w AS y, row_number() OVER w AS n \
             FROM bars WINDOW w AS (PARTITION BY symbol ORDER BY ts) ORDER BY symbol, ts"
        );
        let expected = stock.sql(&sql).await.unwrap().collect().await.unwrap();
        let expected = concat_batches(&expected[0].schema(), &expected).unwrap();
        let query = engine.query(&sql).await.unwrap();
        let plan =
            datafusion::physical_plan::displayable(query.plan().as_ref()).indent(false).to_string();
        assert!(plan.contains("StreamWindowExec"), "{plan}");
        assert!(!plan.contains(" WindowAggExec"), "{name}: the rest streams too\n{plan}");
        let found: Vec<_> = query.stream().unwrap().try_collect().await.unwrap();
        let found = concat_batches(&found[0].schema(), &found).unwrap();
        assert_eq!(found.num_rows(), expected.num_rows());
        for (column, (found, expected)) in floats(&found).iter().zip(floats(&expected)).enumerate()
        {
            assert_eq!(found.len(), expected.len());
            for row in 0..found.len() {
                let bits = |a: &Float64Array| a.is_valid(row).then(|| a.value(row).to_bits());
                assert_eq!(bits(found), bits(&expected), "{name}, column {column}, row {row}");
            }
        }
    }
}
