//! Makes sums and averages fail on overflow.
//!
//! DataFusion 55.2 adds integers and durations in 64 bits, and wraps around without an error: a sum of four
//! hundred years in nanoseconds is negative. This module adds them as decimals of 128 bits, and decimals as
//! decimals of 256 bits. No number of rows overflows these. The result keeps its type, because callers expect
//! integers, and a result that does not fit is an error. PostgreSQL returns a wider type instead, and so does
//! `sum(CAST(x AS DECIMAL(38, 0)))`. Delete this module when DataFusion's sums fail on overflow.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit};
use datafusion::common::{DFSchema, Result, ScalarValue, exec_err, plan_err};
use datafusion::execution::FunctionRegistry;
use datafusion::functions_aggregate::average::avg_udaf;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, Expr, ExprSchemable,
    GroupsAccumulator, ReversedUDAF, SetMonotonicity, Signature, StatisticsArgs, TypeSignature,
};

use super::interval_sum::IntervalSum;

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
/// The name of DataFusion's average.
const AVERAGE: &str = "avg";

/// Replaces DataFusion's `sum` and `avg`.
pub(super) fn register(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for inner in [sum_udaf(), avg_udaf()] {
        let signature = with_intervals(inner.signature());
        registry.register_udaf(Arc::new(AggregateUDF::new_from_impl(Wide { inner, signature })))?;
    }
    Ok(())
}

/// Fails for the sum or the average of texts, which DataFusion would read as intervals.
pub(super) fn check(expr: &Expr, schema: &DFSchema) -> Result<()> {
    let (name, args) = match expr {
        Expr::AggregateFunction(call) => (call.func.name(), &call.params.args),
        Expr::WindowFunction(call) => (call.fun.name(), &call.params.args),
        _ => return Ok(()),
    };
    if !matches!(name, "sum" | AVERAGE) {
        return Ok(());
    }
    let Some(argument) = args.first() else { return Ok(()) };
    if argument.get_type(schema).is_ok_and(|of| is_text(&of)) {
        return plan_err!(
            "{name} adds numbers, and {argument} is a text: use {name}(CAST(x AS DOUBLE)), or TRY_CAST to leave out \
             texts that are no numbers"
        );
    }
    Ok(())
}

fn is_text(of: &DataType) -> bool {
    match of {
        DataType::Dictionary(_, of) => of.is_string(),
        of => of.is_string(),
    }
}

/// A sum or an average that is computed in a wider type than the type of its argument.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Wide {
    inner: Arc<AggregateUDF>,
    signature: Signature,
}

/// Adds intervals to the argument types of a function, because DataFusion 55.2 has no average of intervals.
fn with_intervals(signature: &Signature) -> Signature {
    let mut signature = signature.clone();
    if let TypeSignature::OneOf(each) = &mut signature.type_signature {
        each.insert(0, TypeSignature::Exact(vec![INTERVAL]));
    }
    signature
}

/// Returns the type in which values of a type are added; `None` if it is the type itself.
fn wider(of: &DataType) -> Option<DataType> {
    match of {
        DataType::Int64 | DataType::Duration(_) => Some(DataType::Decimal128(19, 0)),
        DataType::UInt64 => Some(DataType::Decimal128(20, 0)),
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) => {
            Some(DataType::Decimal128(28, *scale))
        }
        DataType::Decimal128(precision, scale) => Some(DataType::Decimal256(*precision, *scale)),
        _ => None,
    }
}

/// Converts values into another type. Fails if a value does not fit.
fn convert(values: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let values = match (values.data_type(), to) {
        // Arrow can cast durations only to integers.
        (DataType::Duration(_), DataType::Decimal128(..)) => {
            cast_with_options(values, &DataType::Int64, &strict)?
        }
        (from, DataType::Duration(_)) if from.is_decimal() => {
            cast_with_options(values, &DataType::Int64, &strict)?
        }
        _ => Arc::clone(values),
    };
    Ok(cast_with_options(&values, to, &strict)?)
}

fn convert_answer(name: &str, answer: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    match convert(answer, to) {
        Ok(answer) => Ok(answer),
        Err(_) if matches!(to, DataType::Duration(_)) => exec_err!(
            "{name} is longer than 292 years, and does not fit {to}; compute it in seconds: use \
             CAST(x AS BIGINT) / 1e9 for a duration x in nanoseconds"
        ),
        Err(_) => exec_err!(
            "{name} is too large for {to}; cast its argument x: use CAST(x AS DECIMAL(38, 0)), or CAST(x AS \
             DOUBLE)"
        ),
    }
}

/// Whether an [`IntervalSum`] computes the aggregate, which adds each part of intervals in 128 bits.
fn of_intervals(fields: &[FieldRef], distinct: bool) -> bool {
    fields.first().is_some_and(|field| *field.data_type() == INTERVAL) && !distinct
}

impl Wide {
    /// Returns the type of the inner function's argument, and the field of its result.
    fn types(&self, fields: &[FieldRef]) -> Result<Option<(DataType, FieldRef)>> {
        let Some(wide) = fields.first().and_then(|field| wider(field.data_type())) else { return Ok(None) };
        let answer = self.inner.return_type(std::slice::from_ref(&wide))?;
        Ok(Some((wide, Arc::new(Field::new(self.inner.name(), answer, true)))))
    }

