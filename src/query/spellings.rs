//! Replaces PostgreSQL syntax that DataFusion 55.2 refuses or misreads by equivalent syntax that it answers.

mod array_texts;
mod interval_texts;
mod quantified;
mod rows;

pub(super) use array_texts::replace_array_text;
pub(super) use quantified::replace_any;
pub(super) use rows::replace_row_comparison;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, CharacterLength, DataType, ExactNumberInfo, Expr, LimitClause, Query,
    UnaryOperator, Value,
};

use super::time::call;

/// Turns `FETCH FIRST n ROWS ONLY` into `LIMIT n`.
pub(super) fn replace_fetch(query: &mut Query) {
    let Some(fetch) = query.fetch.take_if(|fetch| !fetch.with_ties && !fetch.percent) else { return };
    let quantity =
        fetch.quantity.clone().unwrap_or_else(|| Expr::value(Value::Number("1".to_owned(), false)));
    match &mut query.limit_clause {
        None => {
            query.limit_clause =
                Some(LimitClause::LimitOffset { limit: Some(quantity), offset: None, limit_by: Vec::new() });
        }
        Some(LimitClause::LimitOffset { limit: limit @ None, .. }) => *limit = Some(quantity),
        // A query with two limits stays as it is, and is refused.
        Some(_) => query.fetch = Some(fetch),
    }
}

/// Digits of the largest decimal.
const MOST_DIGITS: usize = 76;

/// Turns an integer that does not fit 64 bits into a decimal. DataFusion would read it as a floating-point number,
/// which equals other integers, too.
pub(super) fn replace_large_integer(expr: &mut Expr) {
    let Expr::Value(constant) = expr else { return };
    let Value::Number(number, _) = &constant.value else { return };
    let digits = number.trim_start_matches('0');
    let is_large = digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u64>().is_err();
    if digits.is_empty() || !is_large || digits.len() > MOST_DIGITS {
        return;
    }
    *expr = Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(Expr::value(Value::SingleQuotedString(digits.to_owned()))),
        data_type: DataType::Decimal(ExactNumberInfo::PrecisionAndScale(digits.len() as u64, 0)),
        array: false,
        format: None,
    };
}

/// Turns `-2 ^ 2` into `(-2) ^ 2`, as PostgreSQL reads it. The parser has read it as `-(2 ^ 2)`.
pub(super) fn replace_negative_power(expr: &mut Expr) {
    let (mut signs, mut signed) = (0, &mut *expr);
    while let Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner } = signed {
        signs += 1;
        signed = inner.as_mut();
    }
    if signs == 0 || !matches!(signed, Expr::BinaryOp { op: BinaryOperator::PGExp, .. }) {
        return;
    }
    let mut power = std::mem::replace(signed, Expr::Tuple(Vec::new()));
    let mut base = &mut power;
    while let Expr::BinaryOp { left, op: BinaryOperator::PGExp, .. } = base {
        base = left.as_mut();
    }
    let positive = std::mem::replace(base, Expr::Tuple(Vec::new()));
    *base = (0..signs).fold(positive, |value, _| {
        let negative = Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(value) };
        Expr::Nested(Box::new(negative))
    });
    *expr = power;
}

/// Turns `x::varchar(5)` into `left(x::text, 5)`: DataFusion ignores the length.
pub(super) fn replace_length(expr: &mut Expr) {
    let Expr::Cast { data_type, array: false, format: None, .. } = expr else { return };
    let length = match data_type {
        DataType::Varchar(length) | DataType::CharacterVarying(length) | DataType::CharVarying(length) => {
            *length
        }
        // A CHAR without a length has one character.
        DataType::Char(length) | DataType::Character(length) => {
            Some(length.unwrap_or(CharacterLength::IntegerLength { length: 1, unit: None }))
        }
        _ => None,
    };
    let Some(CharacterLength::IntegerLength { length, .. }) = length else { return };
    *data_type = DataType::Text;
    let whole = std::mem::replace(expr, Expr::Tuple(Vec::new()));
    let length = Expr::value(Value::Number(length.to_string(), false));
    *expr = call("left", [whole, length]);
}

