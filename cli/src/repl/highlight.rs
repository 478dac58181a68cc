//! Colours for the text that the user types.

use anstyle::{AnsiColor, Style};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::keywords::ALL_KEYWORDS;
use sqlparser::parser::Parser;

use super::known_names::NameLists;
use super::lex::{Kind, Token, tokens};

const KEYWORD: Style = AnsiColor::Blue.on_default().bold();
const NAME: Style = AnsiColor::Cyan.on_default();
const TEXT: Style = AnsiColor::Green.on_default();
const NUMBER: Style = AnsiColor::Magenta.on_default();
const PARAMETER: Style = AnsiColor::Yellow.on_default();
const COMMENT: Style = Style::new().dimmed();
const WRONG: Style = AnsiColor::Red.on_default().underline();
const MATCHING: Style = AnsiColor::Yellow.on_default().bold().underline();

/// The length, in bytes, above which a text is not parsed at every key.
const MOST_PARSED: usize = 10_000;

/// The text with colours, for a cursor at this byte.
pub(super) fn highlight(text: &str, cursor: usize, known: &NameLists) -> String {
    let tokens = tokens(text);
    let matching = matching(&tokens, cursor);
    let wrong = unparsable(text, &tokens);
    let mut out = String::with_capacity(text.len() * 2);
    let command = text.trim_start().starts_with('\\');
    for (index, token) in tokens.iter().enumerate() {
        let style = if wrong == Some(index) {
            Some(WRONG)
        } else if matching.is_some_and(|(one, other)| index == one || index == other) {
            Some(MATCHING)
        } else if command && index <= 1 {
            Some(KEYWORD)
        } else {
            style(token, text, known)
        };
        let piece = token.text(text);
        match style {
            // Colour each line by itself: the editor breaks the text at any place.
            Some(style) => {
                for (at, line) in piece.split('\n').enumerate() {
                    if at > 0 {
                        out.push('\n');
                    }
                    if !line.is_empty() {
                        out += &format!("{style}{line}{style:#}");
                    }
                }
            }
            None => out += piece,
        }
    }
    out
}

fn style(token: &Token, text: &str, known: &NameLists) -> Option<Style> {
    match token.kind {
        Kind::Word => {
            let word = token.text(text);
            if is_keyword(word) {
                return Some(KEYWORD);
            }
            let word = word.to_lowercase();
            let named = known.tables.contains_key(&word)
                || known.tables.values().any(|columns| columns.contains(&word))
                || known.functions.contains(&word);
            named.then_some(NAME)
        }
        Kind::Quoted { closed: true } => Some(NAME),
        Kind::Text { closed: true } => Some(TEXT),
        Kind::Quoted { closed: false } | Kind::Text { closed: false } | Kind::Comment { closed: false } => {
            Some(WRONG)
        }
        Kind::Comment { closed: true } => Some(COMMENT),
        Kind::Number => Some(NUMBER),
        Kind::Parameter => Some(PARAMETER),
        _ => None,
    }
}

/// Whether this is a keyword of SQL that users do not use as a name.
pub(super) fn is_keyword(word: &str) -> bool {
    let upper = word.to_uppercase();
    // Our columns that are also keywords of SQL.
    let ours =
        matches!(upper.as_str(), "AT" | "ERROR" | "STREAM" | "TIMESTAMP" | "TARGET" | "REASON" | "STORE");
    !ours && ALL_KEYWORDS.binary_search(&upper.as_str()).is_ok()
}

/// The bracket at or left of the cursor, and the bracket that matches it.
fn matching(tokens: &[Token], cursor: usize) -> Option<(usize, usize)> {
    let mut open: Vec<(usize, char)> = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::Open(char) => open.push((index, char)),
            Kind::Close(char) => {
                let Some((other, opened)) = open.pop() else { continue };
                let pair = matches!((opened, char), ('(', ')') | ('[', ']') | ('{', '}'));
                let at = |token: &Token| token.at.start == cursor || token.at.end == cursor;
                if pair && (at(token) || tokens.get(other).is_some_and(at)) {
                    return Some((other, index));
                }
            }
            _ => {}
        }
    }
    None
}

/// The token at which a finished statement stops being valid.
fn unparsable(text: &str, tokens: &[Token]) -> Option<usize> {
    let mut open = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::Open(_) => open.push(index),
            Kind::Close(_) if open.pop().is_none() => return Some(index),
            _ => {}
        }
    }
    let finished = tokens.iter().rfind(|token| !token.is_blank())?.kind == Kind::Semicolon;
    let command = tokens.iter().any(|token| token.kind == Kind::Backslash);
    if !finished || command || text.len() > MOST_PARSED {
        return None;
    }
    let error = Parser::parse_sql(&PostgreSqlDialect {}, text).err()?.to_string();
    let (_, place) = error.rsplit_once(" at Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    let (line, column): (usize, usize) = (line.trim().parse().ok()?, column.trim().parse().ok()?);
    let start: usize = text.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
    let rest = text.get(start..)?;
    let at = start + rest.char_indices().nth(column.checked_sub(1)?)?.0;
    tokens.iter().position(|token| token.at.contains(&at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(text: &str, style: Style) -> Vec<String> {
        let shown = highlight(text, text.len(), &NameLists::default());
        let (begin, end) = (style.to_string(), format!("{style:#}"));
        shown.split(&begin).skip(1).filter_map(|rest| rest.split(&end).next()).map(str::to_owned).collect()
    }

    #[test]
    fn words_texts_and_numbers_have_colours() {
        let text = "SELECT at, 'x' FROM events LIMIT 5";
        assert_eq!(marked(text, KEYWORD), ["SELECT", "FROM", "LIMIT"]);
        assert_eq!(marked(text, TEXT), ["'x'"]);
        assert_eq!(marked(text, NUMBER), ["5"]);
    }

    #[test]
    fn what_cannot_parse_is_marked() {
        assert_eq!(marked("SELECT 1)", WRONG), [")"]);
        assert_eq!(marked("SELECT 'a", WRONG), ["'a"]);
        assert_eq!(marked("SELEC 1;", WRONG), ["SELEC"]);
        assert!(marked("SELEC 1", WRONG).is_empty(), "the user may still be typing");
    }

    #[test]
    fn the_bracket_at_the_cursor_has_its_other_half() {
        assert_eq!(marked("f((1), [2])", MATCHING), ["(", ")"]);
    }

    proptest::proptest! {
        #[test]
        fn nothing_but_colours_is_added(text in r#"([a-z'"$;\\()\n -]|\PC)*"#, cursor in 0_usize..40) {
            let shown = highlight(&text, cursor, &NameLists::default());
            let plain = anstyle_free(&shown);
            proptest::prop_assert_eq!(plain, anstyle_free(&text));
        }
    }

    fn anstyle_free(text: &str) -> String {
        let mut out = String::new();
        let mut chars = text.chars();
        while let Some(char) = chars.next() {
            if char == '\x1b' {
                chars.by_ref().find(|char| *char == 'm');
            } else {
                out.push(char);
            }
        }
        out
    }
}
