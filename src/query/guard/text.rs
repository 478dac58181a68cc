//! Texts that are refused before they are parsed: those that are too long or too deep, or chain too many operators.
//!
//! The tokens tell, which takes no recursion.

use std::collections::HashMap;

use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::error::{Error, ErrorKind, Result};

/// Longer statements are refused: 4 MiB.
const MAX_SQL_BYTES: usize = 4 << 20;
/// Deeper parentheses are refused.
const MAX_DEPTH: usize = 100;
/// Deeper subqueries are refused: each is walked through again by each of those around it.
const MAX_SUBQUERIES: usize = 32;
/// More queries in one statement are refused: each may stand upon the one before, in a WITH.
const MAX_QUERIES: usize = 100;
/// More uses of the parts of a WITH are refused, with each use written out: planning walks through all of
/// them for each join, and parts that stand upon each other double the work.
const MAX_WRITTEN_OUT: u64 = 1_000;
/// Deeper brackets are refused: planning `ARRAY[ARRAY[…]]` takes twice as long for every level.
const MAX_BRACKETS: usize = 12;
/// More operators are refused. Lists of values may be as long as the text may.
const MAX_OPERATORS: usize = 2_000;
/// Longer chains of operators such as `a + b + c` are refused: each is a level of a tree that is
/// planned and evaluated by recursion, on threads whose stack is of 2 MiB. `AND` and `OR` are planned
/// without.
const MAX_CHAIN: usize = 100;
/// Longer paths such as `a->'b'->'c'` are refused: planning one takes twice as long for every two steps.
const MAX_STEPS: usize = 12;

/// More tables side by side or upon each other are refused: each is a level of the plan, and each step of a
/// join has all columns of those before. A hundred `EXCEPT`s overflow a stack of 2 MiB.
const MAX_RELATIONS: usize = 50;

/// Refuses text that is too long, too deep, or chains too many operators.
pub(crate) fn check_text(sql: &str) -> Result<()> {
    let refuse = |what: String| Err(Error::new(ErrorKind::Query, format!("the SQL is refused: {what}")));
    if sql.len() > MAX_SQL_BYTES {
        return refuse(format!("it has {} bytes, and {MAX_SQL_BYTES} are the limit", sql.len()));
    }
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql)
        .tokenize()
        .map_err(|error| Error::with_source(ErrorKind::Query, "the SQL is not understood", error))?;
    let found = Measure::of(&tokens);
    if found.depth > MAX_DEPTH {
        return refuse(format!("it nests {} deep, and {MAX_DEPTH} is the limit", found.depth));
    }
    let parts = written_out(&tokens);
    if parts > MAX_WRITTEN_OUT {
        return refuse(format!(
            "with each use of its WITH written out it has {parts} parts, and {MAX_WRITTEN_OUT} are the limit"
        ));
    }
    if found.queries > MAX_QUERIES {
        return refuse(format!("it consists of {} queries, and {MAX_QUERIES} are the limit", found.queries));
    }
    if found.subqueries > MAX_SUBQUERIES {
        return refuse(format!("it nests {} queries, and {MAX_SUBQUERIES} are the limit", found.subqueries));
    }
    if found.brackets > MAX_BRACKETS {
        return refuse(format!("it nests {} brackets, and {MAX_BRACKETS} are the limit", found.brackets));
    }
    if found.operators > MAX_OPERATORS {
        return refuse(format!(
            "it has {} keywords and operators, and {MAX_OPERATORS} are the limit; put values into a list: `x IN (…)`",
            found.operators
        ));
    }
    if found.chain > MAX_CHAIN {
        return refuse(format!("it chains {} operators, and {MAX_CHAIN} are the limit", found.chain));
    }
    if found.steps > MAX_STEPS {
        return refuse(format!(
            "it has a path of {} steps, and {MAX_STEPS} are the limit; `json_get(payload, 'a', 'b', …)` takes them all at once",
            found.steps
        ));
    }
    if found.relations > MAX_RELATIONS {
        return refuse(format!(
            "it joins or unites {} tables, and {MAX_RELATIONS} are the limit",
            found.relations
        ));
    }
    if found.samples {
        return refuse(
            "TABLESAMPLE would have no effect; for about one row of a hundred write `WHERE random() < 0.01`, or `WHERE seq % 100 = 0` for the same rows each time".to_owned(),
        );
    }
    if found.explains > 1 {
        return refuse("it explains an explanation".to_owned());
    }
    Ok(())
}

