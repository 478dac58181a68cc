//! `-c` and `-f`: the queries on the command line, in the order in which they are given.

use std::io::Read;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

/// A query on the command line.
#[derive(Clone, Debug)]
pub(super) enum Question {
    Text(String),
    /// A file, or `-` for standard input.
    File(PathBuf),
}

impl Question {
    pub(super) fn text(&self) -> anyhow::Result<String> {
        let text = match self {
            Self::Text(text) => text.clone(),
            Self::File(file) if file.as_os_str() == "-" => {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
                text
            }
            Self::File(file) => {
                std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?
            }
        };
        Ok(without_mark(&text).to_owned())
    }
}

/// The text without the byte-order mark that some editors put before it.
pub(super) fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// All queries on the command line.
#[derive(Clone, Debug, Default)]
pub(super) struct Questions(pub(super) Vec<Question>);

impl clap::FromArgMatches for Questions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut all: Vec<(usize, Question)> = Vec::new();
        let texts = matches.get_many::<String>("command").into_iter().flatten().cloned().map(Question::Text);
        all.extend(matches.indices_of("command").into_iter().flatten().zip(texts));
        let files = matches.get_many::<PathBuf>("file").into_iter().flatten().cloned().map(Question::File);
        all.extend(matches.indices_of("file").into_iter().flatten().zip(files));
        all.sort_by_key(|(index, _)| *index);
        Ok(Self(all.into_iter().map(|(_, question)| question).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for Questions {
    fn augment_args(command: Command) -> Command {
        command
            .arg(
                Arg::new("command")
                    .short('c')
                    .long("command")
                    .value_name("SQL")
                    .help("A query to run; may be given several times")
                    .action(ArgAction::Append),
            )
            .arg(
                Arg::new("file")
                    .short('f')
                    .long("file")
                    .value_name("FILE")
                    .help("A file to read a query from; - is standard input; may be given several times")
                    .value_parser(value_parser!(PathBuf))
                    .action(ArgAction::Append),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
