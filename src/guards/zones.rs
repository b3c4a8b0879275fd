//! Times that lose their zone: `CAST(ts AS TIMESTAMP)` is the clock of the zone, as `CAST(ts AS DATE)` is its day.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::functions::datetime::to_local_time;
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::{Expr, ExprSchemable};

/// Puts the clock of the zone where DataFusion takes that of UTC.
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
