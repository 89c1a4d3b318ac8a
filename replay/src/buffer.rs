//! A buffer that grows by transitions and forgets the oldest.

use std::collections::VecDeque;
use std::sync::OnceLock;

use rand::RngExt;

use crate::{Batch, Columns, Dataset, Error, Replay, Result, Rng, Source, Spec, Trajectories, Transition, gather};

/// Transitions that the first one makes room for.
const FIRST_ROOM: usize = 64;

/// What is forgotten when a buffer is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Eviction {
    /// The oldest episode as a whole, so that no episode loses its beginning. Only an episode that fills the buffer
    /// alone loses its oldest transition.
    #[default]
    Episodes,
    /// The oldest transition; the oldest episode loses its beginning.
    Rows,
}

/// Transitions in order up to a capacity, with their episodes.
///
/// Pushing is O(1) and a sampled batch O(rows), whatever the size. [`Trajectories::dataset`] copies what is held once
/// and keeps the copy until something is pushed.
///
/// ```
/// use replay::{Replay, ReplayBuffer, Seed, Spec, Trajectories, Transition};
///
/// let mut buffer = ReplayBuffer::new(Spec::new(1, 1), 100)?;
/// buffer.push(Transition {
///     observation: &[0.0],
///     action: &[0.5],
///     reward: 1.0,
///     next_observation: &[0.5],
///     terminated: true,
///     truncated: false,
/// })?;
/// let batch = buffer.sample(32, &mut Seed::new(0).rng())?;
/// assert_eq!((batch.len(), buffer.dataset()?.episodes().len()), (32, 1));
/// # Ok::<(), replay::Error>(())
/// ```
#[derive(Debug)]
pub struct ReplayBuffer {
    spec: Spec,
    capacity: usize,
    eviction: Eviction,
    /// Slots, written round and round: they grow up to the capacity and are then written over.
    slots: Columns,
    /// Transitions pushed and forgotten since the beginning; the oldest held lies in slot `forgotten % capacity`.
    pushed: u64,
    forgotten: u64,
    /// Value of `pushed` at the end of each complete episode that is still held.
    ends: VecDeque<u64>,
    snapshot: OnceLock<Dataset>,
}

impl ReplayBuffer {
    /// An empty buffer for up to `capacity` transitions that forgets whole episodes; fails for a capacity of zero.
    ///
    /// Memory is taken as it fills.
    pub fn new(spec: Spec, capacity: usize) -> Result<Self> {
        if capacity == 0 {
            return Err(Error::Invalid { what: "capacity".into(), why: "must be at least 1".into() });
        }
        Ok(Self {
            spec,
            capacity,
            eviction: Eviction::default(),
            slots: Columns::default(),
            pushed: 0,
            forgotten: 0,
            ends: VecDeque::new(),
            snapshot: OnceLock::new(),
        })
    }

    /// The same buffer with another way to forget.
    pub fn with_eviction(mut self, eviction: Eviction) -> Self {
        self.eviction = eviction;
        self
    }

    /// Most transitions held.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Transitions pushed since the beginning.
    pub fn pushed(&self) -> u64 {
        self.pushed
    }

    /// Appends a transition, and forgets the oldest where the buffer was full. An episode ends after it where it is
    /// terminated or truncated.
    ///
    /// Fails where its sizes are not the spec's or a number is not finite; the buffer is unchanged then.
    pub fn push(&mut self, row: Transition<'_>) -> Result<()> {
        row.check(&self.spec, self.pushed as usize)?;
        self.snapshot.take();
        if self.held() == self.capacity {
            self.forget();
        }
        let slot = self.slot(self.pushed);
        if slot == self.slots.len() {
            if self.slots.is_full() {
                // Twice the room, as a vector takes it by itself, but never more than is ever needed.
                self.slots.reserve(&self.spec, slot.max(FIRST_ROOM).min(self.capacity - slot));
            }
            self.slots.push(row);
        } else {
            self.slots.replace(&self.spec, slot, row);
        }
        self.pushed += 1;
        if row.terminated || row.truncated {
            self.end_episode();
        }
        Ok(())
    }

    /// Ends the current episode, if it has a transition, without a flag: what follows begins another.
    pub fn end_episode(&mut self) {
        if self.pushed > self.ends.back().copied().unwrap_or(self.forgotten) {
            self.snapshot.take();
            self.ends.push_back(self.pushed);
        }
    }

