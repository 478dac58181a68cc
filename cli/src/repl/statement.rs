//! Splits a text into steps: statements of SQL, and commands that begin with a backslash.
//!
//! A statement ends with `;`, or before a command that uses it, as in `SELECT 1 \g`. A command ends with its
//! line. Another command between the lines of a statement, such as `\d events`, is executed first, and the
//! statement continues after it. After the `;`, `| command` sends the answer to another program.

use std::ops::Range;

use super::lex::{Kind, tokens};

/// A statement or a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Its range in the text, with the space before it.
    pub(super) at: Range<usize>,
    /// The line on which it begins, from 1.
    pub(super) line: usize,
    pub(super) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A statement without its semicolon.
    Sql { text: String, pipe: Option<String> },
    /// A statement that the next command uses.
    Held(String),
    Command {
        name: String,
        arguments: String,
        /// Whether it stands within a statement that continues after it.
        within: bool,
    },
    /// A comment, text or name that is not closed at the end of the text. The value describes it. Nothing of
    /// it can be run.
    Unfinished(&'static str),
}

/// Commands that use the statement before them. The second list uses it only if the command has no argument.
const USE_STATEMENT: [&str; 3] = ["g", "gx", "watch"];
const USE_STATEMENT_ALONE: [&str; 2] = ["e", "explain"];

/// The steps of a text, and its unfinished rest.
pub(super) struct Split {
    pub(super) steps: Vec<Step>,
    /// The start of the unfinished rest.
    pub(super) rest: usize,
    /// The ranges of commands within the rest, which are steps already.
    pub(super) done: Vec<Range<usize>>,
}

impl Split {
    /// The unfinished rest, without the commands within it.
    pub(super) fn pending(&self, text: &str) -> String {
        without(text, self.rest..text.len(), &self.done)
    }
}

/// A part of a text, without some ranges.
fn without(text: &str, part: Range<usize>, cuts: &[Range<usize>]) -> String {
    let mut kept = String::new();
    let mut from = part.start;
    for cut in cuts.iter().filter(|cut| cut.start >= part.start && cut.end <= part.end) {
        kept += text.get(from..cut.start).unwrap_or_default();
        from = cut.end;
    }
    kept + text.get(from..part.end).unwrap_or_default()
}

/// Splits a text into steps.
pub(super) fn split(text: &str) -> Split {
    let tokens = tokens(text);
    let mut steps: Vec<Step> = Vec::new();
    // The start of the current step, and of its first word.
    let (mut from, mut begun) = (0, None::<usize>);
    // Commands within the current step.
    let mut done = Vec::new();
    let mut skip_to = 0;
    for token in &tokens {
        if token.at.start < skip_to || token.is_blank() && begun.is_none() {
            continue;
        }
        match token.kind {
            Kind::Semicolon => {
                let sql = begun.map(|begun| without(text, begun..token.at.start, &done));
                let (end, pipe) = pipe_after(text, token.at.end);
                if let (Some(sql), Some(begun)) = (sql, begun) {
                    let what = What::Sql { text: sql.trim_end().to_owned(), pipe };
                    steps.push(Step { at: from..end, line: line_of(text, begun), what });
                    from = end;
                } else if let Some(before) = steps.last_mut() {
                    // An extra semicolon.
                    before.at.end = end;
                    from = end;
                }
                begun = None;
                done.clear();
                skip_to = end;
            }
            Kind::Backslash => {
                let start = token.at.start;
                let end = end_of_line(text, start);
                let (name, arguments) = command(text.get(start..end).unwrap_or_default());
                let uses_statement = USE_STATEMENT.contains(&name)
                    || USE_STATEMENT_ALONE.contains(&name) && arguments.is_empty();
                let within = begun.is_some() && !uses_statement;
                let (name, arguments) = (name.to_owned(), arguments.to_owned());
                let what = What::Command { name, arguments, within };
                let line = line_of(text, start);
                skip_to = end;
                if within {
                    steps.push(Step { at: start..end, line, what });
                    done.push(start..end);
                    continue;
                }
                if let Some(begun) = begun.take() {
                    let held = without(text, begun..start, &done).trim_end().to_owned();
                    let (at, line) = (from..start, line_of(text, begun));
                    steps.push(Step { at, line, what: What::Held(held) });
                    done.clear();
                    from = start;
                }
                steps.push(Step { at: from..end, line, what });
                from = end;
            }
            _ => {
                begun.get_or_insert(token.at.start);
            }
        }
    }
    Split { steps, rest: from, done }
}

