//! Commands that run saved queries, or the last statement again.

use ostracon::SavedQuery;

use super::super::super::moment::with_instants;
use super::super::super::table::Expanded;
use super::super::session::{BoundStatement, Session};
use super::Next;

pub(super) fn queries(session: &mut Session, name: &str) -> anyhow::Result<Next> {
    if !name.is_empty() {
        return super::page(session, SavedQuery::find(name)?.sql);
    }
    let mut text = String::new();
    for query in SavedQuery::all() {
        text += &format!("{}\n    {}\n", query.name, query.question);
        for parameter in &query.parameters {
            text += &format!("    {}={}  {}\n", parameter.name, parameter.default, parameter.meaning);
        }
    }
    text += "\\run NAME runs one of them; \\run NAME KEY=VALUE sets a parameter.\n";
    super::page(session, &text)
}

pub(super) fn run(session: &mut Session, arguments: &str) -> anyhow::Result<Next> {
    let mut words = words(arguments)?.into_iter();
    let Some(name) = words.next() else { anyhow::bail!("no saved query was given; \\queries lists them") };
    let query = SavedQuery::find(&name)?;
    let mut set = Vec::new();
    for word in words {
        let (key, value) =
            word.split_once('=').ok_or_else(|| anyhow::anyhow!("{word:?} must have the form KEY=VALUE"))?;
        set.push((key.to_owned(), value.to_owned()));
    }
    let set = with_instants(&query, &set, session.settings.zone.as_jiff())?;
    session.ask(BoundStatement { sql: query.sql.to_owned(), values: query.values(&set)? }, None)?;
    Ok(Next::Prompt)
}

/// Splits a text at spaces. A quote at the beginning of a word, or after its `=`, holds the text up to the
/// next quote together; `''` within it is a quote.
pub(super) fn words(text: &str) -> anyhow::Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\'' if quoted && chars.next_if_eq(&'\'').is_some() => word.get_or_insert_default().push('\''),
            '\'' if quoted => quoted = false,
            '\'' if word.as_ref().is_none_or(|word| word.ends_with('=')) => {
                quoted = true;
                word.get_or_insert_default();
            }
            _ if char.is_whitespace() && !quoted => words.extend(word.take()),
            _ => word.get_or_insert_default().push(char),
        }
    }
    if quoted {
        anyhow::bail!("a quote is not closed in: {text}");
    }
    words.extend(word);
    Ok(words)
}

pub(super) fn again(session: &mut Session, arguments: &str) -> anyhow::Result<Next> {
    let asked = session.current.clone();
    if asked.sql.is_empty() {
        anyhow::bail!("there is no statement yet to run again");
    }
    let pipe = arguments.strip_prefix('|').map(str::trim).filter(|command| !command.is_empty());
    if pipe.is_none() && !arguments.is_empty() {
        anyhow::bail!("\\g takes no argument, or | COMMAND; to write a file, use \\copy");
    }
    session.ask(asked, pipe)?;
    Ok(Next::Prompt)
}

pub(super) fn again_in_blocks(session: &mut Session, arguments: &str) -> anyhow::Result<Next> {
    let expanded = std::mem::replace(&mut session.settings.expanded, Expanded::On);
    let done = again(session, arguments);
    session.settings.expanded = expanded;
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_words_together() {
        assert_eq!(
            words("a since='2026-03-01 09:00'  b='' actor=o'brien who='o''brien x'").unwrap(),
            ["a", "since=2026-03-01 09:00", "b=", "actor=o'brien", "who=o'brien x"]
        );
        assert!(words("a b='c d").unwrap_err().to_string().contains("not closed"));
    }
}
