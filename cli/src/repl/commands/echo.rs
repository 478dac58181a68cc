//! `\echo`: writes a text between answers.

use std::io::Write;

use super::super::super::sanitize;
use super::super::session::Session;
use super::Next;
use super::answers::words;

/// Writes the words with one space between them, each without its quotes, as in psql.
pub(super) fn run(_: &mut Session, arguments: &str) -> anyhow::Result<Next> {
    let after_flag = arguments.strip_prefix("-n");
    let rest = after_flag.filter(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
    let text = words(rest.unwrap_or(arguments))?.join(" ");
    let mut out = sanitize::stdout();
    write!(out, "{text}{}", if rest.is_some() { "" } else { "\n" })?;
    out.flush()?;
    Ok(Next::Prompt)
}
