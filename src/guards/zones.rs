//! Casts to a timestamp without zone: `CAST(ts AS TIMESTAMP)` gives the clock in the zone of `ts`, as
//! `CAST(ts AS DATE)` gives the day in that zone.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::functions::datetime::to_local_time;
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::{Expr, ExprSchemable};

/// Takes the clock in the zone where DataFusion takes the UTC clock.
pub(super) fn local_clock(part: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Expr::Cast(Cast { expr, field }) = part else { return Ok(Transformed::no(part)) };
    let zoned = matches!(expr.get_type(schema), Ok(DataType::Timestamp(_, Some(_))));
    let plain = matches!(field.data_type(), DataType::Timestamp(_, None));
    if !zoned || !plain {
        return Ok(Transformed::no(Expr::Cast(Cast { expr, field })));
    }
    let expr = Box::new(to_local_time().call(vec![*expr]));
    Ok(Transformed::yes(Expr::Cast(Cast { expr, field })))
}
