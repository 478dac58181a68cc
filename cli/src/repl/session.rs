//! The state of the prompt between two statements.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use ostracon::{QueryOptions, Store, Value, Zone};

use super::super::answer_batches::Batches;
use super::super::output::{AnswerWriter, Format, Target};
use super::super::print::{grouped, say};
use super::super::sanitize::Sanitized;
use super::super::table::{Expanded, Style};
use super::config::Config;
use super::known_names::Names;
use super::out::Out;
use super::pager::{Screen, failure, shell};
use super::progress::Progress;
use super::run::{LastAnswer, Runner, Running};
use super::script::Failures;
use super::window::Window;

/// The state of a prompt or a script.
pub(super) struct Session {
    pub(super) store: Arc<Store>,
    pub(super) runner: Runner,
    pub(super) names: Names,
    pub(super) settings: Settings,
    pub(super) window: Window,
    pub(super) parameters: BTreeMap<String, Value>,
    /// The file that answers go to instead of the screen.
    pub(super) out: Option<Out>,
    /// The statement that commands such as `\g` and `\watch` use.
    pub(super) current: BoundStatement,
    /// The last answer. It may belong to an earlier statement.
    pub(super) last: LastAnswer,
    /// How many levels of files are included by `\\i`.
    pub(super) included: usize,
    /// The handling of errors in scripts, and whether there were errors.
    pub(super) failures: Failures,
}

/// A statement, and the values of its parameters from a saved query.
#[derive(Clone, Default)]
pub(super) struct BoundStatement {
    pub(super) sql: String,
    pub(super) values: Vec<(String, Value)>,
}

impl BoundStatement {
    /// A statement as the user typed it.
    pub(super) fn typed(sql: &str) -> Self {
        Self { sql: sql.to_owned(), values: Vec::new() }
    }
}

/// How answers are shown.
pub(super) struct Settings {
    pub(super) format: Format,
    pub(super) expanded: Expanded,
    /// The text for NULL in tables.
    pub(super) null: String,
    pub(super) timing: bool,
    /// The zone of times: in answers, and in times that the user writes without a zone.
    pub(super) zone: Zone,
    pub(super) pager: Option<String>,
    /// The command that shows long answers if the pager is on.
    pub(super) configured_pager: Option<String>,
    /// Whether a user sits at a terminal.
    pub(super) interactive: bool,
    pub(super) colour: bool,
}

impl Settings {
    pub(super) fn new(config: &Config, interactive: bool, pager: Option<String>) -> anyhow::Result<Self> {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Ok(Self {
            format: config.format,
            expanded: config.expanded,
            null: super::super::sanitize::visible(&config.null).into_owned(),
            timing: config.timing,
            zone: super::config::zone(&config.timezone)?,
            pager,
            configured_pager: super::pager::command(config.pager.as_deref()),
            interactive,
            colour: io::stdout().is_terminal() && !no_colour,
        })
    }
}

impl Session {
    pub(super) fn new(store: Store, runner: Runner, settings: Settings) -> Self {
        Self {
            store: Arc::new(store),
            runner,
            names: Names::default(),
            settings,
            window: Window::default(),
            parameters: BTreeMap::new(),
            out: None,
            current: BoundStatement::default(),
            last: LastAnswer::default(),
            included: 0,
            failures: Failures::default(),
        }
    }

    /// The options of every query: the current window, and the parameters.
    pub(super) fn options(&self) -> anyhow::Result<QueryOptions> {
        let now = jiff::Timestamp::now().to_zoned_datetime(self.settings.zone.as_jiff().clone());
        let mut options = self.window.narrow(QueryOptions::new(), &now)?;
        options = options.time_zone(self.settings.zone.clone());
        for (name, value) in &self.parameters {
            options = options.known_value(name, value.clone());
        }
        Ok(options)
    }

    /// The style of tables, for the place that they go to.
    pub(super) fn style(&self) -> Style {
        let shown = self.out.is_none() && io::stdout().is_terminal();
        Style {
            width: if shown { screen().map(|(width, _)| width) } else { None },
            piped: false,
            colour: shown && self.settings.colour,
            zone: self.settings.zone.clone(),
            expanded: self.settings.expanded,
            null: self.settings.null.clone(),
        }
    }

    /// The options of one query.
    pub(super) fn options_of(&self, asked: &BoundStatement) -> anyhow::Result<QueryOptions> {
        let values = asked.values.iter().cloned();
        Ok(values.fold(self.options()?, |options, (name, value)| options.param(name, value)))
    }

    /// Runs a query and shows its answer. The query becomes the current statement.
    pub(super) fn ask(&mut self, asked: BoundStatement, pipe: Option<&str>) -> anyhow::Result<()> {
        let begun = Instant::now();
        if let Some(problem) = self.store.retention_problem() {
            say(&format!("warning: {problem}"));
        }
        let options = self.options_of(&asked)?;
        let sql = asked.sql.clone();
        self.current = asked;
        let kept = LastAnswer::of(&sql, &options);
        let running = self.runner.begin(&self.store, sql, options)?;
        let progress = self.progress(&running);
        self.last = kept;
        let batches = running.batches(Some(self.last.clone()));
        if let Some((rows, done)) = self.show(batches, progress, pipe)? {
            self.say_rows(rows, done.duration_since(begun));
        }
        Ok(())
    }

    fn progress(&self, running: &Running) -> Option<Progress> {
        let quiet = self.settings.format == Format::Table || self.out.is_some();
        let wanted = self.settings.interactive && quiet && io::stderr().is_terminal();
        wanted.then(|| Progress::of(running.monitor.clone()))
    }

