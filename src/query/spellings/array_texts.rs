//! Constant texts of arrays, as PostgreSQL writes them: `'{1,2}'::int[]`.
//!
//! DataFusion 55.2 casts such a text to a list with one value, which is the whole text. The syntax is in PostgreSQL's
//! manual, 8.15.2 "Array Value Input".

use std::iter::Peekable;
use std::str::Chars;

use datafusion::sql::sqlparser::ast::{Array, DataType, Expr, Value};

/// Replaces the text in a cast to an array, or after ANY or ALL, by an array. A text with arrays within stays as it is.
pub(in crate::query) fn replace_array_text(expr: &mut Expr) {
    let text = match expr {
        Expr::Cast { expr: text, data_type: DataType::Array(_), .. } => text,
        Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } => right,
        _ => return,
    };
    let Expr::Value(constant) = text.as_ref() else { return };
    let Value::SingleQuotedString(written) = &constant.value else { return };
    let Some(items) = items(written) else { return };
    let value = |item: Option<String>| Expr::value(item.map_or(Value::Null, Value::SingleQuotedString));
    **text = Expr::Array(Array { elem: items.into_iter().map(value).collect(), named: true });
}

/// Returns the values of an array's text; `None` for another text.
fn items(text: &str) -> Option<Vec<Option<String>>> {
    let within = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut rest = within.chars().peekable();
    let mut items = Vec::new();
    if within.trim().is_empty() {
        return Some(items);
    }
    loop {
        while rest.next_if(|character| character.is_whitespace()).is_some() {}
        items.push(if rest.next_if_eq(&'"').is_some() { Some(quoted(&mut rest)?) } else { bare(&mut rest)? });
        while rest.next_if(|character| character.is_whitespace()).is_some() {}
        match rest.next() {
            Some(',') => {}
            Some(_) => return None,
            None => return Some(items),
        }
    }
}

/// Reads a value after its opening quote.
fn quoted(rest: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut value = String::new();
    loop {
        match rest.next()? {
            '"' => return Some(value),
            '\\' => value.push(rest.next()?),
            character => value.push(character),
        }
    }
}

/// Reads a value without quotes. The inner `None` is NULL.
fn bare(rest: &mut Peekable<Chars<'_>>) -> Option<Option<String>> {
    let (mut value, mut is_escaped) = (String::new(), false);
    while let Some(character) = rest.next_if(|character| *character != ',') {
        match character {
            '{' | '}' | '"' => return None,
            '\\' => {
                value.push(rest.next()?);
                is_escaped = true;
            }
            character => value.push(character),
        }
    }
    let value = value.trim_end();
    match value {
        "" => None,
        null if !is_escaped && null.eq_ignore_ascii_case("null") => Some(None),
        value => Some(Some(value.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_arrays_are_read_as_in_postgresql() {
        let read = |text| {
            items(text).map(|items| items.into_iter().map(|item| item.unwrap_or("∅".into())).collect())
        };
        let items = |items: &[&str]| Some(items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>());
        assert_eq!(read("{a,b}"), items(&["a", "b"]));
        assert_eq!(read(" { a b , null, \"null\", \\null } "), items(&["a b", "∅", "null", "null"]));
        assert_eq!(read(r#"{"a,\"b}",""}"#), items(&["a,\"b}", ""]));
        assert_eq!(read("{}"), items(&[]));
        for other in ["", "a", "{a", "{a,}", "{,}", "{{a},{b}}", "{a\"b\"}", "{\"a\"b}", "{a\\", "{\"a}"] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
