//! Writes answers: as a table, in machine-readable text, or into a file.

mod cells;
mod columns;
mod format;
mod json;
mod separated;
mod target;

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::json::writer::{JsonArray, JsonFormat, LineDelimited};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use self::columns::{Columns, Form};
use self::separated::Separated;
use super::answer_batches::Batches;
use super::atomic_file::Partial;
use super::sanitize::Sanitized;
use super::table::Style;

pub(super) use self::cells::Cells;
pub(super) use self::format::{FileKind, Format};
pub(super) use self::target::Target;

/// The number of rows of a table on a terminal, which is for people. Further rows are not drawn.
const MOST_TABLE_ROWS: usize = 100_000;
/// The memory, in bytes, for the rows of a table: they are kept until the widths of the columns are known.
const MOST_TABLE_BYTES: usize = 256 << 20;
/// The level of compression of Parquet, as in our own segments.
const ZSTD_LEVEL: i32 = 3;

/// Writes the rows of an answer as they arrive.
pub(super) struct AnswerWriter {
    batches: Batches,
    rows: u64,
    style: Style,
}

impl AnswerWriter {
    pub(super) fn new(batches: impl Into<Batches>) -> Self {
        Self { batches: batches.into(), rows: 0, style: Style::default() }
    }

    /// Sets the style of tables.
    pub(super) fn styled(self, style: Style) -> Self {
        Self { style, ..self }
    }

    async fn next(&mut self) -> anyhow::Result<Option<RecordBatch>> {
        let Some(batch) = self.batches.next().await? else {
            return Ok(None);
        };
        self.rows += batch.num_rows() as u64;
        Ok(Some(batch))
    }

    /// Writes all rows, and returns their number.
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

    /// Passes each batch of rows to `take`, until it returns `false`. The first batch has no rows: it shows
    /// the columns.
    pub(super) async fn each(
        mut self,
        mut take: impl FnMut(&RecordBatch) -> anyhow::Result<bool>,
    ) -> anyhow::Result<u64> {
        if take(&RecordBatch::new_empty(self.batches.schema()))? {
            while let Some(batch) = self.next().await? {
                if !take(&batch)? {
                    break;
                }
            }
        }
        Ok(self.rows)
    }

    /// Writes all rows to standard output; on a terminal, control characters are written out.
    pub(super) async fn write_to_stdout(&mut self, format: Format) -> anyhow::Result<u64> {
        let out = io::stdout().lock();
        // A table is harmless already, and may be coloured.
        if out.is_terminal() && format != Format::Table {
            return self.write_to(format, Sanitized::new(out)).await;
        }
        self.write_to(format, out).await
    }

    /// Writes all rows to `out`, and returns their number.
    pub(super) async fn write_to(&mut self, format: Format, out: impl Write) -> anyhow::Result<u64> {
        let mut out = BufWriter::new(out);
        self.write_text(format, &mut out).await?;
        out.flush()?;
        Ok(self.rows)
    }

    async fn write_file(&mut self, kind: FileKind, mut out: BufWriter<File>) -> anyhow::Result<()> {
        match kind {
            FileKind::Text(format) => self.write_text(format, &mut out).await?,
            FileKind::Parquet => {
                let columns = self.columns(Form::Parquet);
                let level = ZstdLevel::try_new(ZSTD_LEVEL)?;
                let packed = WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
                let schema = columns.schema.clone();
                let mut writer = parquet::arrow::ArrowWriter::try_new(&mut out, schema, Some(packed))?;
                while let Some(batch) = self.next().await? {
                    writer.write(&columns.apply(&batch)?)?;
                }
                writer.close()?;
            }
            FileKind::Arrow => {
                let columns = self.columns(Form::Arrow);
                let mut writer = arrow::ipc::writer::FileWriter::try_new(&mut out, &columns.schema)?;
                while let Some(batch) = self.next().await? {
                    writer.write(&columns.apply(&batch)?)?;
                }
                writer.finish()?;
            }
        }
        out.flush()?;
        Ok(())
    }

    /// The columns in the form that the output can hold. Notes about changed types go to stderr.
    fn columns(&self, form: Form) -> Columns {
        let columns = Columns::new(&self.batches.schema(), form);
        columns.notes.iter().for_each(|note| super::print::say(note));
        columns
    }

    async fn write_text(&mut self, format: Format, out: &mut impl Write) -> anyhow::Result<()> {
        match format {
            Format::Csv => self.write_separated(Separated::Commas, out).await,
            Format::Tsv => self.write_separated(Separated::Tabs, out).await,
            Format::Json => {
                self.write_json::<JsonArray>(out).await?;
                Ok(writeln!(out)?)
            }
            Format::Ndjson => self.write_json::<LineDelimited>(out).await,
            Format::Table => self.write_table(out).await,
            Format::Markdown => self.write_markdown(out).await,
        }
    }

