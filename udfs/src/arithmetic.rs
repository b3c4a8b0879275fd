//! TA-Lib's names for arithmetic: `add(x, y)` is `x + y`. They are scalar functions, since each row stands for itself.
//! Its other element-wise functions (`sin`, `ln`, `sqrt`, ...) have the same names in SQL.

use arrow::array::{ArrayRef, Datum};
use arrow::compute::kernels::numeric;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion_common::{Result, internal_err};
use datafusion_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

type Operation = fn(&dyn Datum, &dyn Datum) -> Result<ArrayRef, ArrowError>;

/// The names, and what they do.
const OPERATIONS: [(&str, Operation); 4] =
    [("add", numeric::add), ("sub", numeric::sub), ("mult", numeric::mul), ("div", numeric::div)];

/// Returns the scalar functions for a DataFusion session.
pub(crate) fn scalar_functions() -> impl Iterator<Item = Arc<ScalarUDF>> {
    OPERATIONS.into_iter().map(|(name, operation)| {
        let signature = Signature::exact(vec![DataType::Float64; 2], Volatility::Immutable);
        Arc::new(ScalarUDF::from(NamedOperation { name, operation, signature }))
    })
}

/// One operation on two numbers, known by its name.
#[derive(Debug)]
struct NamedOperation {
    name: &'static str,
    operation: Operation,
    signature: Signature,
}

impl PartialEq for NamedOperation {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for NamedOperation {}

impl Hash for NamedOperation {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for NamedOperation {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [left, right] = arrays.as_slice() else {
            return internal_err!("{}: {} arguments", self.name, arrays.len());
        };
        Ok(ColumnarValue::Array((self.operation)(left, right)?))
    }
}