/// Splits a complete text: its last statement needs no semicolon. An unclosed comment, text or name at its
/// end is a step, too.
pub(super) fn finished(text: &str) -> Vec<Step> {
    let split = split(text);
    let last = split.pending(text);
    let Split { mut steps, rest, .. } = split;
    let at = rest..text.len();
    let begin = |tail: &str| {
        let nothing = |char: char| char.is_whitespace() || char == ';';
        let skipped = tail.len() - tail.trim_start_matches(nothing).len();
        line_of(text, rest + skipped)
    };
    if let Some((from, open)) = unclosed(text.get(rest..).unwrap_or_default()) {
        steps.push(Step { at, line: line_of(text, rest + from), what: What::Unfinished(open) });
    } else if !is_blank(&last) {
        let sql = last.trim_matches(|char: char| char.is_whitespace() || char == ';').to_owned();
        let line = begin(text.get(rest..).unwrap_or_default());
        steps.push(Step { at, line, what: What::Sql { text: sql, pipe: None } });
    }
    steps
}

/// The unclosed comment, text or name at the end of a text, and its start.
fn unclosed(text: &str) -> Option<(usize, &'static str)> {
    let last = tokens(text).pop()?;
    let open = match last.kind {
        Kind::Comment { closed: false } => "a comment, which */ ends",
        Kind::Text { closed: false } => "a text, which a quote ends",
        Kind::Quoted { closed: false } => "a name, which a double quote ends",
        _ => return None,
    };
    Some((last.at.start, open))
}

/// Whether the text can be executed: all of it is finished, or a command stands after the beginning of an
/// unfinished statement. Such a command is executed at once.
pub(super) fn is_complete(text: &str) -> bool {
    let Split { steps, rest, done } = split(text);
    let rest = text.get(rest..).unwrap_or_default();
    if steps.is_empty() && matches!(rest.trim().to_ascii_lowercase().as_str(), "quit" | "exit" | "help") {
        return true;
    }
    let ends_with_command = done.last().is_some_and(|last| last.end >= text.trim_end().len());
    ends_with_command || is_blank(rest) && unclosed(rest).is_none()
}

/// Whether a text has only spaces, comments and semicolons.
pub(super) fn is_blank(text: &str) -> bool {
    tokens(text).iter().all(|token| token.is_blank() || token.kind == Kind::Semicolon)
}

/// The name of a command, and its arguments.
fn command(line: &str) -> (&str, &str) {
    let line = line.trim().trim_start_matches('\\');
    let end = line.find(|char: char| char.is_whitespace() || matches!(char, '|' | '(')).unwrap_or(line.len());
    let (name, arguments) = line.split_at(end);
    // A semicolon at the end is a habit of users, and not an argument.
    let name = name.trim_end_matches(';');
    let arguments = arguments.trim().trim_end_matches(';');
    (name, arguments.trim_end())
}

fn pipe_after(text: &str, from: usize) -> (usize, Option<String>) {
    let end = end_of_line(text, from);
    let rest = text.get(from..end).unwrap_or_default().trim();
    match rest.strip_prefix('|').map(str::trim) {
        Some(command) if !command.is_empty() => (end, Some(command.to_owned())),
        _ => (from, None),
    }
}

