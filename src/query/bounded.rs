//! Functions that can make much of little, bounded.
//!
//! A query's memory is counted where rows are kept: in sorts, joins and groups. A function's
//! answer is not counted while it is made, and `repeat('x', 1000000000)` makes a gigabyte for every
//! row. So functions whose answer is as large as an argument says are asked first how large it would
//! be.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature,
};

/// What one call may make, for a batch of rows.
const MAX_BYTES: u64 = 256 << 20;

/// How the size of an answer follows from the arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Growth {
    /// The first argument, as often as the second says.
    Times,
    /// As long as the second argument says.
    Long,
    /// From the first argument to the second, in steps of the third.
    Range,
}

const FUNCTIONS: [(&str, Growth); 7] = [
    ("repeat", Growth::Times),
    ("array_repeat", Growth::Times),
    ("lpad", Growth::Long),
    ("rpad", Growth::Long),
    ("array_resize", Growth::Long),
    ("range", Growth::Range),
    ("generate_series", Growth::Range),
];

/// Has these functions ask first.
pub(super) fn bound_functions(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for (name, growth) in FUNCTIONS {
        // Not every set of features has them all.
        if let Ok(inner) = registry.udf(name) {
            registry.register_udf(Arc::new(ScalarUDF::new_from_impl(Bounded { inner, growth })))?;
        }
    }
    Ok(())
}

/// A function that fails where its answer would be too large.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    growth: Growth,
}

impl Bounded {
    fn check(&self, args: &ScalarFunctionArgs) -> Result<()> {
        let scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let arrays = args.args.iter().map(|arg| arg.clone().into_array(rows)).collect::<Result<Vec<_>>>()?;
        let number = |at: usize| {
            let array = arrays.get(at)?;
            cast(array, &DataType::Int64).ok()?.as_primitive_opt::<Int64Type>().cloned()
        };
        let value = |array: &Option<arrow::array::Int64Array>, row: usize, absent: i64| {
            array.as_ref().filter(|array| array.is_valid(row)).map_or(absent, |array| array.value(row))
        };
        let (first, second, third) = match self.growth {
            Growth::Range => (number(0), number(1), number(2)),
            Growth::Times | Growth::Long => (None, number(1), None),
        };
        let mut bytes = 0_u64;
        for row in 0..rows {
            let more = match self.growth {
                Growth::Times => {
                    let times = u64::try_from(value(&second, row, 0)).unwrap_or_default();
                    times.saturating_mul(arrays.first().map_or(1, |array| size(array, row)))
                }
                Growth::Long => u64::try_from(value(&second, row, 0)).unwrap_or_default().saturating_mul(4),
                Growth::Range => {
                    // With one argument it is the end.
                    let (from, to) = match &second {
                        Some(_) => (value(&first, row, 0), value(&second, row, 0)),
                        None => (0, value(&first, row, 0)),
                    };
                    let step = value(&third, row, 1).unsigned_abs().max(1);
                    (from.abs_diff(to) / step).saturating_mul(8)
                }
            };
            bytes = bytes.saturating_add(more);
        }
        if bytes <= MAX_BYTES {
            return Ok(());
        }
        Err(DataFusionError::ResourcesExhausted(format!(
            "{}() would make {bytes} bytes at once, and {MAX_BYTES} are the limit",
            self.inner.name()
        )))
    }
}

/// How large a value is, about.
fn size(array: &ArrayRef, row: usize) -> u64 {
    let text = array
        .as_string_view_opt()
        .map(|texts| texts.value(row).len())
        .or_else(|| array.as_string_opt::<i32>().map(|texts| texts.value(row).len()))
        .or_else(|| array.as_string_opt::<i64>().map(|texts| texts.value(row).len()));
    text.unwrap_or_else(|| array.slice(row, 1).get_array_memory_size() / array.len().max(1)).max(1) as u64
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.inner().coerce_types(arg_types)
    }

    fn simplify(&self, args: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(args, context)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.check(&args)?;
        self.inner.invoke_with_args(args)
    }
}
