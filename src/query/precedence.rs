//! Gives `IS DISTINCT FROM` its standard precedence.
//!
//! The parser, sqlparser 0.62, reads `a IS DISTINCT FROM b AND c` as `a IS DISTINCT FROM (b AND c)`. This
//! fails for texts and numbers, and gives a wrong answer for booleans. Sixty such comparisons in a row are
//! nested sixty deep. So this module puts brackets around each comparison before the text is parsed. Delete
//! it when the parser ends the right side at an AND.

use std::borrow::Cow;

use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

/// Puts brackets around each `IS [NOT] DISTINCT FROM` in a text.
pub(super) fn bracket_comparisons(sql: &str) -> Cow<'_, str> {
    if !sql.as_bytes().windows(8).any(|word| word.eq_ignore_ascii_case(b"distinct")) {
        return Cow::Borrowed(sql);
    }
    let Ok(tokens) = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location() else {
        return Cow::Borrowed(sql);
    };
    let tokens: Vec<TokenWithSpan> = tokens
        .into_iter()
        .filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF))
        .collect();
    let mut places: Vec<(usize, char)> = Vec::new();
    for at in 0..tokens.len() {
        let Some(operand) = after_comparison(&tokens, at) else { continue };
        let (first, last) = (begin(&tokens, at), end(&tokens, operand));
        let (Some(first), Some(last)) = (tokens.get(first), tokens.get(last)) else { continue };
        let (Some(from), Some(to)) = (offset(sql, first.span.start), offset(sql, last.span.end)) else {
            continue;
        };
        places.extend([(from, '('), (to, ')')]);
    }
    if places.is_empty() {
        return Cow::Borrowed(sql);
    }
    // At one place, closing brackets come before opening brackets.
    places.sort_by_key(|(at, bracket)| (*at, *bracket == '('));
    let mut text = String::with_capacity(sql.len() + places.len());
    let mut done = 0;
    for (at, bracket) in places {
        text.push_str(sql.get(done..at).unwrap_or_default());
        text.push(bracket);
        done = at;
    }
    text.push_str(sql.get(done..).unwrap_or_default());
    Cow::Owned(text)
}

/// Returns the index of the right side, if the token at `at` is the IS of such a comparison.
fn after_comparison(tokens: &[TokenWithSpan], at: usize) -> Option<usize> {
    let is =
        |at: usize, keyword: Keyword| tokens.get(at).is_some_and(|token| word(&token.token) == Some(keyword));
    if !is(at, Keyword::IS) {
        return None;
    }
    let distinct = if is(at + 1, Keyword::NOT) { at + 2 } else { at + 1 };
    (is(distinct, Keyword::DISTINCT) && is(distinct + 1, Keyword::FROM)).then_some(distinct + 2)
}

fn word(token: &Token) -> Option<Keyword> {
    match token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.keyword),
        _ => None,
    }
}

/// Returns the index of the first token on the left side of the IS at `at`.
fn begin(tokens: &[TokenWithSpan], at: usize) -> usize {
    let (mut first, mut depth) = (at, 0_usize);
    while let Some(before) = first.checked_sub(1) {
        match &tokens[before].token {
            // Two operands without an operator between them belong to different items:
            // `DISTINCT ON (a) b IS …`.
            token if depth == 0 && ends_operand(token) && is_word(&tokens[first].token) => break,
            token if closes(token) => depth += 1,
            token if opens(token) => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => break,
            },
            Token::Comma | Token::SemiColon if depth == 0 => break,
            // The AND of a BETWEEN is part of the operand.
            token
                if depth == 0
                    && is_bound(tokens, before)
                    && (word(token) != Some(Keyword::AND) || !ends_between(tokens, before)) =>
            {
                break;
            }
            _ => {}
        }
        first = before;
    }
    first
}

/// Whether the AND at this index belongs to a BETWEEN.
fn ends_between(tokens: &[TokenWithSpan], and: usize) -> bool {
    let mut depth = 0_usize;
    for (here, token) in tokens.iter().enumerate().take(and).rev() {
        match &token.token {
            token if closes(token) => depth += 1,
            token if opens(token) => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return false,
            },
            token if depth == 0 && word(token) == Some(Keyword::BETWEEN) => return true,
            _ if depth == 0 && is_bound(tokens, here) => return false,
            _ => {}
        }
    }
    false
}

