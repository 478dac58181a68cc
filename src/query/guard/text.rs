//! Refuses texts before they are parsed, if they are too long or too deep, or chain too many operators.
//!
//! The checks use the tokens of the text, and do not recurse.

use std::collections::HashMap;

use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::error::{Error, ErrorKind, Result};

/// The largest length of a statement: 4 MiB.
const MAX_SQL_BYTES: usize = 4 << 20;
/// The largest depth of parentheses.
const MAX_DEPTH: usize = 100;
/// The largest depth of subqueries. The planner walks through a subquery again for each query around it.
const MAX_SUBQUERIES: usize = 32;
/// The largest number of queries in one statement. In a WITH, each query may use the query before it.
const MAX_QUERIES: usize = 100;
/// The largest number of queries, if each use of a WITH query is replaced by that query. The planner walks
/// through all of them for each join, and queries that use each other double the work.
const MAX_WRITTEN_OUT: u64 = 1_000;
/// The largest depth of brackets. Planning `ARRAY[ARRAY[…]]` takes twice as long for every level.
const MAX_BRACKETS: usize = 12;
/// The largest number of keywords and operators. Lists of values are limited only by the length of the text.
const MAX_OPERATORS: usize = 2_000;
/// The largest number of operators in a chain such as `a + b + c`. Each operator is a level of a tree, which
/// is planned and evaluated by recursion on threads with a stack of 2 MiB. `AND` and `OR` are planned without
/// recursion.
const MAX_CHAIN: usize = 100;
/// The largest number of steps in a path such as `a->'b'->'c'`. Planning takes twice as long for every two
/// steps.
const MAX_STEPS: usize = 12;

/// The largest number of tables that are joined or combined. Each is a level of the plan, and each step of a
/// join has all columns of the steps before. A hundred `EXCEPT`s overflow a stack of 2 MiB.
const MAX_RELATIONS: usize = 50;

/// Refuses a text that is too long or too deep, or that chains too many operators.
pub(crate) fn check_text(sql: &str) -> Result<()> {
    let refuse = |what: String| Err(Error::new(ErrorKind::Query, format!("the SQL is refused: {what}")));
    if sql.len() > MAX_SQL_BYTES {
        return refuse(format!("it has {} bytes, and the limit is {MAX_SQL_BYTES}", sql.len()));
    }
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql)
        .tokenize()
        .map_err(|error| Error::with_source(ErrorKind::Query, "failed to parse the SQL", error))?;
    let found = Measure::of(&tokens);
    if found.depth > MAX_DEPTH {
        return refuse(format!("it nests parentheses {} deep, and the limit is {MAX_DEPTH}", found.depth));
    }
    let parts = written_out(&tokens);
    if parts > MAX_WRITTEN_OUT {
        return refuse(format!(
            "with each use of a WITH query replaced by that query, it has {parts} queries, and the limit is \
             {MAX_WRITTEN_OUT}"
        ));
    }
    if found.queries > MAX_QUERIES {
        return refuse(format!("it has {} queries, and the limit is {MAX_QUERIES}", found.queries));
    }
    if found.subqueries > MAX_SUBQUERIES {
        return refuse(format!(
            "it nests queries {} deep, and the limit is {MAX_SUBQUERIES}",
            found.subqueries
        ));
    }
    if found.brackets > MAX_BRACKETS {
        return refuse(format!("it nests brackets {} deep, and the limit is {MAX_BRACKETS}", found.brackets));
    }
    if found.operators > MAX_OPERATORS {
        return refuse(format!(
            "it has {} keywords and operators, and the limit is {MAX_OPERATORS}; write many values as one \
             list: `x IN (…)`",
            found.operators
        ));
    }
    if found.chain > MAX_CHAIN {
        return refuse(format!("it chains {} operators, and the limit is {MAX_CHAIN}", found.chain));
    }
    if found.steps > MAX_STEPS {
        return refuse(format!(
            "it has a path of {} steps, and the limit is {MAX_STEPS}; write the steps as one call: \
             `json_get(payload, 'a', 'b', …)`",
            found.steps
        ));
    }
    if found.relations > MAX_RELATIONS {
        return refuse(format!(
            "it joins or combines {} tables, and the limit is {MAX_RELATIONS}",
            found.relations
        ));
    }
    if found.samples {
        return refuse(
            "TABLESAMPLE would have no effect; write `WHERE random() < 0.01` for about one row of a hundred, \
             or `WHERE seq % 100 = 0` to get the same rows each time"
                .to_owned(),
        );
    }
    if found.explains > 1 {
        return refuse("it has several EXPLAINs; write only one".to_owned());
    }
    Ok(())
}

/// The counts and the largest depths in a text.
#[derive(Default)]
struct Measure {
    depth: usize,
    operators: usize,
    chain: usize,
    steps: usize,
    explains: usize,
    /// The number of queries.
    queries: usize,
    /// The depth of queries within queries.
    subqueries: usize,
    /// The depth of brackets within brackets.
    brackets: usize,
    /// The number of commas in FROM clauses, joins and set operations.
    relations: usize,
    /// Whether the text has a TABLESAMPLE.
    samples: bool,
}

/// The current chain within one pair of parentheses, and the longest chain before it.
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
        // The depths at which the current token is in a FROM clause.
        let mut from: Vec<usize> = Vec::new();
        // The depths at which a query has begun.
        let mut queries: Vec<usize> = Vec::new();
        let mut brackets = 0_usize;
        // The token before, without spaces.
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
                // The contents of parentheses are an operand, whose levels are below the levels outside.
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
                // These words are parts of constants, and lists of constants may be long.
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
                        // The FROM of IS DISTINCT FROM does not begin a clause.
                        let clause = keyword == Keyword::FROM && !is_word(before, Keyword::DISTINCT);
                        if clause && !in_from {
                            from.push(outside.len());
                        } else if in_from && (set_operation || ENDS_OF_FROM.contains(&keyword)) {
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

/// Returns the number of queries that a statement would have if each use of a WITH query is replaced by that
/// query. A WITH query is written as `name AS (…)`, or as `name (a, b) AS MATERIALIZED (…)`.
fn written_out(tokens: &[Token]) -> u64 {
    let tokens: Vec<&Token> = tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect();
    let mut known: HashMap<String, u64> = HashMap::new();
    // The WITH queries that have begun: the name, the depth, and the number of queries so far.
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

/// Returns the index of the parenthesis that begins the WITH query with the name at index `name`.
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

/// Removes the entries that are deeper than this.
fn leave(begun: &mut Vec<usize>, depth: usize) {
    while begun.last().is_some_and(|at| *at > depth) {
        begun.pop();
    }
}

fn is_word(token: Option<&Token>, keyword: Keyword) -> bool {
    matches!(token, Some(Token::Word(word)) if word.keyword == keyword)
}

/// Whether an operand begins after this token. A minus there is a sign.
fn begins_operand(before: Option<&Token>) -> bool {
    match before {
        None | Some(Token::LParen | Token::LBracket | Token::Comma) => true,
        Some(Token::Word(word)) => word.quote_style.is_none() && SEPARATORS.contains(&word.keyword),
        _ => false,
    }
}

/// Words that are parts of constants, as in `NULL` and `DATE '2026-11-23'`.
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
const ENDS_OF_FROM: [Keyword; 5] =
    [Keyword::WHERE, Keyword::GROUP, Keyword::ORDER, Keyword::LIMIT, Keyword::SELECT];

/// Words after which another expression begins.
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

    /// Makes a WITH in which each query uses the query before it twice.
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
