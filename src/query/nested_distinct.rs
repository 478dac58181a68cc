//! `count(DISTINCT (stream, seq))` in the memory that it needs.
//!
//! DataFusion keeps each distinct value of a nested type (a struct, a list) as an array of its own
//! that shares the buffers of the whole batch, and counts those buffers once for each value: 20,000
//! pairs of integers came to 1.6 GB, and the query failed. A value's row encoding is a short text of
//! bytes that is equal exactly when the value is, so this rule counts distinct encodings instead.

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

/// The rule. It runs after types are coerced.
#[derive(Debug)]
pub(super) struct NestedDistinct;

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

/// `count(DISTINCT nested)` as the count of distinct encodings; any other expression as it is.
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

/// A value of any type as bytes that are equal exactly when the values are; NULL stays NULL.
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
        let [values] = arrays.as_slice() else { return exec_err!("{} takes one value", self.name()) };
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
