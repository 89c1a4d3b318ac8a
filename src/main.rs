//! The program `gta`.

mod cli {
    pub mod doctor;
}

fn main() -> anyhow::Result<()> {
    gta::native::keep_large_blocks();
    cli::doctor::run(std::env::args().any(|argument| argument == "--json"))
}
