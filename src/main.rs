//! The `ostracon` command.

fn main() -> std::process::ExitCode {
    ostracon::cli::run(std::env::args_os())
}
