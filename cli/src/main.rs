//! The `ostracon` command.

fn main() -> std::process::ExitCode {
    ostracon_cli::run(std::env::args_os())
}