/// Returns the index of the last token on the side that begins at `at`.
fn end(tokens: &[TokenWithSpan], at: usize) -> usize {
    let (mut last, mut depth) = (at, 0_usize);
    let mut between = false;
    for (here, token) in tokens.iter().enumerate().skip(at) {
        match &token.token {
            token if opens(token) => depth += 1,
            token if closes(token) => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return last,
            },
            Token::Comma | Token::SemiColon if depth == 0 => return last,
            // A name after an operand is an alias.
            token if depth == 0 && here > at && is_name(token) && ends_operand(&tokens[here - 1].token) => {
                return last;
            }
            token if depth == 0 && word(token) == Some(Keyword::BETWEEN) => between = true,
            token if depth == 0 && here > at && is_bound(tokens, here) => {
                if word(token) != Some(Keyword::AND) || !between {
                    return last;
                }
                between = false;
            }
            _ => {}
        }
        last = here;
    }
    last
}

fn is_name(token: &Token) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_some() || word.keyword == Keyword::NoKeyword)
}

/// Whether a token is a name, quoted or not. Names may be keywords, such as `error`.
fn is_word(token: &Token) -> bool {
    let operand = |word: Keyword| !BOUNDS.contains(&word) && !OPERATORS.contains(&word);
    is_name(token) || word(token).is_some_and(operand)
}

fn ends_operand(token: &Token) -> bool {
    let closing = matches!(token, Token::RParen | Token::RBracket | Token::Number(..));
    closing || is_word(token) || matches!(token, Token::SingleQuotedString(_))
}

/// Whether a token ends an operand. `left` and `right` may be functions, and do not end it then.
fn is_bound(tokens: &[TokenWithSpan], at: usize) -> bool {
    let Some(bound) = tokens.get(at).and_then(|token| word(&token.token)) else { return false };
    let call = || tokens.get(at + 1).is_some_and(|next| next.token == Token::LParen);
    BOUNDS.contains(&bound) && !(matches!(bound, Keyword::LEFT | Keyword::RIGHT) && call())
}

fn opens(token: &Token) -> bool {
    matches!(token, Token::LParen | Token::LBracket | Token::LBrace) || word(token) == Some(Keyword::CASE)
}

fn closes(token: &Token) -> bool {
    matches!(token, Token::RParen | Token::RBracket | Token::RBrace) || word(token) == Some(Keyword::END)
}

/// Words that are not part of an operand.
const BOUNDS: [Keyword; 43] = [
    Keyword::JOIN,
    Keyword::LEFT,
    Keyword::RIGHT,
    Keyword::FULL,
    Keyword::INNER,
    Keyword::CROSS,
    Keyword::NATURAL,
    Keyword::USING,
    Keyword::LATERAL,
    Keyword::NULLS,
    Keyword::FETCH,
    Keyword::ROWS,
    Keyword::RANGE,
    Keyword::GROUPS,
    Keyword::PARTITION,
    Keyword::WITH,
    Keyword::AND,
    Keyword::OR,
    Keyword::NOT,
    Keyword::IS,
    Keyword::SELECT,
    Keyword::DISTINCT,
    Keyword::ALL,
    Keyword::FROM,
    Keyword::WHERE,
    Keyword::ON,
    Keyword::WHEN,
    Keyword::THEN,
    Keyword::ELSE,
    Keyword::BY,
    Keyword::HAVING,
    Keyword::QUALIFY,
    Keyword::GROUP,
    Keyword::ORDER,
    Keyword::LIMIT,
    Keyword::OFFSET,
    Keyword::UNION,
    Keyword::EXCEPT,
    Keyword::INTERSECT,
    Keyword::WINDOW,
    Keyword::AS,
    Keyword::ASC,
    Keyword::DESC,
];

/// Words that connect two parts of an operand.
const OPERATORS: [Keyword; 16] = [
    Keyword::AT,
    Keyword::ZONE,
    Keyword::COLLATE,
    Keyword::LIKE,
    Keyword::ILIKE,
    Keyword::SIMILAR,
    Keyword::TO,
    Keyword::ESCAPE,
    Keyword::IN,
    Keyword::BETWEEN,
    Keyword::OVER,
    Keyword::FILTER,
    Keyword::WITHIN,
    Keyword::CASE,
    Keyword::ANY,
    Keyword::SOME,
];

