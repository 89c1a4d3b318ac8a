//! Wrap a dataset, sample from it: `cargo run --example wrap -- DATASET.hdf5`.

use gta::{
    GtaBuffer,
    replay::{Replay, Seed, formats},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: wrap DATASET.hdf5")?;
    let (dataset, report) = formats::open(&path)?;
    println!("{report}");

    let mut buffer = GtaBuffer::wrap(dataset)?; // nothing runs yet
    let mut rng = Seed::new(0).rng();
    for update in 0..1_000 {
        let batch = buffer.sample(256, &mut rng)?; // the first one starts training in the background
        // agent.update(&batch): real rows come first, generated ones after them
        if update % 250 == 0 {
            println!("{} rows; {}", batch.len(), buffer.status());
        }
    }
    Ok(()) // dropping the buffer stops and joins its threads
}
