//! Commands that begin with a backslash, in one table: `\?`, completion and dispatch are made of it.

mod actor;
mod answers;
mod echo;
mod edit;
mod explain;
mod live;
mod meanings;
mod places;
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
    /// What it is called, without the backslash; behind the first, what other shells call it.
    pub(super) names: &'static [&'static str],
    pub(super) arguments: &'static str,
    pub(super) help: &'static str,
    pub(super) example: &'static str,
    pub(super) completion: Completion,
    pub(super) run: fn(&mut Session, &str) -> anyhow::Result<Next>,
}

/// What is offered for its arguments.
#[derive(Clone, Copy)]
pub(super) enum Completion {
    Nothing,
    Words(&'static [&'static str]),
    Tables,
    /// A statement.
    Sql,
    /// What would stand behind WHERE.
    Condition,
    /// What is written, TO, and a file.
    Copy,
    Functions,
    Actors,
    Saved,
    Files,
    Parameters,
    /// Of how answers look, and its values.
    Settings,
}

/// What is done after a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Ask for the next.
    Prompt,
    /// Ask with this text typed already.
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

/// All of them, in the order in which help lists them.
pub(super) const ALL: &[Command] = &[
    command!(["?", "help"], "", "what can be typed here", r"\?", Completion::Nothing, schema::help),
    command!(
        ["h", "df"],
        "[FUNCTION]",
        "help on SQL, or on a function",
        r"\h date_trunc",
        Completion::Functions,
        schema::function
    ),
    command!(
        ["d", "d+", "dt", "dt+", "dv"],
        "[TABLE]",
        "tables, or a table's columns with their meaning",
        r"\d events",
        Completion::Tables,
        schema::describe
    ),
    command!(
        ["queries"],
        "[NAME]",
        "the saved queries, or one of them with its SQL",
        r"\queries crash_loops",
        Completion::Saved,
        answers::queries
    ),
    command!(
        ["run"],
        "NAME [KEY=VALUE …]",
        "ask a saved query",
        r"\run top_crashers limit=5",
        Completion::Saved,
        answers::run
    ),
    command!(
        ["actor"],
        "ADDRESS",
        "an actor's story: life, crashes and what was around them, lost messages",
        r"\actor shop:2",
        Completion::Actors,
        actor::run
    ),
    command!(
        ["tail"],
        "[CONDITION]",
        "facts as they are recorded, until Ctrl-C",
        r"\tail event_type = 'ActorCrashed'",
        Completion::Condition,
        live::tail
    ),
    command!(
        ["watch"],
        "[SECONDS]",
        "ask the last statement again and again, until Ctrl-C",
        r"\watch 2",
        Completion::Nothing,
        live::watch
    ),
    command!(
        ["at"],
        "TIME|off",
        "look at the store as it was recorded by then",
        r"\at 2026-11-23T08:00:00Z",
        TIMES,
        settings::at
    ),
    command!(["since"], "TIME|off", "leave out facts before", r"\since 2h", TIMES, settings::since),
    command!(["until"], "TIME|off", "leave out facts from then on", r"\until 10:30", TIMES, settings::until),
    command!(
        ["set"],
        "[NAME VALUE]",
        "set a parameter, in SQL $NAME; without, list them",
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
        "the store in numbers: facts, segments, bytes, streams",
        r"\stats",
        Completion::Nothing,
        stats::run
    ),
    command!(
        ["explain"],
        "[SQL]",
        "how a statement is answered, with the time of each step",
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
        "ask the last statement again",
        r"\g | sort | uniq -c",
        Completion::Nothing,
        answers::again
    ),
    command!(
        ["gx"],
        "[| COMMAND]",
        "ask the last statement again, and show each row as a block",
        r"SELECT * FROM actors LIMIT 1 \gx",
        Completion::Nothing,
        answers::again_in_blocks
    ),
    command!(
        ["x"],
        "[on|off|auto]",
        "a row as a block, a column a line",
        r"\x auto",
        Completion::Words(&["on", "off", "auto"]),
        settings::expanded
    ),
    command!(
        ["format"],
        "[FORMAT]",
        "how answers are written",
        r"\format csv",
        Completion::Words(FORMATS),
        settings::format
    ),
    command!(
        ["pset"],
        "[NAME [VALUE]]",
        "how answers look: expanded, format, null (what stands for NULL in tables), pager",
        r"\pset null ∅",
        Completion::Settings,
        pset::run
    ),
    command!(
        ["timezone"],
        "[ZONE]",
        "the zone of times and days, in SQL, tables and pictures",
        r"\timezone Europe/Athens",
        ZONES,
        settings::timezone
    ),
    command!(
        ["timing"],
        "[on|off]",
        "tell how long each statement took",
        r"\timing off",
        ON_OFF,
        settings::timing
    ),
    command!(
        ["pager"],
        "[on|off]",
        "show what does not fit through a pager",
        r"\pager off",
        ON_OFF,
        settings::pager
    ),
    command!(
        ["o"],
        "[FILE]",
        "write answers into a file; without, to the screen again",
        r"\o answers.txt",
        Completion::Files,
        places::out
    ),
    command!(
        ["copy"],
        "(SQL)|TABLE TO FILE",
        "write rows to .parquet, .csv, .tsv, .json, .ndjson, .md or .arrow",
        r"\copy crashes TO crashes.parquet",
        Completion::Copy,
        places::copy
    ),
    command!(
        ["echo"],
        "[-n] TEXT",
        "write a text to standard output; with -n, without a line break",
        r"\echo the crashes of today:",
        Completion::Nothing,
        echo::run
    ),
    command!(["i"], "FILE", "do what a file says", r"\i morning.sql", Completion::Files, places::include),
    command!(
        ["e"],
        "[FILE]",
        "edit the last statement, or a file, in $EDITOR",
        r"\e morning.sql",
        Completion::Files,
        edit::run
    ),
    command!(["q", "quit", "exit"], "", "leave; Ctrl-D does, too", r"\q", Completion::Nothing, quit),
];

#[expect(clippy::unnecessary_wraps, reason = "commands may fail")]
fn quit(_: &mut Session, _: &str) -> anyhow::Result<Next> {
    Ok(Next::Quit)
}

/// The command of that name.
pub(super) fn find(name: &str) -> Option<&'static Command> {
    ALL.iter().find(|command| command.names.contains(&name))
}

/// Does what a command says.
pub(super) fn run(session: &mut Session, name: &str, arguments: &str) -> anyhow::Result<Next> {
    if let Some(command) = find(name) {
        if command.arguments.is_empty() && !arguments.is_empty() {
            anyhow::bail!("\\{name} takes nothing, and was given {}", visible(arguments));
        }
        return (command.run)(session, arguments);
    }
    let names = ALL.iter().flat_map(|command| command.names).copied();
    let meant = nearest(name, names).map(|name| format!("; did you mean \\{name}?")).unwrap_or_default();
    anyhow::bail!("there is no command \\{name}{meant} (\\? lists them)")
}

/// A word without the quotes around it, in which two are one.
fn unquoted(text: &str) -> Cow<'_, str> {
    match text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) {
        Some(within) => Cow::Owned(within.replace("''", "'")),
        None => Cow::Borrowed(text),
    }
}

/// What a command says, for people; through the pager if it is long.
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
