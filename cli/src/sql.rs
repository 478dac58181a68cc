//! `ostracon sql`, `query` and `queries`: run queries and write their answers.

use std::ffi::OsStr;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use jiff::tz::TimeZone;
use ostracon::{Answer, QueryOptions, SavedQuery};

use super::arguments::StoreArg;
use super::moment::{duration, with_instants};
use super::open::{open_to_read, runtime};
use super::output::{AnswerWriter, Format, Target};
use super::picture::{self, Request, Rows};
use super::print::{grouped, say};
use super::query_arguments::Questions;
use super::repl;
use super::table::Style;

/// Run queries in SQL.
///
/// Tables: `events`, `audits`, `dead_letters`. Views: `crashes`, `restarts`, `actors`. Tables about the store
/// itself: `store.segments`, `store.commits`, `store.streams`, `store.consumers`, `store.unverified`,
/// `store.metrics`. A query sees each fact as soon as any process has recorded it. SQL only reads.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  ostracon sql facts/ -c \"SELECT error_type, count(*) FROM crashes GROUP BY 1 ORDER BY 2 DESC\""
)]
pub(super) struct SqlArgs {
    #[command(flatten)]
    store: StoreArg,
    #[command(flatten)]
    questions: Questions,
    #[command(flatten)]
    answer: AnswerArgs,
}

/// How the answer is written.
#[derive(clap::Args)]
struct AnswerArgs {
    /// The format of the answer; the default is a table
    ///
    /// If several columns have one name, the later ones get a number: `seq`, `seq_2`. In CSV and TSV, a value
    /// with parts, such as a list, is written as JSON.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write the answer to this file. The ending of its name chooses the format: .parquet, .arrow, .csv,
    /// .tsv, .json, .ndjson or .md
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Draw the answer: a picture that fits its columns, or the one that you describe, for example "line
    /// x=day y=crashes" or "out.svg"
    ///
    /// The description is one argument. It may name a kind of picture (bar, line, histogram or heat),
    /// columns, and a file that ends in .svg or .png. The columns are x=, y= (several with commas), z= (the
    /// value in a heat map) and by= (a line for each of its values). Without a file, the picture is drawn on
    /// the terminal.
    #[arg(
        long,
        value_name = "PICTURE",
        num_args = 0..=1,
        default_missing_value = "",
        value_parser = request,
        conflicts_with_all = ["format", "output"]
    )]
    plot: Option<Request>,
    /// Stop the query after this time, for example 500ms, 30s or 5m
    #[arg(long, value_name = "TIME", value_parser = duration, allow_hyphen_values = true)]
    timeout: Option<Duration>,
}

/// Run a saved query.
///
/// `ostracon queries` lists the saved queries with their parameters.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  ostracon query facts/ top_crashers --set limit=5 --set since=2026-11-01")]
pub(super) struct QueryArgs {
    #[command(flatten)]
    store: StoreArg,
    /// The name of the saved query
    #[arg(value_parser = SavedName, hide_possible_values = true)]
    name: String,
    /// Set a parameter of the query; may be given several times. A time may be 2h (two hours ago), yesterday or
    /// 2026-03-01
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
    #[command(flatten)]
    answer: AnswerArgs,
}

/// List the saved queries, or show one of them.
///
/// The list has the name, the question and the parameters of each query. `ostracon query` runs one.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  ostracon queries crash_loops")]
pub(super) struct QueriesArgs {
    /// Show the SQL of this query
    #[arg(value_parser = SavedName, hide_possible_values = true)]
    name: Option<String>,
}

/// Accepts any name. The possible values are for the completion of shells. For an unknown name, the error of
/// the library says more than a list.
#[derive(Clone)]
struct SavedName;

impl TypedValueParser for SavedName {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(SavedQuery::all().into_iter().map(|query| PossibleValue::new(query.name))))
    }
}

