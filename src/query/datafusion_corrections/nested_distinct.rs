//! Reduces the memory that `count(DISTINCT (stream, seq))` counts.
//!
//! DataFusion 55.2 keeps each distinct value of a nested type (a struct, a list) as a separate array that
//! shares the buffers of the whole batch. It counts these buffers once for each value: 20,000 pairs of
//! integers were counted as 1.6 GB, and the query failed. The row encoding of a value is a short byte string,
//! and two encodings are equal if and only if the values are. So this rule counts distinct encodings instead.
//! Delete it when DataFusion counts shared buffers once.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, BinaryBuilder};
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue, exec_err};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::optimizer::AnalyzerRule;

/// Counts distinct encodings of nested values. It runs after types are coerced.
#[derive(Debug)]
pub(in crate::query) struct NestedDistinct;

impl AnalyzerRule for NestedDistinct {
    fn name(&self) -> &'static str {
        "nested_distinct"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let plan = plan.transform_up_with_subqueries(|node| {
            if !matches!(node, LogicalPlan::Aggregate(_)) {
                return Ok(Transformed::no(node));
            }
            let schema = merge_schema(&node.inputs());
            let names = NamePreserver::new(&node);
            let rewritten = node.map_expressions(|expr| {
                let name = names.save(&expr);
                let expr = expr.transform_up(|expr| count_encodings(expr, &schema))?;
                Ok(expr.update_data(|expr| name.restore(expr)))
            })?;
            rewritten.map_data(LogicalPlan::recompute_schema)
        })?;
        Ok(plan.data)
    }
}

/// Rewrites `count(DISTINCT nested)` as a count of distinct encodings. Other expressions stay as they are.
fn count_encodings(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Expr::AggregateFunction(AggregateFunction { func, mut params }) = expr else {
        return Ok(Transformed::no(expr));
    };
    let nested = match params.args.as_slice() {
        [value] if params.distinct && func.name() == "count" => is_encodable(&value.get_type(schema)?),
        _ => false,
    };
    if nested {
        params.args = params.args.into_iter().map(|value| encoding().call(vec![value])).collect();
    }
    Ok(Transformed::new_transformed(Expr::AggregateFunction(AggregateFunction { func, params }), nested))
}

fn is_encodable(data_type: &DataType) -> bool {
    data_type.is_nested() && RowConverter::supports_fields(&[SortField::new(data_type.clone())])
}

fn encoding() -> Arc<ScalarUDF> {
    static ENCODING: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        Arc::new(ScalarUDF::new_from_impl(RowEncoding(Signature::any(1, Volatility::Immutable))))
    });
    Arc::clone(&ENCODING)
}

/// A function that encodes a value as bytes. Two encodings are equal if and only if the values are. NULL
/// stays NULL.
#[derive(Debug, PartialEq, Eq, Hash)]
struct RowEncoding(Signature);

impl ScalarUDFImpl for RowEncoding {
    fn name(&self) -> &'static str {
        "row_encoding"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Binary)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = arguments.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        let [values] = arrays.as_slice() else { return exec_err!("{} takes one argument", self.name()) };
        let converter = RowConverter::new(vec![SortField::new(values.data_type().clone())])?;
        let rows = converter.convert_columns(std::slice::from_ref(values))?;
        let mut encodings = BinaryBuilder::with_capacity(values.len(), rows.size());
        for (at, row) in rows.iter().enumerate() {
            encodings.append_option(values.is_valid(at).then(|| row.data()));
        }
        let encodings: ArrayRef = Arc::new(encodings.finish());
        if scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&encodings, 0)?));
        }
        Ok(ColumnarValue::Array(encodings))
    }
}
