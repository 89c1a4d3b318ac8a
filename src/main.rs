//! The command `gta`.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
