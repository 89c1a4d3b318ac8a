//! Large pages for large columns, where the system has them.
//!
//! Rows drawn at random from hundreds of megabytes lie in as many pages of 4 KiB, and translating an address then costs more
//! than reading it: of the time that sampling from a million rows took, most passed at the first access to each page.
//!
//! All of this is advice: it changes how fast memory is, never what is in it. It does nothing on other systems than Linux,
//! where the system is set not to take it, and for what is too small to gain from it.

#[cfg(target_os = "linux")]
use std::ops::Range;

/// Size and alignment of a large page.
#[cfg(any(target_os = "linux", test))]
const PAGE: usize = 2 << 20;
/// What is likely to be handed out after a block: advice given before memory is first touched costs nothing.
#[cfg(target_os = "linux")]
const BEYOND: usize = 8 << 20;

/// Advises the system to keep the memory of `column`, its room for more included, and what follows it closely, in large pages:
/// at once where it is touched later, and in the system's own time where it was touched before.
pub fn prefer_large_pages<T>(column: &Vec<T>) {
    #[cfg(target_os = "linux")]
    if let Some(range) = pages(column) {
        advise(range.start..range.end + BEYOND, libc::MADV_HUGEPAGE);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = column;
}

/// The same, and moves what was touched before into large pages now (Linux 6.1 and later), which takes about as long as
/// copying it a few times: for what is made once, slowly, and read at random for long.
pub fn take_large_pages<T>(column: &Vec<T>) {
    prefer_large_pages(column);
    #[cfg(target_os = "linux")]
    if let Some(range) = pages(column) {
        advise(range, libc::MADV_COLLAPSE);
    }
}

/// The large pages that `column` lies in, where there is something to gain: less than this is covered well enough by what a
/// processor remembers of small pages.
#[cfg(target_os = "linux")]
fn pages<T>(column: &Vec<T>) -> Option<Range<usize>> {
    let (start, bytes) = (column.as_ptr().addr(), column.capacity() * size_of::<T>());
    (bytes >= PAGE / 8).then(|| start / PAGE * PAGE..(start + bytes).next_multiple_of(PAGE))
}

#[cfg(target_os = "linux")]
fn advise(range: Range<usize>, advice: libc::c_int) {
    let start = std::ptr::without_provenance_mut(range.start);
    // SAFETY: both kinds of advice leave the content of memory and all access to it as they are, whoever owns it; what is not
    // mapped in the range is passed over. That it may fail is in its nature.
    unsafe { libc::madvise(start, range.len(), advice) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_leaves_memory_of_any_size_as_it_is() {
        for count in [0, 1, 1000, PAGE / 8, 3 * PAGE + 1] {
            let mut values: Vec<u32> = Vec::with_capacity(count);
            prefer_large_pages(&values);
            values.extend(0..count as u32);
            take_large_pages(&values);
            assert!(values.iter().enumerate().all(|(i, &value)| value == i as u32));
        }
    }
}