/// Turns `LIKE '10!%' ESCAPE '!'` into `LIKE '10\%'`, if the pattern is a constant.
pub(super) fn replace_escape(expr: &mut Expr) {
    let (Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. }) = expr else {
        return;
    };
    let Some(Value::SingleQuotedString(escape)) = escape_char.as_ref().map(|escape| &escape.value) else {
        return;
    };
    let mut escape = escape.chars();
    let (character, None) = (escape.next(), escape.next()) else { return };
    let Expr::Value(constant) = pattern.as_mut() else { return };
    if let Value::SingleQuotedString(text) = &mut constant.value
        && let Some(replaced) = escaped_by_backslash(text, character)
    {
        *text = replaced;
        *escape_char = None;
    }
}

/// Replaces the escape character of a pattern, or no escape character, by backslashes. `None` if the pattern
/// ends with the escape character.
fn escaped_by_backslash(pattern: &str, escape: Option<char>) -> Option<String> {
    let mut replaced = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        let (character, is_literal) = match character {
            _ if Some(character) == escape => (characters.next()?, true),
            _ => (character, character == '\\'),
        };
        if is_literal && matches!(character, '%' | '_' | '\\') {
            replaced.push('\\');
        }
        replaced.push(character);
    }
    Some(replaced)
}

/// Rewrites the text of a constant interval in words that DataFusion can parse. Also rewrites
/// `- INTERVAL '1 day 2 hours'` and `INTERVAL - '1 day 2 hours'` as `-(INTERVAL '1 day 2 hours')`, because
/// DataFusion applies the sign only to the days.
pub(super) fn replace_interval(expr: &mut Expr) {
    let text = match expr {
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } if matches!(**expr, Expr::Interval(_)) => {
            let interval = std::mem::replace(expr.as_mut(), Expr::Tuple(Vec::new()));
            **expr = Expr::Nested(Box::new(interval));
            return;
        }
        Expr::Interval(interval)
            if matches!(*interval.value, Expr::UnaryOp { op: UnaryOperator::Minus, .. }) =>
        {
            let Expr::UnaryOp { op, expr: value } =
                std::mem::replace(interval.value.as_mut(), Expr::Tuple(Vec::new()))
            else {
                return;
            };
            interval.value = value;
            let positive = std::mem::replace(expr, Expr::Tuple(Vec::new()));
            let negative = Expr::UnaryOp { op, expr: Box::new(Expr::Nested(Box::new(positive))) };
            *expr = Expr::Nested(Box::new(negative));
            return;
        }
        Expr::Interval(interval) if interval.leading_field.is_none() => interval.value.as_mut(),
        Expr::Cast { expr, data_type: DataType::Interval { fields: None, .. }, .. } => expr.as_mut(),
        _ => return,
    };
    if let Expr::Value(constant) = text
        && let Value::SingleQuotedString(text) = &mut constant.value
        && let Some(replaced) = interval_texts::in_words(text)
    {
        *text = replaced;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_escape_character_is_a_backslash() {
        let replaced = |pattern, escape| escaped_by_backslash(pattern, escape);
        assert_eq!(replaced("10!%%", Some('!')).as_deref(), Some(r"10\%%"));
        assert_eq!(replaced("!!!_!a", Some('!')).as_deref(), Some(r"!\_a"));
        assert_eq!(replaced(r"a\%", Some('!')).as_deref(), Some(r"a\\%"));
        assert_eq!(replaced(r"a\%_", Some('\\')).as_deref(), Some(r"a\%_"));
        assert_eq!(replaced(r"a\%", None).as_deref(), Some(r"a\\%"));
        assert_eq!(replaced("a!", Some('!')), None);
    }
}