    /// Appends all transitions of `dataset`, episode by episode; its simulator states are not kept.
    ///
    /// Fails where the sizes are not the buffer's; the buffer is unchanged then.
    pub fn extend(&mut self, dataset: &Dataset) -> Result<()> {
        let (own, other) = (&self.spec, dataset.spec());
        if (own.obs_dim, own.action_dim) != (other.obs_dim, other.action_dim) {
            let why = format!(
                "observation {} and action {} do not fit a buffer of {} and {}",
                other.obs_dim, other.action_dim, own.obs_dim, own.action_dim
            );
            return Err(Error::Invalid { what: "dataset".into(), why });
        }
        self.end_episode();
        for episode in dataset.episodes() {
            for row in episode.rows.clone() {
                self.push(dataset.row(row))?;
            }
            self.end_episode();
        }
        Ok(())
    }

    /// Transition `index` counted from the oldest held, borrowed.
    ///
    /// # Panics
    /// If `index` is not below [`Replay::len`].
    pub fn row(&self, index: usize) -> Transition<'_> {
        assert!(index < self.held(), "transition {index} of {}", self.held());
        self.slots.row(&self.spec, self.slot(self.forgotten + index as u64))
    }

    fn held(&self) -> usize {
        (self.pushed - self.forgotten) as usize
    }

    /// Where the transition lies that was pushed as number `number`.
    fn slot(&self, number: u64) -> usize {
        (number % self.capacity as u64) as usize
    }

    /// Makes room for at least one transition.
    fn forget(&mut self) {
        match (self.eviction, self.ends.front().copied()) {
            (Eviction::Episodes, Some(end)) => {
                self.ends.pop_front();
                self.forgotten = end;
            }
            (Eviction::Rows, Some(end)) if end == self.forgotten + 1 => {
                self.ends.pop_front();
                self.forgotten = end;
            }
            _ => self.forgotten += 1,
        }
    }

    /// A copy of what is held.
    fn copy(&self) -> Result<Dataset> {
        let rows = self.held();
        let mut columns = Columns::with_capacity(&self.spec, rows);
        for row in (0..rows).map(|index| self.row(index)) {
            columns.push(row);
        }
        let breaks: Vec<usize> = self.ends.iter().map(|end| (end - self.forgotten) as usize).collect();
        Dataset::from_columns(self.spec.clone(), columns, &breaks, None)
    }
}

impl Replay for ReplayBuffer {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn len(&self) -> usize {
        self.held()
    }

    /// Uniform over all transitions held, with replacement. A row's source is its place counted from the oldest held,
    /// as in [`ReplayBuffer::row`] and in the dataset.
    fn sample_into(&mut self, rows: usize, rng: &mut Rng, batch: &mut Batch) -> Result<()> {
        batch.reset(&self.spec);
        if self.held() == 0 {
            return Err(Error::Empty);
        }
        let held = self.held();
        let draw = || {
            let index = rng.random_range(0..held);
            (index, self.slot(self.forgotten + index as u64))
        };
        let ask = |(index, slot)| {
            self.slots.ask_for(&self.spec, slot);
            (index, slot)
        };
        gather(rows, batch, draw, ask, |(index, slot)| (self.slots.row(&self.spec, slot), Source::Real(index)));
        Ok(())
    }
}

