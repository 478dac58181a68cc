//! Answers on their way out: as a table, in machine-readable text, or into a file.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::json::writer::{JsonArray, LineDelimited};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;

use super::harmless::Harmless;
use super::partial::Partial;
use super::table::Style;

/// A table on a terminal is for people: more rows are not drawn, nor more bytes.
const MOST_TABLE_ROWS: usize = 100_000;
const MOST_TABLE_BYTES: usize = 256 << 20;

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// Columns drawn for people
    #[default]
    #[value(alias = "aligned")]
    Table,
    /// Comma-separated, with a header
    Csv,
    /// Tab-separated, with a header
    Tsv,
    /// One array of objects
    Json,
    /// One object a line
    Ndjson,
    /// A table for a text in Markdown
    Markdown,
}

/// Where an answer goes.
pub(super) enum Target {
    Stdout(Format),
    File { path: PathBuf, kind: FileKind },
}

#[derive(Clone, Copy)]
pub(super) enum FileKind {
    Parquet,
    Csv,
    Json,
    Arrow,
}

impl Target {
    /// A file of the kind that its ending says.
    pub(super) fn file(path: &Path) -> anyhow::Result<Self> {
        let kind = match path.extension().and_then(|extension| extension.to_str()) {
            Some("parquet") => FileKind::Parquet,
            Some("csv") => FileKind::Csv,
            Some("json") => FileKind::Json,
            Some("arrow") => FileKind::Arrow,
            _ => anyhow::bail!(
                "{} should end in .parquet, .csv, .json or .arrow, to say what to write",
                path.display()
            ),
        };
        Ok(Self::File { path: path.to_path_buf(), kind })
    }
}

/// The rows of an answer, as they come.
pub(super) struct Answer {
    stream: SendableRecordBatchStream,
    rows: u64,
    style: Style,
}

impl Answer {
    pub(super) fn new(stream: SendableRecordBatchStream) -> Self {
        Self { stream, rows: 0, style: Style::default() }
    }

    /// Draws tables so.
    pub(super) fn styled(self, style: Style) -> Self {
        Self { style, ..self }
    }

    async fn next(&mut self) -> anyhow::Result<Option<RecordBatch>> {
        let Some(batch) = self.stream.next().await.transpose().map_err(crate::query_error)? else {
            return Ok(None);
        };
        self.rows += batch.num_rows() as u64;
        Ok(Some(batch))
    }

    /// Writes everything, and returns how many rows that was.
    pub(super) async fn write(mut self, target: Target) -> anyhow::Result<u64> {
        match target {
            Target::Stdout(format) => self.write_to_stdout(format).await.map(drop)?,
            Target::File { path, kind } => {
                let partial = Partial::create(&path)?;
                let file = partial.file()?;
                let written = self.write_file(kind, BufWriter::new(file)).await;
                partial.end(written)?;
            }
        }
        Ok(self.rows)
    }

    /// The first rows, at most so many and of about so many bytes, and whether there are more.
    pub(super) async fn keep(
        mut self,
        most_rows: usize,
        most_bytes: usize,
    ) -> anyhow::Result<(Vec<RecordBatch>, bool)> {
        let mut batches = vec![RecordBatch::new_empty(self.stream.schema())];
        let (mut rows, mut bytes) = (0, 0);
        while let Some(batch) = self.next().await? {
            if batch.num_rows() > most_rows - rows || bytes > most_bytes {
                let room = if bytes > most_bytes { 0 } else { most_rows - rows };
                batches.push(batch.slice(0, room));
                return Ok((batches, true));
            }
            rows += batch.num_rows();
            bytes += bytes_of(&batch);
            batches.push(batch);
        }
        Ok((batches, false))
    }

    /// Writes everything to standard output, so that a terminal comes to no harm.
    pub(super) async fn write_to_stdout(&mut self, format: Format) -> anyhow::Result<u64> {
        let out = io::stdout().lock();
        // A table is harmless already, and may be coloured.
        if out.is_terminal() && format != Format::Table {
            return self.write_to(format, Harmless::new(out)).await;
        }
        self.write_to(format, out).await
    }

    /// Writes everything there, and returns how many rows that was.
    pub(super) async fn write_to(&mut self, format: Format, out: impl Write) -> anyhow::Result<u64> {
        let mut out = BufWriter::new(out);
        self.write_text(format, &mut out).await?;
        out.flush()?;
        Ok(self.rows)
    }

    async fn write_file(&mut self, kind: FileKind, mut out: BufWriter<File>) -> anyhow::Result<()> {
        let schema = self.stream.schema();
        match kind {
            FileKind::Csv => self.write_text(Format::Csv, &mut out).await?,
            FileKind::Json => self.write_text(Format::Json, &mut out).await?,
            FileKind::Parquet => {
                let mut writer = parquet::arrow::ArrowWriter::try_new(&mut out, schema, None)?;
                while let Some(batch) = self.next().await? {
                    writer.write(&batch)?;
                }
                writer.close()?;
            }
            FileKind::Arrow => {
                let mut writer = arrow::ipc::writer::FileWriter::try_new(&mut out, &schema)?;
                while let Some(batch) = self.next().await? {
                    writer.write(&batch)?;
                }
                writer.finish()?;
            }
        }
        out.flush()?;
        Ok(())
    }