    /// Returns the conversion of the argument and of the result, and the field of the inner function's
    /// result.
    fn widened(&self, args: &AccumulatorArgs<'_>) -> Result<Option<(Conversion, FieldRef)>> {
        let Some((wide, answer)) = self.types(args.expr_fields)? else { return Ok(None) };
        let conversion = Conversion { name: args.name.to_owned(), wide, answer: args.return_type().clone() };
        Ok(Some((conversion, answer)))
    }
}

/// Returns the arguments of an accumulator with other fields.
fn with_field<'a>(
    args: &AccumulatorArgs<'a>,
    field: FieldRef,
    fields: &'a [FieldRef],
) -> AccumulatorArgs<'a> {
    AccumulatorArgs { return_field: field, expr_fields: fields, ..args.clone() }
}

fn fields_of(conversion: &Conversion) -> [FieldRef; 1] {
    [Arc::new(Field::new("value", conversion.wide.clone(), true))]
}

impl AggregateUDFImpl for Wide {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        if *given == [INTERVAL] { Ok(INTERVAL) } else { self.inner.return_type(given) }
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(given)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if of_intervals(args.expr_fields, args.is_distinct) {
            return Ok(Box::new(IntervalSum::new(self.name() == AVERAGE)));
        }
        let Some((conversion, field)) = self.widened(&args)? else { return self.inner.accumulator(args) };
        let fields = fields_of(&conversion);
        let inner = self.inner.accumulator(with_field(&args, field, &fields))?;
        Ok(Box::new(WideAccumulator { inner, conversion }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if of_intervals(args.expr_fields, args.is_distinct) {
            return Ok(Box::new(IntervalSum::new(self.name() == AVERAGE)));
        }
        let Some((conversion, field)) = self.widened(&args)? else {
            return self.inner.create_sliding_accumulator(args);
        };
        if args.is_distinct {
            return exec_err!(
                "{} of distinct values cannot be computed over a moving window frame",
                self.name()
            );
        }
        let fields = fields_of(&conversion);
        let inner = self.inner.create_sliding_accumulator(with_field(&args, field, &fields))?;
        Ok(Box::new(WideAccumulator { inner, conversion }))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        if of_intervals(args.expr_fields, args.is_distinct) {
            return false;
        }
        match self.widened(&args) {
            Ok(Some((conversion, field))) => {
                let fields = fields_of(&conversion);
                self.inner.groups_accumulator_supported(with_field(&args, field, &fields))
            }
            _ => self.inner.groups_accumulator_supported(args),
        }
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        let Some((conversion, field)) = self.widened(&args)? else {
            return self.inner.create_groups_accumulator(args);
        };
        let fields = fields_of(&conversion);
        let inner = self.inner.create_groups_accumulator(with_field(&args, field, &fields))?;
        Ok(Box::new(WideGroups { inner, conversion }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        if of_intervals(args.input_fields, args.is_distinct) {
            return Ok(IntervalSum::state_fields(args.name));
        }
        let Some((wide, field)) = self.types(args.input_fields)? else {
            return self.inner.state_fields(args);
        };
        let fields: [FieldRef; 1] = [Arc::new(Field::new("value", wide, true))];
        self.inner.state_fields(StateFieldsArgs {
            name: args.name,
            input_fields: &fields,
            return_field: field,
            ordering_fields: args.ordering_fields,
            is_distinct: args.is_distinct,
        })
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.inner.reverse_udf()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn value_from_stats(&self, args: &StatisticsArgs<'_>) -> Option<ScalarValue> {
        self.inner.value_from_stats(args)
    }

    fn default_value(&self, of: &DataType) -> Result<ScalarValue> {
        self.inner.default_value(of)
    }

    fn set_monotonicity(&self, of: &DataType) -> SetMonotonicity {
        self.inner.inner().set_monotonicity(of)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

/// Converts between the types of the query and the wide types.
#[derive(Debug)]
struct Conversion {
    name: String,
    wide: DataType,
    answer: DataType,
}

impl Conversion {
    fn widen(&self, values: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        values.iter().map(|values| convert(values, &self.wide)).collect()
    }

    fn narrow(&self, answer: &ArrayRef) -> Result<ArrayRef> {
        convert_answer(&self.name, answer, &self.answer)
    }
}

#[derive(Debug)]
struct WideAccumulator {
    inner: Box<dyn Accumulator>,
    conversion: Conversion,
}

impl Accumulator for WideAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(&self.conversion.widen(values)?)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.retract_batch(&self.conversion.widen(values)?)
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let answer = self.inner.evaluate()?.to_array()?;
        ScalarValue::try_from_array(&self.conversion.narrow(&answer)?, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.inner.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }
}

struct WideGroups {
    inner: Box<dyn GroupsAccumulator>,
    conversion: Conversion,
}

impl GroupsAccumulator for WideGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.inner.update_batch(&self.conversion.widen(values)?, groups, filter, total)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let answer = self.inner.evaluate(emit)?;
        self.conversion.narrow(&answer)
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        self.inner.state(emit)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.inner.merge_batch(states, groups, total)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        self.inner.convert_to_state(&self.conversion.widen(values)?, filter)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }
}
