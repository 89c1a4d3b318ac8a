//! Windows generated together: what a pool is made of.

use std::num::NonZeroU32;

use replay::{Source, Windows, take_large_pages};
use sha2::{Digest, Sha256};

use super::filter::Filtered;
use super::{Amendments, Error, Rejections};

/// Windows generated together, never changed again.
#[derive(Debug)]
pub struct Chunk {
    number: u64,
    pub(super) first: u64,
    pub(super) windows: Windows,
    pub(super) positions: Vec<u32>,
    pub(super) starts: Vec<u32>,
    /// Transitions up to and including each window.
    ends: Vec<u32>,
    /// See [`plain`].
    pub(super) plain: Option<NonZeroU32>,
    rejections: Rejections,
    amendments: Amendments,
    digest: [u8; 32],
}

impl Chunk {
    /// Chunk `number`, whose first window, kept or not, has the number `first`.
    ///
    /// Fails where windows, positions and starts do not fit together or a length is not in `1..=H`.
    pub fn new(number: u64, first: u64, filtered: Filtered) -> Result<Self, Error> {
        let Filtered { windows, positions, starts, rejections, amendments } = filtered;
        well_formed(&windows)?;
        let places = positions.iter().zip(&starts);
        if [positions.len(), starts.len()] != [windows.len(); 2] || !places.is_sorted_by(|a, b| a < b) {
            let (count, places, starts) = (windows.len(), positions.len(), starts.len());
            let why = format!("{places} increasing positions and {starts} starts for {count} windows");
            return Err(Error::Malformed { why });
        }
        let ends = windows.lengths.iter().scan(0, |sum, &length| {
            *sum += length;
            Some(*sum)
        });
        let ends = ends.collect();
        let digest = digest(number, first, &windows, &positions, &starts);
        let plain = plain(&windows, &positions, &starts);
        take_large_pages(&windows.values);
        Ok(Self { number, first, windows, positions, starts, ends, plain, rejections, amendments, digest })
    }

    /// Its number since the pool began.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Number of the first window asked for since the pool began. Rejected windows leave gaps in the numbers.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The windows kept; each one's `returns` is the return it was asked to have.
    pub fn windows(&self) -> &Windows {
        &self.windows
    }

    /// Number since the pool began of window `index` of [`windows`](Self::windows).
    pub fn window_number(&self, index: usize) -> u64 {
        self.first + u64::from(self.positions[index])
    }

    /// Where each window kept stood among those generated, increasing; the parts of one that a check took apart share its
    /// place.
    pub fn positions(&self) -> &[u32] {
        &self.positions
    }

    /// At which step of the generated window each window kept begins: 0 unless a check took it apart.
    pub fn starts(&self) -> &[u32] {
        &self.starts
    }

    /// Generated windows of which anything was kept: those that a check took apart count once.
    pub fn sources(&self) -> usize {
        self.positions.chunk_by(|a, b| a == b).count()
    }

    /// Transitions held.
    pub fn transitions(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0).into()
    }

    /// The windows that were not kept.
    pub fn rejections(&self) -> Rejections {
        self.rejections
    }

    /// What an external check changed of those kept.
    pub fn amendments(&self) -> Amendments {
        self.amendments
    }

    /// SHA-256 of the content.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Where transition `step` of window `index` comes from: window and step as they were generated.
    #[inline]
    pub(super) fn source(&self, index: usize, step: usize) -> Source {
        Source::Generated { window: self.window_number(index), step: self.starts[index] + step as u32 }
    }

    /// Window and step of transition `nth` of the chunk.
    pub(super) fn locate(&self, nth: u64) -> (usize, usize) {
        let window = self.ends.partition_point(|&end| u64::from(end) <= nth);
        let before = if window == 0 { 0 } else { u64::from(self.ends[window - 1]) };
        (window, (nth - before) as usize)
    }
}

/// Transitions of each window, where all have as many and none terminated, was left out or taken apart: where a transition lies,
/// what it is called and how it ends then follows from its number alone.
fn plain(windows: &Windows, positions: &[u32], starts: &[u32]) -> Option<NonZeroU32> {
    let lengths = &windows.lengths;
    let even = lengths.first().copied().filter(|first| lengths.iter().all(|length| length == first));
    let whole = positions.iter().copied().eq(0..lengths.len() as u32) && starts.iter().all(|&start| start == 0);
    even.filter(|_| whole && !windows.terminated.contains(&true)).and_then(NonZeroU32::new)
}

/// Fails unless all columns are as long as they should be and every window has 1 to `H` transitions.
pub(super) fn well_formed(windows: &Windows) -> Result<(), Error> {
    let (count, size) = (windows.len(), (windows.horizon() + 1) * windows.row_dim());
    let lengths = [windows.values.len(), windows.terminated.len(), windows.returns.len(), windows.origins.len()];
    if lengths != [count * size, count, count, count] {
        let why = format!("columns of {lengths:?} entries for {count} windows of {size} numbers");
        return Err(Error::Malformed { why });
    }
    match windows.lengths.iter().position(|&l| l == 0 || l as usize > windows.horizon()) {
        None => Ok(()),
        Some(i) => {
            let why = format!("window {i} has {} transitions, not 1 to {}", windows.lengths[i], windows.horizon());
            Err(Error::Malformed { why })
        }
    }
}

fn digest(number: u64, first: u64, windows: &Windows, positions: &[u32], starts: &[u32]) -> [u8; 32] {
    let mut hash = Sha256::new();
    let sizes = [windows.horizon(), windows.obs_dim(), windows.action_dim(), windows.len()].map(|n| n as u64);
    [number, first].iter().chain(&sizes).for_each(|n| hash.update(n.to_le_bytes()));
    hash.update(bytes(&windows.values, f32::to_le_bytes));
    hash.update(bytes(&windows.lengths, u32::to_le_bytes));
    hash.update(bytes(&windows.terminated, |t| [u8::from(t)]));
    hash.update(bytes(&windows.returns, f32::to_le_bytes));
    hash.update(bytes(&windows.origins, |o| (o as u64).to_le_bytes()));
    hash.update(bytes(positions, u32::to_le_bytes));
    // Whole windows have the digest they had before windows could be taken apart.
    if starts.iter().any(|&start| start > 0) {
        hash.update(bytes(starts, u32::to_le_bytes));
    }
    hash.finalize().into()
}

/// A column as little-endian bytes, the same on every machine.
pub(super) fn bytes<T: Copy, const N: usize>(column: &[T], encode: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    column.iter().flat_map(|&value| encode(value)).collect()
}
