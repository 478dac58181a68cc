//! `\e`: opens the last statement, or a file, in the user's editor.

use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

use anyhow::Context;

use super::super::super::sanitize::visible;
use super::super::history::private;
use super::super::pager::shell;
use super::super::session::Session;
use super::files::at_home;
use super::{Next, unquoted};

/// Returns the edited text as typed; nothing if the text was not saved, as in psql.
pub(super) fn run(session: &mut Session, name: &str) -> anyhow::Result<Next> {
    if !session.settings.interactive {
        anyhow::bail!("\\e needs a terminal");
    }
    if !name.is_empty() {
        let path = at_home(&unquoted(name));
        return edited(&path);
    }
    let nanos = jiff::Timestamp::now().as_nanosecond();
    let path = std::env::temp_dir().join(format!("ostracon-{}-{nanos}.sql", std::process::id()));
    let mut file = private()
        .write(true)
        .create_new(true)
        .open(&path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    let written = writeln!(file, "{};", session.current.sql);
    drop(file);
    let done = written.map_err(anyhow::Error::from).and_then(|()| edited(&path));
    let _ = std::fs::remove_file(&path);
    done
}

/// The text of the file after the editor has ended, if the file was written.
fn edited(path: &Path) -> anyhow::Result<Next> {
    let attempt = || format!("cannot edit {}", path.display());
    let before = written(path);
    let named = |name| std::env::var(name).ok().filter(|editor| !editor.is_empty());
    let editor = named("VISUAL").or_else(|| named("EDITOR")).unwrap_or_else(|| "vi".to_owned());
    let status = shell(&format!("{editor} \"$OSTRACON_EDIT\"")).env("OSTRACON_EDIT", path).status();
    if !status.with_context(attempt)?.success() {
        anyhow::bail!("{} failed, so the edited text is not used", visible(&editor));
    }
    let after = written(path);
    if after.is_none() || after == before {
        return Ok(Next::Prompt);
    }
    let text = std::fs::read_to_string(path).with_context(attempt)?;
    Ok(Next::Typed(text.trim_end().to_owned()))
}

/// The time of the last write to a file, and its length.
fn written(path: &Path) -> Option<(SystemTime, u64)> {
    let is = std::fs::metadata(path).ok()?;
    Some((is.modified().ok()?, is.len()))
}
