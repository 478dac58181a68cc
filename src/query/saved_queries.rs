//! Saved queries: queries with a name, in the folder `queries/`.
//!
//! The first comment of a file describes the query:
//!
//! ```sql
//! -- title: Crashes by day
//! -- question: On which days did actors crash, and how many different actors?
//! -- param: since = 1970-01-01 -- only facts at or after this instant
//! SELECT … WHERE at >= CAST($since AS TIMESTAMP) …
//! ```
//!
//! Parameters are bound as values, and never inserted into the text. A parameter has the type of its default:
//! a whole number, a number, or text.

use super::answer::Value;
use crate::error::{Error, ErrorKind, Result};

macro_rules! saved {
    ($($name:literal),* $(,)?) => {
        const FILES: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../queries/", $name, ".sql")))),*];
    };
}

saved![
    "actor_growth",
    "actor_history",
    "audit_trend",
    "before_the_crash",
    "busiest_hours",
    "crash_loops",
    "crash_summary",
    "crashes_by_day",
    "dead_letter_hotspots",
    "dead_letters_after_crash",
    "error_groups",
    "error_types",
    "ingest_lag",
    "last_crashes",
    "mtbf",
    "registry_problems",
    "restart_latency",
    "silent_actors",
    "system_overview",
    "top_crashers",
];

/// A query with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SavedQuery {
    /// The name of the query, such as `top_crashers`.
    pub name: &'static str,
    /// The title of the query.
    pub title: &'static str,
    /// The question that the query answers.
    pub question: &'static str,
    /// The parameters of the query.
    pub parameters: Vec<Parameter>,
    /// The SQL of the query.
    pub sql: &'static str,
}

/// A parameter of a saved query.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parameter {
    /// The name of the parameter.
    pub name: &'static str,
    /// The value of the parameter if it is not set. It may be empty.
    pub default: &'static str,
    /// The effect of the parameter.
    pub meaning: &'static str,
}

impl SavedQuery {
    /// Returns all saved queries, sorted by name.
    pub fn all() -> Vec<Self> {
        FILES.iter().map(|(name, text)| Self::parse(name, text)).collect()
    }

    /// Returns the saved query with this name.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] if there is no such query.
    pub fn find(name: &str) -> Result<Self> {
        let wanted = name.replace('-', "_");
        FILES
            .iter()
            .find(|(known, _)| *known == wanted)
            .map(|(name, text)| Self::parse(name, text))
            .ok_or_else(|| {
                let names: Vec<_> = FILES.iter().map(|(name, _)| *name).collect();
                let mut message =
                    format!("there is no saved query {name:?}; the saved queries: {}", names.join(", "));
                if let Some(meant) = super::nearest(&wanted, names.iter().copied()) {
                    message += &format!("\nDid you mean {meant}?");
                }
                Error::new(ErrorKind::Query, message)
            })
    }

    fn parse(name: &'static str, text: &'static str) -> Self {
        let mut query = Self { name, title: name, question: "", parameters: Vec::new(), sql: text };
        for line in text.lines().map_while(|line| line.strip_prefix("-- ")) {
            match line.split_once(": ") {
                Some(("title", title)) => query.title = title,
                Some(("question", question)) => query.question = question,
                Some(("param", param)) => {
                    let (setting, meaning) = param.split_once(" -- ").unwrap_or((param, ""));
                    let (name, default) = setting.split_once('=').unwrap_or((setting, ""));
                    query.parameters.push(Parameter { name: name.trim(), default: default.trim(), meaning });
                }
                _ => {}
            }
        }
        query
    }

    /// Returns the values of all parameters. `set` gives the values that differ from the defaults. To run the
    /// query, pass the values to [`QueryOptions::param`](super::QueryOptions::param), and the SQL to
    /// [`Store::sql_with`](crate::Store::sql_with).
    ///
    /// # Errors
    /// [`ErrorKind::Query`] for an unknown parameter, or for a value of the wrong type.
    pub fn values(&self, set: &[(String, String)]) -> Result<Vec<(String, Value)>> {
        if let Some((unknown, _)) =
            set.iter().find(|(name, _)| self.parameters.iter().all(|p| p.name != name))
        {
            let names: Vec<_> = self.parameters.iter().map(|parameter| parameter.name).collect();
            return Err(Error::new(
                ErrorKind::Query,
                format!(
                    "query {} has no parameter {unknown:?}; its parameters: {}",
                    self.name,
                    names.join(", ")
                ),
            ));
        }
        self.parameters
            .iter()
            .map(|parameter| {
                let given = set.iter().rev().find(|(name, _)| name == parameter.name);
                let text = given.map_or(parameter.default, |(_, value)| value);
                Ok((parameter.name.to_owned(), parameter.value(text)?))
            })
            .collect()
    }
}

impl Parameter {
    /// Converts a text into a value of the default's type.
    fn value(&self, text: &str) -> Result<Value> {
        let wrong = |expected: &str| {
            Error::new(ErrorKind::Query, format!("parameter {} must be {expected}, not {text:?}", self.name))
        };
        if self.default.parse::<i64>().is_ok() {
            text.parse::<i64>().map(Value::from).map_err(|_| wrong("a whole number"))
        } else if self.default.parse::<f64>().is_ok() {
            text.parse::<f64>().map(Value::from).map_err(|_| wrong("a number"))
        } else {
            Ok(text.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_saved_query_says_what_it_is() {
        for query in SavedQuery::all() {
            assert!(query.title != query.name && query.question.ends_with('?'), "{query:?}");
            assert!(
                query.parameters.iter().all(|p| !p.meaning.is_empty() && !p.name.contains(' ')),
                "{query:?}"
            );
            for parameter in &query.parameters {
                assert!(query.sql.contains(&format!("${}", parameter.name)), "{}: {parameter:?}", query.name);
            }
        }
    }

    #[test]
    fn parameters_have_the_type_of_their_default() {
        let query = SavedQuery::find("top-crashers").unwrap();
        let values = query.values(&[("limit".to_owned(), "3".to_owned())]).unwrap();
        assert!(values.contains(&("limit".to_owned(), Value::from(3_i64))));
        assert!(query.values(&[("limit".to_owned(), "many".to_owned())]).is_err());
        assert!(
            query.values(&[("lim".to_owned(), "3".to_owned())]).unwrap_err().to_string().contains("limit")
        );
        assert!(SavedQuery::find("nothing").unwrap_err().to_string().contains("top_crashers"));
    }
}
