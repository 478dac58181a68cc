//! Failures that come from the system and not from a file: no access rights, no file descriptors, no
//! memory, no space.
//!
//! Such a failure says nothing about a file's bytes, and must not be reported as damage.

use std::any::Any;
use std::io;
use std::path::Path;

use crate::disk::rights;

/// Too many open files in the system, and in the process.
const TOO_MANY_FILES: [i32; 2] = [23, 24];
/// No locks left, no such call, not supported: by a file system that has no locks.
const NO_LOCKS: [i32; 4] = [37, 38, 45, 95];

/// Whether an error comes from the environment of the process, and not from the requested file.
pub(crate) fn is_of_environment(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    let by_kind = matches!(
        error.kind(),
        Kind::PermissionDenied
            | Kind::OutOfMemory
            | Kind::StorageFull
            | Kind::QuotaExceeded
            | Kind::ReadOnlyFilesystem
            | Kind::StaleNetworkFileHandle
            | Kind::ResourceBusy
            | Kind::TimedOut
            // No thread, or no memory for one.
            | Kind::WouldBlock
    );
    by_kind || error.raw_os_error().is_some_and(|code| TOO_MANY_FILES.contains(&code))
}

/// The error of the environment that a text names. Decoders turn the system's errors into text, which
/// ends in `(os error 24)`.
pub(crate) fn named_in(text: &str) -> Option<io::Error> {
    let (_, rest) = text.rsplit_once("(os error ")?;
    of_code(rest.split_once(')')?.0)
}

fn of_code(code: &str) -> Option<io::Error> {
    let error = io::Error::from_raw_os_error(code.parse().ok()?);
    is_of_environment(&error).then_some(error)
}

/// The operating system's error in the text of a panic. Tokio panics if it gets no thread or no file
/// descriptor; its text has the error either in its `Display` form or in its `Debug` form, `Os { code:
/// 24, kind: …`.
pub(crate) fn named_in_panic(panic: &(dyn Any + Send)) -> Option<io::Error> {
    let text = panic_text(panic)?;
    named_in(text).or_else(|| {
        let (_, rest) = text.rsplit_once("Os { code: ")?;
        of_code(rest.split_once(',')?.0)
    })
}

/// The text of a panic.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> Option<&str> {
    panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied())
}

/// Whether a lock could not be taken because the file system has no locks.
pub(crate) fn has_no_locks(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported || code_of(error).is_some_and(|code| NO_LOCKS.contains(&code))
}

/// What the user can do about it, as a sentence to append to the error.
pub(crate) fn advice(error: &io::Error, path: &Path) -> Option<String> {
    if code_of(error).is_some_and(|code| TOO_MANY_FILES.contains(&code)) {
        return Some("too many files are open: allow more of them (`ulimit -n`)".to_owned());
    }
    match error.kind() {
        io::ErrorKind::PermissionDenied => rights(path),
        io::ErrorKind::WouldBlock => Some(
            "the system gives the process no more threads, or no memory for them: raise the limits (`ulimit \
             -u`, `ulimit -v`)"
                .to_owned(),
        ),
        io::ErrorKind::OutOfMemory => Some("the system has no memory left for this operation".to_owned()),
        _ => None,
    }
}

/// The system's error number, also of an error of [`Disk`](crate::disk::Disk) that wraps it.
fn code_of(error: &io::Error) -> Option<i32> {
    error.raw_os_error().or_else(|| crate::disk::DiskError::of(error)?.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_refuses_is_told_from_what_a_file_holds() {
        for code in [11, 13, 12, 23, 24, 28, 30, 116] {
            let text = format!("External: {} at page 3", io::Error::from_raw_os_error(code));
            assert!(named_in(&text).is_some(), "{text}");
        }
        for text in ["", "EOF: (os error", "(os error x)", "Invalid page (os error 5)", "gone (os error 2)"] {
            assert!(named_in(text).is_none(), "{text}");
        }
        let panic: Box<dyn Any + Send> = Box::new(
            "OS can't spawn worker thread: Resource temporarily unavailable (os error 11)".to_owned(),
        );
        let refused = named_in_panic(panic.as_ref()).unwrap();
        assert!(advice(&refused, Path::new("")).unwrap().contains("no more threads"));
        let panic: Box<dyn Any + Send> =
            Box::new(format!("failed to create UnixStream: {:?}", io::Error::from_raw_os_error(24)));
        assert!(
            advice(&named_in_panic(panic.as_ref()).unwrap(), Path::new("")).unwrap().contains("ulimit -n")
        );
        let panic: Box<dyn Any + Send> = Box::new("index out of bounds");
        assert!(named_in_panic(panic.as_ref()).is_none());
        assert!(
            has_no_locks(&io::Error::from_raw_os_error(37))
                && !has_no_locks(&io::Error::from_raw_os_error(11))
        );
    }
}
