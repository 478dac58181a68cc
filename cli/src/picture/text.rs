//! Numbers and labels as people read them.

use std::borrow::Cow;

use unicode_truncate::UnicodeTruncateStr;

use super::super::sanitize::is_unseen;

/// The number of characters to which labels are cut before any other work.
const LONGEST_LABEL: usize = 120;

/// Text that cannot move a cursor, reorder its neighbours, or break XML: each invisible character is replaced
/// by a visible one.
pub(super) fn harmless(text: &str) -> String {
    let mut out: String = text.chars().take(LONGEST_LABEL).map(visible).collect();
    if text.chars().nth(LONGEST_LABEL).is_some() {
        out.push('…');
    }
    out
}

fn visible(c: char) -> char {
    match c {
        // Unicode has a visible symbol for each control character, such as ␊ and ␛.
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('�'),
        '\x7f' => '␡',
        _ if is_unseen(c) => '�',
        _ => c,
    }
}

/// The number of terminal columns that a text takes.
pub(super) fn width(text: &str) -> usize {
    ratatui_core::text::Span::raw(text).width()
}

/// A text cut to this number of columns, with an ellipsis at the cut.
pub(super) fn shortened(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let (start, _) = text.unicode_truncate(columns.saturating_sub(1));
    Cow::Owned(if columns == 0 { String::new() } else { format!("{start}…") })
}

/// A number for reading, not for computing: about six digits of it.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    if !(1e-4..1e15).contains(&size) {
        return scientific(value);
    }
    let decimals = (5.0 - size.log10().floor()).clamp(0.0, 9.0) as usize;
    fixed(value, decimals)
}

/// The label of a tick, on an axis with this step.
pub(super) fn tick(value: f64, step: f64) -> String {
    // A sum of steps that should be zero may not be exactly zero.
    if value.abs() < step / 2.0 {
        return "0".to_owned();
    }
    let size = value.abs();
    if size >= 1e15 || step < 1e-6 {
        return scientific(value);
    }
    for (unit, name) in [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")] {
        if size >= unit && step >= unit / 100.0 && size >= 1e4 {
            return format!("{}{name}", fixed(value / unit, 2));
        }
    }
    fixed(value, (-step.log10().floor()).clamp(0.0, 9.0) as usize)
}

fn scientific(value: f64) -> String {
    let text = format!("{value:.3e}");
    match text.split_once('e') {
        Some((digits, power)) => format!("{}e{power}", without_zeros(digits)),
        None => text,
    }
}

/// A number with at most this number of decimals, and commas between thousands.
fn fixed(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), crate::print::grouped);
    let sign = if value < 0.0 { "-" } else { "" };
    if rest.is_empty() {
        format!("{sign}{whole}")
    } else {
        without_zeros(&format!("{sign}{whole}.{rest}")).to_owned()
    }
}

fn without_zeros(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_do_harm_is_shown_instead() {
        assert_eq!(harmless("a\n\x1b[31mb\u{202e}c\u{200b}\u{9b}"), "a␊␛[31mb�c��");
        assert_eq!(harmless("naïve 日本 🦀"), "naïve 日本 🦀");
        assert_eq!(harmless(&"x".repeat(1000)).chars().count(), LONGEST_LABEL + 1);
    }

    #[test]
    fn text_is_cut_by_columns() {
        assert_eq!(shortened("日本語", 6), "日本語");
        assert_eq!(shortened("日本語", 5), "日本…");
        assert_eq!(shortened("日本語", 4), "日…");
        assert_eq!(shortened("abc", 1), "…");
        assert_eq!(shortened("abc", 0), "");
    }

    #[test]
    fn numbers_are_short() {
        let numbers =
            [0.0, 1.0, -12.0, 0.1, 1_234_567.0, 1_234.567_8, -0.000_01, 1.8e19, 1.0 / 3.0, 99_999.96];
        let texts = numbers.map(number);
        let known = "0 1 -12 0.1 1,234,567 1,234.57 -1e-5 1.8e19 0.333333 100,000";
        assert_eq!(texts.join(" "), known);
    }

    #[test]
    fn ticks_have_the_decimals_of_their_step() {
        assert_eq!(tick(0.300_000_000_000_000_04, 0.1), "0.3");
        assert_eq!(tick(1e-17, 0.1), "0");
        assert_eq!(tick(2500.0, 500.0), "2,500");
        assert_eq!(tick(25_000.0, 5_000.0), "25k");
        assert_eq!(tick(1_250_000.0, 50_000.0), "1.25M");
        assert_eq!(tick(1_000_001.0, 1.0), "1,000,001");
        assert_eq!(tick(9.2e18, 1e18), "9.2e18");
    }
}
