//! Converts errors of DataFusion, Arrow and Parquet into [`Error`].

use std::io;
use std::path::Path;

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;
use parquet::errors::ParquetError;

use super::error_words;
use crate::error::{Error, ErrorKind};
use crate::system_failures;

/// Returns the [`Error`] that caused a query's failure, if there is one.
fn ours(root: &DataFusionError) -> Option<&Error> {
    let source = match root {
        DataFusionError::External(source) => source,
        DataFusionError::ParquetError(error) => match error.as_ref() {
            ParquetError::External(source) => source,
            _ => return None,
        },
        DataFusionError::ArrowError(error, _) => match error.as_ref() {
            ArrowError::ExternalError(source) => source,
            _ => return None,
        },
        _ => return None,
    };
    source.downcast_ref::<Error>()
}

/// A sentence that DataFusion adds to its internal errors, also to errors that a mistake in the query caused.
const REPORT_REQUEST: &str = ".\nThis issue was likely caused by a bug in DataFusion's code. Please help us to resolve this by \
                              filing a bug report in our issue tracker: https://github.com/apache/datafusion/issues";

/// Converts a query's failure into an [`Error`] with a kind, a message and a hint.
#[expect(clippy::needless_pass_by_value, reason = "made for `map_err`")]
pub(super) fn query_error(error: DataFusionError) -> Error {
    let root = error.find_root();
    if let Some(known) = ours(root) {
        let hint = match known.hint() {
            None if known.kind() == ErrorKind::Damaged => Some(SCAN_DEEP.to_owned()),
            hint => hint.map(str::to_owned),
        };
        return Error::new(known.kind(), known.without_hint()).hinting(hint);
    }
    if let DataFusionError::SQL(parser, _) = root {
        // The `Display` of the parser's error adds debugging text.
        let why = match parser.as_ref() {
            ParserError::ParserError(why) | ParserError::TokenizerError(why) => why.as_str(),
            ParserError::RecursionLimitExceeded => "it is nested too deep",
        };
        return Error::new(ErrorKind::Query, format!("failed to parse the SQL: {why}"));
    }
    // A task of the query panicked.
    if let DataFusionError::ExecutionJoin(task) = root
        && task.is_panic()
    {
        let text = task.to_string();
        let why =
            text.split_once("panicked with message ").map_or(text.as_str(), |(_, why)| why.trim_matches('"'));
        return panicked(why);
    }
    // Arrow has turned the original error into text.
    let spilled_too_much = root.to_string().contains("used disk space during the spilling");
    if !spilled_too_much && let Some(error) = of_system(root) {
        return error;
    }
    let kind = match root {
        _ if spilled_too_much => ErrorKind::OutOfMemory,
        DataFusionError::ResourcesExhausted(_) => ErrorKind::OutOfMemory,
        DataFusionError::Internal(why) if why.starts_with("Assertion failed") => ErrorKind::Internal,
        DataFusionError::ParquetError(_) | DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) => {
            ErrorKind::Damaged
        }
        DataFusionError::ArrowError(error, _) if matches!(**error, ArrowError::ParquetError(_)) => {
            ErrorKind::Damaged
        }
        _ => ErrorKind::Query,
    };
    // The errors around the root only name the planner's rules that failed.
    let mut message = root.strip_backtrace().replace(REPORT_REQUEST, "");
    let mut hint = None;
    if kind == ErrorKind::Damaged && !matches!(root, DataFusionError::IoError(_)) {
        let remedy;
        (message, remedy) = damaged(&message);
        hint = Some(remedy);
    }
    match root {
        // DataFusion also uses this kind for mistakes in the query, such as too large a regular expression.
        DataFusionError::Internal(why) => {
            let why = why.split("\n\nbacktrace").next().unwrap_or_default();
            message = if kind == ErrorKind::Internal {
                format!(
                    "a bug in ostracon's query engine stopped the query: {why}; try to write the query in \
                     another way, and please report this bug"
                )
            } else {
                format!("the query cannot be computed: {why}")
            };
        }
        DataFusionError::NotImplemented(why) if is_about_subqueries(why) => {
            message = String::from(
                "a subquery uses columns of the outer query in a way that is not supported; write a join of \
                 the tables instead, or move the subquery into a WITH clause",
            );
        }
        _ => {}
    }
    if let Some((what, instead)) = error_words::of_engine(&message) {
        return Error::new(ErrorKind::Query, what).hinting(Some(instead));
    }
    if let Some(too_long) = error_words::too_long(&message) {
        return Error::new(ErrorKind::OutOfMemory, format!("failed to answer the query: {too_long}"));
    }
    if spilled_too_much {
        message = String::from("the query needs more room for temporary files than query.spill_bytes");
    }
    if kind == ErrorKind::OutOfMemory {
        message = error_words::out_of_memory(&message).unwrap_or(message);
        // Other limits do not depend on settings.
        let less = if message.contains("the limit is") {
            "ask for less"
        } else {
            "ask for less, or increase query.memory_bytes or query.spill_bytes in ostracon.toml"
        };
        hint = Some(less.to_owned());
    }
    Error::new(kind, error_words::reason(&message)).hinting(hint)
}

