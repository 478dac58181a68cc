//! Splits SQL text into tokens, without checking it.
//!
//! Text that the user is typing is rarely valid SQL. So this module knows no grammar. It says where quotes,
//! comments and names begin and end, and every byte of the text belongs to exactly one token. The splitting
//! into statements, the colours and the completion use it.

use std::ops::Range;

/// The kind of a token. `closed` says whether a token that needs an end has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Space,
    Comment {
        closed: bool,
    },
    Word,
    /// `"a name"`
    Quoted {
        closed: bool,
    },
    /// `'a text'`, `E'a text'`, `$$a text$$`
    Text {
        closed: bool,
    },
    Number,
    /// `$name`
    Parameter,
    Semicolon,
    Backslash,
    Open(char),
    Close(char),
    Other,
}

/// A token, and its range in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) at: Range<usize>,
}

impl Token {
    pub(super) fn text<'t>(&self, text: &'t str) -> &'t str {
        text.get(self.at.clone()).unwrap_or_default()
    }

    /// Whether it is a space or a comment.
    pub(super) const fn is_blank(&self) -> bool {
        matches!(self.kind, Kind::Space | Kind::Comment { .. })
    }
}

/// The tokens of a text. Together they are the whole text.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut from = 0;
    while let Some(rest) = text.get(from..).filter(|rest| !rest.is_empty()) {
        let (kind, length) = next(rest);
        tokens.push(Token { kind, at: from..from + length });
        from += length;
    }
    tokens
}

/// The first token of a text that is not empty, and its length in bytes.
fn next(text: &str) -> (Kind, usize) {
    let Some(first) = text.chars().next() else { return (Kind::Space, 0) };
    let run = |is: fn(char) -> bool| text.find(|char| !is(char)).unwrap_or(text.len());
    match first {
        _ if first.is_whitespace() => (Kind::Space, run(char::is_whitespace)),
        '-' if text.starts_with("--") => {
            (Kind::Comment { closed: true }, text.find('\n').map_or(text.len(), |end| end + 1))
        }
        '/' if text.starts_with("/*") => block_comment(text),
        '\'' => quoted(text, 0, '\'', false, |closed| Kind::Text { closed }),
        'E' | 'e' if text.get(1..).is_some_and(|rest| rest.starts_with('\'')) => {
            quoted(text, 1, '\'', true, |closed| Kind::Text { closed })
        }
        '"' => quoted(text, 0, '"', false, |closed| Kind::Quoted { closed }),
        '$' => dollar(text),
        ';' => (Kind::Semicolon, 1),
        '\\' => (Kind::Backslash, 1),
        '(' | '[' | '{' => (Kind::Open(first), 1),
        ')' | ']' | '}' => (Kind::Close(first), 1),
        _ if first.is_ascii_digit() => {
            (Kind::Number, run(|char| char.is_ascii_alphanumeric() || char == '.'))
        }
        _ if is_name(first) => (Kind::Word, run(is_name)),
        _ => (Kind::Other, first.len_utf8()),
    }
}

fn is_name(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

/// A block comment. Block comments nest.
fn block_comment(text: &str) -> (Kind, usize) {
    let mut depth = 0_usize;
    let mut at = 0;
    let bytes = text.as_bytes();
    while at < bytes.len() {
        match bytes.get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => {
                (depth, at) = (depth - 1, at + 2);
                if depth == 0 {
                    return (Kind::Comment { closed: true }, at);
                }
            }
            _ => at += 1,
        }
    }
    (Kind::Comment { closed: false }, text.len())
}

/// A token that begins with a quote at `from` and ends with the next one. A doubled quote is a part of the
/// token.
fn quoted(text: &str, from: usize, quote: char, escapes: bool, kind: fn(bool) -> Kind) -> (Kind, usize) {
    let mut chars = text.char_indices().skip_while(|(at, _)| *at <= from).peekable();
    while let Some((at, char)) = chars.next() {
        if escapes && char == '\\' {
            chars.next();
        } else if char == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return (kind(true), at + 1);
        }
    }
    (kind(false), text.len())
}

/// `$name`, or `$tag$a text$tag$`.
fn dollar(text: &str) -> (Kind, usize) {
    let name = text.get(1..).map_or(0, |rest| rest.find(|char| !is_name(char)).unwrap_or(rest.len()));
    let end_of_name = 1 + name;
    if text.get(end_of_name..).is_some_and(|rest| rest.starts_with('$')) {
        let tag = text.get(..=end_of_name).unwrap_or(text);
        let end = text.get(tag.len()..).and_then(|rest| rest.find(tag));
        return match end {
            Some(end) => (Kind::Text { closed: true }, tag.len() + end + tag.len()),
            None => (Kind::Text { closed: false }, text.len()),
        };
    }
    if name == 0 { (Kind::Other, 1) } else { (Kind::Parameter, end_of_name) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kinds(text: &str) -> Vec<(Kind, &str)> {
        let is_visible = |token: &Token| token.kind != Kind::Space;
        let all = tokens(text);
        all.iter().filter(|token| is_visible(token)).map(|token| (token.kind, token.text(text))).collect()
    }

    #[test]
    fn quotes_and_comments_end_where_they_end() {
        let text = "'it''s;' E'a\\'b' \"a\"\"b\" $x$;'$x$ /* a /* b */ ; */ -- ;\n$name 1.5e3 é_1";
        assert_eq!(
            kinds(text),
            [
                (Kind::Text { closed: true }, "'it''s;'"),
                (Kind::Text { closed: true }, "E'a\\'b'"),
                (Kind::Quoted { closed: true }, "\"a\"\"b\""),
                (Kind::Text { closed: true }, "$x$;'$x$"),
                (Kind::Comment { closed: true }, "/* a /* b */ ; */"),
                (Kind::Comment { closed: true }, "-- ;\n"),
                (Kind::Parameter, "$name"),
                (Kind::Number, "1.5e3"),
                (Kind::Word, "é_1"),
            ]
        );
    }

    #[test]
    fn what_does_not_end_says_so() {
        assert_eq!(kinds("'a;"), [(Kind::Text { closed: false }, "'a;")]);
        assert_eq!(kinds("$$ ;"), [(Kind::Text { closed: false }, "$$ ;")]);
        assert_eq!(kinds("/* /* */"), [(Kind::Comment { closed: false }, "/* /* */")]);
    }

    proptest! {
        #[test]
        fn the_tokens_are_the_text(text in r#"([a-z'"$;\\/*\n -]|E'|\PC)*"#) {
            let tokens = tokens(&text);
            let whole: String = tokens.iter().map(|token| token.text(&text)).collect();
            prop_assert_eq!(whole, text.clone());
            prop_assert!(tokens.iter().all(|token| !token.at.is_empty()));
        }
    }
}