impl Trajectories for ReplayBuffer {
    /// What is held, copied once and then shared until something is pushed; fails with [`Error::Empty`] for nothing.
    fn dataset(&self) -> Result<Dataset> {
        if let Some(snapshot) = self.snapshot.get() {
            return Ok(snapshot.clone());
        }
        let copy = self.copy()?;
        Ok(self.snapshot.get_or_init(|| copy).clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ending, Seed};
    use proptest::prelude::*;

    /// Pushes a transition whose numbers all are `number`.
    fn push(buffer: &mut ReplayBuffer, number: u16, terminated: bool) {
        let value = [f32::from(number)];
        let row = Transition {
            observation: &value,
            action: &value,
            reward: value[0],
            next_observation: &value,
            terminated,
            truncated: false,
        };
        buffer.push(row).unwrap();
    }

    fn buffer(capacity: usize, eviction: Eviction) -> ReplayBuffer {
        ReplayBuffer::new(Spec::new(1, 1), capacity).unwrap().with_eviction(eviction)
    }

    /// First and last number of each episode.
    fn episodes(buffer: &ReplayBuffer) -> Vec<(f32, f32)> {
        let dataset = buffer.dataset().unwrap();
        let rewards = dataset.rewards();
        dataset.episodes().iter().map(|e| (rewards[e.rows.start], rewards[e.rows.end - 1])).collect()
    }

    #[test]
    fn whole_episodes_are_forgotten() {
        let mut buffer = buffer(5, Eviction::Episodes);
        for number in 0..7 {
            push(&mut buffer, number, number % 2 == 1);
        }
        // The episode (0, 1) gave way to 5, which ended (4, 5).
        assert_eq!(episodes(&buffer), [(2.0, 3.0), (4.0, 5.0), (6.0, 6.0)]);
        assert_eq!((buffer.len(), buffer.pushed()), (5, 7));
    }

    #[test]
    fn rows_are_forgotten_one_by_one() {
        let mut buffer = buffer(5, Eviction::Rows);
        for number in 0..6 {
            push(&mut buffer, number, number % 3 == 2);
        }
        assert_eq!(episodes(&buffer), [(1.0, 2.0), (3.0, 5.0)]);
    }

    #[test]
    fn an_episode_longer_than_the_buffer_keeps_its_end() {
        let mut buffer = buffer(3, Eviction::Episodes);
        for number in 0..8 {
            push(&mut buffer, number, false);
        }
        assert_eq!(episodes(&buffer), [(5.0, 7.0)]);
        assert_eq!(buffer.dataset().unwrap().episodes()[0].ending, Ending::Unfinished);
    }

    #[test]
    fn snapshots_are_shared_until_something_changes() {
        let mut buffer = buffer(4, Eviction::Episodes);
        assert!(matches!(buffer.dataset(), Err(Error::Empty)));
        push(&mut buffer, 1, false);
        let address = |buffer: &ReplayBuffer| buffer.dataset().unwrap().rewards().as_ptr();
        let first = buffer.dataset().unwrap();
        assert_eq!(address(&buffer), first.rewards().as_ptr());
        push(&mut buffer, 2, false);
        assert_eq!((first.len(), buffer.dataset().unwrap().len()), (1, 2));
        buffer.end_episode();
        push(&mut buffer, 3, true);
        assert_eq!(episodes(&buffer), [(1.0, 2.0), (3.0, 3.0)]);
    }

    #[test]
    fn extending_keeps_episodes_and_refuses_other_sizes() {
        let mut source = buffer(10, Eviction::Episodes);
        for number in 0..5 {
            push(&mut source, number, number == 1);
        }
        let mut buffer = buffer(20, Eviction::Episodes);
        push(&mut buffer, 9, false);
        buffer.extend(&source.dataset().unwrap()).unwrap();
        push(&mut buffer, 8, false);
        assert_eq!(episodes(&buffer), [(9.0, 9.0), (0.0, 1.0), (2.0, 4.0), (8.0, 8.0)]);
        let mut other = ReplayBuffer::new(Spec::new(2, 1), 20).unwrap();
        assert!(other.extend(&source.dataset().unwrap()).unwrap_err().to_string().contains("do not fit"));
        assert_eq!(other.len(), 0);
    }

    #[test]
    fn bad_transitions_change_nothing() {
        let mut buffer = buffer(2, Eviction::Rows);
        push(&mut buffer, 1, false);
        let row = Transition {
            observation: &[f32::NAN],
            action: &[0.0],
            reward: 0.0,
            next_observation: &[0.0],
            terminated: false,
            truncated: false,
        };
        assert!(buffer.push(row).unwrap_err().to_string().contains("observation of transition 1: NaN"));
        assert!(
            buffer.push(Transition { observation: &[], ..row }).unwrap_err().to_string().contains("expected 1 numbers")
        );
        assert_eq!(buffer.len(), 1);
        assert!(ReplayBuffer::new(Spec::new(1, 1), 0).is_err());
    }

    proptest! {
        /// Against the plain model: a list of (number, episode) from whose front whole episodes or rows are taken.
        #[test]
        fn behaves_as_a_list(
            capacity in 1_usize..12,
            ends in prop::collection::vec(prop::bool::weighted(0.3), 1..60),
            rows in prop::bool::ANY,
        ) {
            let mut buffer = buffer(capacity, if rows { Eviction::Rows } else { Eviction::Episodes });
            let (mut model, mut episode): (Vec<(u16, u32)>, u32) = (Vec::new(), 0);
            for (number, &end) in (0_u16..).zip(&ends) {
                if model.len() == capacity {
                    let oldest = model[0].1;
                    if rows || oldest == episode {
                        model.remove(0);
                    } else {
                        model.retain(|&(_, e)| e != oldest);
                    }
                }
                model.push((number, episode));
                episode += u32::from(end);
                push(&mut buffer, number, end);

                let dataset = buffer.dataset().unwrap();
                let numbers: Vec<f32> = model.iter().map(|&(n, _)| f32::from(n)).collect();
                prop_assert_eq!(dataset.rewards(), &numbers);
                let lengths: Vec<usize> = model.chunk_by(|a, b| a.1 == b.1).map(<[_]>::len).collect();
                let found: Vec<usize> = dataset.episodes().iter().map(|e| e.rows.len()).collect();
                prop_assert_eq!(found, lengths);
            }
            let batch = buffer.sample(30, &mut Seed::new(0).rng()).unwrap();
            for (index, source) in batch.sources.iter().enumerate() {
                let Source::Real(row) = *source else { panic!("{source:?}") };
                prop_assert_eq!(batch.row(index), buffer.row(row));
            }
        }
    }
}
