//! The functions on JSON. All find a value in the same way, and differ in the result.

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, ListBuilder, StringViewBuilder};
use arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::RawValue;
use super::arguments::{Paths, StepColumn, Texts, inside, texts};
use super::path::exists;
use crate::fact::json::Shape;
use crate::query::number::Number;

/// The name of the function for `->>`.
pub(in crate::query) const JSON_TEXT: &str = "json_text";

/// The result of a function for the value that it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Answer {
    Json,
    Text,
    Str,
    Int,
    Float,
    Bool,
    Array,
    Contains,
    Length,
    Keys,
    /// The text that a cast to any type except an integer type reads.
    Scalar,
    /// The text that a cast to an integer type reads.
    Integer,
}

/// The form in which the steps to the value are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Way {
    /// Each step is an argument.
    Steps,
    /// One argument is a path, as for `#>`.
    Path,
}

/// Each function: its result, the form of its steps, its names, its syntax and its description.
const FUNCTIONS: [(Answer, Way, &[&str], &str, &str); 14] = [
    (
        Answer::Json,
        Way::Steps,
        &["json_get", "json_get_json"],
        "json_get(json, step, …)",
        "The JSON text of the value that the steps lead to; json -> step. A step is the name of a member, or the place of an element (from 0, negative from the end). NULL if nothing is there",
    ),
    (
        Answer::Text,
        Way::Steps,
        &[JSON_TEXT, "json_as_text"],
        "json_text(json, step, …)",
        "The value that the steps lead to as text; json ->> step. A string without its quotes, any other value as it was written. NULL if nothing is there, or the JSON value null",
    ),
    (
        Answer::Json,
        Way::Path,
        &["json_at"],
        "json_at(json, '{a,0,b}')",
        "The JSON text of the value at the end of a path; json #> path. A path is '{a,0,b}' or ARRAY['a', '0', 'b']",
    ),
    (
        Answer::Text,
        Way::Path,
        &["json_text_at"],
        "json_text_at(json, '{a,0,b}')",
        "The value at the end of a path as text; json #>> path. A path is '{a,0,b}' or ARRAY['a', '0', 'b']",
    ),
    (
        Answer::Str,
        Way::Steps,
        &["json_get_str"],
        "json_get_str(json, step, …)",
        "The string that the steps lead to; NULL for any other value",
    ),
    (
        Answer::Int,
        Way::Steps,
        &["json_get_int"],
        "json_get_int(json, step, …)",
        "The integer that the steps lead to, 7, 7.0 or 7e0; NULL for any other value, and beyond 64 bits",
    ),
    (
        Answer::Float,
        Way::Steps,
        &["json_get_float"],
        "json_get_float(json, step, …)",
        "The number that the steps lead to, as the nearest float; NULL for any other value",
    ),
    (
        Answer::Bool,
        Way::Steps,
        &["json_get_bool"],
        "json_get_bool(json, step, …)",
        "The true or false that the steps lead to; NULL for any other value",
    ),
    (
        Answer::Array,
        Way::Steps,
        &["json_get_array"],
        "json_get_array(json, step, …)",
        "The elements of the array that the steps lead to, each as JSON text; NULL for any other value",
    ),
    (
        Answer::Contains,
        Way::Steps,
        &["json_contains"],
        "json_contains(json, step, …)",
        "Whether the steps lead to a value; json ? step. The last step may also be a string among the elements of an array",
    ),
    (
        Answer::Length,
        Way::Steps,
        &["json_length"],
        "json_length(json, step, …)",
        "The number of elements of the array, or of names in the object, that the steps lead to; NULL for \
         any other value",
    ),
    (
        Answer::Keys,
        Way::Steps,
        &["json_object_keys", "json_keys"],
        "json_object_keys(json, step, …)",
        "The names of the object's members that the steps lead to; NULL for any other value",
    ),
    (
        Answer::Scalar,
        Way::Steps,
        &["json_scalar"],
        "json_scalar(json, step, …)",
        "json_get(json, step, …), but NULL for the JSON value null; CAST(json -> step AS type) uses it",
    ),
    (
        Answer::Integer,
        Way::Steps,
        &["json_integer"],
        "json_integer(json, step, …)",
        "json_scalar(json, step, …) with a number rounded to an integer; CAST(json -> step AS BIGINT) uses \
         it",
    ),
];

