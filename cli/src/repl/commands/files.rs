//! Commands about files: write answers to them, or run statements from them.

use std::borrow::Cow;
use std::path::PathBuf;

use anyhow::Context;

use super::super::super::output::Target;
use super::super::lex::{Kind, tokens};
use super::super::out::Out;
use super::super::script;
use super::super::session::Session;
use super::{Next, unquoted};

pub(super) fn out(session: &mut Session, name: &str) -> anyhow::Result<Next> {
    session.out = if name.is_empty() {
        None
    } else {
        if name.starts_with('|') {
            anyhow::bail!("\\o takes a file; to send one answer to a program, use SELECT …; | COMMAND");
        }
        Some(Out::create(&at_home(&unquoted(name)))?)
    };
    Ok(Next::Prompt)
}

pub(super) fn copy(session: &mut Session, arguments: &str) -> anyhow::Result<Next> {
    let usage = "cannot read the arguments of \\copy; for example: \\copy crashes TO crashes.parquet, or \
                 \\copy (SELECT …) TO answer.csv";
    let (what, file) = parts(arguments).context(usage)?;
    session.copy(&what, Target::file(&at_home(&file), None)?)?;
    Ok(Next::Prompt)
}

/// The query, and the file after TO.
fn parts(arguments: &str) -> Option<(String, Cow<'_, str>)> {
    let tokens = tokens(arguments);
    let mut depth = 0_usize;
    let mut to = None;
    for token in &tokens {
        match token.kind {
            Kind::Open(_) => depth += 1,
            Kind::Close(_) => depth = depth.saturating_sub(1),
            Kind::Word if depth == 0 && token.text(arguments).eq_ignore_ascii_case("to") => {
                to = to.or(Some(token));
            }
            _ => {}
        }
    }
    let to = to?;
    let what = arguments.get(..to.at.start)?.trim();
    let file = unquoted(arguments.get(to.at.end..)?.trim());
    let inner = what.strip_prefix('(').and_then(|what| what.strip_suffix(')'));
    let sql = inner.map_or_else(|| format!("SELECT * FROM {what}"), str::to_owned);
    (!what.is_empty() && !file.is_empty()).then_some((sql, file))
}

/// A path; `~/` at its beginning is the user's home.
pub(super) fn at_home(path: &str) -> PathBuf {
    let below = path.strip_prefix("~/").and_then(|below| Some(std::env::home_dir()?.join(below)));
    below.unwrap_or_else(|| PathBuf::from(path))
}

pub(super) fn include(session: &mut Session, name: &str) -> anyhow::Result<Next> {
    let path = at_home(&unquoted(name));
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    script::include(session, &text, &path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_names_rows_and_a_file() {
        assert_eq!(parts("crashes TO a.csv").unwrap(), ("SELECT * FROM crashes".to_owned(), "a.csv".into()));
        let (sql, file) = parts("(SELECT 'to' FROM (SELECT 1) t) to 'my file.json'").unwrap();
        assert_eq!((sql.as_str(), file.as_ref()), ("SELECT 'to' FROM (SELECT 1) t", "my file.json"));
        assert!(parts("crashes a.csv").is_none() && parts("TO a.csv").is_none() && parts("x TO").is_none());
    }
}
