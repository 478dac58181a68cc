//! Commands that change the look of answers, and the facts that statements see.

use arrow::array::Decimal128Array;
use arrow::datatypes::DECIMAL128_MAX_PRECISION;
use clap::ValueEnum;
use ostracon::Value;

use super::super::super::moment::Moment;
use super::super::super::output::Format;
use super::super::super::print::say;
use super::super::super::sanitize::visible;
use super::super::super::table::Expanded;
use super::super::config;
use super::super::session::Session;
use super::Next;

/// Writes a message that only a user at the prompt needs, not a script.
pub(super) fn tell(session: &Session, line: &str) {
    if session.settings.interactive {
        say(line);
    }
}

fn choice<T: ValueEnum>(word: &str) -> anyhow::Result<T> {
    T::from_str(word, true)
        .map_err(|_| anyhow::anyhow!("unknown value {word:?}; use {}", config::choices::<T>()))
}

/// The name of a value, as the user types it.
pub(super) fn named(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn on_off(word: &str, now: bool) -> anyhow::Result<bool> {
    match word {
        "" => Ok(!now),
        "on" => Ok(true),
        "off" => Ok(false),
        _ => anyhow::bail!("unknown value {word:?}; use on or off"),
    }
}

fn shown(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

pub(super) fn expanded(session: &mut Session, word: &str) -> anyhow::Result<Next> {
    session.settings.expanded = match word {
        "" if session.settings.expanded == Expanded::Off => Expanded::On,
        "" => Expanded::Off,
        word => choice(word)?,
    };
    let message = match session.settings.expanded {
        Expanded::Off => "each row is a line of a table",
        Expanded::On => "each row is a block",
        Expanded::Auto => "each row is a block if the table would be cut",
    };
    tell(session, message);
    Ok(Next::Prompt)
}

pub(super) fn format(session: &mut Session, word: &str) -> anyhow::Result<Next> {
    if !word.is_empty() {
        session.settings.format = choice::<Format>(word)?;
    }
    tell(session, &format!("answers are written as {}", named(&session.settings.format)));
    Ok(Next::Prompt)
}

pub(super) fn timezone(session: &mut Session, word: &str) -> anyhow::Result<Next> {
    if !word.is_empty() {
        session.settings.zone = config::zone(word)?;
    }
    let zone = &session.settings.zone;
    tell(session, &format!("times are shown in {zone}, and days begin there"));
    Ok(Next::Prompt)
}

pub(super) fn timing(session: &mut Session, word: &str) -> anyhow::Result<Next> {
    session.settings.timing = on_off(word, session.settings.timing)?;
    tell(session, &format!("timing is {}", shown(session.settings.timing)));
    Ok(Next::Prompt)
}

pub(super) fn pager(session: &mut Session, word: &str) -> anyhow::Result<Next> {
    let on = on_off(word, session.settings.pager.is_some())?;
    session.settings.pager = if on { session.settings.configured_pager.clone() } else { None };
    tell(session, &format!("the pager is {}", shown(session.settings.pager.is_some())));
    Ok(Next::Prompt)
}

pub(super) fn at(session: &mut Session, said: &str) -> anyhow::Result<Next> {
    session.window.at = moment(session, said)?;
    looking(session);
    Ok(Next::Prompt)
}

pub(super) fn since(session: &mut Session, said: &str) -> anyhow::Result<Next> {
    session.window.since = moment(session, said)?;
    looking(session);
    Ok(Next::Prompt)
}

pub(super) fn until(session: &mut Session, said: &str) -> anyhow::Result<Next> {
    session.window.until = moment(session, said)?;
    looking(session);
    Ok(Next::Prompt)
}

fn moment(session: &Session, said: &str) -> anyhow::Result<Option<Moment>> {
    if matches!(said, "" | "off") {
        return Ok(None);
    }
    Moment::parse(said, session.settings.zone.as_jiff(), jiff::Timestamp::now()).map(Some)
}

fn looking(session: &Session) {
    let window = session.window.shown(session.settings.zone.as_jiff());
    let message = if window.is_empty() {
        "every statement sees all facts".to_owned()
    } else {
        format!("every statement sees only facts {window}")
    };
    tell(session, &message);
}

pub(super) fn set(session: &mut Session, arguments: &str) -> anyhow::Result<Next> {
    if arguments.is_empty() {
        let lines = session.parameters.iter().map(|(name, value)| format!("${name} = {value}\n"));
        let text: String = lines.collect();
        let none = "no parameters are set; \\set NAME VALUE sets one\n";
        return super::page(session, &visible_lines(if text.is_empty() { none } else { &text }));
    }
    let (name, value) =
        arguments.split_once(|char: char| char.is_whitespace() || char == '=').ok_or_else(|| {
            anyhow::anyhow!("a parameter needs a name and a value, for example: \\set actor 'shop:2'")
        })?;
    let name = name.trim_start_matches('$');
    if name.is_empty() || !name.chars().all(|char| char.is_alphanumeric() || char == '_') {
        anyhow::bail!("{name:?} is not a name for a parameter: use letters, digits and _");
    }
    session.parameters.insert(name.to_owned(), parameter(value.trim().trim_start_matches('=').trim()));
    session.names.known().parameters = session.parameters.keys().cloned().collect();
    Ok(Next::Prompt)
}

fn visible_lines(text: &str) -> String {
    text.lines().map(|line| visible(line).into_owned() + "\n").collect()
}

/// The value of a parameter: a number if the text is written as one, else a text, with or without quotes.
/// `007` and `nan` are texts.
fn parameter(text: &str) -> Value {
    let quoted = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
    let whole = text.parse::<i64>().ok().filter(|whole| whole.to_string() == text);
    let digits = text.trim_start_matches('-');
    let is_decimal = digits.starts_with(|char: char| char.is_ascii_digit())
        && (!digits.starts_with('0') || digits.starts_with("0."))
        && whole.is_none();
    let large = digits.bytes().all(|byte| byte.is_ascii_digit()) && is_decimal;
    if let Some(exact) = large.then(|| decimal(text)).flatten() {
        return exact;
    }
    let number = text.parse::<f64>().ok().filter(|number| is_decimal && number.is_finite());
    match (quoted, whole, number) {
        (Some(quoted), ..) => quoted.replace("''", "'").into(),
        (None, Some(whole), _) => whole.into(),
        (None, _, Some(number)) => number.into(),
        _ if matches!(text, "true" | "false") => (text == "true").into(),
        _ => text.into(),
    }
}

/// An integer of up to 38 digits, exactly.
fn decimal(digits: &str) -> Option<Value> {
    let number = Decimal128Array::from(vec![digits.parse::<i128>().ok()?]);
    let number = number.with_precision_and_scale(DECIMAL128_MAX_PRECISION, 0).ok()?;
    Value::from_array(&number, 0).ok()
}

pub(super) fn unset(session: &mut Session, name: &str) -> anyhow::Result<Next> {
    if session.parameters.remove(name.trim_start_matches('$')).is_none() {
        anyhow::bail!("no parameter {name:?} is set");
    }
    session.names.known().parameters = session.parameters.keys().cloned().collect();
    Ok(Next::Prompt)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;

    use super::*;

    #[test]
    fn a_parameter_has_the_type_that_it_looks_like() {
        assert_eq!(parameter("5"), Value::from(5_i64));
        assert_eq!(parameter("0.5"), Value::from(0.5));
        assert_eq!(parameter("-1e3"), Value::from(-1000.0));
        for text in ["007", "nan", "inf", "1795404290x", "-"] {
            assert_eq!(parameter(text), Value::from(text));
        }
        assert_eq!(parameter("'5'"), Value::from("5"));
        for large in ["12345678901234567890123", "-12345678901234567890124"] {
            assert_eq!(parameter(large).to_string(), large);
            assert!(matches!(parameter(large).data_type(), DataType::Decimal128(38, 0)));
        }
        assert_eq!(parameter("it's"), Value::from("it's"));
        assert_eq!(parameter("'it''s'"), Value::from("it's"));
    }
}
