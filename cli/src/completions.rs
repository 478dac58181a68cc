//! `ostracon completions` and `ostracon man`, generated from the definitions of the commands.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap_complete::Shell;
use clap_mangen::Man;

/// Print a script with which a shell completes commands and options.
///
/// Store the script where the shell looks for completions. It completes the names of commands, options and
/// saved queries.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  ostracon completions bash > ~/.local/share/bash-completion/completions/ostracon"
)]
pub(super) struct CompletionsArgs {
    /// The shell that the script is for
    #[arg(value_parser = clap::builder::EnumValueParser::<Shell>::new())]
    shell: Shell,
}

/// Print the manual page, or write a page for each command into a folder.
///
/// Without a folder, the main page goes to standard output.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  ostracon man | man -l -")]
pub(super) struct ManArgs {
    /// The folder that the pages of all commands are written into
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

pub(super) fn completions(args: &CompletionsArgs, mut command: clap::Command) -> anyhow::Result<()> {
    // The generator panics if a write fails, so it writes into memory.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "ostracon", &mut script);
    Ok(io::stdout().lock().write_all(&script)?)
}

pub(super) fn man(args: &ManArgs, command: clap::Command) -> anyhow::Result<()> {
    let mut command = without_help(command);
    command.build();
    let Some(folder) = &args.folder else {
        return Ok(io::stdout().lock().write_all(page(&command)?.as_bytes())?);
    };
    let attempt = || format!("cannot write manual pages into {}", folder.display());
    std::fs::create_dir_all(folder).with_context(attempt)?;
    pages(&command, folder).with_context(attempt)
}

/// `help` repeats the other pages, so it has no page of its own.
fn without_help(command: clap::Command) -> clap::Command {
    command.disable_help_subcommand(true).mut_subcommands(without_help)
}

fn pages(command: &clap::Command, folder: &Path) -> anyhow::Result<()> {
    for subcommand in command.get_subcommands() {
        pages(subcommand, folder)?;
    }
    let name = Man::new(command.clone()).get_filename();
    Ok(std::fs::write(folder.join(name), page(command)?)?)
}

fn page(command: &clap::Command) -> anyhow::Result<String> {
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    // The generator has no section for examples.
    Ok(String::from_utf8(page)?.replace(".SH EXTRA\nExample:\n", ".SH EXAMPLES\n"))
}
