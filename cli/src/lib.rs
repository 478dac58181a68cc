//! The command line, for the binary and for programs that embed it. Results go to stdout, messages to stderr.
//! The exit code is 0 after success, and 1 after an error, with a message that says what went wrong. Commands
//! that check a store have further exit codes for bad news.
//!
//! It is a thin layer over the library's public interface.

mod answer_batches;
mod arguments;
mod atomic_file;
mod backup;
mod compact;
mod completions;
mod consume;
mod demo;
mod doctor;
mod group;
mod hold;
mod import;
mod inspect;
mod interrupt;
mod messages;
mod metrics;
mod moment;
mod open;
mod output;
mod picture;
mod print;
mod query_arguments;
mod record;
mod recover;
mod rejects;
mod repl;
mod retention;
mod sanitize;
mod scan;
mod sql;
mod table;
mod tail;
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
    Completions(completions::CompletionsArgs),
    Man(completions::ManArgs),
}

impl Command {
    /// Whether the command itself finds or repairs damage.
    const fn handles_damage(&self) -> bool {
        matches!(
            self,
            Self::Scan(_) | Self::Verify(_) | Self::Recover(_) | Self::Doctor(_) | Self::StartupCheck(_)
        )
    }
}

/// Runs the command that these arguments name. The first argument is the name of the program.
///
/// The process should do nothing else: a panic is caught and reported only as an error of this command, and
/// the library's warnings go to stderr from now on.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = with_repl(arguments.into_iter().collect());
    let program = arguments.first().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let first = arguments.get(1).cloned();
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            if let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand)
                && first.is_some_and(|first| first.to_string_lossy() == **word)
            {
                let _ = Cli::command().error(error.kind(), not_a_command(word)).print();
                return ExitCode::FAILURE;
            }
            let _ = error.print();
            // Help and version are results; everything else is misuse.
            return if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    messages::listen();
    ostracon::keep_paths_as_given();
    let handles_damage = cli.command.handles_damage();
    let done = std::panic::catch_unwind(AssertUnwindSafe(|| execute(cli.command, &program)));
    let done = done.unwrap_or_else(|panic| Err(ostracon::Error::from_panic(panic.as_ref()).into()));
    match done {
        Ok(code) => code,
        // The reader of our output closed the pipe: it has read enough.
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {}{}", chain(&error), if handles_damage { "" } else { advice(&error) }));
            ExitCode::FAILURE
        }
    }
}

/// The advice for an error about a damaged store, unless the error has a hint of its own.
fn advice(error: &anyhow::Error) -> &'static str {
    let is_damaged = |cause: &(dyn std::error::Error + 'static)| {
        cause
            .downcast_ref::<ostracon::Error>()
            .is_some_and(|error| error.kind() == ostracon::ErrorKind::Damaged && error.hint().is_none())
    };
    if error.chain().any(is_damaged) {
        return "; `ostracon scan --deep STORE` shows the damage, and `ostracon recover STORE --mode repair` saves what can be saved";
    }
    ""
}

/// The error message for a word that is neither a command nor a store.
fn not_a_command(word: &str) -> String {
    let word = sanitize::visible(word);
    let command = Cli::command();
    let names = command.get_subcommands().map(clap::Command::get_name);
    let near = ostracon::nearest(&word, names);
    let suggestion = near.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
    format!("{word} is neither a command nor a store{suggestion}")
}

/// Inserts `repl` where the first argument is a store: `ostracon STORE` opens the prompt.
fn with_repl(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let is_command = |name: &str| Cli::command().find_subcommand(name).is_some() || name == "help";
    // The name of a folder need not be UTF-8.
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
        Command::Completions(args) => completions::completions(&args, Cli::command())?,
        Command::Man(args) => completions::man(&args, Cli::command())?,
        Command::Recover(args) => return recover::run(&args),
        Command::Doctor(args) => return doctor::doctor(&args),
        Command::StartupCheck(args) => return doctor::startup_check(&args),
    }
    Ok(ExitCode::SUCCESS)
}
