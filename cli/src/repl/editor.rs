//! The editor of the line that the user types.

use std::borrow::Cow;

use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hint, Hinter};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{ColorMode, CompletionType, Config, Context, Helper};

use super::history::SavedHistory;
use super::known_names::Names;
use super::{complete, highlight, statement};

/// Reads statements from a terminal.
#[expect(clippy::struct_field_names, reason = "it is the editor of the library")]
pub(super) struct Editor {
    editor: rustyline::Editor<Typing, rustyline::history::FileHistory>,
    history: SavedHistory,
    /// Whether the terminal cannot move its cursor. Then lines are read without editing.
    is_plain: bool,
}

/// Terminals without editing, by their names in TERM: the list of the line editor itself.
const PLAIN: [&str; 3] = ["dumb", "cons25", "emacs"];

impl Editor {
    pub(super) fn new(names: Names, colour: bool, most: usize) -> rustyline::Result<Self> {
        let config = Config::builder()
            .auto_add_history(false)
            .max_history_size(most)?
            .completion_type(CompletionType::List)
            .completion_prompt_limit(100)
            .color_mode(if colour { ColorMode::Enabled } else { ColorMode::Disabled })
            .bracketed_paste(true)
            .build();
        let mut editor = rustyline::Editor::with_config(config)?;
        editor.set_helper(Some(Typing { names }));
        let history = SavedHistory::load(most);
        for entry in history.entries() {
            editor.add_history_entry(entry)?;
        }
        let is_plain =
            std::env::var("TERM").is_ok_and(|term| PLAIN.iter().any(|name| name.eq_ignore_ascii_case(&term)));
        Ok(Self { editor, history, is_plain })
    }

    /// Reads a text from the user. `typed` is its beginning, which is typed already.
    pub(super) fn read(&mut self, prompt: &str, typed: &str) -> Result<String, ReadlineError> {
        let text = if self.is_plain {
            // The editor would drop the typed beginning. It is shown as a part of the prompt, and cannot be
            // edited.
            typed.to_owned() + &self.editor.readline(&format!("{prompt}{typed}"))?
        } else {
            self.editor.readline_with_initial(prompt, (typed, ""))?
        };
        if !text.trim().is_empty() {
            // Only the newest of several identical entries is kept.
            if self.history.add(text.trim_end()) {
                self.editor.clear_history()?;
                for entry in self.history.entries() {
                    self.editor.add_history_entry(entry)?;
                }
            } else {
                self.editor.add_history_entry(text.trim_end())?;
            }
        }
        Ok(text)
    }
}

struct Typing {
    names: Names,
}

impl Helper for Typing {}

/// A reminder after the cursor, which never becomes a part of the text.
struct Reminder;

impl Hint for Reminder {
    fn display(&self) -> &'static str {
        "-- goes on until a ;"
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

/// The editor shows its prompt only on the first line of a text. The reminder says on an empty line that the
/// statement is not finished, so that the program does not seem to hang.
impl Hinter for Typing {
    type Hint = Reminder;

    fn hint(&self, line: &str, cursor: usize, _: &Context<'_>) -> Option<Reminder> {
        let waits = cursor == line.len() && line.ends_with('\n') && !statement::is_complete(line);
        waits.then_some(Reminder)
    }
}

impl Validator for Typing {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if statement::is_complete(context.input()) {
            ValidationResult::Valid(None)
        } else {
            ValidationResult::Incomplete
        })
    }
}

impl Completer for Typing {
    type Candidate = Pair;

    fn complete(&self, line: &str, cursor: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        Ok(complete::complete(line, cursor, &self.names.known()))
    }
}

impl Highlighter for Typing {
    fn highlight<'l>(&self, line: &'l str, cursor: usize) -> Cow<'l, str> {
        Cow::Owned(highlight::highlight(line, cursor, &self.names.known()))
    }

    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        let style = anstyle::Style::new().bold();
        Cow::Owned(format!("{style}{prompt}{style:#}"))
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        let style = anstyle::Style::new().dimmed();
        Cow::Owned(format!("{style}{hint}{style:#}"))
    }

    fn highlight_char(&self, _: &str, _: usize, _: CmdKind) -> bool {
        true
    }
}
