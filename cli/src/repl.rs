//! `ostracon repl`: the prompt for an investigation.
//!
//! The way of a text that the user types:
//!
//! 1. [`editor`] reads it, with completion ([`complete`]) and colours ([`highlight`]), until it is finished
//!    ([`statement::is_complete`]). Without a terminal, [`script`] reads it.
//! 2. [`statement::split`] splits it into steps: statements of SQL, and [`commands`].
//! 3. [`mod@run`] runs a statement on a snapshot of its own, within the current [`window`]. The snapshot is
//!    taken when the statement begins, and dropped after its last row. Ctrl-C ([`interrupt`]) stops the
//!    statement.
//! 4. [`session`] shows the answer: as a table that fits the screen or in another format; through the
//!    [`pager`], into a file, or to another program.
//!
//! Between two statements the prompt holds only an open store: no lock, no snapshot, no file.

mod banner;
mod commands;
mod complete;
mod config;
mod editor;
mod highlight;
mod history;
mod incoming;
mod known_names;
mod lex;
mod out;
mod pager;
mod progress;
mod run;
mod script;
mod session;
mod statement;
mod window;

use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use rustyline::error::ReadlineError;

use self::commands::Next;
use self::config::Config;
use self::run::{Runner, Stopped};
use self::session::{Session, Settings};
use self::statement::What;
use super::arguments::StoreArg;
use super::interrupt::{self, Interrupt};
use super::messages::MessagePause;
use super::open::open_to_read;
use super::output::Format;
use super::print::{chain, say};
use super::query_arguments::Questions;
use super::sanitize::visible;
use super::terminal;

/// Run queries at a prompt, or from a script.
///
/// SQL ends with `;`. Commands begin with a backslash; `\?` lists them. Each statement sees all facts that
/// any process recorded before it starts. `ostracon STORE` opens the prompt, too. With -c or -f, or if
/// standard input is not a terminal, the statements run as a script: one after another, until one fails.
///
/// The file `~/.config/ostracon/config.toml` sets how the prompt starts: `format`, `expanded` (off, on,
/// auto), `null`, `timing`, `timezone`, `pager`, `history` (the number of entries kept). The variables
/// `OSTRACON_FORMAT`, `PAGER` and `NO_COLOR` are respected.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  ostracon repl facts/\n  ostracon repl facts/ -c \"\\since 2h\" -c \"SELECT * FROM crashes\"\n  echo 'SELECT count(*) FROM events;' | ostracon repl facts/ --format csv"
)]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArg,
    #[command(flatten)]
    questions: Questions,
    /// The format of answers
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Never show an answer through a pager
    #[arg(long)]
    no_pager: bool,
    /// Continue after a statement that failed in a script or in a file of \i; the exit code is still 1
    #[arg(long)]
    keep_going: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let interactive = args.questions.0.is_empty() && io::stdin().is_terminal() && io::stdout().is_terminal();
    let config = Config::load(interactive)?;
    let store = open_to_read(&args.store.store)?;
    let runner = Runner::new(Interrupt::new(!interactive))?;
    // Queries may still run at the end. Do not wait for them.
    std::mem::forget(runner.clone());
    let pager = if args.no_pager { None } else { pager::command(config.pager.as_deref()) };
    let mut settings = Settings::new(&config, interactive, pager)?;
    settings.format = args.format.unwrap_or(settings.format);
    let mut session = Session::new(store, runner, settings);
    session.failures.keep_going = args.keep_going;
    if interactive {
        prompt(&mut session, args, &config)?;
        return Ok(ExitCode::SUCCESS);
    }
    match script::run(&mut session, &args.questions) {
        Err(error) if error.is::<Stopped>() => {
            say("stopped");
            Ok(ExitCode::from(interrupt::code().unwrap_or(1)))
        }
        done => done,
    }
}