/// Returns the error for a query that panicked.
pub(super) fn panicked(why: &str) -> Error {
    if let Some(too_long) = error_words::too_long(why) {
        return Error::new(ErrorKind::OutOfMemory, format!("failed to answer the query: {too_long}"));
    }
    let message = format!(
        "failed to answer the query: it panicked ({why}); run `ostracon scan --deep STORE`: if no segment is damaged, \
         this is a bug in ostracon, so please report it"
    );
    Error::new(ErrorKind::Internal, message)
}

/// Whether the planner failed because it could not turn a subquery into a join.
fn is_about_subqueries(why: &str) -> bool {
    let of = ["ScalarSubquery", "OuterReferenceColumn", "InSubquery", "Exists"];
    why.contains("Physical plan does not support logical expression")
        && of.iter().any(|name| why.contains(name))
}

/// Returns an error if the operating system refused to read a file or to write a temporary file. That is not
/// damage.
fn of_system(root: &DataFusionError) -> Option<Error> {
    let text = root.strip_backtrace();
    let temporary = match root {
        DataFusionError::IoError(_) => true,
        DataFusionError::ArrowError(arrow, _) => matches!(**arrow, ArrowError::IoError(..)),
        _ => false,
    };
    let system = system_failures::named_in(&text);
    let kind = match &system {
        Some(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            ErrorKind::NoSpace
        }
        Some(_) => ErrorKind::Io,
        None if temporary => ErrorKind::Io,
        None => return None,
    };
    let hint = if temporary {
        Some(format!(
            "a query writes rows that exceed its memory to temporary files in {}; set TMPDIR to use another \
             folder",
            std::env::temp_dir().display()
        ))
    } else {
        system.and_then(|error| system_failures::advice(&error, Path::new("")))
    };
    Some(Error::new(kind, format!("failed to answer the query: {text}")).hinting(hint))
}

/// The hint for damage that a quick scan can find.
const SCAN: &str = "`ostracon scan --deep STORE` shows the damage, and `ostracon recover STORE --mode repair` saves what can be saved";
/// The hint for damage that only a deep scan can find.
const SCAN_DEEP: &str = "`ostracon scan --deep STORE` shows the damage, and `ostracon recover STORE --mode repair` saves what can be saved";
/// The hint for damage in an unknown segment.
const SCAN_DEEP_TO_FIND: &str = "`ostracon scan --deep STORE` shows which one, and `ostracon recover STORE --mode repair` saves what can be saved";

/// Converts the text of a Parquet error into a message, which names the segment if it is known, and a hint.
fn damaged(why: &str) -> (String, String) {
    let named = why.split_once("metadata for file ").and_then(|(_, rest)| rest.split_once(".parquet: "));
    let (message, hint) = match named {
        Some((name, why)) => (format!("{name}.parquet is damaged: {why}"), SCAN),
        None => (format!("a segment of the store is damaged: {why}"), SCAN_DEEP_TO_FIND),
    };
    (message, hint.to_owned())
}
