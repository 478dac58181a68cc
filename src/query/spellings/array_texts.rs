//! Constant texts of arrays, as PostgreSQL writes them: `'{1,2}'::int[]`.
//!
//! DataFusion 55.2 casts such a text to a list with one value, which is the whole text. The syntax is in PostgreSQL's
//! manual, 8.15.2 "Array Value Input".

use std::iter::Peekable;
use std::str::Chars;

use datafusion::sql::sqlparser::ast::{Array, ArrayElemTypeDef, CastKind, DataType, Expr, Value};

/// Replaces the text in a cast to an array, or after ANY or ALL, by an array. A text with arrays within stays as it is.
pub(in crate::query) fn replace_array_text(expr: &mut Expr) {
    let (text, of) = match expr {
        Expr::Cast { expr: text, data_type: DataType::Array(of), .. } => (text, item_type(of)),
        Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } => (right, None),
        _ => return,
    };
    let Expr::Value(constant) = text.as_ref() else { return };
    let written = match &constant.value {
        Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => text,
        Value::DollarQuotedString(text) => &text.value,
        _ => return,
    };
    let Some(items) = items(written) else { return };
    let value = |item: Option<String>| {
        let value = Expr::value(item.map_or(Value::Null, Value::SingleQuotedString));
        match &of {
            None => value,
            Some(of) => Expr::Cast {
                kind: CastKind::Cast,
                expr: Box::new(value),
                data_type: of.clone(),
                array: false,
                format: None,
            },
        }
    };
    **text = Expr::Array(Array { elem: items.into_iter().map(value).collect(), named: true });
}

/// The type of an array's values.
fn item_type(array: &ArrayElemTypeDef) -> Option<DataType> {
    match array {
        ArrayElemTypeDef::SquareBracket(of, _)
        | ArrayElemTypeDef::AngleBracket(of)
        | ArrayElemTypeDef::Parenthesis(of) => Some((**of).clone()),
        ArrayElemTypeDef::None => None,
    }
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
    let (mut value, mut end, mut is_escaped) = (String::new(), 0, false);
    while let Some(character) = rest.next_if(|character| *character != ',') {
        match character {
            '{' | '}' | '"' => return None,
            '\\' => {
                value.push(rest.next()?);
                is_escaped = true;
                end = value.len();
            }
            character => {
                value.push(character);
                if !character.is_whitespace() {
                    end = value.len();
                }
            }
        }
    }
    // Blanks at the end do not count, unless they are escaped.
    value.truncate(end);
    match value.as_str() {
        "" => None,
        null if !is_escaped && null.eq_ignore_ascii_case("null") => Some(None),
        _ => Some(Some(value)),
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
        assert_eq!(read("{a\\ ,b \\  }"), items(&["a ", "b  "]));
        assert_eq!(read("{}"), items(&[]));
        for other in ["", "a", "{a", "{a,}", "{,}", "{{a},{b}}", "{a\"b\"}", "{\"a\"b}", "{a\\", "{\"a}"] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