/// Returns all functions on JSON.
pub(super) fn all_functions() -> &'static [Arc<ScalarUDF>] {
    static ALL: LazyLock<Vec<Arc<ScalarUDF>>> = LazyLock::new(|| {
        let named = FUNCTIONS.iter().map(|(answer, way, names, syntax, meaning)| {
            let (name, aliases) = names.split_first().map_or(("", &[][..]), |(name, rest)| (*name, rest));
            let section = DocSection { include: true, label: "JSON", description: None };
            Arc::new(ScalarUDF::new_from_impl(JsonFunction {
                answer: *answer,
                way: *way,
                name,
                aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
                signature: Signature::user_defined(Volatility::Immutable),
                documentation: Documentation::builder(section, *meaning, *syntax).build(),
            }))
        });
        named.collect()
    });
    &ALL
}

/// Returns the function with this result and this form of steps.
pub(super) fn function(answer: Answer, way: Way) -> Result<Arc<ScalarUDF>> {
    let at = FUNCTIONS.iter().position(|(of, by, ..)| (*of, *by) == (answer, way));
    let Some(function) = at.and_then(|at| all_functions().get(at)) else {
        return plan_err!("there is no JSON function for {answer:?} by {way:?}");
    };
    Ok(Arc::clone(function))
}

#[derive(Debug)]
struct JsonFunction {
    answer: Answer,
    way: Way,
    name: &'static str,
    aliases: Vec<String>,
    signature: Signature,
    documentation: Documentation,
}

impl PartialEq for JsonFunction {
    fn eq(&self, other: &Self) -> bool {
        (self.answer, self.way) == (other.answer, other.way)
    }
}

impl Eq for JsonFunction {}

impl Hash for JsonFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.answer, self.way).hash(state);
    }
}

pub(super) fn is_text(of: &DataType) -> bool {
    match of {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}

impl ScalarUDFImpl for JsonFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.answer {
            Answer::Json | Answer::Text | Answer::Str | Answer::Scalar | Answer::Integer => {
                DataType::Utf8View
            }
            Answer::Int | Answer::Length => DataType::Int64,
            Answer::Float => DataType::Float64,
            Answer::Bool | Answer::Contains => DataType::Boolean,
            Answer::Array | Answer::Keys => list_of_texts(),
        })
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let name = self.name;
        let Some((document, steps)) = given.split_first() else {
            return plan_err!("{name}() needs a JSON text as its first argument");
        };
        if !is_text(document) && *document != DataType::Null {
            return plan_err!("{name}() needs a JSON text as its first argument, and its type is {document}");
        }
        if self.way == Way::Path && steps.len() != 1 {
            return plan_err!(
                "{name}() takes two arguments, a JSON text and a path; use json_get() to give several steps"
            );
        }
        let steps = steps.iter().map(|step| match step {
            step if is_text(step) || *step == DataType::Null => Ok(DataType::Utf8View),
            step if step.is_integer() && self.way == Way::Steps => Ok(DataType::Int64),
            DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..)
                if self.way == Way::Path =>
            {
                Ok(list_of_texts())
            }
            other if self.way == Way::Path => {
                plan_err!(
                    "a JSON path must be a text such as '{{a,b}}' or ARRAY['a', 'b'], and its type is {other}"
                )
            }
            other => plan_err!("a step into JSON must be a name or an integer, and its type is {other}"),
        });
        std::iter::once(Ok(DataType::Utf8View)).chain(steps).collect()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let Some((document, steps)) = args.args.split_first() else {
            return exec_err!("{}() needs a JSON text as its first argument", self.name);
        };
        let documents = texts(document, rows)?;
        let steps =
            steps.iter().map(|step| StepColumn::of(step, self.way, rows)).collect::<Result<Vec<_>>>()?;
        let found = self.answers(&documents, &Paths(steps))?;
        if scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&found, 0)?));
        }
        Ok(ColumnarValue::Array(found))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

fn list_of_texts() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::Utf8View, true)))
}

