//! The `naslab` binary; see the library for everything it does.

fn main() -> std::process::ExitCode {
    naslab::cli::main()
}
