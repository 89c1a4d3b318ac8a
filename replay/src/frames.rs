//! Datasets whose observations are pixels.

use std::ops::Range;
use std::sync::Arc;

use crate::{Columns, Dataset, Episode, Error, Result, Spec};

/// Size of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameShape {
    /// Colours (`C`).
    pub channels: usize,
    /// Rows of pixels (`H`).
    pub height: usize,
    /// Pixels in a row (`W`).
    pub width: usize,
}

impl FrameShape {
    /// Bytes of a frame.
    pub fn bytes(&self) -> usize {
        self.channels * self.height * self.width
    }
}

/// Transitions between frames of pixels, with their episodes. Cloning shares the frames.
///
/// Every frame is held once, as bytes; an observation is a stack of the last few frames, made when it is asked for. An
/// episode of `T` transitions has `T + 1` frames, so that row `t` leads from frame [`frame_of`](Self::frame_of)`(t)` to
/// the frame after it.
///
/// [`encode`](Self::encode) makes an ordinary [`Dataset`] of latent vectors, for augmentation as in appendix C.4 of the
/// GTA paper: "fine-tune policy and Q-network with the augmented latent observations".
#[derive(Clone, Debug)]
pub struct Frames {
    shape: FrameShape,
    /// `[F, C, H, W]`.
    pixels: Arc<Vec<u8>>,
    /// The transitions without observations (`O` is 0).
    steps: Dataset,
}

impl Frames {
    /// Frames `[F, C, H, W]` and the transitions between them, both of which are moved. The columns hold no observations;
    /// episodes end as in [`Dataset::from_columns`], and each has one frame more than transitions.
    ///
    /// # Errors
    /// As [`Dataset::from_columns`]; [`Error::Invalid`] where a size of a frame is 0 or there are more or fewer frames
    /// than `N` and one an episode.
    pub fn from_columns(
        shape: FrameShape,
        pixels: Vec<u8>,
        action_dim: usize,
        columns: Columns,
        breaks: &[usize],
    ) -> Result<Self> {
        let steps = Dataset::from_columns(Spec::new(0, action_dim), columns, breaks, None)?;
        let expected = steps.len() + steps.episodes().len();
        let FrameShape { channels, height, width } = shape;
        if shape.bytes() == 0 || pixels.len() != expected * shape.bytes() {
            let why = format!(
                "expected {expected} of {channels} x {height} x {width} bytes for {} transitions in {} episodes, got {} \
                 bytes",
                steps.len(),
                steps.episodes().len(),
                pixels.len()
            );
            return Err(Error::Invalid { what: "frames".into(), why });
        }
        Ok(Self { shape, pixels: Arc::new(pixels), steps })
    }

    /// Size of a frame.
    pub fn shape(&self) -> FrameShape {
        self.shape
    }

    /// Transitions held (`N`).
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether no transition is held; never true of what was built.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Frames held (`F = N +` episodes).
    pub fn frames(&self) -> usize {
        self.steps.len() + self.steps.episodes().len()
    }

    /// The episodes by their transitions, in order.
    pub fn episodes(&self) -> &[Episode] {
        self.steps.episodes()
    }

    /// The frames of episode `number`, one more than its transitions.
    ///
    /// # Panics
    /// If there is no such episode.
    pub fn frames_of_episode(&self, number: usize) -> Range<usize> {
        let rows = &self.steps.episodes()[number].rows;
        rows.start + number..rows.end + number + 1
    }

    /// The frame that transition `row` starts from; it leads to the one after.
    ///
    /// # Panics
    /// If there is no such transition.
    pub fn frame_of(&self, row: usize) -> usize {
        assert!(row < self.len(), "there is no transition {row} of {}", self.len());
        row + self.steps.episodes().partition_point(|episode| episode.rows.end <= row)
    }

    /// All actions, `[N, A]`.
    pub fn actions(&self) -> &[f32] {
        self.steps.actions()
    }

    /// All rewards, `[N]`.
    pub fn rewards(&self) -> &[f32] {
        self.steps.rewards()
    }

    /// Whether each transition ended the task, `[N]`.
    pub fn terminated(&self) -> &[bool] {
        self.steps.terminated()
    }

    /// Whether each transition was cut by a time limit, `[N]`.
    pub fn truncated(&self) -> &[bool] {
        self.steps.truncated()
    }

    /// Numbers in an action (`A`).
    pub fn action_dim(&self) -> usize {
        self.steps.spec().action_dim
    }

    /// Frame `frame`, `[C, H, W]`.
    ///
    /// # Panics
    /// If there is no such frame.
    pub fn frame(&self, frame: usize) -> &[u8] {
        &self.pixels[frame * self.shape.bytes()..][..self.shape.bytes()]
    }