fn request(text: &str) -> Result<Request, String> {
    Request::parse(text).map_err(|error| error.to_string())
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a setting looks like name=value")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}

pub(super) fn sql(args: &SqlArgs) -> anyhow::Result<()> {
    if args.questions.0.is_empty() {
        anyhow::bail!("no query was given; name one with --command <SQL> or --file <FILE>");
    }
    let drawn = args.answer.plot.as_ref().and_then(Request::path);
    if let Some(file) = args.answer.output.as_deref().or(drawn).filter(|_| args.questions.0.len() > 1) {
        anyhow::bail!(
            "cannot write several answers to {}: a file holds one answer; run one query at a time",
            file.display()
        );
    }
    let store = open_to_read(&args.store.store)?;
    for question in &args.questions.0 {
        let text = question.text()?;
        let answered = answer(&args.answer, async |options| store.sql_with(&text, options).await);
        answered.map_err(|error| match repl::for_the_prompt(&text, &args.store.store) {
            Some(why) => anyhow::anyhow!(why),
            None => error,
        })?;
    }
    Ok(())
}

pub(super) fn query(args: &QueryArgs) -> anyhow::Result<()> {
    let store = open_to_read(&args.store.store)?;
    let set = with_instants(&SavedQuery::find(&args.name)?, &args.set, &TimeZone::UTC)?;
    answer(&args.answer, async |options| store.saved_query(&args.name, &set, options).await)
}

/// Runs a query, writes its answer, and reports how long that took.
fn answer(
    args: &AnswerArgs,
    ask: impl AsyncFnOnce(QueryOptions) -> ostracon::Result<Answer>,
) -> anyhow::Result<()> {
    let mut options = QueryOptions::new();
    if let Some(timeout) = args.timeout {
        options = options.timeout(timeout);
    }
    let target = match &args.output {
        Some(path) => Target::file(path, args.format)?,
        None => Target::Stdout(args.format.unwrap_or_default()),
    };
    let begun = Instant::now();
    let runtime = runtime()?;
    let rows = runtime.block_on(async {
        let answer = ask(options).await?.stream().await?;
        let answer = AnswerWriter::new(answer).styled(style());
        match &args.plot {
            Some(request) => plot(answer, request).await,
            None => answer.write(target).await,
        }
    });
    // Work for a query that failed or was stopped may still run. Do not wait for it.
    runtime.shutdown_background();
    let rows = rows?;
    let plural = if rows == 1 { "row" } else { "rows" };
    say(&format!("{} {plural} in {:.1} ms", grouped(rows), begun.elapsed().as_secs_f64() * 1e3));
    Ok(())
}

/// Draws the answer, and returns the number of its rows.
async fn plot(answer: AnswerWriter, request: &Request) -> anyhow::Result<u64> {
    let mut rows = Rows::new();
    let taken = answer.each(|batch| rows.add(batch, request, &TimeZone::UTC)).await?;
    show_picture(&rows, request, &TimeZone::UTC, &mut io::stdout().lock())?;
    Ok(taken)
}

/// Draws rows on the terminal, or into the file that the request names.
pub(super) fn show_picture(
    rows: &Rows,
    request: &Request,
    zone: &TimeZone,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    if let Some(path) = request.path() {
        picture::write(rows, request, zone, path)?;
        say(&format!("wrote {}", path.display()));
        return Ok(());
    }
    let stdout = io::stdout();
    let from_environment =
        |name, default| std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default);
    let (width, height) = terminal_size::terminal_size_of(&stdout).map_or_else(
        || (from_environment("COLUMNS", 80), from_environment("LINES", 24)),
        |(width, height)| (width.0, height.0),
    );
    // Two lines stay free, for the prompt and for the time that the query took.
    let height = height.saturating_sub(2);
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let drawn = picture::draw(rows, request, zone, width, height, stdout.is_terminal() && !no_colour)?;
    Ok(out.write_all(drawn.as_bytes())?)
}

/// The style of tables on standard output: they are cut to the width of the terminal, if there is one.
pub(super) fn style() -> Style {
    Style { width: width(), piped: !io::stdout().is_terminal(), ..Style::default() }
}

/// The width of the terminal that shows stdout. If stdout is a pipe, as in `| head`, another program may show
/// it on the terminal that stderr goes to. Output to a file has no width: nothing is cut.
fn width() -> Option<usize> {
    let (stdout, stderr) = (io::stdout(), io::stderr());
    let terminal = match terminal_size::terminal_size_of(&stdout) {
        None if is_pipe(&stdout) => terminal_size::terminal_size_of(&stderr),
        terminal => terminal,
    };
    terminal.map(|(width, _)| usize::from(width.0))
}

#[cfg(unix)]
fn is_pipe(stdout: &io::Stdout) -> bool {
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileTypeExt;
    let file = stdout.as_fd().try_clone_to_owned().map(std::fs::File::from);
    file.and_then(|file| file.metadata()).is_ok_and(|about| about.file_type().is_fifo())
}

#[cfg(not(unix))]
fn is_pipe(_: &io::Stdout) -> bool {
    false
}

pub(super) fn queries(args: &QueriesArgs) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if let Some(name) = &args.name {
        let query = SavedQuery::find(name)?;
        write!(out, "{}", query.sql)?;
        return Ok(());
    }
    for query in SavedQuery::all() {
        writeln!(out, "{}\n    {}", query.name, query.question)?;
        for parameter in &query.parameters {
            writeln!(out, "    --set {}={}  {}", parameter.name, parameter.default, parameter.meaning)?;
        }
    }
    Ok(())
}
