//! Suggests a known name for an unknown one.

use datafusion::prelude::SessionContext;

use super::{error_words, function_names, session};
use crate::error::Error;

/// Returns the name that is most similar to an unknown word; `None` if no name is similar enough.
///
/// ```
/// let tables = ["events", "audits", "crashes"];
/// assert_eq!(ostracon::nearest("crashs", tables.into_iter()), Some("crashes"));
/// assert_eq!(ostracon::nearest("weather", tables.into_iter()), None);
/// // Half of the letters differ.
/// assert_eq!(ostracon::nearest("round_half", ["row_number"].into_iter()), None);
/// ```
pub fn nearest<'n>(word: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let word = word.to_lowercase();
    let rated = names.map(|name| (strsim::jaro_winkler(&word, &name.to_lowercase()), name));
    let is_near = |name: &str| {
        let name = name.to_lowercase();
        let longest = word.chars().count().max(name.chars().count());
        name.starts_with(&word) || strsim::damerau_levenshtein(&word, &name) * 3 <= longest
    };
    rated
        .filter(|(rate, name)| *rate > 0.8 && is_near(name))
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, name)| name)
}

/// Adds to the planner's error what the user may have meant: a table, a column or a function that is here.
pub(super) fn explained(error: Error, sql: &str, context: &SessionContext) -> Error {
    let text = error.to_string();
    if let Some(function) = unknown_function(&text) {
        let message = format!("there is no function {function}");
        if let Some(instead) = function_names::instead_of(&function) {
            return Error::new(error.kind(), message).hinting(Some(instead.to_owned()));
        }
        if session::is_window_function(context, &function) {
            let over = format!("write {function}(…) OVER (ORDER BY at)");
            return Error::new(error.kind(), format!("{function} needs OVER")).hinting(Some(over));
        }
        let near = session::function_names(context);
        let near = nearest(&function, near.iter().map(String::as_str));
        let meant = near.map(|near| format!("\nDid you mean {near}?")).unwrap_or_default();
        return Error::new(error.kind(), message + &meant);
    }
    let tables = session::table_names(context);
    let text = unknown_table(&text).map_or_else(|| text.clone(), |name| format!("there is no table {name}"));
    if let Some(meant) = suggestion(&text, &tables) {
        return Error::new(error.kind(), format!("{text}\nDid you mean {meant}?"));
    }
    if let Some((what, instead)) = error_words::explained(&text, sql) {
        return Error::new(error.kind(), what).hinting(Some(instead));
    }
    if text.starts_with("failed to parse the SQL") || text.starts_with("not supported: ") {
        return error.hinting(function_names::instead_of_words(sql));
    }
    error
}

/// The function that the planner does not know.
fn unknown_function(error: &str) -> Option<String> {
    let (_, rest) = error.split_once("Invalid function '")?;
    rest.split_once('\'').map(|(name, _)| name.to_owned())
}

fn suggestion<'t>(error: &'t str, tables: &'t [String]) -> Option<&'t str> {
    // The planner itself suggests a column if the names are very similar.
    if error.contains("Did you mean") {
        return None;
    }
    if let Some((_, rest)) = error.split_once("No field named ") {
        let (name, fields) = rest.split_once("Valid fields are ")?;
        let fields = fields.trim_end().trim_end_matches('.').split(", ").map(last_part);
        return nearest(last_part(name.trim_end().trim_end_matches('.')), fields);
    }
    let name = error.strip_prefix("there is no table ")?;
    let tables = || tables.iter().map(String::as_str);
    tables().find(|table| table.strip_prefix("store.") == Some(name)).or_else(|| nearest(name, tables()))
}

/// The table that the planner does not know.
fn unknown_table(error: &str) -> Option<&str> {
    let (_, rest) = error.split_once("table 'ostracon.")?;
    let (name, _) = rest.split_once("' not found")?;
    Some(name.strip_prefix("facts.").unwrap_or(name))
}

/// Returns the name of a column, without its table and without quotes.
pub(super) fn last_part(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name).trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_likely_a_known_one() {
        let tables = ["crashes".to_owned(), "store.commits".to_owned()];
        let meant = |error| suggestion(error, &tables);
        let unknown =
            "Schema error: No field named actor. Valid fields are crashes.at, crashes.actor_address.";
        assert_eq!(meant(unknown), Some("actor_address"));
        let unknown = "Schema error: No field named eror. Did you mean 'events.error'?.";
        assert_eq!(meant(unknown), None, "it is said");
        for (name, table) in
            [("crashs", "crashes"), ("store.comits", "store.commits"), ("commits", "store.commits")]
        {
            let error = format!("there is no table {name}");
            assert_eq!(super::suggestion(&error, &tables), Some(table));
        }
        assert_eq!(unknown_table("table 'ostracon.facts.crashs' not found"), Some("crashs"));
        assert_eq!(unknown_table("table 'ostracon.store.comits' not found"), Some("store.comits"));
        assert_eq!(meant("No field named zzz"), None);
    }
}