    /// Appends the observation at `frame` to `out`: the last `stack` frames of its episode, the oldest first, with the
    /// episode's first frame repeated where there are fewer; `[stack * C, H, W]`.
    ///
    /// # Panics
    /// If there is no such frame.
    pub fn stack_into(&self, frame: usize, stack: usize, out: &mut Vec<u8>) {
        assert!(frame < self.frames(), "there is no frame {frame} of {}", self.frames());
        let first = self.first_frame_of_episode(frame);
        for age in (0..stack).rev() {
            out.extend_from_slice(self.frame(frame.saturating_sub(age).max(first)));
        }
    }

    /// A dataset whose observations are what `encoder` makes of stacks of frames.
    ///
    /// The encoder is given up to `batch` observations, `[B, stack * C, H, W]` as [`stack_into`](Self::stack_into) makes
    /// them, and appends `[B, L]` numbers; every frame is encoded once.
    ///
    /// # Errors
    /// [`Error::Source`] with the encoder's own, [`Error::Invalid`] where `stack` or `batch` is 0, or it makes no numbers,
    /// other than `L` for each, or one that is not finite.
    pub fn encode<E>(
        &self,
        stack: usize,
        batch: usize,
        mut encoder: impl FnMut(&[u8], &mut Vec<f32>) -> Result<(), E>,
    ) -> Result<Dataset>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if stack == 0 || batch == 0 {
            let why = format!("stacks of {stack} frames, {batch} at a time: both must be at least 1");
            return Err(Error::Invalid { what: "encoding".into(), why });
        }
        let mut observations = Vec::with_capacity(batch.min(self.frames()) * stack * self.shape.bytes());
        let (mut latents, mut size) = (Vec::new(), 0);
        for first in (0..self.frames()).step_by(batch) {
            let frames = first..self.frames().min(first + batch);
            let (count, before) = (frames.len(), latents.len());
            observations.clear();
            frames.for_each(|frame| self.stack_into(frame, stack, &mut observations));
            encoder(&observations, &mut latents).map_err(|source| Error::Source {
                context: format!("encoding {count} frames from frame {first} on"),
                source: source.into(),
            })?;
            let made = latents.len().saturating_sub(before);
            size = if first == 0 { made / count } else { size };
            if size == 0 || made != count * size {
                let why = format!("{made} numbers for {count} observations, expected {size} for each");
                return Err(Error::Invalid { what: format!("latents from frame {first} on"), why });
            }
        }
        self.dataset_of(&latents, size)
    }

    /// The transitions with latents `[F, L]` as observations.
    fn dataset_of(&self, latents: &[f32], size: usize) -> Result<Dataset> {
        let mut columns = Columns {
            observations: Vec::with_capacity(self.len() * size),
            actions: self.actions().to_vec(),
            rewards: self.rewards().to_vec(),
            next_observations: Vec::with_capacity(self.len() * size),
            terminated: self.terminated().to_vec(),
            truncated: self.truncated().to_vec(),
        };
        for number in 0..self.episodes().len() {
            let Range { start, end } = self.frames_of_episode(number);
            columns.observations.extend_from_slice(&latents[start * size..(end - 1) * size]);
            columns.next_observations.extend_from_slice(&latents[(start + 1) * size..end * size]);
        }
        let spec = self.steps.spec().clone();
        let breaks: Vec<usize> = self.episodes().iter().map(|episode| episode.rows.end).collect();
        Dataset::from_columns(Spec { obs_dim: size, ..spec }, columns, &breaks, None)
    }

    /// The first frame of the episode that `frame` belongs to.
    fn first_frame_of_episode(&self, frame: usize) -> usize {
        let episodes = self.steps.episodes();
        let (mut low, mut high) = (0, episodes.len());
        while high - low > 1 {
            let middle = low.midpoint(high);
            if self.frames_of_episode(middle).start <= frame { low = middle } else { high = middle }
        }
        self.frames_of_episode(low).start
    }

    /// The transitions without observations, for reports.
    pub(crate) fn steps(&self) -> &Dataset {
        &self.steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHAPE: FrameShape = FrameShape { channels: 1, height: 1, width: 2 };

    /// Episodes of these lengths; frame `f` is `[f, f + 100]`.
    fn frames(lengths: &[usize]) -> Result<Frames> {
        let rows: usize = lengths.iter().sum();
        let count = rows + lengths.len();
        let ends: Vec<usize> = lengths
            .iter()
            .scan(0, |end, &length| {
                *end += length;
                Some(*end)
            })
            .collect();
        let columns = Columns {
            actions: (0..rows).map(|row| row as f32).collect(),
            rewards: vec![0.5; rows],
            terminated: vec![false; rows],
            truncated: (0..rows).map(|row| ends.contains(&(row + 1))).collect(),
            ..Columns::default()
        };
        Frames::from_columns(SHAPE, (0..count as u8).flat_map(|f| [f, f + 100]).collect(), 1, columns, &ends)
    }

    /// Latents that are the first pixels of the stack.
    fn first_pixels(stacks: &[u8], out: &mut Vec<f32>) -> Result<(), Error> {
        out.extend(stacks.iter().step_by(2).map(|&pixel| f32::from(pixel)));
        Ok(())
    }

    #[test]
    fn stacks_begin_with_the_oldest_and_repeat_the_first_frame() {
        let frames = frames(&[3, 2]).unwrap();
        let stack = |frame| {
            let mut out = Vec::new();
            frames.stack_into(frame, 3, &mut out);
            out.into_iter().step_by(2).collect::<Vec<u8>>()
        };
        assert_eq!([0, 1, 3].map(stack), [[0, 0, 0], [0, 0, 1], [1, 2, 3]]);
        assert_eq!([4, 5, 6].map(stack), [[4, 4, 4], [4, 4, 5], [4, 5, 6]]);
        assert_eq!((frames.frames_of_episode(1), frames.frame_of(2), frames.frame_of(3)), (4..7, 2, 4));
        assert_eq!(frames.frame(6), [6, 106]);
    }

    #[test]
    fn latents_make_an_ordinary_dataset() {
        for batch in [1, 4, 100] {
            let dataset = frames(&[3, 2]).unwrap().encode(2, batch, first_pixels).unwrap();
            assert_eq!(dataset.spec().obs_dim, 2);
            assert_eq!(dataset.row(1).observation, [0.0, 1.0]);
            assert_eq!(dataset.row(2).next_observation, [2.0, 3.0]);
            assert_eq!((dataset.row(3).observation, dataset.row(3).action), (&[4.0, 4.0][..], &[3.0][..]));
            assert_eq!(dataset.episodes(), frames(&[3, 2]).unwrap().episodes());
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let frames = frames(&[3, 2]).unwrap();
        let why = |result: Result<Dataset>| result.unwrap_err().to_string();
        assert!(why(frames.encode(0, 1, first_pixels)).contains("must be at least 1"));
        assert!(why(frames.encode(1, 4, |_, _| Err("no memory"))).ends_with("from frame 0 on: no memory"));
        let nothing = |_: &[u8], _: &mut Vec<f32>| Ok::<(), Error>(());
        assert!(why(frames.encode(1, 4, nothing)).contains("0 numbers for 4 observations"));
        let uneven = |_: &[u8], out: &mut Vec<f32>| {
            out.extend([1.0; 4]);
            Ok::<(), Error>(())
        };
        assert_eq!(
            why(frames.encode(1, 4, uneven)),
            "latents from frame 4 on: 4 numbers for 3 observations, expected 1 for each"
        );
        let Frames { shape, pixels, steps } = frames;
        let columns = Columns {
            actions: steps.actions().to_vec(),
            rewards: steps.rewards().to_vec(),
            terminated: steps.terminated().to_vec(),
            truncated: steps.truncated().to_vec(),
            ..Columns::default()
        };
        let short = Frames::from_columns(shape, pixels[2..].to_vec(), 1, columns, &[]).unwrap_err().to_string();
        assert!(short.contains("expected 7 of 1 x 1 x 2 bytes for 5 transitions in 2 episodes, got 12"), "{short}");
    }

    proptest! {
        #[test]
        fn every_transition_leads_to_the_next_frame_of_its_episode(
            lengths in prop::collection::vec(1_usize..6, 1..8),
            stack in 1_usize..4,
        ) {
            let frames = frames(&lengths).unwrap();
            let dataset = frames.encode(stack, 3, first_pixels).unwrap();
            prop_assert_eq!(dataset.len(), lengths.iter().sum::<usize>());
            for (number, episode) in frames.episodes().iter().enumerate() {
                let own = frames.frames_of_episode(number);
                prop_assert_eq!(own.len(), episode.rows.len() + 1);
                for (frame, row) in own.clone().zip(episode.rows.clone()) {
                    prop_assert_eq!(frames.frame_of(row), frame);
                    let (here, next) = (dataset.row(row).observation, dataset.row(row).next_observation);
                    prop_assert_eq!(here.last(), Some(&(frame as f32)));
                    prop_assert_eq!(next.last(), Some(&(frame as f32 + 1.0)));
                    prop_assert!(here.iter().all(|&f| own.contains(&(f as usize))) && here.is_sorted());
                }
            }
        }
    }
}
