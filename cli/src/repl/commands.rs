//! The commands that begin with a backslash, in one table. `\?`, the completion and the dispatch use it.

mod actor;
mod answers;
mod column_meanings;
mod echo;
mod edit;
mod explain;
mod files;
mod live;
mod plot;
pub(super) mod pset;
mod schema;
mod settings;
mod stats;

use std::borrow::Cow;

use ostracon::nearest;

use super::super::sanitize::visible;
use super::session::Session;

/// A command.
pub(super) struct Command {
    /// Its names, without the backslash. The first is ours; the others are from other shells.
    pub(super) names: &'static [&'static str],
    pub(super) arguments: &'static str,
    pub(super) help: &'static str,
    pub(super) example: &'static str,
    pub(super) completion: Completion,
    pub(super) run: fn(&mut Session, &str) -> anyhow::Result<Next>,
}

/// The completion of its arguments.
#[derive(Clone, Copy)]
pub(super) enum Completion {
    Nothing,
    Words(&'static [&'static str]),
    Tables,
    /// A statement.
    Sql,
    /// A condition, as after WHERE.
    Condition,
    /// Rows, TO, and a file.
    Copy,
    Functions,
    Actors,
    Saved,
    Files,
    Parameters,
    /// The settings of `\pset`, and their values.
    Settings,
}

/// The next action after a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Read the next text.
    Prompt,
    /// Read the next text, which begins with this one.
    Typed(String),
    Quit,
}

const ON_OFF: Completion = Completion::Words(&["on", "off"]);
const FORMATS: &[&str] = &["table", "csv", "tsv", "json", "ndjson", "markdown"];
const TIMES: Completion = Completion::Words(&["off", "today", "yesterday", "1h", "24h", "7d"]);
const ZONES: Completion =
    Completion::Words(&["UTC", "system", "Europe/Athens", "America/New_York", "Asia/Tokyo"]);

macro_rules! command {
    ([$($name:literal),+], $arguments:literal, $help:literal, $example:literal, $completion:expr, $run:path) => {
        Command {
            names: &[$($name),+],
            arguments: $arguments,
            help: $help,
            example: $example,
            completion: $completion,
            run: $run,
        }
    };
}

