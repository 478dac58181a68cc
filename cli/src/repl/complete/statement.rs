//! Completions in SQL.

use rustyline::completion::Pair;

use super::super::super::sanitize::is_unseen;
use super::super::highlight::is_keyword;
use super::super::known_names::NameLists;
use super::super::lex::{Kind, Token, tokens};
use super::{MOST, offer};

const KEYWORDS: [&str; 48] = [
    "ALL",
    "AND",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "CROSS JOIN",
    "DESC",
    "DISTINCT",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "FALSE",
    "FILTER",
    "FROM",
    "FULL JOIN",
    "GROUP BY",
    "HAVING",
    "ILIKE",
    "IN",
    "INTERSECT",
    "INTERVAL",
    "IS NOT NULL",
    "IS NULL",
    "JOIN",
    "LEFT JOIN",
    "LIKE",
    "LIMIT",
    "NOT",
    "NULL",
    "NULLS LAST",
    "OFFSET",
    "ON",
    "OR",
    "ORDER BY",
    "OVER",
    "PARTITION BY",
    "SELECT",
    "THEN",
    "TRUE",
    "UNION ALL",
    "WHEN",
    "WHERE",
    "WITH",
];

/// Completes a text that begins with a statement.
pub(super) fn complete(whole: &str, cursor: usize, known: &NameLists) -> (usize, Vec<Pair>) {
    let statement = whole.get(..cursor).unwrap_or(whole);
    let tokens = tokens(statement);
    let Some(last) = tokens.last().filter(|_| !tokens.iter().all(Token::is_blank)) else {
        return (cursor, offer("", keywords("SELECT")));
    };
    let start = last.at.start;
    let word = last.text(statement);
    match last.kind {
        Kind::Text { closed: false } => {
            let column = compared(statement, &tokens);
            (start, values(word, column.as_deref(), known))
        }
        Kind::Parameter => {
            let names = known.parameters.iter().map(|name| format!("${name}"));
            (start, offer(word, names))
        }
        Kind::Word => (start, offer(word, candidates(whole, statement, &tokens, word, known))),
        Kind::Other if word == "." => (last.at.end, offer("", qualified(whole, statement, &tokens, known))),
        _ => (cursor, offer("", candidates(whole, statement, &tokens, "", known))),
    }
}

/// Completes the condition after WHERE, without the statement before it.
pub(super) fn condition(text: &str, cursor: usize, known: &NameLists) -> (usize, Vec<Pair>) {
    if text.get(..cursor).is_some_and(|before| before.trim().is_empty()) {
        return (cursor, offer("", candidates("", "", &[], "", known)));
    }
    complete(text, cursor, known)
}

fn keywords(first: &str) -> impl Iterator<Item = String> {
    KEYWORDS.into_iter().filter(move |word| word.starts_with(first)).map(str::to_owned)
}

/// The words of a statement, without comments and without the word at the cursor.
fn words_before<'t>(statement: &'t str, tokens: &[Token], word: &str) -> Vec<&'t str> {
    let before = if word.is_empty() { tokens } else { tokens.split_last().map_or(tokens, |(_, rest)| rest) };
    before.iter().filter(|token| !token.is_blank()).map(|token| token.text(statement)).collect()
}

fn candidates(whole: &str, statement: &str, tokens: &[Token], word: &str, known: &NameLists) -> Vec<String> {
    let words_before = words_before(statement, tokens, word);
    let last = words_before.last().copied().unwrap_or_default();
    if last == "." {
        return qualified(whole, statement, tokens, known);
    }
    let is = |words: &[&str]| words.iter().any(|word| last.eq_ignore_ascii_case(word));
    if is(&["from", "join"]) || in_from(&words_before) && last == "," {
        return known.tables.keys().cloned().collect();
    }
    let mut names: Vec<String> = Vec::new();
    let used = used(whole, known);
    let tables: Vec<&String> = used.iter().map(|(_, table)| table).collect();
    if tables.is_empty() {
        names.extend(known.tables.values().flatten().cloned());
    } else {
        names.extend(tables.iter().filter_map(|table| known.tables.get(*table)).flatten().cloned());
    }
    names.extend(used.iter().filter(|(alias, table)| alias != table).map(|(alias, _)| alias.clone()));
    let lower = word.chars().next().is_some_and(char::is_lowercase);
    names.extend(KEYWORDS.iter().map(|word| if lower { word.to_lowercase() } else { (*word).to_owned() }));
    if !word.is_empty() {
        names.extend(known.functions.iter().map(|name| format!("{name}(")));
        names.extend(known.tables.keys().cloned());
    }
    names
}

