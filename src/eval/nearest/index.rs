//! Data made ready for many searches.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use tch::Device;

use super::order::order;
use super::packed::{Balls, CHUNK, Frame, Packed, pack};
use super::screen::Block;
use super::tensors::Tensors;
use super::{Columns, Nearest};
use crate::eval::{Error, Result};
use crate::native::DeviceChoice;

/// Fewest and most queries that a thread searches together: enough that reading the data costs little beside the sums.
const QUERIES: [usize; 2] = [256, 1024];
/// Blocks for each thread where there are queries enough, so that a thread that is held up leaves work to the others.
const SHARES: usize = 4;
/// The same where a device scores them: products that keep it busy, in 134 MB for each thread.
const QUERIES_ON_DEVICE: [usize; 2] = [2048; 2];
/// Threads that feed a device: while it scores for some, others resolve what it left.
const FEEDERS: usize = 4;

/// With what neighbours are searched: it decides how long that takes, not what is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchOptions {
    /// Threads; as many as the machine has where absent.
    pub threads: Option<NonZeroUsize>,
    /// Where all pairs are scored in single precision. What that leaves is decided on the CPU in double precision.
    ///
    /// On the CPU by a kernel of this crate, on a GPU by LibTorch. The latter is tested with LibTorch's CPU half; it was
    /// not run on CUDA yet.
    pub device: DeviceChoice,
}

impl Default for SearchOptions {
    /// All threads, on the CPU.
    fn default() -> Self {
        Self { threads: None, device: DeviceChoice::Cpu }
    }
}

/// Rows in which nearest ones are searched, made ready once for any number of queries.
///
/// It holds a second copy of the rows, in an order in which near ones are together, and for each 128 of them a ball they
/// lie in. A search rules out balls first, then rows by their distance in single precision with a bound on its rounding,
/// and evaluates what is left in double precision. So it is exact, for any data and queries; it is fast for queries near
/// data that varies in few directions, and no slower than comparing all pairs where neither holds. Beyond that a
/// search of a million rows takes about 1 MB a thread, however many queries there are.
pub struct NearestIndex<'a> {
    pub(super) data: Columns<'a>,
    pub(super) weights: Vec<f64>,
    pub(super) frame: Frame,
    /// The row of the data at each place below.
    pub(super) order: Vec<u32>,
    pub(super) rows: Packed,
    pub(super) balls: Balls,
    /// Behind a lock, because LibTorch's tensors may not be shared.
    pub(super) tensors: Option<Mutex<Tensors>>,
    threads: usize,
}

impl<'a> NearestIndex<'a> {
    /// An index of `data` (`[N, dim]`, row-major).
    ///
    /// With `weights` (`[dim]`), squared differences of each dimension are multiplied by its weight. Fails where sizes
    /// do not fit, a number is not finite, a weight is not positive, `data` has no row or more than 2^32, or the device
    /// cannot be had.
    pub fn new(data: &'a [f32], dim: usize, weights: Option<&[f64]>, options: SearchOptions) -> Result<Self> {
        let ones = vec![1.0; dim];
        Self::of(Columns::new("data to search", [data, &[]], [dim, 0])?, weights.unwrap_or(&ones), options)
    }

    /// [`new`](Self::new) of rows in two groups.
    pub(in crate::eval) fn of(data: Columns<'a>, weights: &[f64], options: SearchOptions) -> Result<Self> {
        // This crate's kernel is the faster one on the CPU.
        let device = Some(options.device.resolve()?).filter(|device| *device != Device::Cpu);
        Self::build(data, weights, options.threads, device)
    }

    /// An index that scores by LibTorch on a device where one is given.
    pub(super) fn build(
        data: Columns<'a>,
        weights: &[f64],
        threads: Option<NonZeroUsize>,
        device: Option<Device>,
    ) -> Result<Self> {
        let (rows, dim) = (data.rows(), data.dim());
        if rows == 0 || u32::try_from(rows).is_err() {
            let why =
                if rows == 0 { "has no row".into() } else { format!("{rows} rows are more than can be numbered") };
            return Err(Error::invalid("data to search", why));
        }
        if weights.len() != dim {
            return Err(Error::invalid("nearest neighbours", format!("{} weights for data of {dim}", weights.len())));
        }
        if let Some(bad) = weights.iter().find(|w| !(**w > 0.0 && w.is_finite())) {
            return Err(Error::invalid("weights of dimensions", format!("{bad} is not positive and finite")));
        }
        let threads = threads.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
        let frame = Frame::new(&data, weights);
        let order = order(&data, weights, CHUNK, threads);
        let coordinates = |place: usize, out: &mut [f64]| {
            let numbers = frame.coordinates(&data, order[place] as usize);
            out.iter_mut().zip(numbers).for_each(|(out, v)| *out = v);
        };
        let (packed, balls) = pack(rows, dim, coordinates);
        let tensors = device.map(|device| Tensors::new(rows, dim, device, coordinates)).transpose()?.map(Mutex::new);
        Ok(Self { weights: weights.to_vec(), rows: packed, balls, tensors, threads, data, frame, order })
    }

    /// The exact nearest row of the data for each row of `queries` (`[Q, dim]`).
    ///
    /// Fails where sizes do not fit, a number is not finite, or the device fails.
    pub fn search(&self, queries: &[f32]) -> Result<Vec<Nearest>> {
        let queries = Columns::new("queries", [queries, &[]], [self.data.dim(), 0])?;
        self.search_unseen(&queries, |_| 0..0)
    }

    /// [`search`](Self::search) for rows in two groups, where query `q` does not see the rows `hidden(q)`.
    ///
    /// A query from which every row is hidden is infinitely far from its "nearest" row 0.
    pub(in crate::eval) fn search_unseen(
        &self,
        queries: &Columns<'_>,
        hidden: impl Fn(usize) -> Range<usize> + Sync,
    ) -> Result<Vec<Nearest>> {
        if queries.dim() != self.data.dim() {
            let why = format!("queries of {} columns for data of {}", queries.dim(), self.data.dim());
            return Err(Error::invalid("nearest neighbours", why));
        }
        let (threads, [least, most]) = match self.tensors {
            Some(_) => (self.threads.min(FEEDERS), QUERIES_ON_DEVICE),
            None => (self.threads, QUERIES),
        };
        let shared = queries.rows().div_ceil(SHARES * threads).clamp(least, most);
        let block = queries.rows().div_ceil(threads).clamp(1, shared);
        let starts = Mutex::new((0..queries.rows()).step_by(block));
        let work = || -> Result<Vec<(usize, Vec<Nearest>)>> {
            let mut found = Vec::new();
            loop {
                // A name for the block, so that the lock is not held while it is searched.
                let next = starts.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some(start) = next else { return Ok(found) };
                let block = start..queries.rows().min(start + block);
                found.push((start, Block::new(self, queries, block, &hidden).search()?));
            }
        };
        let mut blocks = std::thread::scope(|scope| {
            let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let done = handles.into_iter().map(|h| h.join().unwrap_or_else(|cause| std::panic::resume_unwind(cause)));
            done.collect::<Result<Vec<_>>>()
        })?
        .concat();
        blocks.sort_unstable_by_key(|(start, _)| *start);
        Ok(blocks.into_iter().flat_map(|(_, found)| found).collect())
    }
}