    async fn write_text(&mut self, format: Format, out: &mut impl Write) -> anyhow::Result<()> {
        match format {
            Format::Csv | Format::Tsv => self.write_separated(matches!(format, Format::Tsv), out).await,
            Format::Json => {
                let mut writer = arrow::json::WriterBuilder::new()
                    .with_explicit_nulls(true)
                    .build::<_, JsonArray>(&mut *out);
                while let Some(batch) = self.next().await? {
                    writer.write(&batch)?;
                }
                writer.finish()?;
                writeln!(out)?;
                Ok(())
            }
            Format::Ndjson => {
                let mut writer = arrow::json::WriterBuilder::new()
                    .with_explicit_nulls(true)
                    .build::<_, LineDelimited>(out);
                while let Some(batch) = self.next().await? {
                    writer.write(&batch)?;
                }
                writer.finish()?;
                Ok(())
            }
            Format::Table => self.write_table(out).await,
            Format::Markdown => self.write_markdown(out).await,
        }
    }

    async fn write_separated(&mut self, tabs: bool, out: &mut impl Write) -> anyhow::Result<()> {
        let builder = arrow::csv::WriterBuilder::new().with_delimiter(if tabs { b'\t' } else { b',' });
        // The header goes ahead alone, so that an answer without rows has it, too.
        let mut header = true;
        let mut next = Some(RecordBatch::new_empty(self.stream.schema()));
        while let Some(batch) = next {
            // Not straight into `out`: Arrow's writer makes a mere text of its errors, and a closed pipe
            // would not be known as one.
            let mut text = Vec::new();
            builder.clone().with_header(header).build(&mut text).write(&without_lists(&batch)?)?;
            out.write_all(&text)?;
            header = false;
            next = self.next().await?;
        }
        Ok(())
    }

    async fn write_table(&mut self, out: &mut impl Write) -> anyhow::Result<()> {
        let schema = self.stream.schema();
        let mut batches = Vec::new();
        let (mut drawn, mut bytes) = (0, 0);
        while let Some(batch) = self.next().await? {
            bytes += bytes_of(&batch);
            let room = if bytes > MOST_TABLE_BYTES { 0 } else { MOST_TABLE_ROWS - drawn };
            if room > 0 {
                let batch = batch.slice(0, batch.num_rows().min(room));
                drawn += batch.num_rows();
                batches.push(batch);
            }
        }
        self.style.draw(&schema, &batches, out)?;
        if self.rows > drawn as u64 {
            super::say(&format!("only the first {drawn} rows are drawn; format csv writes them all"));
        }
        Ok(())
    }

    async fn write_markdown(&mut self, out: &mut impl Write) -> anyhow::Result<()> {
        let schema = self.stream.schema();
        let names: Vec<_> = schema.fields().iter().map(|field| escaped(field.name())).collect();
        writeln!(out, "| {} |", names.join(" | "))?;
        let rules =
            schema.fields().iter().map(|field| if field.data_type().is_numeric() { "---:" } else { "---" });
        writeln!(out, "| {} |", rules.collect::<Vec<_>>().join(" | "))?;
        let options = FormatOptions::default();
        while let Some(batch) = self.next().await? {
            let columns = batch
                .columns()
                .iter()
                .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
                .collect::<Result<Vec<_>, _>>()?;
            for row in 0..batch.num_rows() {
                let cells: Vec<_> =
                    columns.iter().map(|column| escaped(&column.value(row).to_string())).collect();
                writeln!(out, "| {} |", cells.join(" | "))?;
            }
        }
        Ok(())
    }
}

/// Bytes of these rows alone: batches may be parts of larger ones.
pub(super) fn bytes_of(batch: &RecordBatch) -> usize {
    let of_column = |column: &ArrayRef| match column.as_string_view_opt() {
        Some(texts) => texts.total_buffer_bytes_used() + size_of_val(texts.views().as_ref()),
        None => column.to_data().get_slice_memory_size().unwrap_or_default(),
    };
    batch.columns().iter().map(of_column).sum()
}

fn escaped(cell: &str) -> String {
    cell.replace('\\', "\\\\").replace('|', "\\|").replace('\n', "<br>")
}

/// Lists and other nested values as text: CSV has no form for them.
fn without_lists(batch: &RecordBatch) -> anyhow::Result<RecordBatch> {
    let schema: SchemaRef = Arc::new(Schema::new(
        batch
            .schema()
            .fields()
            .iter()
            .map(|field| {
                let kind =
                    if field.data_type().is_nested() { DataType::Utf8 } else { field.data_type().clone() };
                Field::new(field.name(), kind, true)
            })
            .collect::<Vec<_>>(),
    ));
    let columns = batch
        .columns()
        .iter()
        .map(|column| {
            if column.data_type().is_nested() {
                cast(column, &DataType::Utf8)
            } else {
                Ok(Arc::clone(column))
            }
        })
        .collect::<Result<Vec<ArrayRef>, _>>()?;
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
}
