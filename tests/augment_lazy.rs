//! A wrapped buffer that is never sampled starts no thread. Alone in its binary, since it looks at all threads.
#![cfg(target_os = "linux")]

mod augment_toys;

use std::sync::atomic::Ordering;

use augment_toys::*;
use replay::{Replay, Seed};

/// Names of this process's threads that the library started.
fn threads() -> Vec<String> {
    let names = std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path().join("comm"));
    // A thread may end while the list is read.
    let names = names.filter_map(|path| std::fs::read_to_string(path).ok()).map(|name| name.trim().to_owned());
    names.filter(|name| name == "augment" || name.starts_with("augment-")).collect()
}

#[test]
fn no_thread_before_the_first_sample_and_none_after_the_drop() {
    let toy = Toy::new(jitter);
    let mut buffer = toy.wrap(config(3));
    assert_eq!(buffer.len(), 60);
    buffer.pause();
    buffer.resume();
    let _ = (buffer.status(), buffer.pool(), buffer.inner().len());
    assert_eq!(threads(), [""; 0]);
    buffer.sample(8, &mut Seed::new(0).rng()).unwrap();
    assert!(threads().iter().any(|name| name == "augment"), "{:?}", threads());
    drop(buffer);
    assert_eq!(toy.built.load(Ordering::SeqCst), toy.dropped.load(Ordering::SeqCst), "all generators are gone");
    // The kernel lists a joined thread for a moment more.
    while !threads().is_empty() {
        std::thread::yield_now();
    }
}
