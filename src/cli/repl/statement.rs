//! Text as what is to be done: statements of SQL, and commands that begin with a backslash.
//!
//! A statement ends with `;`, or where a command begins that takes it up, as in `SELECT 1 \g`. A
//! command ends with its line. Behind the `;`, `| command` gives the answer to another program.

use std::ops::Range;

use super::lex::{Kind, tokens};

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Where it stands, with the space before it.
    pub(super) at: Range<usize>,
    /// The line on which it begins, from 1.
    pub(super) line: usize,
    pub(super) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A statement without its semicolon.
    Sql {
        text: String,
        pipe: Option<String>,
    },
    /// A statement that the command behind it takes up.
    Held(String),
    Command {
        name: String,
        arguments: String,
    },
}

/// The steps of a text, and where what is not finished begins.
pub(super) fn split(text: &str) -> (Vec<Step>, usize) {
    let tokens = tokens(text);
    let mut steps: Vec<Step> = Vec::new();
    // Where the step that goes on began, and its first word.
    let (mut from, mut begun) = (0, None::<usize>);
    let mut skip_to = 0;
    for token in &tokens {
        if token.at.start < skip_to || token.is_blank() && begun.is_none() {
            continue;
        }
        match token.kind {
            Kind::Semicolon => {
                let sql = begun.map(|begun| text.get(begun..token.at.start).unwrap_or_default());
                let (end, pipe) = pipe_behind(text, token.at.end);
                if let (Some(sql), Some(begun)) = (sql, begun) {
                    let what = What::Sql { text: sql.trim_end().to_owned(), pipe };
                    steps.push(Step { at: from..end, line: line_of(text, begun), what });
                    from = end;
                } else if let Some(before) = steps.last_mut() {
                    // One semicolon more than needed.
                    before.at.end = end;
                    from = end;
                }
                begun = None;
                skip_to = end;
            }
            Kind::Backslash => {
                let start = token.at.start;
                if let Some(begun) = begun.take() {
                    let held = text.get(begun..start).unwrap_or_default().trim_end().to_owned();
                    let (at, line) = (from..start, line_of(text, begun));
                    steps.push(Step { at, line, what: What::Held(held) });
                    from = start;
                }
                let end = end_of_line(text, start);
                let line = text.get(start..end).unwrap_or_default();
                steps.push(Step { at: from..end, line: line_of(text, start), what: command(line) });
                (from, skip_to) = (end, end);
            }
            _ => {
                begun.get_or_insert(token.at.start);
            }
        }
    }
    (steps, from)
}

/// Whether everything in this text is finished.
pub(super) fn is_complete(text: &str) -> bool {
    let (steps, rest) = split(text);
    let rest = text.get(rest..).unwrap_or_default();
    if steps.is_empty() && matches!(rest.trim().to_ascii_lowercase().as_str(), "quit" | "exit" | "help") {
        return true;
    }
    let open = Kind::Comment { closed: false };
    is_blank(rest) && tokens(rest).iter().all(|token| token.kind != open)
}

/// Whether this is a statement at all, or only blank.
pub(super) fn is_blank(text: &str) -> bool {
    tokens(text).iter().all(|token| token.is_blank() || token.kind == Kind::Semicolon)
}

fn command(line: &str) -> What {
    let line = line.trim().trim_start_matches('\\');
    let end = line.find(|char: char| char.is_whitespace() || matches!(char, '|' | '(')).unwrap_or(line.len());
    let (name, arguments) = line.split_at(end);
    // A semicolon at the end is a habit, not an argument.
    let name = name.trim_end_matches(';');
    let arguments = arguments.trim().trim_end_matches(';');
    What::Command { name: name.to_owned(), arguments: arguments.trim_end().to_owned() }
}

fn pipe_behind(text: &str, from: usize) -> (usize, Option<String>) {
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
        What::Command { name: name.to_owned(), arguments: arguments.to_owned() }
    }

    fn steps(text: &str) -> Vec<(usize, What)> {
        split(text).0.into_iter().map(|step| (step.line, step.what)).collect()
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
    fn an_answer_may_go_to_another_program() {
        let piped = What::Sql { text: "SELECT 1 | 2".to_owned(), pipe: Some("wc -l".to_owned()) };
        assert_eq!(steps("SELECT 1 | 2; | wc -l\nSELECT 3;"), [(1, piped), (2, sql("SELECT 3"))]);
    }

    proptest! {
        #[test]
        fn every_byte_is_in_one_step_or_in_the_rest(text in r#"([a-z'"$;\\/*\n| -]|\PC)*"#) {
            let (steps, rest) = split(&text);
            let mut whole: String = steps.iter().map(|step| &text[step.at.clone()]).collect();
            whole += &text[rest..];
            prop_assert_eq!(whole, text.clone());
            is_complete(&text);
        }
    }
}
