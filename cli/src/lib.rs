//! The command line, for the binary and for whoever ships it in another form: results on stdout,
//! talk on stderr; exit code 0, or 1 with what went wrong. Commands that look after a store give a
//! code of their own where the answer is bad news.
//!
//! It is a thin shell around the library's public interface.

mod arguments;
mod sql;
mod backup;
mod batches;
mod compact;
mod consume;
mod demo;
mod doctor;
mod group;
mod sanitize;
mod hold;
mod import;
mod inspect;
mod interrupt;
mod metrics;
mod open;
mod output;
mod partial;
mod picture;
mod print;
mod questions;
mod record;
mod recover;
mod rejects;
mod repl;
mod retention;
mod scan;
mod shell;
mod table;
mod tail;
mod messages;
mod terminal;
mod verify;

use std::ffi::OsString;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, Parser, Subcommand};

use print::{chain, is_closed_pipe, say};

/// An embedded columnar store for the facts of an actor system, with SQL over them.
#[derive(Parser)]
#[command(
    name = "ostracon",
    version,
    max_term_width = 100,
    subcommand_required = true,
    override_usage = "ostracon <COMMAND>\n       ostracon <STORE>",
    after_help = "Example:\n  ostracon demo /tmp/demo && ostracon query /tmp/demo crash_loops"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Import(import::Args),
    Record(record::Args),
    Sql(sql::SqlArgs),
    Query(sql::QueryArgs),
    Queries(sql::QueriesArgs),
    Inspect(inspect::Args),
    Tail(tail::Args),
    Consume(consume::Args),
    Group(group::Args),
    Metrics(metrics::Args),
    Compact(compact::Args),
    Backup(backup::Args),
    Retention(retention::Args),
    Hold(hold::Args),
    Recover(recover::Args),
    Doctor(doctor::DoctorArgs),
    StartupCheck(doctor::StartupCheckArgs),
    Scan(scan::Args),
    Verify(verify::Args),
    Head(verify::HeadArgs),
    Demo(demo::Args),
    Repl(repl::Args),
    Completions(shell::CompletionsArgs),
    Man(shell::ManArgs),
}

impl Command {
    /// Whether it finds or mends damage itself.
    const fn looks_after_the_store(&self) -> bool {
        matches!(
            self,
            Self::Scan(_) | Self::Verify(_) | Self::Recover(_) | Self::Doctor(_) | Self::StartupCheck(_)
        )
    }
}

/// Runs the command that these arguments ask for, of which the first is the program's name.
///
/// It is meant to be all that its process does: a panic, which is caught, is told to nobody else,
/// and the library's warnings go to stderr from now on.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = completed(arguments.into_iter().collect());
    let program = arguments.first().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let first = arguments.get(1).cloned();
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            if let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand)
                && first.is_some_and(|first| first.to_string_lossy() == **word)
            {
                let _ = Cli::command().error(error.kind(), neither(word)).print();
                return ExitCode::FAILURE;
            }
            let _ = error.print();
            // Help and version are results; everything else is misuse.
            return if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    messages::listen();
    ostracon::keep_paths_as_given();
    let looks_after = cli.command.looks_after_the_store();
    let done = std::panic::catch_unwind(AssertUnwindSafe(|| execute(cli.command, &program)));
    let done = done.unwrap_or_else(|panic| Err(ostracon::Error::from_panic(panic.as_ref()).into()));
    match done {
        Ok(code) => code,
        // Whoever read our output has seen enough.
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {}{}", chain(&error), if looks_after { "" } else { remedy(&error) }));
            ExitCode::FAILURE
        }
    }
}

/// What to do about a damaged store, if an error is of that and does not say it itself.
fn remedy(error: &anyhow::Error) -> &'static str {
    let is_damaged = |cause: &(dyn std::error::Error + 'static)| {
        cause
            .downcast_ref::<ostracon::Error>()
            .is_some_and(|error| error.kind() == ostracon::ErrorKind::Damaged && error.hint().is_none())
    };
    if error.chain().any(is_damaged) {
        return "; `ostracon scan STORE` tells more, and `ostracon recover` makes the store whole again";
    }
    ""
}

/// What to say of a word that should be a command, or a store.
fn neither(word: &str) -> String {
    let word = sanitize::visible(word);
    let command = Cli::command();
    let names = command.get_subcommands().map(clap::Command::get_name);
    let near = ostracon::nearest(&word, names);
    let meant = near.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
    format!("{word} is neither a command nor a store{meant}")
}

/// A store alone is the prompt on it.
fn completed(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let is_command = |name: &str| Cli::command().find_subcommand(name).is_some() || name == "help";
    // A folder's name may be no text in UTF-8.
    let is_store = |first: &OsString| {
        let shown = first.to_string_lossy();
        let is_path = Path::new(first).exists() || shown.contains('/');
        !shown.starts_with('-') && !is_command(&shown) && is_path
    };
    if arguments.get(1).is_some_and(is_store) {
        arguments.insert(1, "repl".into());
    }
    arguments
}

fn execute(command: Command, program: &str) -> anyhow::Result<ExitCode> {
    interrupt::listen()?;
    match command {
        Command::Import(args) => import::run(&args)?,
        Command::Record(args) => record::run(&args)?,
        Command::Sql(args) => sql::sql(&args)?,
        Command::Query(args) => sql::query(&args)?,
        Command::Queries(args) => sql::queries(&args)?,
        Command::Inspect(args) => inspect::run(&args)?,
        Command::Tail(args) => return tail::run(&args),
        Command::Consume(args) => return consume::run(&args),
        Command::Group(args) => group::run(&args)?,
        Command::Metrics(args) => metrics::run(&args)?,
        Command::Compact(args) => compact::run(&args)?,
        Command::Backup(args) => backup::run(&args)?,
        Command::Retention(args) => retention::run(&args)?,
        Command::Hold(args) => hold::run(&args)?,
        Command::Scan(args) => return scan::run(&args),
        Command::Verify(args) => return verify::run(&args),
        Command::Head(args) => verify::head(&args)?,
        Command::Demo(args) => demo::run(&args, program)?,
        Command::Repl(args) => return repl::run(&args),
        Command::Completions(args) => shell::completions(&args, Cli::command())?,
        Command::Man(args) => shell::man(&args, Cli::command())?,
        Command::Recover(args) => return recover::run(&args),
        Command::Doctor(args) => return doctor::doctor(&args),
        Command::StartupCheck(args) => return doctor::startup_check(&args),
    }
    Ok(ExitCode::SUCCESS)
}
