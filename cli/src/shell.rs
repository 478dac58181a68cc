//! `ostracon completions` and `ostracon man`: made from the commands themselves.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap_complete::Shell;
use clap_mangen::Man;

/// Print what a shell needs to complete commands and options.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  ostracon completions bash > ~/.local/share/bash-completion/completions/ostracon"
)]
pub(super) struct CompletionsArgs {
    /// For which shell
    #[arg(value_parser = clap::builder::EnumValueParser::<Shell>::new())]
    shell: Shell,
}

/// Print the manual page, or write one for each command into a folder.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  ostracon man | man -l -")]
pub(super) struct ManArgs {
    /// Write the pages of all commands into this folder
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

pub(super) fn completions(args: &CompletionsArgs, mut command: clap::Command) -> anyhow::Result<()> {
    // The generator takes a failed write for a mistake of its own; so it writes into memory.
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

/// `help` says what the pages say; it needs none.
fn without_help(command: clap::Command) -> clap::Command {
    command.disable_help_subcommand(true).mut_subcommands(without_help)
}

fn pages(command: &clap::Command, folder: &Path) -> anyhow::Result<()> {
    for below in command.get_subcommands() {
        pages(below, folder)?;
    }
    let name = Man::new(command.clone()).get_filename();
    Ok(std::fs::write(folder.join(name), page(command)?)?)
}

fn page(command: &clap::Command) -> anyhow::Result<String> {
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    // The generator knows of no examples.
    Ok(String::from_utf8(page)?.replace(".SH EXTRA\nExample:\n", ".SH EXAMPLES\n"))
}
