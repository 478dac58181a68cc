//! The functions `to_char`, `to_timestamp` and `to_date`.
//!
//! A pattern with `%` is a strftime pattern, which DataFusion supports. Any other pattern is a PostgreSQL
//! pattern. It gives the same result as in PostgreSQL, or is refused.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, StringArray, StringBuilder, TimestampNanosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use jiff::civil::date;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

use super::clock::{Clock, DAY_SECONDS, NANOS};
use super::functions::{WALL_TYPE, answer, arrays, instant_type, refused, texts};
use super::pattern::{self, Pattern};
use super::to_char::Shown;
use super::zone::Zone;
use super::{from_char, to_char as by_pattern};

/// Makes the functions that replace DataFusion's functions.
pub(super) fn functions(inner: [Arc<ScalarUDF>; 3]) -> [ScalarUDF; 3] {
    let [to_char, to_timestamp, to_date] = inner;
    [(Text::Char, to_char), (Text::Timestamp, to_timestamp), (Text::Date, to_date)].map(|(text, inner)| {
        let signature = match text {
            Text::Char => Signature::user_defined(Volatility::Immutable),
            _ => inner.signature().clone(),
        };
        ScalarUDF::new_from_impl(TextFunction { text, inner, signature })
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Text {
    Char,
    Timestamp,
    Date,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TextFunction {
    text: Text,
    inner: Arc<ScalarUDF>,
    signature: Signature,
}

fn is_text(of: &DataType) -> bool {
    matches!(of, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn is_strftime(pattern: &str) -> bool {
    pattern.contains('%')
}

/// The patterns of all rows. Each is parsed once.
#[derive(Default)]
struct Patterns {
    last: Option<(String, Pattern)>,
}

impl Patterns {
    fn of(&mut self, text: &str) -> Result<Pattern> {
        if let Some((known, pattern)) = &self.last
            && known == text
        {
            return Ok(Arc::clone(pattern));
        }
        let pattern = pattern::parse(text)?;
        self.last = Some((text.to_owned(), Arc::clone(&pattern)));
        Ok(pattern)
    }
}

impl TextFunction {
    /// Whether the first argument is a text, and each other argument is a PostgreSQL pattern.
    fn reads_by_pattern(args: &ScalarFunctionArgs) -> Result<bool> {
        let said = args.args.first().is_some_and(|said| is_text(&said.data_type()));
        if !said || args.args.len() < 2 {
            return Ok(false);
        }
        let mut ours = false;
        let mut theirs = false;
        for patterns in &args.args[1..] {
            if !is_text(&patterns.data_type()) {
                return Ok(false);
            }
            let rows = if matches!(patterns, ColumnarValue::Scalar(_)) { 1 } else { args.number_rows };
            for pattern in texts(&patterns.clone().into_array(rows)?)?.iter().flatten() {
                if is_strftime(pattern) { theirs = true } else { ours = true }
            }
        }
        if ours && (theirs || args.args.len() > 2) {
            return Err(refused(
                "only strftime patterns, such as %Y-%m-%d, can be given together; give a PostgreSQL pattern \
                 alone",
            ));
        }
        Ok(ours)
    }
}

/// Fails for a number of seconds that is no instant, which DataFusion 55.2 would read as the first or the last one, or
/// as 1970.
fn check_seconds(args: &ScalarFunctionArgs) -> Result<()> {
    const MOST_SECONDS: f64 = i64::MAX as f64 / 1e9;
    let Some(first) = args.args.first().filter(|first| first.data_type().is_floating()) else {
        return Ok(());
    };
    let seconds = arrow::compute::cast(&first.to_array(args.number_rows)?, &DataType::Float64)?;
    let seconds = seconds.as_primitive::<arrow::datatypes::Float64Type>();
    match seconds.iter().flatten().find(|seconds| seconds.is_nan() || seconds.abs() >= MOST_SECONDS) {
        Some(beyond) => exec_err!("to_timestamp({beyond}) is not between the years 1678 and 2262"),
        None => Ok(()),
    }
}

impl ScalarUDFImpl for TextFunction {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        use DataType::{Date32, Date64, Duration, Null, Time32, Time64, Timestamp};
        if self.text != Text::Char {
            return self.inner.inner().coerce_types(types);
        }
        let [time, pattern] = types else {
            return plan_err!("to_char takes two arguments, a time and a pattern: to_char(at, 'YYYY-MM-DD')");
        };
        let time = match time {
            Timestamp(unit, Some(_)) => Timestamp(*unit, Some("UTC".into())),
            Timestamp(_, None) | Date32 | Date64 | Time32(_) | Time64(_) | Duration(_) => time.clone(),
            text if is_text(text) || *text == Null => WALL_TYPE,
            other => {
                return plan_err!("to_char takes a date, a time or a timestamp, and the argument is {other}");
            }
        };
        if !is_text(pattern) && *pattern != Null {
            return plan_err!(
                "the pattern of to_char must be a text, such as 'YYYY-MM-DD', and the argument is {pattern}"
            );
        }
        Ok(vec![time, DataType::Utf8])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<arrow::datatypes::FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn with_updated_config(&self, config: &datafusion::common::config::ConfigOptions) -> Option<ScalarUDF> {
        let inner = Arc::new(self.inner.inner().with_updated_config(config)?);
        Some(ScalarUDF::new_from_impl(Self { text: self.text, inner, signature: self.signature.clone() }))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match self.text {
            Text::Char => {
                let (scalar, arrays) = arrays(&args)?;
                if !matches!(arrays[0].data_type(), DataType::Duration(_)) {
                    return answer(scalar, to_char(&arrays[0], &arrays[1], None)?);
                }
            }
            Text::Timestamp if Self::reads_by_pattern(&args)? => {
                let (scalar, arrays) = arrays(&args)?;
                let read = to_timestamp(&arrays[0], &arrays[1], &Zone::UTC)?;
                let zone = match args.return_type() {
                    DataType::Timestamp(_, zone) => zone.clone(),
                    _ => None,
                };
                return answer(scalar, Arc::new(read.with_timezone_opt(zone)));
            }
            Text::Date if Self::reads_by_pattern(&args)? => {
                let (scalar, arrays) = arrays(&args)?;
                return answer(scalar, Arc::new(to_date(&arrays[0], &arrays[1])?));
            }
            Text::Timestamp => check_seconds(&args)?,
            Text::Date => {}
        }
        self.inner.invoke_with_args(args)
    }
}

/// Parses each text by its pattern as an instant. A text without a zone is in the zone of `clock`.
pub(super) fn to_timestamp(
    said: &ArrayRef,
    patterns: &ArrayRef,
    zone: &Zone,
) -> Result<TimestampNanosecondArray> {
    let (mut clock, mut known) = (Clock::of(zone), Patterns::default());
    let (said, patterns) = (texts(said)?, texts(patterns)?);
    pairs(&said, &patterns)
        .map(|row| {
            let (Some(text), Some(pattern)) = row else { return Ok(None) };
            if is_strftime(pattern) {
                return strftime(text, pattern, &mut clock).map(Some);
            }
            let read = from_char::read(&known.of(pattern)?, text)?;
            let instant = match read.offset {
                Some(offset) => offset.checked_mul(NANOS).and_then(|offset| read.wall.checked_sub(offset)),
                None => clock.instant(read.wall),
            };
            instant.map(Some).ok_or_else(|| refused(format!("{text:?} is outside the range of timestamps")))
        })
        .collect()
}

/// Pairs each text with its pattern. A single text or pattern is paired with all others.
fn pairs<'a>(
    said: &'a StringArray,
    patterns: &'a StringArray,
) -> impl Iterator<Item = (Option<&'a str>, Option<&'a str>)> {
    let rows = if said.len() == 1 { patterns.len() } else { said.len() };
    said.iter().cycle().zip(patterns.iter().cycle()).take(rows)
}

/// Parses a text by a strftime pattern.
fn strftime(text: &str, pattern: &str, clock: &mut Clock) -> Result<i64> {
    let parsed = jiff::fmt::strtime::parse(pattern, text)
        .map_err(|error| refused(format!("{text:?} does not match the pattern {pattern:?}: {error}")))?;
    let beyond = || refused(format!("{text:?} is outside the range of timestamps"));
    if let Ok(instant) = parsed.to_timestamp() {
        return i64::try_from(instant.as_nanosecond()).map_err(|_| beyond());
    }
    let wall = parsed.to_datetime().or_else(|_| parsed.to_date().map(Into::into));
    let wall = wall.map_err(|error| refused(format!("{text:?} is not a complete time: {error}")))?;
    let wall = Offset::UTC.to_timestamp(wall).map_err(|_| beyond())?.as_nanosecond();
    i64::try_from(wall).ok().and_then(|wall| clock.instant(wall)).ok_or_else(beyond)
}

fn to_date(said: &ArrayRef, patterns: &ArrayRef) -> Result<Date32Array> {
    let mut known = Patterns::default();
    let (said, patterns) = (texts(said)?, texts(patterns)?);
    pairs(&said, &patterns)
        .map(|row| {
            let (Some(text), Some(pattern)) = row else { return Ok(None) };
            let read = from_char::read(&known.of(pattern)?, text)?;
            Ok(i32::try_from(read.wall.div_euclid(DAY_SECONDS * NANOS)).ok())
        })
        .collect()
}

/// Converts each time into text. Instants are shown in a zone, or in UTC if no zone is given.
pub(super) fn to_char(times: &ArrayRef, patterns: &ArrayRef, zone: Option<&Zone>) -> Result<ArrayRef> {
    let patterns = texts(patterns)?;
    let mut known = Patterns::default();
    let mut moments = Moments::of(times, zone)?;
    let mut out = StringBuilder::new();
    let mut text = String::new();
    for row in 0..times.len() {
        let pattern = if patterns.len() == 1 { 0 } else { row };
        // PostgreSQL gives NULL for an empty pattern.
        if times.is_null(row) || patterns.is_null(pattern) || patterns.value(pattern).is_empty() {
            out.append_null();
            continue;
        }
        let pattern = patterns.value(pattern);
        text.clear();
        if is_strftime(pattern) {
            strftime_text(times, row, pattern, zone, &mut text)?;
        } else {
            by_pattern::format(&known.of(pattern)?, &moments.shown(row)?, &mut text);
        }
        out.append_value(&text);
    }
    Ok(Arc::new(out.finish()))
}

/// Formats the time of one row by a strftime pattern.
fn strftime_text(
    times: &ArrayRef,
    row: usize,
    pattern: &str,
    zone: Option<&Zone>,
    out: &mut String,
) -> Result<()> {
    let mut one = times.slice(row, 1);
    if let Some(name) = zone.and_then(|zone| zone.as_jiff().iana_name())
        && let DataType::Timestamp(unit, Some(_)) = one.data_type()
    {
        one = cast(&one, &DataType::Timestamp(*unit, Some(name.into())))?;
    }
    // A strftime pattern may contain fields of a clock, which a date does not have.
    if *one.data_type() == DataType::Date32 {
        one = cast(&one, &DataType::Date64)?;
    }
    let some = Some(pattern);
    let options = FormatOptions::new()
        .with_date_format(some)
        .with_datetime_format(some)
        .with_time_format(some)
        .with_timestamp_format(some)
        .with_timestamp_tz_format(some);
    let formatter = ArrayFormatter::try_new(one.as_ref(), &options)?;
    formatter
        .value(0)
        .write(out)
        .map_err(|_| refused(format!("{pattern:?} is not a strftime pattern for this type of time")))
}

/// Times of any type, converted into wall times.
struct Moments {
    /// The times as counts since 1970, in `1 / unit` seconds.
    values: ArrayRef,
    unit: i64,
    /// The clock, if the times are instants.
    clock: Option<(Clock, Zone)>,
}

impl Moments {
    fn of(times: &ArrayRef, zone: Option<&Zone>) -> Result<Self> {
        let of_unit = |unit: &TimeUnit| match unit {
            TimeUnit::Second => 1,
            TimeUnit::Millisecond => 1_000,
            TimeUnit::Microsecond => 1_000_000,
            TimeUnit::Nanosecond => NANOS,
        };
        let (times, unit) = match times.data_type() {
            DataType::Timestamp(unit, _) | DataType::Time32(unit) | DataType::Time64(unit) => {
                (Arc::clone(times), of_unit(unit))
            }
            DataType::Date32 => (cast(times, &DataType::Date64)?, 1_000),
            DataType::Date64 => (Arc::clone(times), 1_000),
            DataType::Null => (cast(times, &instant_type())?, NANOS),
            other => {
                return Err(refused(format!(
                    "to_char takes a date, a time or a timestamp, and the argument is {other}"
                )));
            }
        };
        let is_instant = matches!(times.data_type(), DataType::Timestamp(_, Some(_)));
        let zone = zone.cloned().unwrap_or_default();
        let clock = is_instant.then(|| (Clock::of(&zone), zone));
        // Arrow has no direct cast from Time32 to Int64.
        let whole = match times.data_type() {
            DataType::Time32(_) => cast(&cast(&times, &DataType::Int32)?, &DataType::Int64)?,
            _ => cast(&times, &DataType::Int64)?,
        };
        Ok(Self { values: whole, unit, clock })
    }

    fn shown(&mut self, row: usize) -> Result<Shown> {
        let value = self.values.as_primitive::<Int64Type>().value(row);
        let second = value.div_euclid(self.unit);
        let nanos = value.rem_euclid(self.unit) * (NANOS / self.unit);
        let beyond = || refused("a time is outside the range of to_char");
        let (mut offset, mut abbreviation) = (0, Cow::Borrowed(""));
        if let Some((clock, zone)) = &mut self.clock {
            offset = clock.offset_at(second).ok_or_else(beyond)?;
            let at = Timestamp::from_second(second).map_err(|_| beyond())?;
            abbreviation = Cow::Owned(zone.as_jiff().to_offset_info(at).abbreviation().to_owned());
        }
        // Wall times have a range that is a day longer than the range of instants.
        let since = SignedDuration::new(second + offset, nanos as i32);
        let at = date(1970, 1, 1).at(0, 0, 0, 0).checked_add(since).map_err(|_| beyond())?;
        Ok(Shown { at, offset, abbreviation })
    }
}