fn in_from(words_before: &[&str]) -> bool {
    let ends = ["where", "group", "order", "having", "limit", "select", "on"];
    let last = words_before.iter().rev().find(|word| {
        word.eq_ignore_ascii_case("from") || ends.iter().any(|end| word.eq_ignore_ascii_case(end))
    });
    last.is_some_and(|word| word.eq_ignore_ascii_case("from"))
}

/// The columns after `alias.`, or the tables after `store.`.
fn qualified(whole: &str, statement: &str, tokens: &[Token], known: &NameLists) -> Vec<String> {
    let dot = tokens.iter().rposition(|token| token.text(statement) == ".").unwrap_or_default();
    let owner = dot.checked_sub(1).and_then(|at| tokens.get(at)).map(|token| token.text(statement));
    let Some(owner) = owner.map(str::to_lowercase) else { return Vec::new() };
    if owner == "store" {
        let of_store = known.tables.keys().filter_map(|name| name.strip_prefix("store."));
        return of_store.map(str::to_owned).collect();
    }
    let used = used(whole, known);
    let table = used.iter().find(|(alias, _)| *alias == owner).map_or(owner.as_str(), |(_, table)| table);
    known.tables.get(table).cloned().unwrap_or_default()
}

/// The tables in FROM and JOIN, each with its alias or name.
fn used(whole: &str, known: &NameLists) -> Vec<(String, String)> {
    let tokens: Vec<_> = tokens(whole).into_iter().filter(|token| !token.is_blank()).collect();
    let word = |at: usize| tokens.get(at).map(|token| token.text(whole).to_lowercase()).unwrap_or_default();
    let mut used = Vec::new();
    let mut from = false;
    for at in 0..tokens.len() {
        match word(at).as_str() {
            "from" | "join" => from = true,
            "," => {}
            "where" | "group" | "order" | "on" | "select" | "limit" => from = false,
            name if from && !name.is_empty() => {
                let (table, next) = if word(at + 1) == "." {
                    (format!("{name}.{}", word(at + 2)), at + 3)
                } else {
                    (name.to_owned(), at + 1)
                };
                if known.tables.contains_key(&table) {
                    let next = if word(next) == "as" { next + 1 } else { next };
                    let alias = word(next);
                    let plain =
                        tokens.get(next).is_some_and(|token| token.kind == Kind::Word) && !is_keyword(&alias);
                    used.push((if plain { alias } else { table.clone() }, table));
                }
            }
            _ => {}
        }
    }
    used
}

/// The column that is compared with the text at the cursor.
fn compared(statement: &str, tokens: &[Token]) -> Option<String> {
    let before = tokens.split_last()?.1.iter().rev().filter(|token| !token.is_blank());
    let mut words = before.map(|token| (token.kind, token.text(statement).to_lowercase()));
    words
        .find(|(kind, text)| {
            *kind == Kind::Word && !matches!(text.as_str(), "in" | "not" | "like" | "ilike" | "any")
        })
        .map(|(_, column)| column)
}

fn values(word: &str, column: Option<&str>, known: &NameLists) -> Vec<Pair> {
    let typed = word.strip_prefix('\'').unwrap_or(word);
    let listed: Vec<&String> = match column.and_then(|column| known.values.get(column)) {
        Some(values) => values.iter().collect(),
        None => known.values.values().flatten().collect(),
    };
    let typed = typed.replace("''", "'");
    let fits = |value: &&String| value.starts_with(&typed) && !value.contains(is_unseen);
    let fitting = listed.into_iter().filter(fits).take(MOST);
    fitting
        .map(|value| {
            let quoted = format!("'{}'", value.replace('\'', "''"));
            Pair { display: value.clone(), replacement: quoted }
        })
        .collect()
}