/// All commands, in the order in which help lists them.
pub(super) const ALL: &[Command] = &[
    command!(["?", "help"], "", "show this list", r"\?", Completion::Nothing, schema::help),
    command!(
        ["h", "df"],
        "[FUNCTION]",
        "show help on SQL, or on a function",
        r"\h date_trunc",
        Completion::Functions,
        schema::function
    ),
    command!(
        ["d", "d+", "dt", "dt+", "dv"],
        "[TABLE]",
        "list the tables, or a table's columns with their meaning",
        r"\d events",
        Completion::Tables,
        schema::describe
    ),
    command!(
        ["queries"],
        "[NAME]",
        "list the saved queries, or show one with its SQL",
        r"\queries crash_loops",
        Completion::Saved,
        answers::queries
    ),
    command!(
        ["run"],
        "NAME [KEY=VALUE …]",
        "run a saved query",
        r"\run top_crashers limit=5",
        Completion::Saved,
        answers::run
    ),
    command!(
        ["actor"],
        "ADDRESS",
        "tell an actor's story: its life, its crashes and the facts around them, its lost messages",
        r"\actor shop:2",
        Completion::Actors,
        actor::run
    ),
    command!(
        ["tail"],
        "[CONDITION]",
        "show facts as they are recorded, until Ctrl-C",
        r"\tail event_type = 'ActorCrashed'",
        Completion::Condition,
        live::tail
    ),
    command!(
        ["watch"],
        "[SECONDS]",
        "run the last statement again and again, until Ctrl-C",
        r"\watch 2",
        Completion::Nothing,
        live::watch
    ),
    command!(
        ["at"],
        "TIME|off",
        "look at the store as it was at this time",
        r"\at 2026-11-23T08:00:00Z",
        TIMES,
        settings::at
    ),
    command!(["since"], "TIME|off", "leave out facts before this time", r"\since 2h", TIMES, settings::since),
    command!(
        ["until"],
        "TIME|off",
        "leave out facts from this time on",
        r"\until 10:30",
        TIMES,
        settings::until
    ),
    command!(
        ["set"],
        "[NAME VALUE]",
        "set a parameter, which is $NAME in SQL; without arguments, list the parameters",
        r"\set actor 'shop:2'",
        Completion::Parameters,
        settings::set
    ),
    command!(
        ["unset"],
        "NAME",
        "forget a parameter",
        r"\unset actor",
        Completion::Parameters,
        settings::unset
    ),
    command!(
        ["stats"],
        "",
        "show the store in numbers: facts, segments, bytes, streams",
        r"\stats",
        Completion::Nothing,
        stats::run
    ),
    command!(
        ["explain"],
        "[SQL]",
        "show the steps of a statement, each with its rows and its time",
        r"\explain SELECT count(*) FROM crashes",
        Completion::Sql,
        explain::run
    ),
    command!(
        ["plot"],
        "[PICTURE] [FILE]",
        "draw the last answer: bar, line, histogram or heat, x=, y=, z=, by=, a .svg or .png",
        r"\plot line x=day y=crashes",
        Completion::Words(&["bar", "line", "histogram", "heat"]),
        plot::run
    ),
    command!(
        ["g"],
        "[| COMMAND]",
        "run the last statement again",
        r"\g | sort | uniq -c",
        Completion::Nothing,
        answers::again
    ),
    command!(
        ["gx"],
        "[| COMMAND]",
        "run the last statement again, and show each row as a block",
        r"SELECT * FROM actors LIMIT 1 \gx",
        Completion::Nothing,
        answers::again_in_blocks
    ),
    command!(
        ["x"],
        "[on|off|auto]",
        "show each row as a block, with one line for each column",
        r"\x auto",
        Completion::Words(&["on", "off", "auto"]),
        settings::expanded
    ),
    command!(
        ["format"],
        "[FORMAT]",
        "choose the format of answers",
        r"\format csv",
        Completion::Words(FORMATS),
        settings::format
    ),
    command!(
        ["pset"],
        "[NAME [VALUE]]",
        "choose the look of answers: expanded, format, null (the text for NULL in tables), pager",
        r"\pset null ∅",
        Completion::Settings,
        pset::run
    ),
    command!(
        ["timezone"],
        "[ZONE]",
        "choose the zone of times and days, in SQL, tables and pictures",
        r"\timezone Europe/Athens",
        ZONES,
        settings::timezone
    ),
    command!(
        ["timing"],
        "[on|off]",
        "show how long each statement took",
        r"\timing off",
        ON_OFF,
        settings::timing
    ),
    command!(
        ["pager"],
        "[on|off]",
        "show long answers through a pager",
        r"\pager off",
        ON_OFF,
        settings::pager
    ),
    command!(
        ["o"],
        "[FILE]",
        "write answers into a file; without a file, to the screen again",
        r"\o answers.txt",
        Completion::Files,
        files::out
    ),
    command!(
        ["copy"],
        "(SQL)|TABLE TO FILE",
        "write rows to .parquet, .csv, .tsv, .json, .ndjson, .md or .arrow",
        r"\copy crashes TO crashes.parquet",
        Completion::Copy,
        files::copy
    ),
    command!(
        ["echo"],
        "[-n] TEXT",
        "write a text to standard output; with -n, without a line break",
        r"\echo the crashes of today:",
        Completion::Nothing,
        echo::run
    ),
    command!(
        ["i"],
        "FILE",
        "run the statements and commands of a file",
        r"\i morning.sql",
        Completion::Files,
        files::include
    ),
    command!(
        ["e"],
        "[FILE]",
        "edit the last statement, or a file, in $EDITOR",
        r"\e morning.sql",
        Completion::Files,
        edit::run
    ),
    command!(
        ["q", "quit", "exit"],
        "",
        "leave the prompt; Ctrl-D does, too",
        r"\q",
        Completion::Nothing,
        quit
    ),
];

#[expect(clippy::unnecessary_wraps, reason = "commands may fail")]
fn quit(_: &mut Session, _: &str) -> anyhow::Result<Next> {
    Ok(Next::Quit)
}

/// The command of that name.
pub(super) fn find(name: &str) -> Option<&'static Command> {
    ALL.iter().find(|command| command.names.contains(&name))
}

/// Runs a command.
pub(super) fn run(session: &mut Session, name: &str, arguments: &str) -> anyhow::Result<Next> {
    if let Some(command) = find(name) {
        if command.arguments.is_empty() && !arguments.is_empty() {
            anyhow::bail!("\\{name} takes no arguments, but got {}", visible(arguments));
        }
        return (command.run)(session, arguments);
    }
    let names = ALL.iter().flat_map(|command| command.names).copied();
    let suggestion = nearest(name, names).map(|name| format!("; did you mean \\{name}?")).unwrap_or_default();
    anyhow::bail!("there is no command \\{name}{suggestion} (\\? lists them)")
}

/// A word without its quotes; a doubled quote within it is one quote.
fn unquoted(text: &str) -> Cow<'_, str> {
    match text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) {
        Some(within) => Cow::Owned(within.replace("''", "'")),
        None => Cow::Borrowed(text),
    }
}

/// Shows the text of a command; through the pager if it is long.
fn page(session: &Session, text: &str) -> anyhow::Result<Next> {
    use std::io::Write;
    if !session.settings.interactive {
        std::io::stdout().lock().write_all(text.as_bytes())?;
        return Ok(Next::Prompt);
    }
    let lines = super::session::screen().map_or(usize::MAX, |(_, lines)| lines.saturating_sub(2));
    let mut screen = super::pager::Screen::new(session.settings.pager.clone(), lines);
    screen.write_all(text.as_bytes())?;
    screen.finish()?;
    Ok(Next::Prompt)
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::super::super::output::Format;
    use super::FORMATS;

    #[test]
    fn every_format_is_completed() {
        let formats = Format::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        let names: Vec<String> = formats.map(|format| format.get_name().to_owned()).collect();
        assert_eq!(names, FORMATS);
    }
}
