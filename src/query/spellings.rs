//! Replaces PostgreSQL syntax that DataFusion 55.2 refuses or misreads by equivalent syntax that it answers.

mod interval_texts;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, ExactNumberInfo, Expr, LimitClause, Query, UnaryOperator, Value,
};

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

/// Turns a comparison of rows, `(a, b) = (c, d)`, into comparisons of their values, as in PostgreSQL. DataFusion would
/// compare structs, for which NULL equals NULL.
pub(super) fn replace_row_comparison(expr: &mut Expr) {
    if let Some(compared) = row_comparison(expr) {
        *expr = compared;
    }
}

fn row_comparison(expr: &Expr) -> Option<Expr> {
    let Expr::BinaryOp { left, op, right } = expr else { return None };
    let (Expr::Tuple(left), Expr::Tuple(right)) = (left.as_ref(), right.as_ref()) else { return None };
    if left.len() != right.len() {
        return None;
    }
    let pairs: Vec<(&Expr, &Expr)> = left.iter().zip(right).collect();
    let compare = |(left, right): (&Expr, &Expr), op: BinaryOperator| binary(left.clone(), op, right.clone());
    let each = |joined: BinaryOperator| {
        let parts = pairs.iter().map(|pair| compare(*pair, op.clone()));
        parts.reduce(|all, part| binary(all, joined.clone(), part))
    };
    let strict = match op {
        BinaryOperator::Eq => return each(BinaryOperator::And),
        BinaryOperator::NotEq => return each(BinaryOperator::Or),
        BinaryOperator::Lt | BinaryOperator::LtEq => BinaryOperator::Lt,
        BinaryOperator::Gt | BinaryOperator::GtEq => BinaryOperator::Gt,
        _ => return None,
    };
    // The first values that differ decide.
    let mut pairs = pairs.into_iter().rev();
    let last = compare(pairs.next()?, op.clone());
    Some(pairs.fold(last, |after, pair| {
        let equal = binary(compare(pair, BinaryOperator::Eq), BinaryOperator::And, after);
        binary(compare(pair, strict.clone()), BinaryOperator::Or, equal)
    }))
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    let operation = Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) };
    Expr::Nested(Box::new(operation))
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
