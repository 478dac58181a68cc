//! Statements from files and pipes: one by one, until the first that fails.

use std::io::{self, BufRead};
use std::process::ExitCode;

use super::super::interrupt::Interrupt;
use super::super::print::{chain, say};
use super::super::questions::{Question, Questions, without_mark};
use super::commands::{self, Next};
use super::incoming::Incoming;
use super::run::Stopped;
use super::session::{BoundStatement, Session};
use super::statement::{Split, Step, What, finished, split};

/// Does one step.
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
            anyhow::bail!("this begins {open}, and the text ends first: nothing of it was asked")
        }
    });
    Interrupt::end();
    done
}

/// Does one step of a script, which leaves nothing out without a word.
fn step_of_script(session: &mut Session, one: &Step) -> anyhow::Result<Next> {
    let next = step(session, one)?;
    if next == Next::Quit && matches!(one.what, What::Command { within: true, .. }) {
        anyhow::bail!("this leaves within a statement that has no end yet, which was not asked");
    }
    Ok(next)
}

/// What is done with steps that fail.
#[derive(Default)]
pub(super) struct Failures {
    pub(super) keep_going: bool,
    any: bool,
}

/// Tells the error of a step; gives whether this was the end.
fn is_end(session: &mut Session, place: &str, error: anyhow::Error) -> anyhow::Result<bool> {
    if error.is::<Stopped>() || super::super::print::is_closed_pipe(&error) {
        return Err(error);
    }
    say(&format!("error: {place}: {}", chain(&error)));
    session.failures.any = true;
    Ok(!session.failures.keep_going)
}

/// Answers what the command line asks, or standard input. That nobody reads any more does not undo what
/// has failed before.
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
            Question::Text(_) => Some(format!("question {}", at + 1)),
            Question::File(file) => Some(file.display().to_string()),
        };
        let text = match question.text() {
            Ok(text) => text,
            Err(error) => {
                if is_end(session, &format!("question {}", at + 1), error)? {
                    break;
                }
                continue;
            }
        };
        if whole(session, &text, name.as_deref())? == Next::Quit {
            break;
        }
    }
    Ok(())
}

/// Does what a text says; [`Next::Quit`] at its end, or at its first error.
fn whole(session: &mut Session, text: &str, name: Option<&str>) -> anyhow::Result<Next> {
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

/// Statements as they come: each is answered when its end was read.
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

/// Refuses a step that is not all text.
fn not_text(session: &mut Session, step: &Step) -> anyhow::Result<Next> {
    if !matches!(step.what, What::Command { .. }) {
        // The command behind it is not to take up the statement before it.
        session.current = BoundStatement::default();
    }
    anyhow::bail!("this is not UTF-8, and what it is a part of is not asked")
}

/// Does what a file says, within a session.
pub(super) fn include(session: &mut Session, text: &str, name: &str) -> anyhow::Result<Next> {
    session.included += 1;
    if session.included > 16 {
        session.included -= 1;
        anyhow::bail!("{name}: files that include each other go too deep");
    }
    let mut done = Ok(Next::Prompt);
    for one in finished(without_mark(text)) {
        match step_of_script(session, &one) {
            Ok(Next::Prompt) => {}
            // It leaves the file, as in psql.
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
                let told = if session.failures.keep_going {
                    is_end(session, &place, error)
                } else {
                    Err(error.context(place))
                };
                if let Err(error) = told {
                    done = Err(error);
                    break;
                }
            }
        }
    }
    session.included -= 1;
    done
}
