//! Rows laid out for the kernels, in a frame where single precision works best.

use super::Columns;
use super::kernel::{LANES, Lanes};

/// Rows that are kept or ruled out together. With 23 numbers a row they fill 12 KiB, well inside the first cache.
pub(super) const CHUNK: usize = 128;

/// Where single precision works best: coordinates around the data's mean, weighted, and scaled by a power of two so
/// that no row of data is longer than 1 and no square leaves the range of numbers.
pub(super) struct Frame {
    centre: Vec<f64>,
    stretch: Vec<f64>,
    /// The power of two.
    scale: f64,
}

impl Frame {
    pub(super) fn new(data: &Columns<'_>, weights: &[f64]) -> Self {
        let mut centre = vec![0.0; data.dim()];
        for row in 0..data.rows() {
            centre.iter_mut().zip(data.numbers(row)).for_each(|(c, v)| *c += v / data.rows() as f64);
        }
        let mut frame = Self { centre, stretch: weights.iter().map(|w| w.sqrt()).collect(), scale: 1.0 };
        let longest = (0..data.rows())
            .map(|row| frame.coordinates(data, row).map(|v| v * v).sum::<f64>())
            .fold(0.0, f64::max)
            .sqrt();
        if longest > 0.0 {
            frame.scale = (-longest.log2().ceil()).exp2();
            frame.stretch.iter_mut().for_each(|s| *s *= frame.scale);
        }
        frame
    }

    /// The numbers of a row in this frame.
    pub(super) fn coordinates(&self, rows: &Columns<'_>, row: usize) -> impl Iterator<Item = f64> {
        rows.numbers(row).zip(&self.centre).zip(&self.stretch).map(|((v, c), s)| (v - c) * s)
    }

    /// A squared (weighted) distance in the frame's units.
    pub(super) fn squared(&self, squared_distance: f64) -> f64 {
        squared_distance * self.scale.powi(2)
    }
}

/// Rows by the chunk, and in a chunk by groups of [`LANES`]: squared lengths, then each coordinate of all rows.
pub(super) struct Packed {
    lanes: Vec<Lanes>,
    /// [`Lanes`] of a chunk.
    stride: usize,
    rows: usize,
}

impl Packed {
    /// Room for rows of `dim` coordinates.
    fn empty(rows: usize, dim: usize) -> Self {
        let stride = CHUNK / LANES * (dim + 1);
        let mut lanes = vec![Lanes([0.0; LANES]); rows.div_ceil(CHUNK) * stride];
        // Places after the last row hold nothing near.
        lanes.iter_mut().step_by(dim + 1).for_each(|squares| squares.0.fill(f32::MAX / 4.0));
        Self { lanes, stride, rows }
    }

    /// Puts a row in its place.
    fn put(&mut self, row: usize, numbers: &[f64]) {
        let (group, lane) = (row / LANES * (numbers.len() + 1), row % LANES);
        let group = &mut self.lanes[group..][..numbers.len() + 1];
        group[0].0[lane] = numbers.iter().map(|v| v * v).sum::<f64>() as f32;
        group[1..].iter_mut().zip(numbers).for_each(|(lanes, v)| lanes.0[lane] = *v as f32);
    }

    /// Number of chunks.
    pub(super) fn chunks(&self) -> usize {
        self.rows.div_ceil(CHUNK)
    }

    /// One of them, as the kernels take it.
    pub(super) fn chunk(&self, chunk: usize) -> &[Lanes] {
        &self.lanes[chunk * self.stride..][..self.stride]
    }

    /// Rows in a chunk.
    pub(super) fn rows_of(&self, chunk: usize) -> usize {
        CHUNK.min(self.rows - chunk * CHUNK)
    }
}

/// For each chunk of rows a ball that holds them.
pub(super) struct Balls {
    /// Their centres, as rows.
    pub(super) centres: Packed,
    /// Their radii, rounded up.
    pub(super) radii: Vec<f64>,
}

/// Rows of `dim` coordinates, of which `coordinates(row, out)` writes one, and the balls of their chunks, around the mean
/// of each.
pub(super) fn pack(rows: usize, dim: usize, coordinates: impl Fn(usize, &mut [f64])) -> (Packed, Balls) {
    let mut packed = Packed::empty(rows, dim);
    let mut balls = Balls { centres: Packed::empty(packed.chunks(), dim), radii: Vec::with_capacity(packed.chunks()) };
    let (mut numbers, mut centre) = (vec![0.0; CHUNK * dim], vec![0.0; dim]);
    for chunk in 0..packed.chunks() {
        let numbers = &mut numbers[..packed.rows_of(chunk) * dim];
        centre.fill(0.0);
        for (place, numbers) in numbers.chunks_exact_mut(dim).enumerate() {
            coordinates(chunk * CHUNK + place, numbers);
            packed.put(chunk * CHUNK + place, numbers);
            centre.iter_mut().zip(&*numbers).for_each(|(c, v)| *c += v);
        }
        centre.iter_mut().for_each(|c| *c /= packed.rows_of(chunk) as f64);
        let square = |row: &[f64]| row.iter().zip(&centre).map(|(v, c)| (v - c).powi(2)).sum::<f64>();
        let farthest = numbers.chunks_exact(dim).map(square).fold(0.0, f64::max);
        balls.radii.push(farthest.sqrt() * (1.0 + 1e-9));
        balls.centres.put(chunk, &centre);
    }
    (packed, balls)
}
