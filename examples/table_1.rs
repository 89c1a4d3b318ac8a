//! Writes the settings of the paper's Table 1 again: `cargo run --example table_1 [-- FOLDER]`.

use std::path::PathBuf;

use gta::experiment::table_1;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).map_or_else(|| PathBuf::from("examples/configs/table-1"), PathBuf::from);
    std::fs::create_dir_all(&folder)?;
    for file in table_1() {
        std::fs::write(folder.join(&file.name), &file.text)?;
    }
    println!("{} files in {}", table_1().len(), folder.display());
    Ok(())
}