/// Returns the offset of a line and a column in a text.
fn offset(sql: &str, place: Location) -> Option<usize> {
    let line = usize::try_from(place.line.checked_sub(1)?).ok()?;
    let column = usize::try_from(place.column.checked_sub(1)?).ok()?;
    let mut begin = 0;
    for _ in 0..line {
        begin += sql.get(begin..)?.find('\n')? + 1;
    }
    let rest = sql.get(begin..)?;
    let mut characters = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    Some(begin + characters.nth(column)?)
}

#[cfg(test)]
mod tests {
    use super::bracket_comparisons;

    #[test]
    fn each_comparison_stands_in_brackets() {
        for (sql, right) in [
            ("SELECT 1", "SELECT 1"),
            ("a IS DISTINCT FROM b AND c", "(a IS DISTINCT FROM b) AND c"),
            (
                "x OR a + 1 IS NOT DISTINCT FROM f(b, 2) OR c",
                "x OR (a + 1 IS NOT DISTINCT FROM f(b, 2)) OR c",
            ),
            ("SELECT NOT a IS DISTINCT FROM b, c FROM t", "SELECT NOT (a IS DISTINCT FROM b), c FROM t"),
            (
                "SELECT CASE WHEN a IS DISTINCT FROM CASE WHEN b THEN 1 END THEN 2 END AS x",
                "SELECT CASE WHEN (a IS DISTINCT FROM CASE WHEN b THEN 1 END) THEN 2 END AS x",
            ),
            (
                "WHERE é = 'ü'\n AND (a IS DISTINCT FROM b) ORDER BY 1",
                "WHERE é = 'ü'\n AND ((a IS DISTINCT FROM b)) ORDER BY 1",
            ),
            ("x BETWEEN 1 AND 2 IS DISTINCT FROM y AND z", "(x BETWEEN 1 AND 2 IS DISTINCT FROM y) AND z"),
            ("a IS DISTINCT FROM f(b) c", "(a IS DISTINCT FROM f(b)) c"),
            (
                "FROM a JOIN b ON a.x = b.x AND a.error IS DISTINCT FROM b.error LEFT JOIN c ON TRUE",
                "FROM a JOIN b ON a.x = b.x AND (a.error IS DISTINCT FROM b.error) LEFT JOIN c ON TRUE",
            ),
            (
                "SELECT reason IS DISTINCT FROM error changed",
                "SELECT (reason IS DISTINCT FROM error) changed",
            ),
            (
                "ORDER BY error IS DISTINCT FROM reason NULLS LAST",
                "ORDER BY (error IS DISTINCT FROM reason) NULLS LAST",
            ),
            (
                "WHERE error IS DISTINCT FROM reason FETCH FIRST 1 ROW ONLY",
                "WHERE (error IS DISTINCT FROM reason) FETCH FIRST 1 ROW ONLY",
            ),
            (
                "OVER (ORDER BY error IS DISTINCT FROM reason ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)",
                "OVER (ORDER BY (error IS DISTINCT FROM reason) ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)",
            ),
            (
                "SELECT DISTINCT ON (actor) error IS DISTINCT FROM left(reason, 2) FROM t",
                "SELECT DISTINCT ON (actor) (error IS DISTINCT FROM left(reason, 2)) FROM t",
            ),
            (
                "a::date IS DISTINCT FROM b AT TIME ZONE 'UTC' AND c",
                "(a::date IS DISTINCT FROM b AT TIME ZONE 'UTC') AND c",
            ),
            (
                "x LIKE y IS DISTINCT FROM interval '1 day' AND z",
                "(x LIKE y IS DISTINCT FROM interval '1 day') AND z",
            ),
            ("a IS DISTINCT FROM b AS c", "(a IS DISTINCT FROM b) AS c"),
            ("'IS DISTINCT FROM' -- a IS DISTINCT FROM b", "'IS DISTINCT FROM' -- a IS DISTINCT FROM b"),
        ] {
            assert_eq!(bracket_comparisons(sql), right);
        }
    }
}
