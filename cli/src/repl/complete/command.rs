//! Completions on the line of a command.

use ostracon::SavedQuery;
use rustyline::completion::Pair;

use super::super::commands::{self, Completion, pset};
use super::super::known_names::NameLists;
use super::super::lex::{Kind, tokens};
use super::{offer, statement};

/// Completes a line, which has no backslash.
pub(super) fn complete(line: &str, cursor: usize, known: &NameLists) -> (usize, Vec<Pair>) {
    let before = line.get(..cursor).unwrap_or(line);
    let Some(end) = before.find(|char: char| char.is_whitespace() || char == '(') else {
        let names = commands::ALL.iter().filter_map(|command| command.names.first());
        let mut offered = offer(before, names.map(|name| (*name).to_owned()));
        for pair in &mut offered {
            if commands::find(&pair.replacement).is_some_and(|command| !command.arguments.is_empty()) {
                pair.replacement.push(' ');
            }
        }
        return (0, offered);
    };
    let (name, arguments) = before.split_at(end);
    let arguments = arguments.trim_start();
    let from = before.len() - arguments.len();
    let whole = line.get(from..).unwrap_or_default();
    let (start, offered) = match commands::find(name).map(|command| command.completion) {
        Some(Completion::Sql) => statement::complete(whole, arguments.len(), known),
        Some(Completion::Condition) => statement::condition(whole, arguments.len(), known),
        Some(Completion::Copy) => copy(whole, arguments, known),
        Some(completion) => words(completion, arguments, known),
        None => (arguments.len(), Vec::new()),
    };
    (from + start, offered)
}

/// The last word of the arguments, which may be empty.
fn last(arguments: &str) -> &str {
    arguments.rsplit(char::is_whitespace).next().unwrap_or_default()
}

fn words(completion: Completion, arguments: &str, known: &NameLists) -> (usize, Vec<Pair>) {
    let word = match completion {
        // An address may have spaces.
        Completion::Actors => arguments,
        _ => last(arguments),
    };
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let first = arguments.split_once(char::is_whitespace).map(|(first, _)| first);
    let names: Vec<String> = match completion {
        Completion::Nothing | Completion::Sql | Completion::Condition | Completion::Copy => Vec::new(),
        Completion::Words(words) => owned(words),
        Completion::Settings => owned(&first.map_or_else(pset::names, pset::words)),
        Completion::Tables => known.tables.keys().cloned().collect(),
        Completion::Functions => known.functions.clone(),
        Completion::Actors => ["actor_address", "target"]
            .iter()
            .filter_map(|column| known.values.get(column))
            .flatten()
            .cloned()
            .collect(),
        Completion::Saved => match first {
            None => SavedQuery::all().iter().map(|query| query.name.to_owned()).collect(),
            Some(name) => SavedQuery::find(name)
                .map(|query| query.parameters.iter().map(|p| format!("{}=", p.name)).collect())
                .unwrap_or_default(),
        },
        Completion::Files => files(word),
        Completion::Parameters => known.parameters.clone(),
    };
    (arguments.len() - word.len(), offer(word, names))
}

/// Completes `(SQL)` or a table, then TO, then a file.
fn copy(whole: &str, arguments: &str, known: &NameLists) -> (usize, Vec<Pair>) {
    let closed = closed_at(whole);
    if arguments.starts_with('(') && closed.is_none_or(|end| arguments.len() <= end) {
        let inner = whole.get(1..closed.unwrap_or(whole.len())).unwrap_or_default();
        let (start, offered) = statement::complete(inner, arguments.len() - 1, known);
        return (1 + start, offered);
    }
    let word = last(arguments);
    let before = arguments.get(closed.unwrap_or_default()..arguments.len() - word.len()).unwrap_or_default();
    let mut words_before = before.split_whitespace();
    let names = if words_before.any(|word| word.eq_ignore_ascii_case("to")) {
        files(word)
    } else if before.is_empty() {
        known.tables.keys().cloned().collect()
    } else {
        vec!["TO".to_owned()]
    };
    (arguments.len() - word.len(), offer(word, names))
}

/// The position at which the first bracket of a text is closed.
fn closed_at(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for token in tokens(text) {
        match token.kind {
            Kind::Open(_) => depth += 1,
            Kind::Close(_) => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(token.at.start);
                }
            }
            _ if depth == 0 => return None,
            _ => {}
        }
    }
    None
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
