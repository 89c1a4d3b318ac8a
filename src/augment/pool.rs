//! The bounded store of generated windows: immutable chunks in the order of their numbers.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::slice;
use std::sync::Arc;

use rand::RngExt;
use replay::{Batch, Rng, Source, Transition, ask_for, gather};
use sha2::{Digest, Sha256};

use super::Chunk;

/// Chunks looked at around the place where one is guessed to be, before it is searched for.
const NEARBY: usize = 4;

/// A contiguous run of chunks. Cloning shares the chunks.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    entries: VecDeque<Entry>,
    /// Number of the next chunk.
    next: u64,
    /// Transitions ever put in.
    generated: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    /// Transitions put in before this chunk.
    before: u64,
    /// Transitions put in up to and including this chunk.
    after: u64,
    /// The chunk's, so that most often it need not be looked at to find a row.
    plain: Option<NonZeroU32>,
    chunk: Arc<Chunk>,
}

impl Entry {
    /// Window and step of transition `nth` of the chunk.
    #[inline]
    fn locate(&self, nth: u64) -> (usize, usize) {
        match self.plain {
            // A chunk's transitions are counted in 32 bits, which are divided in fewer cycles than 64.
            Some(length) => ((nth as u32 / length) as usize, (nth as u32 % length) as usize),
            None => self.chunk.locate(nth),
        }
    }

    /// Transition `step` of window `window`, and where it comes from.
    #[inline]
    fn transition(&self, window: usize, step: usize) -> (Transition<'_>, Source) {
        let chunk = &*self.chunk;
        match self.plain {
            Some(length) => {
                let source = Source::Generated { window: chunk.first + window as u64, step: step as u32 };
                let truncated = step + 1 == length.get() as usize;
                (Transition { truncated, ..chunk.windows.transition_inside(window, step) }, source)
            }
            None => (chunk.windows.transition(window, step), chunk.source(window, step)),
        }
    }
}

impl Pool {
    /// An empty pool.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts in the next chunk.
    ///
    /// # Panics
    /// If it is not the next one: a pool without gaps is what makes it the same for any number of workers.
    pub fn push(&mut self, chunk: Arc<Chunk>) {
        assert_eq!(chunk.number(), self.next, "number of the chunk put into the pool");
        self.next += 1;
        let (before, plain) = (self.generated, chunk.plain);
        self.generated += chunk.transitions();
        self.entries.push_back(Entry { before, after: self.generated, plain, chunk });
    }

    /// Takes out the oldest chunks as long as the others hold at least `keep` transitions.
    pub fn evict(&mut self, keep: u64) -> Vec<Arc<Chunk>> {
        let mut evicted = Vec::new();
        while self.entries.get(1).is_some_and(|second| self.generated - second.before >= keep) {
            evicted.extend(self.entries.pop_front().map(|entry| entry.chunk));
        }
        evicted
    }

    /// The chunks held, oldest first.
    pub fn chunks(&self) -> impl ExactSizeIterator<Item = &Arc<Chunk>> + Clone {
        self.entries.iter().map(|entry| &entry.chunk)
    }

    /// Number of the next chunk: how many were ever put in.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// How many chunks were put in after chunk `number`; 0 for the newest.
    pub fn age(&self, number: u64) -> u64 {
        self.next.saturating_sub(number + 1)
    }

    /// Windows held.
    pub fn windows(&self) -> u64 {
        self.chunks().map(|chunk| chunk.windows().len() as u64).sum()
    }

    /// Generated windows of which anything is held: those that a check took apart count once.
    pub fn sources(&self) -> usize {
        self.chunks().map(|chunk| chunk.sources()).sum()
    }

    /// Transitions held.
    pub fn transitions(&self) -> u64 {
        self.generated - self.entries.front().map_or(self.generated, |oldest| oldest.before)
    }

    /// Transitions ever put in.
    pub fn generated(&self) -> u64 {
        self.generated
    }

    /// Whether no transition is held.
    pub fn is_empty(&self) -> bool {
        self.transitions() == 0
    }

