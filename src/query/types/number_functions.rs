//! The functions that are used in comparisons of texts and numbers.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, Float64Builder, Int8Builder, StringViewBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::query::number::Number;

const EXACT: DataType = DataType::Decimal128(38, 0);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Function {
    /// Compares a text with an integer. Returns -1, 0 or 1 if the text is less, equal or more, and NULL if
    /// the text is not a number.
    Order,
    /// Converts a text or an integer into a key that is the same for equal numbers.
    Key,
    /// Converts a text into the nearest float, or into NULL if the text is not a number.
    Float,
}

const FUNCTIONS: [(Function, &str); 3] =
    [(Function::Order, "number_order"), (Function::Key, "number_key"), (Function::Float, "text_to_float")];

fn function(of: Function) -> Arc<ScalarUDF> {
    static ALL: LazyLock<[Arc<ScalarUDF>; 3]> = LazyLock::new(|| {
        FUNCTIONS.map(|(function, _)| {
            let signature = Signature::user_defined(Volatility::Immutable);
            Arc::new(ScalarUDF::new_from_impl(OfNumber { function, signature }))
        })
    });
    let [order, key, float] = &*ALL;
    Arc::clone(match of {
        Function::Order => order,
        Function::Key => key,
        Function::Float => float,
    })
}

/// Returns all functions.
pub(super) fn functions() -> [Arc<ScalarUDF>; 3] {
    FUNCTIONS.map(|(of, _)| function(of))
}

pub(super) fn number_order(text: Expr, integer: Expr) -> Expr {
    function(Function::Order).call(vec![text, integer])
}

pub(super) fn number_key(value: Expr) -> Expr {
    function(Function::Key).call(vec![value])
}

pub(super) fn text_to_float(text: Expr) -> Expr {
    function(Function::Float).call(vec![text])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OfNumber {
    function: Function,
    signature: Signature,
}

impl ScalarUDFImpl for OfNumber {
    fn name(&self) -> &str {
        FUNCTIONS.iter().find(|(of, _)| *of == self.function).map_or("", |(_, name)| name)
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let text = |of: &DataType| match of {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => {
                Some(DataType::Utf8View)
            }
            _ => None,
        };
        let integer = |of: &DataType| {
            let whole = of.is_integer()
                || matches!(
                    of,
                    DataType::Decimal32(_, 0) | DataType::Decimal64(_, 0) | DataType::Decimal128(_, 0)
                );
            whole.then_some(EXACT)
        };
        let coerced = match (self.function, given) {
            (Function::Order, [left, right]) => {
                text(left).zip(integer(right)).map(|(left, right)| vec![left, right])
            }
            (Function::Key, [value]) => text(value).or_else(|| integer(value)).map(|of| vec![of]),
            (Function::Float, [value]) => text(value).map(|of| vec![of]),
            _ => None,
        };
        let Some(coerced) = coerced else { return plan_err!("{} does not take {given:?}", self.name()) };
        Ok(coerced)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.function {
            Function::Order => DataType::Int8,
            Function::Key => DataType::Utf8View,
            Function::Float => DataType::Float64,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let Some(first) = args.args.first() else {
            return exec_err!("{} takes at least one argument", self.name());
        };
        let first = first.clone().into_array(rows)?;
        let answer = match self.function {
            Function::Order => {
                let Some(second) = args.args.get(1) else {
                    return exec_err!("{} takes two arguments", self.name());
                };
                order(&first, second, rows)?
            }
            Function::Key => keys(&first)?,
            Function::Float => floats(&first)?,
        };
        if scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&answer, 0)?));
        }
        Ok(ColumnarValue::Array(answer))
    }
}

fn order(texts: &ArrayRef, integers: &ColumnarValue, rows: usize) -> Result<ArrayRef> {
    let texts = cast(texts, &DataType::Utf8View)?;
    let one = matches!(integers, ColumnarValue::Scalar(_));
    let integers = cast(&integers.clone().into_array(if one { 1 } else { rows })?, &EXACT)?;
    let integers = integers.as_primitive::<Decimal128Type>();
    let mut answer = Int8Builder::with_capacity(rows);
    for (row, text) in texts.as_string_view().iter().enumerate() {
        let row = if one { 0 } else { row };
        let integer = integers.is_valid(row).then(|| integers.value(row));
        let number =
            text.zip(integer).and_then(|(text, integer)| Some(Number::parse(text)?.compare(integer)));
        answer.append_option(number.map(|order| order as i8));
    }
    Ok(Arc::new(answer.finish()))
}

fn keys(values: &ArrayRef) -> Result<ArrayRef> {
    if values.data_type() == &EXACT {
        return Ok(cast(values, &DataType::Utf8View)?);
    }
    let texts = cast(values, &DataType::Utf8View)?;
    let mut answer = StringViewBuilder::with_capacity(texts.len());
    for text in texts.as_string_view() {
        answer.append_option(text.and_then(Number::parse).map(Number::key));
    }
    Ok(Arc::new(answer.finish()))
}

fn floats(values: &ArrayRef) -> Result<ArrayRef> {
    let texts = cast(values, &DataType::Utf8View)?;
    let mut answer = Float64Builder::with_capacity(texts.len());
    for text in texts.as_string_view() {
        answer.append_option(text.and_then(|text| text.trim().parse::<f64>().ok()));
    }
    Ok(Arc::new(answer.finish()))
}
