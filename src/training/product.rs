//! Products of f32 matrices in the host's memory.
//!
//! LibTorch leaves its own to MKL, which uses the widest vectors of Intel's processors only: on an AMD EPYC with AVX-512
//! the kernels of `gemm` make the compact network twice as fast (`examples/results/performance.md`). On one with AVX2 nobody measured.

use gemm::Parallelism;
use tch::{Device, Kind, Tensor};

use crate::tensor::{has_numbers, numbers, numbers_mut};
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

    /// A tensor of two dimensions or its transpose, if its numbers lie in one piece in the host's memory.
    fn seen(tensor: &Tensor) -> Option<(Tensor, bool)> {
        if !has_numbers(tensor) || tensor.dim() != 2 || tensor.numel() == 0 {
            return None;
        }
        let turned = tensor.tr();
        if tensor.is_contiguous() {
            Some((tensor.shallow_clone(), false))
        } else {
            turned.is_contiguous().then_some((turned, true))
        }
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

/// Writes `a b` to `out`, `[a.rows, b.columns]` by rows, with as many threads as the caller gives LibTorch's operations, or [`Alone`](native::Alone) has taken from these.
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
        _ => match native::product_threads() {
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

/// `a b` for tensors `[n, k]` and `[k, m]` of any kind, without a way back: by [`times`] where it can be.
pub(crate) fn mm(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let _guard = tch::no_grad_guard();
    match (Matrix::seen(a), Matrix::seen(b)) {
        (Some(a), Some(b)) => times(turned(&a), turned(&b)),
        _ => Ok(a.f_mm(b)?),
    }
}

/// Adds `a b` to `out`, `[n, m]`; else as [`mm`].
pub(crate) fn mm_add(out: &mut Tensor, a: &Tensor, b: &Tensor) -> Result<()> {
    let _guard = tch::no_grad_guard();
    match (Matrix::seen(a), Matrix::seen(b)) {
        (Some(a), Some(b)) if has_numbers(out) && out.is_contiguous() => {
            multiply_add(turned(&a), turned(&b), numbers_mut(out));
        }
        _ => drop(out.f_addmm_(a, b)?),
    }
    Ok(())
}

/// `x W + b` for each of `N`: `x` `[N, B, in]`, `weight` `[N, in, out]`, `bias` `[N, 1, out]`; else as [`mm`].
pub(crate) fn linear_each(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let _guard = tch::no_grad_guard();
    let ((count, rows, inner), columns) = (x.size3()?, weight.size()[2]);
    let whole = |t: &Tensor| has_numbers(t) && t.is_contiguous();
    if !(whole(x) && whole(weight) && x.numel() > 0) {
        return Ok(bias.f_baddbmm(x, weight, 1.0, 1.0)?);
    }
    let mut out = Tensor::f_empty([count, rows, columns], (Kind::Float, Device::Cpu))?;
    let (x, weight) = (numbers(x).chunks_exact((rows * inner) as usize), numbers(weight));
    let each = numbers_mut(&mut out).chunks_exact_mut((rows * columns) as usize);
    for ((out, x), weight) in each.zip(x).zip(weight.chunks_exact((inner * columns) as usize)) {
        multiply(Matrix::new(x, inner as usize), Matrix::new(weight, columns as usize), out);
    }
    let _ = out.f_add_(bias)?;
    Ok(out)
}

fn turned((tensor, transposed): &(Tensor, bool)) -> Matrix<'_> {
    let matrix = Matrix::of(tensor);
    if *transposed { matrix.transposed() } else { matrix }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_tensors_are_libtorchs_whatever_their_kind_and_layout() {
        let wave = |phase: f64, shape: &[i64]| {
            (Tensor::arange(shape.iter().product::<i64>(), (Kind::Float, Device::Cpu)) * 0.37 + phase).sin().view(shape)
        };
        let near = |a: &Tensor, b: &Tensor| a.kind() == b.kind() && (a - b).abs().max().double_value(&[]) < 1e-5;
        let (a, b) = (wave(0.0, &[7, 5]), wave(1.0, &[5, 9]));
        let strided = wave(2.0, &[5, 18]).slice(1, 0, None, 2);
        for kind in [Kind::Float, Kind::Double] {
            let forms = |t: &Tensor| [t.to_kind(kind), t.to_kind(kind).tr().contiguous().tr()];
            for (a, b) in forms(&a).iter().flat_map(|a| forms(&b).map(|b| (a.shallow_clone(), b))) {
                assert!(near(&mm(&a, &b).unwrap(), &a.matmul(&b)));
                let mut sum = a.matmul(&b);
                mm_add(&mut sum, &a, &b).unwrap();
                assert!(near(&sum, &(a.matmul(&b) * 2.0)));
            }
            let (x, weight, bias) = (wave(3.0, &[2, 6, 5]), wave(4.0, &[2, 5, 4]), wave(5.0, &[2, 1, 4]));
            let [x, weight, bias] = [x, weight, bias].map(|t| t.to_kind(kind));
            assert!(near(&linear_each(&x, &weight, &bias).unwrap(), &(x.matmul(&weight) + &bias)));
            let turned = x.transpose(1, 2).contiguous().transpose(1, 2);
            assert!(near(&linear_each(&turned, &weight, &bias).unwrap(), &(x.matmul(&weight) + &bias)));
        }
        assert!(near(&mm(&a, &strided).unwrap(), &a.matmul(&strided)));
    }

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
