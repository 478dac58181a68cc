//! How commands print.

use std::io;

use super::harmless;

/// Writes lines to standard error. A closed standard error is not a failure.
pub(in crate::cli) fn say(text: &str) {
    use std::io::Write;
    let _ = writeln!(io::stderr().lock(), "{}", harmless::lines(text));
}

/// Whether standard output was closed by its reader. An error of the library hides its cause, so another pipe, or a
/// connection, does not count.
pub(in crate::cli) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>();
        io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

/// A number for people: 1234567 as 1,234,567.
pub(in crate::cli) fn grouped(number: u64) -> String {
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
