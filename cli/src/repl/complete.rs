//! Completions at the cursor: in a [`statement`], or in a [`command`].

mod command;
mod statement;

use std::collections::BTreeSet;

use rustyline::completion::Pair;

use super::super::sanitize::is_unseen;
use super::known_names::NameLists;
use super::lex::{Kind, tokens};
use super::statement::{Split, Step, What, split};

/// The number of completions that are offered at most.
const MOST: usize = 200;

/// The start of the text that is completed, and its completions.
pub(super) fn complete(text: &str, cursor: usize, known: &NameLists) -> (usize, Vec<Pair>) {
    let before = text.get(..cursor).unwrap_or(text);
    let Split { steps, rest, .. } = split(before);
    let command = steps.last().and_then(|step| command_at_end(before, step));
    let from = command.unwrap_or(rest);
    let text_from_step = text.get(from..).unwrap_or_default();
    let (start, offered) = if command.is_some() {
        let line =
            text_from_step.find('\n').and_then(|end| text_from_step.get(..end)).unwrap_or(text_from_step);
        command::complete(line, before.len() - from, known)
    } else {
        statement::complete(text_from_step, before.len() - from, known)
    };
    (from + start, offered)
}

/// The start of the name of a command that may still be typed: it is complete when its line ends.
fn command_at_end(before: &str, step: &Step) -> Option<usize> {
    let is_open = matches!(step.what, What::Command { .. }) && step.at.end == before.len();
    let typed = before.get(step.at.clone()).filter(|_| is_open)?;
    let backslash = tokens(typed).into_iter().find(|token| token.kind == Kind::Backslash)?;
    Some(step.at.start + backslash.at.end)
}

fn offer(word: &str, names: impl IntoIterator<Item = String>) -> Vec<Pair> {
    let lower = word.to_lowercase();
    let mut seen = BTreeSet::new();
    names
        .into_iter()
        .filter(|name| name.to_lowercase().starts_with(&lower) && seen.insert(name.clone()))
        // Values come from recorded facts: a line break in a value would begin a command of its own.
        .filter(|name| !name.contains(is_unseen))
        .take(MOST)
        .map(|name| Pair { display: name.clone(), replacement: name })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> NameLists {
        let mut known = NameLists::default();
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

    /// The completions at the bar.
    fn offered(text: &str) -> Vec<String> {
        let cursor = text.find('▮').unwrap();
        let (_, pairs) = complete(&text.replace('▮', ""), cursor, &known());
        pairs.into_iter().map(|pair| pair.replacement).collect()
    }

    #[test]
    fn tables_come_after_from() {
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
        assert_eq!(offered("\\tim▮"), ["timezone ", "timing "]);
        assert_eq!(offered("\\ru▮"), ["run "]);
        assert_eq!(offered("\\qui▮"), [""; 0]);
        assert_eq!(offered("\\run top_▮"), ["top_crashers"]);
        assert_eq!(offered("\\run top_crashers li▮"), ["limit="]);
        assert_eq!(offered("\\d dead▮"), ["dead_letters"]);
        assert_eq!(offered("SELECT 1 \\wa▮"), ["watch "]);
        assert_eq!(offered("\\pset nu▮"), ["null"]);
        assert_eq!(offered("\\pset format nd▮"), ["ndjson"]);
    }

    #[test]
    fn sql_in_a_command_is_completed_as_elsewhere() {
        assert_eq!(offered("\\explain SEL▮"), ["SELECT"]);
        assert_eq!(offered("\\explain SELECT ac▮ FROM events"), ["actor_address"]);
        assert_eq!(offered("\\explain SELECT * FROM store.▮"), ["commits"]);
        assert_eq!(offered("\\explain SELECT 1 FROM events WHERE event_type = 'ActorC▮"), ["'ActorCrashed'"]);
        assert_eq!(offered("SELECT ac▮ FROM events \\watch 2"), ["actor_address"]);
        assert_eq!(offered("\\copy (SELECT mess▮ FROM dead_letters) TO a.csv"), ["message_type"]);
        assert_eq!(offered("\\copy (SELECT count(*), ta▮ FROM dead_letters"), ["target"]);
        assert_eq!(offered("\\copy ev▮"), ["events"]);
        assert_eq!(offered("\\copy (SELECT 1) ▮"), ["TO"]);
        assert_eq!(offered("\\copy events TO data/sam▮"), ["data/sample.ndjson"]);
        assert_eq!(offered("\\copy events TO dat▮"), ["data/"]);
        assert_eq!(offered("\\tail event_type = 'ActorS▮"), ["'ActorStarted'"]);
        assert!(offered("\\tail ▮").contains(&"event_type".to_owned()));
    }
}
