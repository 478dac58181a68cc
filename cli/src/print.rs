//! How commands print messages and numbers.

use std::io;

use super::sanitize;

/// Writes lines to standard error. A closed standard error is not a failure.
pub(crate) fn say(text: &str) {
    use std::io::Write;
    let _ = writeln!(io::stderr().lock(), "{}", sanitize::lines(text));
}

/// The message of an error, from the outermost attempt to its cause. The message of a library error includes
/// its causes.
pub(crate) fn chain(error: &anyhow::Error) -> String {
    let mut texts = Vec::new();
    for cause in error.chain() {
        texts.push(cause.to_string());
        if cause.is::<ostracon::Error>() {
            break;
        }
    }
    texts.join(": ")
}

/// Whether the reader of standard output closed it. A library error has another pipe or a connection as its
/// cause, and does not count.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().take_while(|cause| !cause.is::<ostracon::Error>()).any(|cause| {
        let io = cause.downcast_ref::<io::Error>();
        io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

/// A number for people: 1234567 as 1,234,567.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
