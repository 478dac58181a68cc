//! Makes arithmetic of integers fail on overflow.
//!
//! DataFusion's `+`, `-` and `*` of integers wrap around without an error. Example:
//! `SELECT 9223372036854775807 + seq` returns a negative number. A session cannot set DataFusion's
//! `fail_on_overflow`. So our rule replaces these operators by functions that check for overflow. Delete it
//! when a session can set `fail_on_overflow`.
//!
//! Arrow checks arithmetic of times, durations and intervals, and a division without a result fails. Of decimals it
//! checks that 128 or 256 bits suffice, and not the number of digits: with 39 digits, the last one is not shown. So the
//! functions check the digits of decimals, too.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, Datum};
use arrow::compute::kernels::numeric;
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type};
use arrow::error::ArrowError;
use datafusion::common::{DFSchema, Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility, lit,
};

type Kernel = fn(&dyn Datum, &dyn Datum) -> std::result::Result<ArrayRef, ArrowError>;

const OPERATORS: [(Operator, &str, Kernel); 3] = [
    (Operator::Plus, "checked_add", numeric::add),
    (Operator::Minus, "checked_subtract", numeric::sub),
    (Operator::Multiply, "checked_multiply", numeric::mul),
];

/// Returns the functions that replace the operators.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    static FUNCTIONS: LazyLock<Vec<Arc<ScalarUDF>>> = LazyLock::new(|| {
        let functions = OPERATORS.iter().enumerate().map(|(at, _)| {
            let signature = Signature::user_defined(Volatility::Immutable);
            Arc::new(ScalarUDF::new_from_impl(Checked { at, signature }))
        });
        functions.collect()
    });
    FUNCTIONS.clone()
}

/// Replaces arithmetic of integers, after their types are coerced, by a function that checks for overflow.
/// Also replaces arithmetic of decimals: DataFusion 55.2 simplifies `x * 0` to a zero of another precision, and
/// then cannot compare it.
pub(super) fn checked(expr: &Expr, schema: &DFSchema) -> Option<Expr> {
    let is_integer = |expr: &Expr| expr.get_type(schema).is_ok_and(|of| of.is_integer());
    let is_decimal = |expr: &Expr| expr.get_type(schema).is_ok_and(|of| of.is_decimal());
    let position = |op: Operator| OPERATORS.iter().position(|(of, ..)| *of == op);
    // Only arithmetic is copied and examined, because a chain of ORs may be deep.
    let (at, left, right) = match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let at = position(*op)?;
            let are_decimals = is_decimal(left) && is_decimal(right);
            if !(are_decimals || is_integer(left) && is_integer(right)) {
                return None;
            }
            (at, (**left).clone(), (**right).clone())
        }
        // The parser checks the literal of an integer.
        Expr::Negative(inside) if !matches!(**inside, Expr::Literal(..)) && is_integer(inside) => {
            let zero = ScalarValue::new_zero(&inside.get_type(schema).ok()?).ok()?;
            (position(Operator::Minus)?, lit(zero), (**inside).clone())
        }
        _ => return None,
    };
    Some(functions().get(at)?.call(vec![left, right]))
}

/// Fails if a decimal has more digits than its type.
fn with_digits(answer: ArrayRef) -> std::result::Result<ArrayRef, ArrowError> {
    let too_long = |_| ArrowError::ArithmeticOverflow("a decimal".to_owned());
    match answer.data_type() {
        DataType::Decimal128(precision, _) => {
            let decimals = answer.as_primitive::<Decimal128Type>();
            decimals.validate_decimal_precision(*precision).map_err(too_long)?;
        }
        DataType::Decimal256(precision, _) => {
            let decimals = answer.as_primitive::<Decimal256Type>();
            decimals.validate_decimal_precision(*precision).map_err(too_long)?;
        }
        _ => {}
    }
    Ok(answer)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    /// The index of the operator in [`OPERATORS`].
    at: usize,
    signature: Signature,
}

impl Checked {
    /// Returns the operation that a call replaces.
    fn operation(&self, args: &[Expr]) -> Result<Expr> {
        let (Some((op, ..)), [left, right]) = (OPERATORS.get(self.at), args) else {
            return plan_err!("{} takes two numbers", self.name());
        };
        Ok(Expr::BinaryExpr(BinaryExpr::new(Box::new(left.clone()), *op, Box::new(right.clone()))))
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        OPERATORS.get(self.at).map_or("checked", |(_, name, _)| name)
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        Ok(self.operation(args)?.to_string())
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(self.operation(args)?.schema_name().to_string())
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        match given {
            [left, right] if left.is_integer() && left == right => Ok(given.to_vec()),
            [left, right] if left.is_decimal() && right.is_decimal() => Ok(given.to_vec()),
            _ => plan_err!("{} takes two integers of one type, or two decimals", self.name()),
        }
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        match given {
            [left, right] if left.is_decimal() => {
                let (op, ..) = OPERATORS.get(self.at).unwrap_or(&OPERATORS[0]);
                BinaryTypeCoercer::new(left, op, right).get_result_type()
            }
            [of, _] => Ok(of.clone()),
            _ => plan_err!("{} takes two numbers", self.name()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (Some((op, _, kernel)), [left, right]) = (OPERATORS.get(self.at), args.args.as_slice()) else {
            return exec_err!("{} takes two numbers", self.name());
        };
        let (scalar, answer) = match (left, right) {
            (ColumnarValue::Array(left), ColumnarValue::Array(right)) => (false, kernel(left, right)),
            (ColumnarValue::Array(left), ColumnarValue::Scalar(right)) => {
                (false, kernel(left, &right.to_scalar()?))
            }
            (ColumnarValue::Scalar(left), ColumnarValue::Array(right)) => {
                (false, kernel(&left.to_scalar()?, right))
            }
            (ColumnarValue::Scalar(left), ColumnarValue::Scalar(right)) => {
                (true, kernel(&left.to_scalar()?, &right.to_scalar()?))
            }
        };
        let answer = match answer.and_then(with_digits) {
            Ok(answer) => answer,
            Err(ArrowError::ArithmeticOverflow(why)) => {
                let of = args.return_field.data_type();
                let why = why.trim_start_matches("Overflow happened on: ");
                if of.is_decimal() {
                    return exec_err!(
                        "{why} is too large for {of}; cast one side of {op} to a larger type: CAST(x AS \
                         DOUBLE)"
                    );
                }
                return exec_err!(
                    "{why} is too large for {of}; cast one side of {op} to a larger type: \
                     CAST(x AS DECIMAL(38, 0)), or CAST(x AS DOUBLE)"
                );
            }
            Err(error) => return Err(error.into()),
        };
        if scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&answer, 0)?));
        }
        Ok(ColumnarValue::Array(answer))
    }
}