impl JsonFunction {
    fn answers(&self, documents: &Texts, paths: &Paths) -> Result<ArrayRef> {
        let rows = documents.rows;
        Ok(match self.answer {
            Answer::Json => {
                let mut out = StringViewBuilder::with_capacity(rows);
                paths.each(documents, |at| out.append_option(inside(at).map(RawValue::text)))?;
                Arc::new(out.finish())
            }
            Answer::Text => {
                let mut out = StringViewBuilder::with_capacity(rows);
                paths.each(documents, |at| out.append_option(inside(at).and_then(RawValue::to_text)))?;
                Arc::new(out.finish())
            }
            Answer::Scalar => {
                let mut out = StringViewBuilder::with_capacity(rows);
                let scalar = |value: &RawValue<'_>| !value.is_null();
                paths
                    .each(documents, |at| out.append_option(inside(at).filter(scalar).map(RawValue::text)))?;
                Arc::new(out.finish())
            }
            Answer::Integer => {
                let mut out = StringViewBuilder::with_capacity(rows);
                paths.each(documents, |at| out.append_option(inside(at).and_then(as_rounded)))?;
                Arc::new(out.finish())
            }
            Answer::Str => {
                let mut out = StringViewBuilder::with_capacity(rows);
                paths.each(documents, |at| {
                    out.append_option(inside(at).and_then(RawValue::as_str).map(|string| string.text));
                })?;
                Arc::new(out.finish())
            }
            Answer::Int => {
                let mut out = Int64Builder::with_capacity(rows);
                paths.each(documents, |at| out.append_option(inside(at).and_then(as_integer)))?;
                Arc::new(out.finish())
            }
            Answer::Float => {
                let mut out = Float64Builder::with_capacity(rows);
                paths.each(documents, |at| out.append_option(inside(at).and_then(as_float)))?;
                Arc::new(out.finish())
            }
            Answer::Bool => {
                let mut out = BooleanBuilder::with_capacity(rows);
                paths.each(documents, |at| out.append_option(inside(at).and_then(as_bool)))?;
                Arc::new(out.finish())
            }
            Answer::Contains => {
                let mut out = BooleanBuilder::with_capacity(rows);
                paths.each(documents, |at| {
                    out.append_option(at.map(|(document, steps)| exists(document, steps)));
                })?;
                Arc::new(out.finish())
            }
            Answer::Length => {
                let mut out = Int64Builder::with_capacity(rows);
                paths.each(documents, |at| {
                    out.append_option(inside(at).and_then(length).map(|length| length as i64));
                })?;
                Arc::new(out.finish())
            }
            Answer::Array => {
                let mut out = ListBuilder::new(StringViewBuilder::new());
                paths.each(documents, |at| {
                    match inside(at).filter(|value| value.shape() == Shape::Array) {
                        Some(array) => {
                            array.elements().for_each(|element| out.values().append_value(element.text()));
                            out.append(true);
                        }
                        None => out.append(false),
                    }
                })?;
                Arc::new(out.finish())
            }
            Answer::Keys => {
                let mut out = ListBuilder::new(StringViewBuilder::new());
                paths.each(documents, |at| {
                    match inside(at).filter(|value| value.shape() == Shape::Object) {
                        Some(object) => {
                            names(object).for_each(|name| out.values().append_value(name));
                            out.append(true);
                        }
                        None => out.append(false),
                    }
                })?;
                Arc::new(out.finish())
            }
        })
    }
}

fn as_integer(value: RawValue<'_>) -> Option<i64> {
    if value.shape() == Shape::Number { Number::parse(value.text())?.integer() } else { None }
}

/// Returns a number rounded to the nearest integer, any other value as it was written, and `None` for `null`.
fn as_rounded(value: RawValue<'_>) -> Option<Cow<'_, str>> {
    if value.is_null() {
        return None;
    }
    let is_number = value.shape() == Shape::Number;
    let rounded = if is_number { Number::parse(value.text()).and_then(Number::rounded) } else { None };
    Some(rounded.map_or(Cow::Borrowed(value.text()), |integer| Cow::Owned(integer.to_string())))
}

/// Returns a number as the nearest float. A number beyond all floats becomes an infinity, as in Python.
fn as_float(value: RawValue<'_>) -> Option<f64> {
    if value.shape() == Shape::Number { value.text().parse().ok() } else { None }
}

fn as_bool(value: RawValue<'_>) -> Option<bool> {
    match value.text() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn length(value: RawValue<'_>) -> Option<usize> {
    match value.shape() {
        Shape::Array => Some(value.elements().count()),
        Shape::Object => Some(names(value).count()),
        _ => None,
    }
}

/// Returns the names of an object's members, each once.
fn names(object: RawValue<'_>) -> impl Iterator<Item = Cow<'_, str>> {
    let mut seen = HashSet::new();
    object.members().filter_map(move |(key, _)| {
        let name = key.decode().text;
        seen.insert(name.clone()).then_some(name)
    })
}