/// What a text has at most, or in all.
#[derive(Default)]
struct Measure {
    depth: usize,
    operators: usize,
    chain: usize,
    steps: usize,
    explains: usize,
    /// Queries in all.
    queries: usize,
    /// Queries within queries.
    subqueries: usize,
    /// Brackets within brackets.
    brackets: usize,
    /// Tables side by side: commas in FROM clauses, joins, set operations.
    relations: usize,
    /// A part of a table is asked for.
    samples: bool,
}

/// Within one pair of parentheses: the chain that goes on, and the longest before it.
#[derive(Clone, Copy, Default)]
struct Chain {
    operators: usize,
    steps: usize,
    longest: usize,
    most_steps: usize,
}

impl Chain {
    fn end(&mut self) {
        let (operators, steps) = (self.operators, self.steps);
        *self = Self {
            longest: self.longest.max(operators),
            most_steps: self.most_steps.max(steps),
            ..Self::default()
        };
    }
}

impl Measure {
    fn of(tokens: &[Token]) -> Self {
        let mut found = Self::default();
        let mut outside = Vec::new();
        let mut chain = Chain::default();
        // The depths at which the tokens are those of a FROM clause.
        let mut from: Vec<usize> = Vec::new();
        // The depths at which a query has begun.
        let mut queries: Vec<usize> = Vec::new();
        let mut brackets = 0_usize;
        // The token before, of those that are no space.
        let mut before: Option<&Token> = None;
        let mut tokens = tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).peekable();
        while let Some(token) = tokens.next() {
            match token {
                Token::LParen | Token::LBracket | Token::LBrace => {
                    if !matches!(token, Token::LParen) {
                        found.operators += 1;
                        chain.operators += 1;
                        brackets += 1;
                        found.brackets = found.brackets.max(brackets);
                    }
                    outside.push(std::mem::take(&mut chain));
                    found.depth = found.depth.max(outside.len());
                }
                // What is in parentheses is an operand: its levels lie below those outside.
                Token::RParen | Token::RBracket | Token::RBrace => {
                    if !matches!(token, Token::RParen) {
                        brackets = brackets.saturating_sub(1);
                    }
                    chain.end();
                    let inside = chain;
                    chain = outside.pop().unwrap_or_default();
                    chain.operators += inside.longest;
                    chain.steps += inside.most_steps;
                    leave(&mut from, outside.len());
                    leave(&mut queries, outside.len());
                }
                Token::Comma => {
                    chain.end();
                    found.relations += usize::from(from.last() == Some(&outside.len()));
                }
                Token::SemiColon => chain.end(),
                Token::Period
                | Token::Number(..)
                | Token::SingleQuotedString(_)
                | Token::EscapedStringLiteral(_) => {}
                // A word is a name, or an operator such as OR, NOT, UNION, JOIN, BETWEEN.
                Token::Word(word) if word.quote_style.is_some() => {}
                // A constant is made of some, and lists of constants may be long.
                Token::Word(word) if CONSTANTS.contains(&word.keyword) => {}
                // The sign of a number.
                Token::Minus | Token::Plus
                    if matches!(tokens.peek(), Some(Token::Number(..))) && begins_operand(before) => {}
                Token::Word(word) => match word.keyword {
                    Keyword::NoKeyword => {}
                    keyword => {
                        found.operators += 1;
                        found.queries += usize::from(keyword == Keyword::SELECT);
                        found.explains += usize::from(keyword == Keyword::EXPLAIN);
                        found.samples |= keyword == Keyword::TABLESAMPLE;
                        let set_operation =
                            matches!(keyword, Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT);
                        found.relations += usize::from(set_operation || keyword == Keyword::JOIN);
                        let in_from = from.last() == Some(&outside.len());
                        // Not that of IS DISTINCT FROM.
                        let clause = keyword == Keyword::FROM && !is_word(before, Keyword::DISTINCT);
                        if clause && !in_from {
                            from.push(outside.len());
                        } else if in_from && (set_operation || BEHIND_FROM.contains(&keyword)) {
                            from.pop();
                        }
                        if keyword == Keyword::SELECT && queries.last() != Some(&outside.len()) {
                            queries.push(outside.len());
                            found.subqueries = found.subqueries.max(queries.len());
                        }
                        if SEPARATORS.contains(&keyword) {
                            chain.end();
                        }
                    }
                },
                _ => {
                    found.operators += 1;
                    chain.operators += 1;
                    let step = matches!(
                        token,
                        Token::Arrow | Token::LongArrow | Token::HashArrow | Token::HashLongArrow
                    );
                    chain.steps += usize::from(step);
                }
            }
            before = Some(token);
            found.chain = found.chain.max(chain.operators).max(chain.longest);
            found.steps = found.steps.max(chain.steps).max(chain.most_steps);
        }
        found
    }
}

