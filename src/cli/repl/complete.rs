//! What may come next, by where the cursor is.

use std::collections::BTreeSet;

use crate::SavedQuery;
use rustyline::completion::Pair;

use super::super::harmless::is_unseen;
use super::commands::{self, Completion};
use super::lex::{Kind, Token, tokens};
use super::names::Known;
use super::statement::split;

/// More are not offered.
const MOST: usize = 200;

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

/// Where what is completed begins, and what it may become.
pub(super) fn complete(text: &str, cursor: usize, known: &Known) -> (usize, Vec<Pair>) {
    let before = text.get(..cursor).unwrap_or(text);
    let (_, from) = split(before);
    let line = before.rfind('\n').map_or(0, |end| end + 1);
    let typed = before.get(line..).unwrap_or_default();
    // A command is complete with its line, also while it is being typed.
    if let Some(command) = typed.trim_start().strip_prefix('\\') {
        return command_line(command, cursor, known);
    }
    let statement = before.get(from..).unwrap_or_default();
    let whole = text.get(from..).unwrap_or_default();
    let tokens = tokens(statement);
    let Some(last) = tokens.last() else { return (cursor, offer("", keywords("SELECT"))) };
    let start = from + last.at.start;
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
        Kind::Word => (start, offer(word, fitting(whole, statement, &tokens, word, known))),
        Kind::Other if word == "." => {
            (from + last.at.end, offer("", qualified(whole, statement, &tokens, known)))
        }
        _ => (cursor, offer("", fitting(whole, statement, &tokens, "", known))),
    }
}

fn keywords(first: &str) -> impl Iterator<Item = String> {
    KEYWORDS.into_iter().filter(move |word| word.starts_with(first)).map(str::to_owned)
}

fn offer(word: &str, names: impl IntoIterator<Item = String>) -> Vec<Pair> {
    let lower = word.to_lowercase();
    let mut seen = BTreeSet::new();
    names
        .into_iter()
        .filter(|name| name.to_lowercase().starts_with(&lower) && seen.insert(name.clone()))
        // Recorded by anybody, a line break in a value would be a command of its own.
        .filter(|name| !name.contains(is_unseen))
        .take(MOST)
        .map(|name| Pair { display: name.clone(), replacement: name })
        .collect()
}

/// The words of a statement that say something, the one at the cursor apart.
fn said<'t>(statement: &'t str, tokens: &[Token], word: &str) -> Vec<&'t str> {
    let before = if word.is_empty() { tokens } else { tokens.split_last().map_or(tokens, |(_, rest)| rest) };
    before.iter().filter(|token| !token.is_blank()).map(|token| token.text(statement)).collect()
}

fn fitting(whole: &str, statement: &str, tokens: &[Token], word: &str, known: &Known) -> Vec<String> {
    let said = said(statement, tokens, word);
    let last = said.last().copied().unwrap_or_default();
    if last == "." {
        return qualified(whole, statement, tokens, known);
    }
    let is = |words: &[&str]| words.iter().any(|word| last.eq_ignore_ascii_case(word));
    if is(&["from", "join"]) || in_from(&said) && last == "," {
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

fn in_from(said: &[&str]) -> bool {
    let ends = ["where", "group", "order", "having", "limit", "select", "on"];
    let last = said.iter().rev().find(|word| {
        word.eq_ignore_ascii_case("from") || ends.iter().any(|end| word.eq_ignore_ascii_case(end))
    });
    last.is_some_and(|word| word.eq_ignore_ascii_case("from"))
}

/// The columns behind `alias.`, or the tables behind `store.`.
fn qualified(whole: &str, statement: &str, tokens: &[Token], known: &Known) -> Vec<String> {
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

/// The tables in FROM and JOIN, each with the name by which it goes.
fn used(whole: &str, known: &Known) -> Vec<(String, String)> {
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
                    let plain = tokens.get(next).is_some_and(|token| token.kind == Kind::Word)
                        && !super::highlight::is_keyword(&alias);
                    used.push((if plain { alias } else { table.clone() }, table));
                }
            }
            _ => {}
        }
    }
    used
}

/// The column with which the text at the cursor is compared.
fn compared(statement: &str, tokens: &[Token]) -> Option<String> {
    let before = tokens.split_last()?.1.iter().rev().filter(|token| !token.is_blank());
    let mut words = before.map(|token| (token.kind, token.text(statement).to_lowercase()));
    words
        .find(|(kind, text)| {
            *kind == Kind::Word && !matches!(text.as_str(), "in" | "not" | "like" | "ilike" | "any")
        })
        .map(|(_, column)| column)
}

