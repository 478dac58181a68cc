//! Finds a value in a JSON text by steps.

use std::borrow::Cow;

use super::RawValue;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// A step into the member with this name.
    Key(Cow<'a, str>),
    /// A step into the element at this place. A negative place counts from the end.
    Index(i64),
    /// A step into the member with this name. In an array, the name is the number of an element.
    Either(Cow<'a, str>),
}

/// Returns the value that the steps lead to; `None` if there is none.
pub(super) fn find<'a>(value: RawValue<'a>, steps: &[Step<'_>]) -> Option<RawValue<'a>> {
    steps.iter().try_fold(value, |value, step| match step {
        Step::Key(key) => value.get(key),
        Step::Index(index) => element(value, *index),
        Step::Either(name) => value.get(name).or_else(|| element(value, name.trim().parse().ok()?)),
    })
}

fn element(value: RawValue<'_>, index: i64) -> Option<RawValue<'_>> {
    let from_start = if let Ok(index) = usize::try_from(index) {
        index
    } else {
        let from_end = usize::try_from(index.unsigned_abs()).ok()?;
        value.elements().count().checked_sub(from_end)?
    };
    value.elements().nth(from_start)
}

/// Whether the steps lead to a value. As with PostgreSQL's `?`, the last step may also be a string among the
/// elements of an array.
pub(super) fn exists(value: RawValue<'_>, steps: &[Step<'_>]) -> bool {
    let Some((last, before)) = steps.split_last() else { return true };
    let Some(inside) = find(value, before) else { return false };
    let named = |name: &str| {
        inside.elements().any(|element| element.as_str().is_some_and(|text| !text.lossy && text.text == name))
    };
    find(inside, std::slice::from_ref(last)).is_some() || matches!(last, Step::Key(name) if named(name))
}

/// Parses a path in PostgreSQL's syntax, such as `{a,"b c",0}`. Returns the reason if it is not a path.
pub(super) fn parse(path: &str) -> Result<Vec<Step<'static>>, String> {
    let wrong =
        |why: &str| Err(format!("the JSON path {path:?} {why}; write it as '{{a,b,0}}' or ARRAY['a', 'b']"));
    let Some(inside) = path.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
        return wrong("has no braces around it");
    };
    if inside.trim().is_empty() {
        return Ok(Vec::new());
    }
    let mut steps = Vec::new();
    let mut rest = inside.chars().peekable();
    loop {
        while rest.next_if(|char| char.is_whitespace()).is_some() {}
        let mut name = String::new();
        let quoted = rest.next_if_eq(&'"').is_some();
        let mut closed = !quoted;
        while let Some(char) = rest.next_if(|char| quoted || *char != ',') {
            match char {
                '\\' => name.extend(rest.next()),
                '"' if quoted => {
                    closed = true;
                    break;
                }
                '"' | '{' | '}' if !quoted => return wrong("has a quote or a brace within a name"),
                other => name.push(other),
            }
        }
        if !closed {
            return wrong("has an opening quote without a closing one");
        }
        if quoted {
            while rest.next_if(|char| char.is_whitespace()).is_some() {}
        } else {
            name.truncate(name.trim_end().len());
            if name.is_empty() {
                return wrong("has an empty name without quotes");
            }
        }
        steps.push(Step::Either(Cow::Owned(name)));
        match rest.next() {
            None => return Ok(steps),
            Some(',') => {}
            Some(_) => return wrong("has text between a closing quote and the next comma"),
        }
    }
}
