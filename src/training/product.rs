//! Products of f32 matrices in the host's memory.
//!
//! LibTorch leaves its own to MKL, which uses the widest vectors of Intel's processors only: on an AMD EPYC with AVX-512
//! the kernels of `gemm` do 2.4 times as many (`examples/results/performance.md`), on one with AVX2 as many.

use gemm::Parallelism;
use tch::{Device, Kind, Tensor};

use crate::tensor::{numbers, numbers_mut};
use crate::{Result, native};

/// Additions and multiplications from which on a product is worth more than one thread.
const WORTH_THREADS: usize = 1 << 22;

/// A matrix whose numbers lie in one piece, by rows or, transposed, by columns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    transposed: bool,
}

impl<'a> Matrix<'a> {
    /// `values` as rows of `columns` numbers.
    ///
    /// # Panics
    /// If the last row is not full.
    pub(crate) fn new(values: &'a [f32], columns: usize) -> Self {
        assert!(columns > 0 && values.len().is_multiple_of(columns), "{} numbers in rows of {columns}", values.len());
        Self { values, rows: values.len() / columns, columns, transposed: false }
    }

    /// A tensor of two dimensions in the host's memory.
    pub(crate) fn of(tensor: &'a Tensor) -> Self {
        Self::new(numbers(tensor), tensor.size()[1] as usize)
    }

    /// The transposed matrix, without moving a number.
    pub(crate) fn transposed(self) -> Self {
        let Self { values, rows, columns, transposed } = self;
        Self { values, rows: columns, columns: rows, transposed: !transposed }
    }

    /// Distance between neighbours in a row, and in a column.
    fn strides(self) -> (isize, isize) {
        if self.transposed { (self.rows as isize, 1) } else { (1, self.columns as isize) }
    }
}

/// Writes `a b` to `out`, `[a.rows, b.columns]` by rows, with as many threads as the caller gives LibTorch's operations.
/// The numbers do not depend on how many those are.
///
/// # Panics
/// If the sizes do not fit.
pub(crate) fn multiply(a: Matrix, b: Matrix, out: &mut [f32]) {
    product(a, b, out, false);
}

/// Adds `a b` to `out`; see [`multiply`].
pub(crate) fn multiply_add(a: Matrix, b: Matrix, out: &mut [f32]) {
    product(a, b, out, true);
}

fn product(a: Matrix, b: Matrix, out: &mut [f32], add: bool) {
    let (rows, inner, columns) = (a.rows, a.columns, b.columns);
    assert_eq!((inner, rows * columns), (b.rows, out.len()), "sizes of a product");
    let ((a_next, a_row), (b_next, b_row)) = (a.strides(), b.strides());
    let threads = match rows * inner * columns {
        work if work < WORTH_THREADS => Parallelism::None,
        _ => match native::threads() {
            1 => Parallelism::None,
            threads => Parallelism::Rayon(threads),
        },
    };
    // SAFETY: every index within the sizes lies within its slice: rows and columns times their distances cover each of
    // them exactly, as `Matrix::new` and the line above have checked; `out` is borrowed alone.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            out.as_mut_ptr(),
            1,
            columns as isize,
            add,
            a.values.as_ptr(),
            a_next,
            a_row,
            b.values.as_ptr(),
            b_next,
            b_row,
            1.0,
            1.0,
            false,
            false,
            false,
            threads,
        );
    }
}

/// `a b`, `[a.rows, b.columns]`; see [`multiply`].
pub(crate) fn times(a: Matrix, b: Matrix) -> Result<Tensor> {
    let mut out = Tensor::f_empty([a.rows as i64, b.columns as i64], (Kind::Float, Device::Cpu))?;
    multiply(a, b, numbers_mut(&mut out));
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(count: usize, step: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * step) % 23) as f32 - 11.0).collect()
    }

    #[test]
    fn products_are_those_of_the_definition_however_the_matrices_lie() {
        // Whole numbers this small multiply and add up exactly, in whatever order. The last size is worth threads.
        for (rows, inner, columns) in [(1, 1, 1), (3, 5, 2), (17, 33, 9), (64, 96, 40), (1, 300, 7), (130, 260, 150)] {
            let (a, b) = (whole(rows * inner, 7), whole(inner * columns, 5));
            let turned = |m: &[f32], rows: usize, columns: usize| -> Vec<f32> {
                (0..columns).flat_map(|c| (0..rows).map(move |r| m[r * columns + c])).collect()
            };
            let (a_turned, b_turned) = (turned(&a, rows, inner), turned(&b, inner, columns));
            let expected: Vec<f32> = (0..rows * columns)
                .map(|i| (0..inner).map(|k| a[i / columns * inner + k] * b[k * columns + i % columns]).sum())
                .collect();
            let a_forms = [Matrix::new(&a, inner), Matrix::new(&a_turned, rows).transposed()];
            let b_forms = [Matrix::new(&b, columns), Matrix::new(&b_turned, inner).transposed()];
            for threads in [1, 2] {
                native::set_threads(threads);
                for (a, b) in a_forms.into_iter().flat_map(|a| b_forms.map(|b| (a, b))) {
                    // What is not written shows.
                    let mut out = vec![f32::NAN; rows * columns];
                    multiply(a, b, &mut out);
                    assert_eq!(out, expected, "{rows} x {inner} x {columns}, {threads} threads");
                    multiply_add(a, b, &mut out);
                    assert!(
                        out.iter().zip(&expected).all(|(&sum, &one)| sum == 2.0 * one),
                        "{rows} x {inner} x {columns}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_numbers_do_not_depend_on_the_threads() {
        let wave = |count: usize| (0..count).map(|i| (i as f32 * 0.37).sin()).collect::<Vec<f32>>();
        let (rows, inner, columns) = (301, 517, 203);
        let (a, b) = (wave(rows * inner), wave(inner * columns));
        let run = |threads| {
            native::set_threads(threads);
            let mut out = vec![0.0; rows * columns];
            multiply(Matrix::new(&a, inner), Matrix::new(&b, columns), &mut out);
            out
        };
        assert!(rows * inner * columns > WORTH_THREADS);
        assert_eq!(run(1), run(3));
    }

    #[test]
    #[should_panic(expected = "sizes of a product")]
    fn what_does_not_fit_is_refused() {
        multiply(Matrix::new(&[1.0; 6], 3), Matrix::new(&[1.0; 6], 3), &mut [0.0; 6]);
    }
}