    async fn write_json<F: JsonFormat>(&mut self, out: &mut impl Write) -> anyhow::Result<()> {
        let columns = self.columns(Form::Json);
        let values = json::Values::default();
        let mut writer = json::writer::<F, _>(&values, out);
        while let Some(batch) = self.next().await? {
            writer.write(&columns.apply(&batch)?)?;
            values.all_written()?;
        }
        Ok(writer.finish()?)
    }

    async fn write_separated(&mut self, form: Separated, out: &mut impl Write) -> anyhow::Result<()> {
        let columns = self.columns(Form::Separated);
        form.header(&columns.schema, out)?;
        while let Some(batch) = self.next().await? {
            form.rows(&columns.apply(&batch)?, out)?;
        }
        Ok(())
    }

    async fn write_table(&mut self, out: &mut impl Write) -> anyhow::Result<()> {
        let schema = self.batches.schema();
        let most = if self.style.is_on_terminal() { MOST_TABLE_ROWS } else { usize::MAX };
        let mut batches = Vec::new();
        let (mut drawn, mut bytes) = (0, 0);
        while let Some(batch) = self.next().await? {
            bytes += bytes_of(&batch);
            let room = if bytes > MOST_TABLE_BYTES { 0 } else { most - drawn };
            if room > 0 {
                let batch = batch.slice(0, batch.num_rows().min(room));
                drawn += batch.num_rows();
                batches.push(batch);
            }
        }
        self.style.draw(&schema, &batches, out)?;
        if self.rows > drawn as u64 {
            // The note is a part of the table, so that a later reader sees that rows are missing.
            let (drawn, all) = (super::print::grouped(drawn as u64), super::print::grouped(self.rows));
            writeln!(out, "only the first {drawn} of {all} rows are drawn; format csv writes them all")?;
        }
        Ok(())
    }

    async fn write_markdown(&mut self, out: &mut impl Write) -> anyhow::Result<()> {
        let schema = self.batches.schema();
        let names: Vec<_> = schema.fields().iter().map(|field| escaped(field.name())).collect();
        writeln!(out, "| {} |", names.join(" | "))?;
        let rules =
            schema.fields().iter().map(|field| if field.data_type().is_numeric() { "---:" } else { "---" });
        writeln!(out, "| {} |", rules.collect::<Vec<_>>().join(" | "))?;
        while let Some(batch) = self.next().await? {
            let columns = batch.columns().iter().map(|column| Cells::new(column.as_ref()));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            for row in 0..batch.num_rows() {
                let cells = columns.iter().map(|column| column.text(row));
                let cells = cells.map(|cell| Ok(escaped(&cell?.unwrap_or_else(|| self.style.null.clone()))));
                let cells = cells.collect::<anyhow::Result<Vec<_>>>()?;
                writeln!(out, "| {} |", cells.join(" | "))?;
            }
        }
        Ok(())
    }
}

/// The number of bytes of the rows of a batch: a batch may be a part of a larger one.
pub(super) fn bytes_of(batch: &RecordBatch) -> usize {
    let of_column = |column: &ArrayRef| match column.as_string_view_opt() {
        Some(texts) => texts.total_buffer_bytes_used() + size_of_val(texts.views().as_ref()),
        None => column.to_data().get_slice_memory_size().unwrap_or_default(),
    };
    batch.columns().iter().map(of_column).sum()
}

fn escaped(cell: &str) -> String {
    let cell = cell.replace('\\', "\\\\").replace('|', "\\|");
    cell.replace("\r\n", "<br>").replace(['\n', '\r'], "<br>")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use arrow::array::Int64Array;

    #[test]
    fn a_table_on_a_terminal_says_which_rows_are_missing() {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..=MOST_TABLE_ROWS as i64));
        let batch = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for (width, last) in [
            (Some(80), "only the first 100,000 of 100,001 rows are drawn; format csv writes them all"),
            (None, "+--------+"),
        ] {
            let rows = Batches::from_memory(batch.schema(), vec![batch.clone()]);
            let mut answer = AnswerWriter::new(rows).styled(Style { width, ..Style::default() });
            let mut out = Vec::new();
            runtime.block_on(answer.write_to(Format::Table, &mut out)).unwrap();
            assert_eq!(String::from_utf8(out).unwrap().lines().last(), Some(last));
        }
    }
}
