//! Runs statements from files and pipes, one after another, until one fails.

use std::io::{self, BufRead};
use std::process::ExitCode;

use super::super::interrupt::Interrupt;
use super::super::print::{chain, say};
use super::super::query_arguments::{Question, Questions, without_mark};
use super::commands::{self, Next};
use super::incoming::Incoming;
use super::run::Stopped;
use super::session::{BoundStatement, Session};
use super::statement::{Split, Step, What, finished, split};

/// Runs one step.
pub(super) fn step(session: &mut Session, step: &Step) -> anyhow::Result<Next> {
    session.runner.interrupt.begin();
    let done = super::guarded(|| match &step.what {
        What::Sql { text, pipe } => {
            session.ask(BoundStatement::typed(text), pipe.as_deref()).map(|()| Next::Prompt)
        }
        What::Held(text) => {
            session.current = BoundStatement::typed(text);
            Ok(Next::Prompt)
        }
        What::Command { name, arguments, .. } => commands::run(session, name, arguments),
        What::Unfinished(open) => {
            anyhow::bail!("the text ends within {open}; this part was not run")
        }
    });
    Interrupt::end();
    done
}

/// Runs one step of a script. A script never skips a statement without an error.
fn step_of_script(session: &mut Session, one: &Step) -> anyhow::Result<Next> {
    let next = step(session, one)?;
    if next == Next::Quit && matches!(one.what, What::Command { within: true, .. }) {
        anyhow::bail!(
            "this command leaves within a statement that is not finished; the statement was not run"
        );
    }
    Ok(next)
}

/// The handling of steps that fail.
#[derive(Default)]
pub(super) struct Failures {
    pub(super) keep_going: bool,
    any: bool,
}

/// Reports the error of a step. Returns whether the script ends there.
fn is_end(session: &mut Session, place: &str, error: anyhow::Error) -> anyhow::Result<bool> {
    if error.is::<Stopped>() || super::super::print::is_closed_pipe(&error) {
        return Err(error);
    }
    say(&format!("error: {place}: {}", chain(&error)));
    session.failures.any = true;
    Ok(!session.failures.keep_going)
}

/// Runs the queries of the command line, or standard input. A closed pipe does not hide an earlier failure.
pub(super) fn run(session: &mut Session, questions: &Questions) -> anyhow::Result<ExitCode> {
    let done = all(session, questions);
    let failed = session.failures.any;
    match done {
        Err(error) if !(failed && super::super::print::is_closed_pipe(&error)) => Err(error),
        _ if failed => Ok(ExitCode::FAILURE),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn all(session: &mut Session, questions: &Questions) -> anyhow::Result<()> {
    if questions.0.is_empty() {
        standard_input(session)?;
    }
    for (at, question) in questions.0.iter().enumerate() {
        let name = match question {
            Question::Text(_) if questions.0.len() == 1 => None,
            Question::Text(_) => Some(format!("query {}", at + 1)),
            Question::File(file) => Some(file.display().to_string()),
        };
        let text = match question.text() {
            Ok(text) => text,
            Err(error) => {
                if is_end(session, &format!("query {}", at + 1), error)? {
                    break;
                }
                continue;
            }
        };
        if run_text(session, &text, name.as_deref())? == Next::Quit {
            break;
        }
    }
    Ok(())
}

/// Runs a text. Returns [`Next::Quit`] after a `\q`, or after an error that ends the script.
fn run_text(session: &mut Session, text: &str, name: Option<&str>) -> anyhow::Result<Next> {
    for one in finished(text) {
        match step_of_script(session, &one) {
            Ok(Next::Quit) => return Ok(Next::Quit),
            Ok(_) => {}
            Err(error) => {
                let place =
                    name.map_or_else(String::new, |name| format!("{name}, ")) + &format!("line {}", one.line);
                if is_end(session, &place, error)? {
                    return Ok(Next::Quit);
                }
            }
        }
    }
    Ok(Next::Prompt)
}

/// Runs statements as they arrive, each as soon as its end is read.
fn standard_input(session: &mut Session) -> anyhow::Result<()> {
    let mut input = io::stdin().lock();
    let mut incoming = Incoming::default();
    loop {
        let before = incoming.text.len();
        let mut line = Vec::new();
        let ended = input.read_until(b'\n', &mut line)? == 0;
        incoming.add(&line);
        let news = incoming.text.get(before..).unwrap_or_default();
        if !ended && !news.contains([';', '\\']) {
            continue;
        }
        let text = &incoming.text;
        let Split { steps, rest, done: cuts } = if ended {
            Split { steps: finished(text), rest: text.len(), done: Vec::new() }
        } else {
            split(text)
        };
        for one in &steps {
            let bad = incoming.bad_line(&one.at);
            let done = if bad.is_some() { not_text(session, one) } else { step_of_script(session, one) };
            match done {
                Ok(Next::Quit) => return Ok(()),
                Ok(_) => {}
                Err(error) => {
                    let place = format!("line {}", bad.unwrap_or_else(|| incoming.line(one.line)));
                    if is_end(session, &place, error)? {
                        return Ok(());
                    }
                }
            }
        }
        let last = steps.last().map_or(0, |step| step.at.end);
        if let Some(line) = incoming.bad_line(&(last..rest)) {
            let error = anyhow::anyhow!("this is not UTF-8");
            if is_end(session, &format!("line {line}"), error)? {
                return Ok(());
            }
        }
        cuts.into_iter().rev().for_each(|command| incoming.cut(command));
        incoming.done(rest);
        if ended {
            return Ok(());
        }
    }
}

/// Refuses a step with bytes that are not UTF-8.
fn not_text(session: &mut Session, step: &Step) -> anyhow::Result<Next> {
    if !matches!(step.what, What::Command { .. }) {
        // The next command must not use the statement before this one.
        session.current = BoundStatement::default();
    }
    anyhow::bail!("this is not UTF-8; the statement or command with it was not run")
}

/// Runs a file within a session.
pub(super) fn include(session: &mut Session, text: &str, name: &str) -> anyhow::Result<Next> {
    session.included += 1;
    if session.included > 16 {
        session.included -= 1;
        anyhow::bail!("cannot include {name}: files include each other more than 16 levels deep");
    }
    let mut done = Ok(Next::Prompt);
    for one in finished(without_mark(text)) {
        match step_of_script(session, &one) {
            Ok(Next::Prompt) => {}
            // `\q` ends only the file, as in psql.
            Ok(Next::Quit) => break,
            Ok(next) => {
                done = Ok(next);
                break;
            }
            Err(error) if error.is::<Stopped>() => {
                done = Err(error);
                break;
            }
            Err(error) => {
                let place = format!("{name}, line {}", one.line);
                let result = if session.failures.keep_going {
                    is_end(session, &place, error)
                } else {
                    Err(error.context(place))
                };
                if let Err(error) = result {
                    done = Err(error);
                    break;
                }
            }
        }
    }
    session.included -= 1;
    done
}