/// The reason why `ostracon sql` cannot run this text, and how the prompt runs it; `None` if there is no such
/// reason.
pub(super) fn for_the_prompt(text: &str, store: &Path) -> Option<String> {
    let store = store.display();
    let split = statement::split(text);
    let steps = &split.steps;
    if let Some(What::Command { name, .. }) =
        steps.iter().map(|step| &step.what).find(|what| matches!(what, What::Command { .. }))
    {
        return Some(format!("\\{name} is a command of the prompt; run it with `ostracon {store} -c`"));
    }
    let last = !statement::is_blank(&split.pending(text));
    let statements = steps.len() + usize::from(last);
    (statements > 1).then(|| {
        format!(
            "there are {statements} statements, and each -c or -f takes one: give each statement its own -c, \
             or run all of them with `ostracon {store} -c`"
        )
    })
}

/// How many times in a row reading a line may fail because of a bug in ostracon.
const MOST_BUGS: u32 = 3;

/// Does work in which a bug in ostracon becomes an ordinary error: the prompt stays open.
fn guarded<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(ostracon::Error::from_panic(panic.as_ref()).into()))
}

/// Reads texts and answers them, until the user leaves.
fn prompt(session: &mut Session, args: &Args, config: &Config) -> anyhow::Result<()> {
    let path = args.store.store.canonicalize().unwrap_or_else(|_| args.store.store.clone());
    let name =
        path.file_name().map_or_else(|| "ostracon".to_owned(), |name| name.to_string_lossy().into_owned());
    let name = visible(&name).into_owned();
    let news = banner::show(session, &name)?;
    let mut editor = editor::Editor::new(session.names.clone(), session.settings.colour, config.history)
        .context("cannot read from this terminal")?;
    terminal::remember();
    let mut typed = String::new();
    let mut bugs = 0;
    loop {
        session.names.refresh(&session.store, session.runner.back.handle());
        for line in news.try_iter() {
            say(&line);
        }
        let window = session.window.shown(session.settings.zone.as_jiff());
        let prompt = if window.is_empty() { format!("{name}> ") } else { format!("{name} [{window}]> ") };
        let begun = std::mem::take(&mut typed);
        let pause = MessagePause::new();
        let read = guarded(|| Ok(editor.read(&prompt, &begun)));
        drop(pause);
        let text = match read {
            Ok(Ok(text)) => text,
            Ok(Err(ReadlineError::Interrupted)) => continue,
            Ok(Err(ReadlineError::Eof)) => return Ok(()),
            Ok(Err(error)) => return Err(error.into()),
            Err(bug) if bugs < MOST_BUGS => {
                say(&format!("error: {}", chain(&bug)));
                bugs += 1;
                continue;
            }
            Err(bug) => return Err(bug),
        };
        bugs = 0;
        match answer(session, &text) {
            Next::Prompt => {}
            Next::Typed(text) => typed = text,
            Next::Quit => return Ok(()),
        }
    }
}

/// Runs the typed text, up to the first step that fails.
fn answer(session: &mut Session, text: &str) -> Next {
    let word = text.trim().trim_end_matches(';');
    if let Some(command) = [("quit", "\\q"), ("exit", "\\q"), ("help", "\\?")]
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(word))
    {
        return answer(session, command.1);
    }
    let split = statement::split(text);
    let pending = split.pending(text);
    // A statement that a command interrupted continues.
    let rest_of_statement =
        || if statement::is_blank(&pending) { String::new() } else { pending.trim_end().to_owned() + "\n" };
    for step in &split.steps {
        match script::step(session, step) {
            Ok(Next::Prompt) => {}
            Ok(Next::Typed(typed)) => return Next::Typed(rest_of_statement() + &typed),
            Ok(Next::Quit) => return Next::Quit,
            Err(error) if error.is::<Stopped>() => {
                say("stopped");
                break;
            }
            Err(error) => {
                say(&format!("error: {}", chain(&error)));
                break;
            }
        }
    }
    match rest_of_statement() {
        text if text.is_empty() => Next::Prompt,
        text => Next::Typed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bug_of_ours_is_an_error_of_the_statement() {
        assert_eq!(guarded(|| Ok(1)).unwrap(), 1);
        let message = guarded(|| -> anyhow::Result<()> { panic!("ours") }).unwrap_err().to_string();
        assert!(message.contains("a bug in ostracon"), "{message}");
    }
}