    /// Chunk, window and step of transition `nth` of those held, in O(log chunks + log windows of a chunk), and in O(1) where
    /// chunks are of about equal size and windows of equal length.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn locate(&self, nth: u64) -> (&Chunk, usize, usize) {
        let held = self.transitions();
        assert!(nth < held, "transition {nth} of {held}");
        let (entry, nth) = self.find(nth, held);
        let (window, step) = entry.locate(nth);
        (&entry.chunk, window, step)
    }

    /// The chunk with transition `nth` of the `held` ones, and which of its transitions that is.
    #[inline]
    fn find(&self, nth: u64, held: u64) -> (&Entry, u64) {
        // Where it would be if all chunks held as much; rounding, too, is put right by the steps after it.
        let guess = (nth as f64 / held as f64 * self.entries.len() as f64) as usize;
        let (mut place, nth) = (guess.min(self.entries.len() - 1), nth + self.entries[0].before);
        for _ in 0..NEARBY {
            let entry = &self.entries[place];
            if nth < entry.before {
                place -= 1;
            } else if nth >= entry.after {
                place += 1;
            } else {
                return (entry, nth - entry.before);
            }
        }
        let entry = &self.entries[self.entries.partition_point(|entry| entry.after <= nth)];
        (entry, nth - entry.before)
    }

    /// Appends `rows` transitions to `batch`, drawn uniformly from all held, with replacement.
    ///
    /// # Panics
    /// If none is held, or the batch is of other sizes.
    pub fn sample_into<'a>(&'a self, rows: usize, rng: &mut Rng, batch: &mut Batch) {
        let held = self.transitions();
        let draw = || {
            let (entry, nth) = self.find(rng.random_range(0..held), held);
            // What is needed to find the row.
            ask_for(slice::from_ref(&entry.chunk.windows));
            (entry, nth)
        };
        let ask = |(entry, nth): (&'a Entry, u64)| {
            let ((window, step), chunk) = (entry.locate(nth), &*entry.chunk);
            let (windows, dim) = (&chunk.windows, chunk.windows.row_dim());
            // The row, and the observation of the one that follows.
            ask_for(&windows.window(window)[step * dim..][..dim + windows.obs_dim()]);
            if entry.plain.is_none() {
                ask_for(&windows.lengths[window..=window]);
                ask_for(&chunk.positions[window..=window]);
                ask_for(&chunk.starts[window..=window]);
            }
            (entry, window, step)
        };
        gather(rows, batch, draw, ask, |(entry, window, step)| entry.transition(window, step));
    }

    /// SHA-256, in hexadecimal, over the digests of the chunks held, in order: equal pools have equal hashes.
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new();
        self.chunks().for_each(|chunk| hash.update(chunk.digest()));
        hex(&hash.finalize())
    }
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use replay::{Seed, Spec, Windows};

    use super::super::filter::Filtered;
    use super::super::{Amendments, Rejections};
    use super::*;

    /// A chunk of windows of the given lengths (horizon 5); every number in it is the chunk's.
    fn chunk(number: u64, lengths: &[u32]) -> Arc<Chunk> {
        let spec = Spec::new(2, 1);
        let mut windows = Windows::with_capacity(&spec, 5, lengths.len());
        for (i, &length) in lengths.iter().enumerate() {
            windows.values.resize(windows.values.len() + 6 * spec.row_dim(), number as f32);
            windows.lengths.push(length);
            windows.terminated.push(number % 3 == 2 && i == 0);
            windows.returns.push(0.0);
            windows.origins.push(i);
        }
        // Of every other chunk no window was left out; one in three ends with the task.
        let apart = 2 - number as u32 % 2;
        let (positions, starts) = ((0..lengths.len() as u32).map(|i| apart * i).collect(), vec![0; lengths.len()]);
        let filtered = Filtered {
            windows,
            positions,
            starts,
            rejections: Rejections::default(),
            amendments: Amendments::default(),
        };
        Arc::new(Chunk::new(number, number * 100, filtered).unwrap())
    }

    fn pool(chunks: &[Vec<u32>]) -> Pool {
        let mut pool = Pool::new();
        chunks.iter().enumerate().for_each(|(n, lengths)| pool.push(chunk(n as u64, lengths)));
        pool
    }

    /// Lengths of the windows of a chunk: few or many, equal or not.
    fn lengths() -> impl Strategy<Value = Vec<u32>> {
        let any = prop::collection::vec(1..=5u32, 0..6);
        let even = (1..=5u32, 0..30_usize).prop_map(|(length, count)| vec![length; count]);
        prop_oneof![any, even]
    }

    /// All transitions held, by counting.
    fn listed(pool: &Pool) -> Vec<(u64, usize, usize)> {
        let mut all = Vec::new();
        for chunk in pool.chunks() {
            for (window, &length) in chunk.windows().lengths.iter().enumerate() {
                all.extend((0..length as usize).map(|step| (chunk.number(), window, step)));
            }
        }
        all
    }

    proptest! {
        #[test]
        fn samples_are_the_transitions_of_plain_draws(
            chunks in prop::collection::vec(lengths(), 1..12), rows in 0..200_usize, seed: u64
        ) {
            let pool = pool(&chunks);
            prop_assume!(!pool.is_empty());
            let (mut batch, spec) = (Batch::default(), Spec::new(2, 1));
            batch.reset(&spec);
            pool.sample_into(rows, &mut Seed::new(seed).rng(), &mut batch);
            let (all, mut rng) = (listed(&pool), Seed::new(seed).rng());
            prop_assert_eq!(batch.len(), rows);
            for row in 0..rows {
                let (number, window, step) = all[rng.random_range(0..all.len() as u64) as usize];
                let chunk = pool.chunks().find(|chunk| chunk.number() == number).unwrap();
                prop_assert_eq!(batch.sources[row], chunk.source(window, step));
                prop_assert_eq!(batch.row(row), chunk.windows().transition(window, step));
            }
        }

        #[test]
        fn every_transition_is_found_once_and_in_order(
            chunks in prop::collection::vec(lengths(), 0..40), keep in 0..120u64
        ) {
            let mut pool = pool(&chunks);
            let total = pool.generated();
            let evicted: u64 = pool.evict(keep).iter().map(|c| c.transitions()).sum();
            prop_assert_eq!(pool.transitions() + evicted, total);
            prop_assert!(pool.transitions() >= keep.min(total));
            let found: Vec<_> = (0..pool.transitions()).map(|n| {
                let (chunk, window, step) = pool.locate(n);
                (chunk.number(), window, step)
            }).collect();
            prop_assert_eq!(found, listed(&pool));
        }
    }

    #[test]
    fn sampling_is_uniform_over_transitions() {
        let mut pool = pool(&[vec![5], vec![], vec![1, 5, 2], vec![3], vec![]]);
        pool.evict(11);
        assert_eq!((pool.transitions(), pool.chunks().len()), (11, 3));
        let mut batch = Batch::with_capacity(&Spec::new(2, 1), 0);
        batch.reset(&Spec::new(2, 1));
        let draws = 110_000;
        pool.sample_into(draws, &mut Seed::new(2).rng(), &mut batch);
        let mut counts = std::collections::BTreeMap::<(u64, u32), f64>::new();
        for source in &batch.sources {
            let Source::Generated { window, step } = *source else { panic!("{source:?} in a pool") };
            *counts.entry((window, step)).or_default() += 1.0;
        }
        assert_eq!(counts.keys().map(|k| k.0).collect::<std::collections::BTreeSet<_>>(), [200, 202, 204, 300].into());
        let expected = draws as f64 / 11.0;
        let chi_square: f64 = counts.values().map(|n| (n - expected).powi(2) / expected).sum();
        assert!(counts.len() == 11 && chi_square < 29.59, "{chi_square}: beyond the 99.9% quantile for 10 degrees");
    }

    #[test]
    fn the_oldest_goes_first_and_ages_are_counted_in_chunks() {
        let mut pool = pool(&[vec![5], vec![5], vec![5]]);
        assert!(pool.evict(11).is_empty(), "the other two hold only 10");
        assert_eq!(pool.evict(10).iter().map(|c| c.number()).collect::<Vec<_>>(), [0]);
        assert_eq!((pool.age(1), pool.age(2), pool.next(), pool.transitions(), pool.generated()), (1, 0, 3, 10, 15));
        assert!(pool.evict(0).len() == 1 && pool.chunks().len() == 1, "the newest always stays");
    }

    #[test]
    fn equal_content_has_equal_hashes_and_only_that() {
        let hash = |lengths: [u32; 2]| pool(&[vec![lengths[0]], vec![lengths[1]]]).hash();
        assert_eq!(hash([3, 4]), hash([3, 4]));
        assert_ne!(hash([3, 4]), hash([4, 3]));
        let mut younger = pool(&[vec![1], vec![3]]);
        younger.evict(1);
        assert_ne!(younger.hash(), pool(&[vec![3]]).hash(), "the chunk's number counts");
    }

    #[test]
    #[should_panic(expected = "number of the chunk")]
    fn a_gap_is_our_own_bug() {
        Pool::new().push(chunk(1, &[1]));
    }

    #[test]
    fn windows_that_do_not_fit_are_refused() {
        let mut windows = chunk(0, &[2, 2]).windows().clone();
        windows.lengths[1] = 6;
        let make = |windows: Windows, positions: Vec<u32>| {
            let (starts, rejections, amendments) = (vec![0; positions.len()], Default::default(), Default::default());
            Chunk::new(0, 0, Filtered { windows, positions, starts, rejections, amendments }).map(|_| ())
        };
        let error = make(windows.clone(), vec![0, 1]).unwrap_err();
        assert!(error.to_string().contains("window 1 has 6 transitions, not 1 to 5"), "{error}");
        windows.lengths[1] = 2;
        assert!(make(windows.clone(), vec![1, 1]).is_err() && make(windows.clone(), vec![0]).is_err());
        windows.values.pop();
        assert!(make(windows, vec![0, 1]).is_err());
    }

    #[test]
    fn parts_of_a_window_share_its_number_and_keep_their_steps() {
        let windows = chunk(0, &[2, 1]).windows().clone();
        let make = |starts: Vec<u32>| {
            let (windows, positions) = (windows.clone(), vec![4, 4]);
            let (rejections, amendments) = (Rejections::default(), Amendments::default());
            Chunk::new(0, 100, Filtered { windows, positions, starts, rejections, amendments })
        };
        let parted = make(vec![0, 3]).unwrap();
        let sources = [(0, 0), (0, 1), (1, 0)].map(|(window, step)| parted.source(window, step));
        assert_eq!(sources, [0, 1, 3].map(|step| Source::Generated { window: 104, step }));
        assert_ne!(parted.digest(), make(vec![0, 4]).unwrap().digest());
        assert!(make(vec![0, 0]).is_err() && make(vec![3, 0]).is_err());
    }
}