/// How many parts of a WITH a statement would have with each use of one written out. A part is a name that is
/// given to a query, as in `name AS (…)`, `name (a, b) AS MATERIALIZED (…)`.
fn written_out(tokens: &[Token]) -> u64 {
    let tokens: Vec<&Token> = tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect();
    let mut known: HashMap<String, u64> = HashMap::new();
    // Parts that have begun: their names, how deep they are, and what they come to.
    let mut open: Vec<(String, usize, u64)> = vec![(String::new(), 0, 0)];
    let (mut depth, mut largest) = (0_usize, 0);
    let mut begins: Option<(usize, String)> = None;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::LParen => {
                depth += 1;
                if begins.as_ref().is_some_and(|(paren, _)| *paren == at)
                    && let Some((_, name)) = begins.take()
                {
                    open.push((name, depth, 1));
                }
            }
            Token::RParen => {
                if open.len() > 1
                    && open.last().is_some_and(|(_, of, _)| *of == depth)
                    && let Some((name, _, parts)) = open.pop()
                {
                    known.insert(name, parts);
                }
                depth = depth.saturating_sub(1);
            }
            Token::Word(word) => {
                let name = word.value.to_lowercase();
                if let Some(paren) = part_begins(&tokens, at) {
                    begins = Some((paren, name));
                } else if let (Some(parts), Some(last)) = (known.get(&name), open.last_mut()) {
                    last.2 = last.2.saturating_add(*parts);
                    largest = largest.max(last.2);
                }
            }
            _ => {}
        }
    }
    largest
}

/// Where the query begins that is given the name here.
fn part_begins(tokens: &[&Token], name: usize) -> Option<usize> {
    let mut at = name + 1;
    if tokens.get(at) == Some(&&Token::LParen) {
        at += tokens.get(at..)?.iter().position(|token| **token == Token::RParen)? + 1;
    }
    if !is_word(tokens.get(at).copied(), Keyword::AS) {
        return None;
    }
    at += 1;
    at += usize::from(is_word(tokens.get(at).copied(), Keyword::NOT));
    at += usize::from(is_word(tokens.get(at).copied(), Keyword::MATERIALIZED));
    (tokens.get(at) == Some(&&Token::LParen)).then_some(at)
}

/// Forgets what had begun deeper than this.
fn leave(begun: &mut Vec<usize>, depth: usize) {
    while begun.last().is_some_and(|at| *at > depth) {
        begun.pop();
    }
}

fn is_word(token: Option<&Token>, keyword: Keyword) -> bool {
    matches!(token, Some(Token::Word(word)) if word.keyword == keyword)
}

/// Whether an operand begins after this token: a minus there is a sign.
fn begins_operand(before: Option<&Token>) -> bool {
    match before {
        None | Some(Token::LParen | Token::LBracket | Token::Comma) => true,
        Some(Token::Word(word)) => word.quote_style.is_none() && SEPARATORS.contains(&word.keyword),
        _ => false,
    }
}

/// Words of constants: `NULL`, `DATE '2026-11-23'`.
const CONSTANTS: [Keyword; 7] = [
    Keyword::NULL,
    Keyword::TRUE,
    Keyword::FALSE,
    Keyword::DATE,
    Keyword::TIME,
    Keyword::TIMESTAMP,
    Keyword::INTERVAL,
];