fn end_of_line(text: &str, from: usize) -> usize {
    text.get(from..).and_then(|rest| rest.find('\n')).map_or(text.len(), |end| from + end)
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.get(..at).unwrap_or_default().matches('\n').count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sql(text: &str) -> What {
        What::Sql { text: text.to_owned(), pipe: None }
    }

    fn command(name: &str, arguments: &str) -> What {
        What::Command { name: name.to_owned(), arguments: arguments.to_owned(), within: false }
    }

    fn within(name: &str, arguments: &str) -> What {
        What::Command { name: name.to_owned(), arguments: arguments.to_owned(), within: true }
    }

    fn steps(text: &str) -> Vec<(usize, What)> {
        split(text).steps.into_iter().map(|step| (step.line, step.what)).collect()
    }

    #[test]
    fn statements_end_with_a_semicolon_outside_quotes() {
        let text = "SELECT ';' -- ;\n;\n\n  SELECT $$;$$;;\n-- done\n";
        assert_eq!(steps(text), [(1, sql("SELECT ';' -- ;")), (4, sql("SELECT $$;$$"))]);
        assert!(is_complete(text));
        assert!(!is_complete("SELECT 1"));
        assert!(!is_complete("SELECT 1; SELECT 'a;"));
        assert!(!is_complete("SELECT 1; /*"));
        assert!(is_complete(" \n"));
    }

    #[test]
    fn commands_end_with_their_line() {
        let text = "\\d events;\nSELECT 1\n\\g | sort -r\n\\x";
        assert_eq!(
            steps(text),
            [
                (1, command("d", "events")),
                (2, What::Held("SELECT 1".to_owned())),
                (3, command("g", "| sort -r")),
                (4, command("x", "")),
            ]
        );
        assert!(is_complete("\\set a 'x;'"));
        assert_eq!(steps("\\set a 'x;';"), [(1, command("set", "a 'x;'"))]);
        assert_eq!(steps("\\?"), [(1, command("?", ""))]);
    }

    #[test]
    fn a_statement_goes_on_after_a_command_that_does_not_take_it_up() {
        let text = "SELECT 1,\n\\d events\n  2\n\\x on\n;SELECT 3\n\\x";
        assert_eq!(
            steps(text),
            [
                (2, within("d", "events")),
                (4, within("x", "on")),
                (1, sql("SELECT 1,\n\n  2")),
                (6, within("x", ""))
            ]
        );
        assert_eq!(split(text).pending(text), "SELECT 3\n");
        assert!(is_complete(text), "the command is done at once");
        assert!(!is_complete("SELECT 3\n\\x\n+ 1"));
        let held = What::Held("SELECT 1\n\n+ 2".to_owned());
        assert_eq!(steps("SELECT 1\n\\x\n+ 2 \\g"), [(2, within("x", "")), (1, held), (3, command("g", ""))]);
        assert_eq!(steps("SELECT 1 \\explain SELECT 2"), [(1, within("explain", "SELECT 2"))]);
    }

    #[test]
    fn what_a_text_ends_within_is_never_passed_over() {
        let end = |text: &str| finished(text).pop().map(|step| (step.line, step.what));
        assert_eq!(end("SELECT 1;\n-- c\nSELECT 2"), Some((2, sql("-- c\nSELECT 2"))));
        assert_eq!(end("SELECT 1\n\\x\n"), Some((1, sql("SELECT 1"))));
        let unfinished = |text: &str| match end(text) {
            Some((line, What::Unfinished(open))) => (line, open.split(',').next().unwrap_or_default()),
            other => panic!("{other:?}"),
        };
        assert_eq!(unfinished("SELECT 1;\n/* SELECT 2;"), (2, "a comment"));
        assert_eq!(unfinished("SELECT 1 /* /* */"), (1, "a comment"));
        assert_eq!(unfinished("SELECT 1;\nSELECT\n'a;"), (3, "a text"));
        assert_eq!(unfinished("SELECT $x$ ;"), (1, "a text"));
        assert_eq!(unfinished("SELECT \"a"), (1, "a name"));
        assert_eq!(end("SELECT 1; -- done"), Some((1, sql("SELECT 1"))));
        assert_eq!(end(" ;; \n"), None);
    }

    #[test]
    fn an_answer_may_go_to_another_program() {
        let piped = What::Sql { text: "SELECT 1 | 2".to_owned(), pipe: Some("wc -l".to_owned()) };
        assert_eq!(steps("SELECT 1 | 2; | wc -l\nSELECT 3;"), [(1, piped), (2, sql("SELECT 3"))]);
    }

    proptest! {
        #[test]
        fn every_byte_is_in_one_step_or_in_the_rest(text in r#"([a-z'"$;\\/*\n| -]|\PC)*"#) {
            let Split { steps, rest, done } = split(&text);
            let is_within = |step: &&Step| matches!(step.what, What::Command { within: true, .. });
            let mut whole: String =
                steps.iter().filter(|step| !is_within(step)).map(|step| &text[step.at.clone()]).collect();
            whole += &text[rest..];
            prop_assert_eq!(whole, text.clone());
            prop_assert!(done.iter().all(|command| command.start >= rest));
            is_complete(&text);
            finished(&text);
        }
    }
}
