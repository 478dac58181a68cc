//! A function that puts the type of a cast into the name of a column.
//!
//! DataFusion 55.2 gives a cast the name of its argument. So `max(at::date)` and `max(at::time)` have one
//! name, and so have the keys of `GROUP BY at::date, at::time`. DataFusion refuses such a query. As arguments
//! of this function the casts have different names. Delete it when DataFusion's names of casts contain the
//! type.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// The name of the function. Its arguments are the cast, and its type as a text.
pub(super) const NAME: &str = "named_cast";

/// The function. It returns its first argument.
pub(in crate::query) fn function() -> Arc<ScalarUDF> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        let signature = Signature::any(2, Volatility::Immutable);
        Arc::new(ScalarUDF::new_from_impl(NamedCast { signature }))
    });
    Arc::clone(&FUNCTION)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct NamedCast {
    signature: Signature,
}

impl ScalarUDFImpl for NamedCast {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        let [of, _] = given else { return plan_err!("{NAME} takes two arguments: a cast and its type") };
        Ok(of.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let value = args.args.into_iter().next();
        value.map_or_else(|| plan_err!("{NAME} takes two arguments: a cast and its type"), Ok)
    }
}
