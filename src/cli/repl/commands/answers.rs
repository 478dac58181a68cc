//! Saved queries, and the last statement again.

use crate::SavedQuery;

use super::super::session::Session;
use super::Next;

pub(super) fn queries(session: &mut Session, _: &str) -> anyhow::Result<Next> {
    let mut text = String::new();
    for query in SavedQuery::all() {
        text += &format!("{}\n    {}\n", query.name, query.question);
        for parameter in &query.parameters {
            text += &format!("    {}={}  {}\n", parameter.name, parameter.default, parameter.meaning);
        }
    }
    text += "\\run NAME asks one of them, \\run NAME KEY=VALUE with a parameter set.\n";
    super::page(session, &text)
}

pub(super) fn run(session: &mut Session, arguments: &str) -> anyhow::Result<Next> {
    let mut words = words(arguments).into_iter();
    let Some(name) = words.next() else { anyhow::bail!("which one? \\queries lists them") };
    let query = SavedQuery::find(&name)?;
    let mut set = Vec::new();
    for word in words {
        let (key, value) =
            word.split_once('=').ok_or_else(|| anyhow::anyhow!("{word:?} should look like KEY=VALUE"))?;
        set.push((key.to_owned(), value.to_owned()));
    }
    let mut options = session.options()?;
    for (name, value) in query.values(&set)? {
        options = options.param(name, value);
    }
    session.ask_with(query.sql, options, None)?;
    Ok(Next::Prompt)
}

/// Words between spaces; quotes hold what is within them together.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for char in text.chars() {
        match char {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            _ if char.is_whitespace() && !quoted => words.extend(word.take()),
            _ => word.get_or_insert_default().push(char),
        }
    }
    words.extend(word);
    words
}

pub(super) fn again(session: &mut Session, arguments: &str) -> anyhow::Result<Next> {
    let sql = session.current.clone();
    if sql.is_empty() {
        anyhow::bail!("there is no statement yet");
    }
    let pipe = arguments.strip_prefix('|').map(str::trim).filter(|command| !command.is_empty());
    if pipe.is_none() && !arguments.is_empty() {
        anyhow::bail!("\\g takes nothing, or | COMMAND; \\copy writes files");
    }
    session.ask(&sql, pipe)?;
    Ok(Next::Prompt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_words_together() {
        assert_eq!(words("a since='2026-03-01 09:00'  b=''"), ["a", "since=2026-03-01 09:00", "b="]);
    }
}
