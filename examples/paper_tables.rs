//! Writes the settings of the paper's tables 1 and 2 again: `cargo run --example paper_tables [-- FOLDER]`.

use std::path::PathBuf;

use gta::experiment::tables;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).map_or_else(|| PathBuf::from("examples/configs"), PathBuf::from);
    for table in ["table-1", "table-2"] {
        std::fs::create_dir_all(folder.join(table))?;
    }
    for file in tables() {
        std::fs::write(folder.join(&file.name), &file.text)?;
    }
    println!("{} files in {}", tables().len(), folder.display());
    Ok(())
}
