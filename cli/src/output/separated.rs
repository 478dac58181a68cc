//! CSV and TSV, as PostgreSQL's COPY writes them, so that NULL and an empty text differ.
//!
//! | | CSV | TSV |
//! |---|---|---|
//! | NULL | nothing | `\N` |
//! | an empty text | `""` | nothing |
//! | separators or line breaks in a text | in quotes, inner quotes doubled | `\t`, `\n`, `\r`, `\\` |

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;

use super::cells::Cells;

/// The form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Separated {
    Commas,
    Tabs,
}

impl Separated {
    pub(super) fn header(self, schema: &Schema, out: &mut impl Write) -> anyhow::Result<()> {
        let mut line = String::new();
        for (at, field) in schema.fields().iter().enumerate() {
            self.separate(at, &mut line);
            self.cell(field.name(), &mut line);
        }
        line.push('\n');
        Ok(out.write_all(line.as_bytes())?)
    }

    pub(super) fn rows(self, batch: &RecordBatch, out: &mut impl Write) -> anyhow::Result<()> {
        let columns = batch.columns().iter().map(|column| Cells::new(column.as_ref()));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let (mut line, mut cell) = (String::new(), String::new());
        for row in 0..batch.num_rows() {
            line.clear();
            for (at, column) in columns.iter().enumerate() {
                self.separate(at, &mut line);
                if column.is_null(row) {
                    line.push_str(self.null());
                    continue;
                }
                cell.clear();
                column.write(row, &mut cell)?;
                self.cell(&cell, &mut line);
            }
            line.push('\n');
            out.write_all(line.as_bytes())?;
        }
        Ok(())
    }

    fn separate(self, at: usize, line: &mut String) {
        if at > 0 {
            line.push(if self == Self::Tabs { '\t' } else { ',' });
        }
    }

    const fn null(self) -> &'static str {
        match self {
            Self::Commas => "",
            Self::Tabs => "\\N",
        }
    }

    fn cell(self, text: &str, line: &mut String) {
        match self {
            Self::Commas if text.is_empty() || text == "\\." || text.contains([',', '"', '\n', '\r']) => {
                line.push('"');
                line.push_str(&text.replace('"', "\"\""));
                line.push('"');
            }
            Self::Tabs if text.contains(['\\', '\t', '\n', '\r', '\u{8}', '\u{b}', '\u{c}']) => {
                text.chars().for_each(|char| escape(char, line));
            }
            _ => line.push_str(text),
        }
    }
}

fn escape(char: char, line: &mut String) {
    let name = match char {
        '\\' => '\\',
        '\t' => 't',
        '\n' => 'n',
        '\r' => 'r',
        '\u{8}' => 'b',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        _ => return line.push(char),
    };
    line.extend(['\\', name]);
}
