//! Scores of all rows by LibTorch, for devices that multiply faster than this processor.

use std::ops::Range;

use tch::{Device, Tensor};

use super::packed::CHUNK;
use crate::eval::{Error, Result};
use crate::tensor::{from_host, to_host};

/// The data on a device.
#[derive(Debug)]
pub(super) struct Tensors {
    /// Squared lengths of rows, `[rows, 1]`: rows are filled up to whole chunks with some that are near nothing.
    squares: Tensor,
    /// `[rows, dim]`, in the frame.
    coordinates: Tensor,
    device: Device,
}

impl Tensors {
    /// Rows of `dim` coordinates; `coordinates(row, out)` writes those of one. Fails where the device refuses them.
    pub(super) fn new(
        rows: usize,
        dim: usize,
        device: Device,
        mut coordinates: impl FnMut(usize, &mut [f64]),
    ) -> Result<Self> {
        let filled = rows.next_multiple_of(CHUNK);
        let (mut squares, mut values) = (vec![f32::MAX / 4.0; filled], vec![0.0; filled * dim]);
        let mut numbers = vec![0.0; dim];
        for row in 0..rows {
            coordinates(row, &mut numbers);
            squares[row] = numbers.iter().map(|v| v * v).sum::<f64>() as f32;
            values[row * dim..][..dim].iter_mut().zip(&numbers).for_each(|(to, v)| *to = *v as f32);
        }
        let on_device = |values: &[f32], dim: usize| from_host(values, &[filled as i64, dim as i64], device);
        let made = on_device(&squares, 1).and_then(|squares| Ok((squares, on_device(&values, dim)?)));
        let (squares, coordinates) = made.map_err(|source| Error::device(device, source))?;
        Ok(Self { squares, coordinates, device })
    }

    /// Where they are.
    pub(super) fn device(&self) -> Device {
        self.device
    }

    /// Factors of queries (`[queries, dim]`) on the device, as [`least`](Self::least) takes them.
    pub(super) fn of_queries(&self, factors: &[f32], dim: usize) -> Result<Tensor> {
        from_host(factors, &[(factors.len() / dim) as i64, dim as i64], self.device)
            .and_then(|factors| Ok(factors.f_tr()?))
            .map_err(|source| Error::device(self.device, source))
    }

    /// For some chunks the least score of their rows, `[chunks, queries]`.
    ///
    /// Summed in whatever order the device likes, but of products in IEEE single precision: LibTorch leaves TF32 off
    /// unless told otherwise, which only its environment can here.
    pub(super) fn least(&self, chunks: Range<usize>, factors: &Tensor) -> Result<Vec<f32>> {
        let work = || -> crate::Result<Vec<f32>> {
            let (start, rows) = ((chunks.start * CHUNK) as i64, (chunks.len() * CHUNK) as i64);
            let coordinates = self.coordinates.f_narrow(0, start, rows)?;
            let scores = self.squares.f_narrow(0, start, rows)?.f_addmm(&coordinates, factors)?;
            let least = scores.f_view([chunks.len() as i64, CHUNK as i64, -1])?.f_amin([1_i64], false)?;
            to_host(&least)
        };
        work().map_err(|source| Error::device(self.device, source))
    }

    /// The same with coordinates cut to ten bits of fraction, as TF32 does.
    #[cfg(test)]
    pub(super) fn truncated(&self) -> Self {
        let cut = |v: &mut f32| *v = f32::from_bits(v.to_bits() & !0x1fff);
        let mut values = to_host(&self.coordinates).unwrap();
        values.iter_mut().for_each(cut);
        let coordinates = from_host(&values, &self.coordinates.size(), self.device).unwrap();
        Self { squares: self.squares.shallow_clone(), coordinates, device: self.device }
    }
}