/// Words that end a FROM clause.
const BEHIND_FROM: [Keyword; 5] =
    [Keyword::WHERE, Keyword::GROUP, Keyword::ORDER, Keyword::LIMIT, Keyword::SELECT];

/// Words behind which another expression begins.
const SEPARATORS: [Keyword; 15] = [
    Keyword::SELECT,
    Keyword::FROM,
    Keyword::WHERE,
    Keyword::AND,
    Keyword::OR,
    Keyword::ON,
    Keyword::WHEN,
    Keyword::THEN,
    Keyword::ELSE,
    Keyword::BY,
    Keyword::HAVING,
    Keyword::UNION,
    Keyword::EXCEPT,
    Keyword::INTERSECT,
    Keyword::AS,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Each part of the WITH is twice the one before.
    fn doubled(parts: usize) -> String {
        let doubled =
            |n: usize| format!(", c{n} AS (SELECT * FROM c{0} UNION ALL SELECT * FROM c{0})", n - 1);
        let parts: String = (1..=parts).map(doubled).collect();
        format!("WITH c0 AS (SELECT 1){parts} SELECT 1")
    }

    #[test]
    fn usual_sql_passes() {
        check_text("SELECT a, count(*) FROM events WHERE (b = 'x' OR c > 3) GROUP BY 1 -- ok").unwrap();
        let long_list = format!("SELECT 1 WHERE 1 IN ({})", vec!["1"; 100_000].join(", "));
        check_text(&long_list).unwrap();
        check_text(&doubled(5)).unwrap();
        let each = |part: &dyn Fn(u32) -> String| (0..20).map(part).collect::<Vec<_>>().concat();
        let twice = each(&|n| format!(", c{n}(a) AS MATERIALIZED (SELECT {n})"));
        let used = each(&|n| format!(" UNION SELECT 1 FROM c{n} a, c{n} b"));
        check_text(&format!(
            "WITH x AS (SELECT 1){twice} SELECT 1{}",
            used.split(" UNION").take(11).collect::<Vec<_>>().join(" UNION")
        ))
        .unwrap();
        check_text(&format!("SELECT 1 WHERE seq IN ({})", vec!["-1"; 2_100].join(", "))).unwrap();
        check_text(&format!("SELECT 1 WHERE at IN ({})", vec!["DATE '2026-11-23'"; 2_100].join(", ")))
            .unwrap();
        check_text(&format!("VALUES {}", vec!["(NULL, TRUE)"; 2_100].join(", "))).unwrap();
        let distinct = vec!["coalesce(a, b) IS DISTINCT FROM coalesce(b, a)"; 60].join(" OR ");
        check_text(&format!("SELECT {distinct}, 1, 2, 3 FROM events WHERE {distinct}")).unwrap();
        check_text(&format!("SELECT 1 WHERE a = 1{}", " OR a + 1 = 2".repeat(400))).unwrap();
        check_text(&format!("SELECT 1{}", ", payload->'a'->>'b' = 'c'".repeat(400))).unwrap();
    }

    #[test]
    fn deep_and_endless_sql_is_refused() {
        for sql in [
            format!("SELECT {}1{}", "(".repeat(100_000), ")".repeat(100_000)),
            format!("SELECT 1{}", " + 1".repeat(100_000)),
            format!("SELECT 1 WHERE {}true", "NOT ".repeat(100_000)),
            format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(100_000)),
            format!("SELECT a{}", "[1]".repeat(100_000)),
            format!("SELECT 1 FROM events a{}", ", events".repeat(5_000)),
            format!("SELECT 1{}", " - -1".repeat(MAX_CHAIN + 1)),
            doubled(25),
            doubled(25).replace(" AS (", "(a) AS NOT MATERIALIZED ("),
            format!("SELECT a{}", " + a".repeat(MAX_CHAIN + 1)),
            format!("SELECT {}a{}", "(a + ".repeat(60), " + a)".repeat(60)),
            format!("SELECT payload{}", "->'a'".repeat(MAX_STEPS + 1)),
            "x".repeat(MAX_SQL_BYTES + 1),
        ] {
            let error = check_text(&sql).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Query);
            assert!(error.to_string().contains("limit"), "{error}");
        }
    }
}