fn values(word: &str, column: Option<&str>, known: &Known) -> Vec<Pair> {
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

/// The line of a command, without its backslash.
fn command_line(line: &str, cursor: usize, known: &Known) -> (usize, Vec<Pair>) {
    let Some((name, arguments)) = line.split_once(char::is_whitespace) else {
        let names =
            commands::ALL.iter().filter_map(|command| command.names.first()).map(|name| (*name).to_owned());
        return (cursor - line.len(), offer(line, names));
    };
    let completion = commands::find(name).map_or(Completion::Nothing, |command| command.completion);
    let word = match completion {
        // An address may hold spaces.
        Completion::Actors => arguments.trim_start(),
        _ => arguments.rsplit(char::is_whitespace).next().unwrap_or_default(),
    };
    let start = cursor - word.len();
    let names: Vec<String> = match completion {
        Completion::Nothing => Vec::new(),
        Completion::Words(words) => words.iter().map(|word| (*word).to_owned()).collect(),
        Completion::Tables => known.tables.keys().cloned().collect(),
        Completion::Functions => known.functions.clone(),
        Completion::Actors => ["actor_address", "target"]
            .iter()
            .filter_map(|column| known.values.get(column))
            .flatten()
            .cloned()
            .collect(),
        Completion::Saved => match arguments.split_once(char::is_whitespace) {
            None => SavedQuery::all().iter().map(|query| query.name.to_owned()).collect(),
            Some((name, _)) => SavedQuery::find(name)
                .map(|query| query.parameters.iter().map(|p| format!("{}=", p.name)).collect())
                .unwrap_or_default(),
        },
        Completion::Files => files(word),
        Completion::Columns => known.tables.values().flatten().cloned().collect(),
        Completion::Parameters => known.parameters.clone(),
    };
    (start, offer(word, names))
}

fn files(word: &str) -> Vec<String> {
    let (folder, _) = word.rfind('/').map_or(("", word), |at| word.split_at(at + 1));
    let entries = std::fs::read_dir(if folder.is_empty() { "." } else { folder });
    let mut names: Vec<String> = entries
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let end = if entry.path().is_dir() { "/" } else { "" };
            Some(format!("{folder}{}{end}", entry.file_name().to_str()?))
        })
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        let mut known = Known::default();
        let columns = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        known.tables.insert("events".into(), columns(&["at", "actor_address", "event_type", "error"]));
        known.tables.insert("dead_letters".into(), columns(&["at", "target", "message_type"]));
        known.tables.insert("store.commits".into(), columns(&["number", "action"]));
        known.functions = columns(&["count", "date_trunc"]);
        known.values.insert("event_type", columns(&["ActorCrashed", "ActorStarted"]));
        known.values.insert("target", columns(&["it's"]));
        known.values.insert(
            "actor_address",
            columns(&["shop:1", "shop:2\n\\g | touch owned", "shop:\u{1b}[2J", "two words"]),
        );
        known.parameters = columns(&["actor"]);
        known
    }

    /// What is offered at the bar.
    fn offered(text: &str) -> Vec<String> {
        let cursor = text.find('▮').unwrap();
        let (_, pairs) = complete(&text.replace('▮', ""), cursor, &known());
        pairs.into_iter().map(|pair| pair.replacement).collect()
    }

    #[test]
    fn tables_come_behind_from() {
        assert_eq!(offered("SELECT * FROM ▮"), ["dead_letters", "events", "store.commits"]);
        assert_eq!(offered("SELECT * FROM ev▮"), ["events"]);
        assert_eq!(offered("SELECT * FROM store.▮"), ["commits"]);
        assert_eq!(offered("SELECT * FROM events, de▮"), ["dead_letters"]);
    }

    #[test]
    fn columns_are_those_of_the_tables_in_from() {
        assert_eq!(offered("SELECT ac▮ FROM events"), ["actor_address"]);
        assert_eq!(
            offered("SELECT * FROM events e JOIN dead_letters AS d ON d.▮"),
            ["at", "target", "message_type"]
        );
        assert_eq!(offered("SELECT * FROM dead_letters WHERE t▮"), ["target", "then", "true"]);
        assert_eq!(offered("SELECT 1; SELECT mess▮ FROM dead_letters"), ["message_type"]);
    }

    #[test]
    fn values_are_those_of_the_column() {
        assert_eq!(offered("SELECT * FROM events WHERE event_type = 'ActorC▮"), ["'ActorCrashed'"]);
        assert_eq!(
            offered("SELECT * FROM events WHERE event_type IN ('ActorStarted', '▮"),
            ["'ActorCrashed'", "'ActorStarted'"]
        );
        assert_eq!(offered("SELECT * FROM dead_letters WHERE target = 'it▮"), ["'it''s'"]);
    }

    #[test]
    fn what_was_recorded_cannot_become_a_command_or_an_escape() {
        assert_eq!(offered("\\actor sh▮"), ["shop:1"]);
        assert_eq!(offered("\\actor two w▮"), ["two words"]);
        assert_eq!(offered("SELECT * FROM events WHERE actor_address = 'sh▮"), ["'shop:1'"]);
    }

    #[test]
    fn functions_parameters_and_commands_are_offered() {
        assert_eq!(offered("SELECT date_▮"), ["date_trunc("]);
        assert_eq!(offered("SELECT * FROM events WHERE actor_address = $a▮"), ["$actor"]);
        assert_eq!(offered("\\tim▮"), ["timezone", "timing"]);
        assert_eq!(offered("\\run top_▮"), ["top_crashers"]);
        assert_eq!(offered("\\run top_crashers li▮"), ["limit="]);
        assert_eq!(offered("\\d dead▮"), ["dead_letters"]);
    }
}