    /// Shows the number of rows to the user.
    fn say_rows(&self, rows: u64, taken: Duration) {
        if !self.settings.interactive {
            return;
        }
        let plural = if rows == 1 { "row" } else { "rows" };
        let time = if self.settings.timing {
            format!(" in {:.1} ms", taken.as_secs_f64() * 1e3)
        } else {
            String::new()
        };
        say(&format!("{} {plural}{time}", grouped(rows)));
    }

    /// Writes a title line above an answer, to the same place as the answer.
    pub(super) fn title(&mut self, title: &str) -> anyhow::Result<()> {
        match &mut self.out {
            Some(out) => {
                let written = writeln!(out, "\n{title}");
                out.with_path(written.map_err(anyhow::Error::from))
            }
            None => Ok(writeln!(io::stdout().lock(), "\n{title}")?),
        }
    }

    /// Runs a command that writes several answers. If it fails, none of them stays in a file.
    pub(super) fn as_one<T>(
        &mut self,
        answers: impl FnOnce(&mut Self) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let end = self.out.as_mut().map(Out::end).transpose()?;
        let done = answers(self);
        if let (Err(_), Some(out), Some(end)) = (&done, &mut self.out, end) {
            remove_partial(out, end);
        }
        done
    }

    /// Shows rows in memory like an answer.
    pub(super) fn present(&mut self, schema: SchemaRef, batches: Vec<RecordBatch>) -> anyhow::Result<()> {
        self.show(Batches::from_memory(schema, batches), None, None).map(drop)
    }

    /// Shows an answer. Returns the number of its rows and the time when they were complete, or `None` if the
    /// reader closed the output early.
    fn show(
        &mut self,
        batches: Batches,
        progress: Option<Progress>,
        pipe: Option<&str>,
    ) -> anyhow::Result<Option<(u64, Instant)>> {
        let now = |rows| (rows, Instant::now());
        let format = self.settings.format;
        let mut style = self.style();
        if let Some(pipe) = pipe {
            // The output of the pipe most likely goes to the screen.
            style = Style { width: screen().map(|(width, _)| width), piped: true, colour: false, ..style };
            let mut answer = AnswerWriter::new(batches).styled(style);
            let mut child = shell(pipe).stdin(Stdio::piped()).spawn()?;
            let input = child.stdin.take().context("the command takes no input")?;
            let written = self.runner.wait(answer.write_to(format, self.runner.stoppable(input)));
            drop(progress);
            let failed = failure(pipe, child.wait()?);
            let written = unless_closed(written.map(now))?;
            return failed.map_or(Ok(written), |failed| Err(anyhow::anyhow!(failed)));
        }
        let mut answer = AnswerWriter::new(batches).styled(style);
        if let Some(out) = &mut self.out {
            let end = out.end()?;
            let written = self.runner.wait(answer.write_to(format, self.runner.stoppable(&mut *out)));
            let written = out.with_path(written).inspect_err(|_| remove_partial(out, end));
            return written.map(now).map(Some);
        }
        if !self.settings.interactive {
            return self.runner.wait(answer.write_to_stdout(format)).map(now).map(Some);
        }
        let lines = screen().map_or(usize::MAX, |(_, lines)| lines.saturating_sub(2));
        let mut screen = Screen::new(self.settings.pager.clone(), lines);
        let mut first = None;
        let shown = self.runner.stoppable(Shown { screen: &mut screen, progress, first: &mut first });
        let written = if format == Format::Table {
            // Tables are harmless already, and may have colours.
            self.runner.wait(answer.write_to(format, shown))
        } else {
            self.runner.wait(answer.write_to(format, Sanitized::new(shown)))
        };
        unless_closed(screen.finish().map_err(anyhow::Error::from))?;
        // A table appears when it is complete. The time in which the user reads it does not count.
        let done = first.filter(|_| format == Format::Table).unwrap_or_else(Instant::now);
        unless_closed(written.map(|rows| (rows, done)))
    }

    /// Writes an answer into a file.
    pub(super) fn copy(&mut self, sql: &str, target: Target) -> anyhow::Result<()> {
        let begun = Instant::now();
        let running = self.runner.begin(&self.store, sql.to_owned(), self.options()?)?;
        let wanted = self.settings.interactive && io::stderr().is_terminal();
        let _progress = wanted.then(|| Progress::of(running.monitor.clone()));
        let answer = AnswerWriter::new(running.batches(None));
        let rows = self.runner.wait(answer.write(target))?;
        self.say_rows(rows, begun.elapsed());
        Ok(())
    }
}

/// A writer to the screen that removes the progress bar before it writes.
struct Shown<'s> {
    screen: &'s mut Screen,
    progress: Option<Progress>,
    /// The time of the first write.
    first: &'s mut Option<Instant>,
}

impl Write for Shown<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        drop(self.progress.take());
        self.first.get_or_insert_with(Instant::now);
        self.screen.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.screen.flush()
    }
}

/// Removes a part of an answer from the file. A failure is reported in addition to the earlier error.
fn remove_partial(out: &mut Out, end: u64) {
    if let Err(error) = out.take_back(end) {
        say(&format!("error: a part of an answer stays in the file: {error}"));
    }
}

/// Returns `None` if the reader closed the output because it had read enough.
fn unless_closed<T>(written: anyhow::Result<T>) -> anyhow::Result<Option<T>> {
    match written {
        Err(error) if super::super::print::is_closed_pipe(&error) => Ok(None),
        other => other.map(Some),
    }
}

/// The columns and lines of the terminal on stdout.
pub(super) fn screen() -> Option<(usize, usize)> {
    let (width, height) = terminal_size::terminal_size_of(io::stdout())?;
    Some((usize::from(width.0), usize::from(height.0)))
}
