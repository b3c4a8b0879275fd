//! TA-Lib's element-wise functions as plain scalar expressions of SQL. Where an input has no real result, SQL's `sqrt`
//! is an error and TA-Lib gives NaN: it is compared on inputs that have one.

use crate::catalogue::TaCall;
use crate::missing::SCALARS;
use crate::rows::Random;
use datafusion::arrow::array::{ArrayRef, AsArray, Float64Array};
use datafusion::arrow::datatypes::Float64Type;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::prelude::SessionContext;
use std::sync::Arc;
use ta_lib::abstract_api::get_func_handle;

#[tokio::test]
async fn element_wise_functions_are_scalar_expressions() {
    let mut random = Random(5);
    let mut column = |scale: f64| -> Vec<f64> {
        (0..500).map(|_| (random.next() * 2.0 - 1.0) * scale).chain([0.0]).collect()
    };
    for scale in [1.0, 40.0] {
        let columns = [column(scale), column(scale)];
        let context = SessionContext::new();
        windrow_udfs::register_all(&mut *context.state_ref().write()).unwrap();
        let array = |column: &Vec<f64>| Arc::new(Float64Array::from(column.clone())) as ArrayRef;
        let [x, y] = columns.each_ref().map(array);
        let batch = RecordBatch::try_from_iter([("x", x), ("y", y)]).unwrap();
        context.register_batch("t", batch).unwrap();
        for name in SCALARS {
            let info = get_func_handle(name).unwrap().info();
            let inputs = info.inputs.len();
            let columns = match *name {
                "sqrt" => columns.clone().map(|column| column.iter().map(|x| x.abs()).collect()),
                _ => columns.clone(),
            };
            let x = ["x", "abs(x)"][usize::from(*name == "sqrt")];
            let call = format!("SELECT {name}({}) FROM t", [x, "x, y"][inputs - 1]);
            let got = context.sql(&call).await.unwrap().collect().await.unwrap();
            let got = got[0].column(0).as_primitive::<Float64Type>().clone();
            let want = TaCall::new(info, &[]).run(&columns[..inputs]).unwrap();
            for (got, want) in got.iter().zip(&want.outputs[0]) {
                let got = got.unwrap();
                let near = (got - want).abs() <= 1e-12 * want.abs();
                let same = near || got == *want || got.is_nan() && want.is_nan();
                assert!(same, "{call}: {got}, expected {want}");
            }
        }
    }
}
