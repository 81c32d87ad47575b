//! The `naslab` binary; see the library for everything it does.

#[global_allocator]
static MEMORY: naslab::cli::Memory = naslab::cli::Memory;

fn main() -> std::process::ExitCode {
    naslab::cli::main()
}
