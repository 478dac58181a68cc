//! DuckDB and SQLite, in a process of their own.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::super::interop;
use super::facts::Rows;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/suite/engines/engines.py");

pub(super) struct Peers {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// DuckDB's answer and SQLite's; an error's text where there is none.
pub(super) type Answers = [Result<Rows, String>; 2];

impl Peers {
    pub(super) fn start() -> Self {
        let mut script = Command::new(interop::python());
        script.arg(SCRIPT).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = script.spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { questions: child.stdin.take(), answers, child }
    }

    pub(super) fn load(&mut self, tables: &Value) {
        self.send(&json!({ "tables": tables }));
        assert_eq!(self.receive(), Value::Bool(true));
    }

    /// Begins to answer; [`Peers::receive_answers`] waits for it.
    pub(super) fn ask(&mut self, questions: &[String]) {
        self.send(&json!(questions));
    }

    pub(super) fn receive_answers(&mut self) -> Vec<Answers> {
        let Value::Array(all) = self.receive() else { panic!("no answers") };
        all.into_iter()
            .map(|pair| {
                let [duck, lite] = <[Value; 2]>::try_from(pair.as_array().unwrap().clone()).unwrap();
                [of(duck), of(lite)]
            })
            .collect()
    }

    fn send(&mut self, line: &Value) {
        writeln!(self.questions.as_mut().unwrap(), "{line}").unwrap();
    }

    fn receive(&mut self) -> Value {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{SCRIPT} ended"))
    }
}

fn of(answer: Value) -> Result<Rows, String> {
    match answer {
        Value::String(error) => Err(error),
        Value::Array(rows) => Ok(rows.into_iter().map(|row| row.as_array().unwrap().clone()).collect()),
        other => panic!("{other}"),
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        drop(self.questions.take());
        let _ = self.child.wait();
    }
}
