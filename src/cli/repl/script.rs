//! Statements from files and pipes: one by one, until the first that fails.

use std::io::{self, BufRead};
use std::process::ExitCode;

use super::super::questions::{Question, Questions};
use super::super::say;
use super::commands::{self, Next};
use super::explained;
use super::run::Stopped;
use super::session::{Asked, Session};
use super::statement::{Step, What, is_blank, split};

/// Does one step.
pub(super) fn step(session: &mut Session, step: &Step) -> anyhow::Result<Next> {
    session.runner.interrupt.begin();
    let done = match &step.what {
        What::Sql { text, pipe } => session.ask(Asked::typed(text), pipe.as_deref()).map(|()| Next::Prompt),
        What::Held(text) => {
            session.current = Asked::typed(text);
            Ok(Next::Prompt)
        }
        What::Command { name, arguments } => commands::run(session, name, arguments),
    };
    session.runner.interrupt.end();
    done
}

/// What is done with a step that fails.
struct Failures {
    keep_going: bool,
    any: bool,
}

impl Failures {
    /// Tells the error; gives whether this was the end.
    fn told(&mut self, session: &Session, place: &str, error: anyhow::Error) -> anyhow::Result<bool> {
        if error.is::<Stopped>() {
            return Err(error);
        }
        if super::super::is_closed_pipe(&error) {
            return Err(error);
        }
        say(&format!("error: {place}: {}", explained(session, &error)));
        self.any = true;
        Ok(!self.keep_going)
    }
}

/// Answers what the command line asks, or standard input. That nobody reads any more does not undo what
/// has failed before.
pub(super) fn run(
    session: &mut Session,
    questions: &Questions,
    keep_going: bool,
) -> anyhow::Result<ExitCode> {
    let mut failures = Failures { keep_going, any: false };
    match all(session, questions, &mut failures) {
        Err(error) if !(failures.any && super::super::is_closed_pipe(&error)) => Err(error),
        _ if failures.any => Ok(ExitCode::FAILURE),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn all(session: &mut Session, questions: &Questions, failures: &mut Failures) -> anyhow::Result<()> {
    if questions.0.is_empty() {
        standard_input(session, failures)?;
    }
    for (at, question) in questions.0.iter().enumerate() {
        let name = match question {
            Question::Text(_) if questions.0.len() == 1 => None,
            Question::Text(_) => Some(format!("question {}", at + 1)),
            Question::File(file) => Some(file.display().to_string()),
        };
        let text = match question.text() {
            Ok(text) => text,
            Err(error) => {
                if failures.told(session, &format!("question {}", at + 1), error)? {
                    break;
                }
                continue;
            }
        };
        if whole(session, without_mark(&text), name.as_deref(), failures)? == Next::Quit {
            break;
        }
    }
    Ok(())
}

/// Does what a text says; [`Next::Quit`] at its end, or at its first error.
fn whole(
    session: &mut Session,
    text: &str,
    name: Option<&str>,
    failures: &mut Failures,
) -> anyhow::Result<Next> {
    for one in finished(text) {
        match step(session, &one) {
            Ok(Next::Quit) => return Ok(Next::Quit),
            Ok(_) => {}
            Err(error) => {
                let place =
                    name.map_or_else(String::new, |name| format!("{name}, ")) + &format!("line {}", one.line);
                if failures.told(session, &place, error)? {
                    return Ok(Next::Quit);
                }
            }
        }
    }
    Ok(Next::Prompt)
}

/// A text without the mark that some editors put before it.
fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// The steps of a text that ends here: its last statement needs no semicolon.
fn finished(text: &str) -> Vec<Step> {
    let (mut steps, rest) = split(text);
    let last = text.get(rest..).unwrap_or_default();
    if !is_blank(last) {
        let nothing = |char: char| char.is_whitespace() || char == ';';
        let skipped = last.len() - last.trim_start_matches(nothing).len();
        let line = 1 + text.get(..rest + skipped).unwrap_or_default().matches('\n').count();
        let what = What::Sql { text: last.trim_matches(nothing).to_owned(), pipe: None };
        steps.push(Step { at: rest..text.len(), line, what });
    }
    steps
}

/// Statements as they come: each is answered when its end was read.
fn standard_input(session: &mut Session, failures: &mut Failures) -> anyhow::Result<()> {
    let mut input = io::stdin().lock();
    let (mut text, mut lines) = (String::new(), 0);
    loop {
        let before = text.len();
        let mut line = Vec::new();
        let ended = input.read_until(b'\n', &mut line)? == 0;
        match String::from_utf8(line) {
            Ok(line) if text.is_empty() && lines == 0 => text.push_str(without_mark(&line)),
            Ok(line) => text.push_str(&line),
            Err(error) => {
                let place = format!("line {}", 1 + lines + text.matches('\n').count());
                if failures.told(session, &place, anyhow::anyhow!("this is not UTF-8: {error}"))? {
                    return Ok(());
                }
                text.push('\n');
            }
        }
        let news = text.get(before..).unwrap_or_default();
        if !ended && !news.contains([';', '\\']) {
            continue;
        }
        let (steps, rest) = if ended { (finished(&text), text.len()) } else { split(&text) };
        for one in steps {
            match step(session, &one) {
                Ok(Next::Quit) => return Ok(()),
                Ok(_) => {}
                Err(error) => {
                    let place = format!("line {}", lines + one.line);
                    if failures.told(session, &place, error)? {
                        return Ok(());
                    }
                }
            }
        }
        lines += text.get(..rest).unwrap_or_default().matches('\n').count();
        text.drain(..rest);
        if ended {
            return Ok(());
        }
    }
}

/// Does what a file says, within a session.
pub(super) fn include(session: &mut Session, text: &str, name: &str) -> anyhow::Result<Next> {
    session.included += 1;
    if session.included > 16 {
        session.included -= 1;
        anyhow::bail!("{name}: files that include each other go too deep");
    }
    let mut done = Ok(Next::Prompt);
    for one in finished(text) {
        match step(session, &one) {
            Ok(Next::Prompt) => {}
            // It leaves the file, as in psql.
            Ok(Next::Quit) => break,
            Ok(next) => {
                done = Ok(next);
                break;
            }
            Err(error) => {
                done = Err(if error.is::<Stopped>() {
                    error
                } else {
                    error.context(format!("{name}, line {}", one.line))
                });
                break;
            }
        }
    }
    session.included -= 1;
    done
}
