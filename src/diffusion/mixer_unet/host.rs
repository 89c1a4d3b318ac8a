//! The published network in the host's memory: the same numbers as its tensor operations give, up to rounding, and its
//! gradient written out.
//!
//! The products over whole rows, most of the work, are `gemm`'s, those of attention LibTorch's; what lies between is done in
//! few passes ([`columns`](super::columns), [`passes`](super::passes)), which is where most of the time went.

use tch::{Kind, Tensor};

use super::columns::{self, ColumnGradient, ColumnWeights, Mixture};
use super::passes::{self, Images, Moments};
use super::{Attention, HEAD_DIM, HEADS, Level, MixerBlock, MixerUnet, by_head, double, halve};
use crate::Result;
use crate::diffusion::{Condition, Pass, vectors};
use crate::tensor::{has_numbers, numbers, numbers_mut};
use crate::training::{Gradient, Layer, Matrix, multiply, times};

/// Where gradients go on the way back.
struct Way<'a> {
    gradient: &'a Gradient,
    /// Of the embedding that shifts every block, `[B, 2 dim]`: added up.
    d_embedding: Tensor,
}

/// From the gradient of an operation's output to that of its input; writes those of its weights.
type Back<'a> = Box<dyn FnOnce(Tensor, &mut Way) -> Result<Tensor> + 'a>;

/// What was done on the way there.
enum Step<'a> {
    Run(Back<'a>),
    /// The activation was kept for the way up.
    Keep,
    /// The kept activation was put behind these channels.
    Join(i64),
}

/// A run that is to be learned from.
pub(super) struct UnetPass<'a> {
    net: &'a MixerUnet,
    embedding: Tensor,
    steps: Vec<Step<'a>>,
}

/// Whether `x` is what this file works on.
pub(super) fn can_run(x: &Tensor) -> bool {
    has_numbers(x) && x.numel() > 0 && vectors::supported()
}

impl Images {
    fn of(x: &Tensor) -> Self {
        let size = x.size();
        let [batch, channels, rows, columns] = size[..] else { panic!("expected [B, C, T, D], got {size:?}") };
        let [batch, channels, rows, columns] = [batch, channels, rows, columns].map(|n| n as usize);
        Self { batch, channels, rows, columns }
    }
}

impl MixerUnet {
    /// The output, `[B, T, D]`, and the way back if it is to be kept.
    pub(super) fn by_hand(
        &self,
        x: &Tensor,
        noise: &Tensor,
        condition: Option<&Condition>,
        keep: bool,
    ) -> Result<(Tensor, Option<UnetPass<'_>>)> {
        let embed = || self.embed(noise, condition).mish();
        let embedding = if keep { tch::with_grad(embed) } else { tch::no_grad(embed) };
        let _guard = tch::no_grad_guard();
        let mut run = Run { embedding: embedding.f_detach()?, keep, steps: Vec::new() };
        let mut x = x.f_unsqueeze(1)?.f_contiguous()?;
        let mut skips = Vec::with_capacity(self.downs.len());
        for (number, level) in self.downs.iter().enumerate() {
            x = run.level(level, x)?;
            if number >= self.downs.len() - self.ups.len() {
                skips.push(x.shallow_clone());
                run.steps.push(Step::Keep);
            }
            if let Some(layer) = &level.resample {
                x = run.by_autograd(&x, vec![&layer.weight, &layer.bias], |x| halve(layer, x))?;
            }
        }
        let (first, attention, second) = &self.middle;
        x = run.block(first, x)?;
        x = run.attention(attention, x)?;
        x = run.block(second, x)?;
        for (level, skip) in self.ups.iter().zip(skips.iter().rev()) {
            run.steps.push(Step::Join(x.size()[1]));
            x = run.level(level, Tensor::f_cat(&[&x, skip], 1)?)?;
            if let Some(layer) = &level.resample {
                x = run.by_autograd(&x, vec![&layer.weight, &layer.bias], |x| double(layer, x))?;
            }
        }
        let (conv, norm, write) = &self.last;
        let weights = [conv, norm, write].into_iter().flat_map(|layer| [&layer.weight, &layer.bias]).collect();
        let output = run.by_autograd(&x, weights, |x| self.write(x))?;
        Ok((output, keep.then_some(UnetPass { net: self, embedding, steps: run.steps })))
    }

    /// All weights that the embedding depends on.
    fn embedding_weights(&self) -> Vec<&Tensor> {
        self.noise.iter().chain(&self.condition).flat_map(|layer| [&layer.weight, &layer.bias]).collect()
    }
}

impl Pass for UnetPass<'_> {
    fn backward(self: Box<Self>, d_output: &Tensor, gradient: &Gradient) -> Result<()> {
        let Self { net, embedding, steps } = *self;
        let mut way = Way { gradient, d_embedding: embedding.f_detach()?.f_zeros_like()? };
        {
            let _guard = tch::no_grad_guard();
            let (mut d, mut skips) = (d_output.f_contiguous()?, Vec::new());
            for step in steps.into_iter().rev() {
                d = match step {
                    Step::Run(back) => back(d, &mut way)?,
                    Step::Keep => d + skips.pop().expect("what was kept was joined"),
                    Step::Join(channels) => {
                        let rest = d.size()[1] - channels;
                        skips.push(d.f_narrow(1, channels, rest)?);
                        d.f_narrow(1, 0, channels)?.f_contiguous()?
                    }
                };
            }
        }
        gradient.trace(&embedding, &way.d_embedding, &net.embedding_weights())
    }
}

/// A run on its way there.
struct Run<'a> {
    /// What shifts every block, `[B, 2 dim]`, without a way back.
    embedding: Tensor,
    keep: bool,
    steps: Vec<Step<'a>>,
}

impl<'a> Run<'a> {
    fn back(&mut self, back: impl FnOnce(Tensor, &mut Way) -> Result<Tensor> + 'a) {
        self.steps.push(Step::Run(Box::new(back)));
    }

    fn level(&mut self, level: &'a Level, x: Tensor) -> Result<Tensor> {
        let [first, second] = &level.blocks;
        let x = self.block(first, x)?;
        let x = self.block(second, x)?;
        self.attention(&level.attention, x)
    }

    /// Operations for which LibTorch's autograd is no slower.
    fn by_autograd(&mut self, x: &Tensor, weights: Vec<&'a Tensor>, f: impl Fn(&Tensor) -> Tensor) -> Result<Tensor> {
        if !self.keep {
            return Ok(f(x));
        }
        let x = x.f_detach()?.f_set_requires_grad(true)?;
        let y = tch::with_grad(|| f(&x));
        let output = y.f_detach()?;
        self.back(move |d, way| {
            let along = tch::with_grad(|| (y * d).f_sum(Kind::Float))?;
            let of: Vec<&Tensor> = weights.iter().copied().chain([&x]).collect();
            let mut parts = Tensor::f_run_backward(&[along], &of, false, false)?;
            let dx = parts.pop().expect("the input was asked for");
            for (weight, part) in weights.iter().zip(parts) {
                way.gradient.of(weight).f_copy_(&part)?;
            }
            Ok(dx.f_contiguous()?)
        });
        Ok(output)
    }

    /// See [`MixerBlock::forward`].
    fn block(&mut self, block: &'a MixerBlock, x: Tensor) -> Result<Tensor> {
        let images = Images::of(&x);
        let (rows, width) = ((images.batch * images.rows) as i64, images.width() as i64);
        let [first, second] = &block.row;
        let mut moments = Moments::new(rows as usize);
        let mut normed = x.f_new_empty([rows, width], (Kind::Float, x.device()))?;
        passes::normalise_rows(images, numbers(&x), block.row_norm.numbers(), &mut moments, numbers_mut(&mut normed));
        let mut hidden = times(Matrix::of(&normed), Matrix::of(&first.weight).transposed())?;
        let mut active = hidden.f_empty_like()?;
        passes::gelu(numbers(&first.bias), numbers_mut(&mut hidden), numbers_mut(&mut active));
        let by_row = times(Matrix::of(&active), Matrix::of(&second.weight).transposed())?;
        let shift = block.shift.linear(&self.embedding);

        let mut out = x.f_empty_like()?;
        let parts = Mixture {
            by_row: numbers(&by_row),
            row_bias: numbers(&second.bias),
            shift: block.project.is_none().then(|| numbers(&shift)),
        };
        columns::forward(&block.column_weights(), images, numbers(&x), &parts, numbers_mut(&mut out));
        let mut mixed = None;
        if let Some([mixture, input]) = &block.project {
            let flat = |x: &Tensor| x.f_view([images.batch as i64, images.channels as i64, -1]);
            let bias = (shift + &mixture.bias + &input.bias).f_unsqueeze(-1)?;
            let y = bias.f_baddbmm(&each(mixture, images)?, &flat(&out)?, 1.0, 1.0)?;
            let y = y.f_baddbmm(&each(input, images)?, &flat(&x)?, 1.0, 1.0)?;
            let size = x.size();
            mixed = Some(std::mem::replace(&mut out, y.f_view([size[0], -1, size[2], size[3]])?));
        }
        if !self.keep {
            return Ok(out);
        }
        let embedding = self.embedding.shallow_clone();
        self.back(move |dy, way| {
            let of = |weight: &Tensor| way.gradient.of(weight);
            let d_shift = sum_over(&dy, &[2, 3])?;
            linear_back(&block.shift, &embedding, &d_shift, way.gradient)?;
            let _ = way.d_embedding.f_addmm_(&d_shift, &block.shift.weight)?;

            // The mixture's gradient, and what the input gets beside the mixture.
            let (d, mut dx) = match (&block.project, &mixed) {
                (Some([mixture, input]), Some(mixed)) => {
                    let flat = |x: &Tensor| x.f_view([images.batch as i64, -1, (images.rows * images.columns) as i64]);
                    let dy = flat(&dy)?;
                    for (layer, x) in [(mixture, mixed), (input, &x)] {
                        let own = sum_over(&dy.f_bmm(&flat(x)?.f_transpose(1, 2)?)?, &[0])?;
                        of(&layer.weight).f_copy_(&own.f_view_as(&layer.weight)?)?;
                        of(&layer.bias).f_copy_(&sum_over(&d_shift, &[0])?)?;
                    }
                    let through = |layer| -> Result<Tensor> {
                        Ok(each(layer, images)?.f_transpose(1, 2)?.f_bmm(&dy)?.f_view_as(&x)?)
                    };
                    (through(mixture)?, through(input)?)
                }
                _ => {
                    let residual = dy.copy();
                    (dy, residual)
                }
            };

            let mut d_rows = normed.f_empty_like()?;
            passes::to_rows(images, numbers(&d), numbers_mut(&mut d_rows));
            linear_back(second, &active, &d_rows, way.gradient)?;
            let mut d_hidden = times(Matrix::of(&d_rows), Matrix::of(&second.weight))?;
            passes::gelu_back(numbers(&hidden), numbers_mut(&mut d_hidden));
            linear_back(first, &normed, &d_hidden, way.gradient)?;
            let d_normed = times(Matrix::of(&d_hidden), Matrix::of(&first.weight))?;
            let Layer { weight: scale, bias: offset } = &block.row_norm;
            let (mut d_scale, mut d_offset) = (of(scale), of(offset));
            let to = [numbers_mut(&mut d_scale), numbers_mut(&mut d_offset)];
            let run = (numbers(&x), &moments);
            passes::normalise_rows_back(images, run, numbers(scale), numbers(&d_normed), numbers_mut(&mut dx), to);

            let pair = |layer: &Layer| [of(&layer.weight), of(&layer.bias)];
            let ([mut norm, mut first], mut second) =
                ([pair(&block.column_norm), pair(&block.column[0])], pair(&block.column[1]));
            let mut gradient = ColumnGradient {
                norm: norm.each_mut().map(numbers_mut),
                first: first.each_mut().map(numbers_mut),
                second: second.each_mut().map(numbers_mut),
            };
            columns::backward(
                &block.column_weights(),
                images,
                numbers(&x),
                numbers(&d),
                numbers_mut(&mut dx),
                &mut gradient,
            );
            Ok(dx)
        });
        Ok(out)
    }

    /// See [`Attention::forward`], whose names these are.
    fn attention(&mut self, attention: &'a Attention, x: Tensor) -> Result<Tensor> {
        let images = Images::of(&x);
        let (batch, channels, inner) = (images.batch as i64, images.channels as i64, HEADS * HEAD_DIM);
        let mut moments = Moments::new(images.batch * images.channels);
        let mut normed =
            x.f_new_empty([batch, channels, (images.rows * images.columns) as i64], (Kind::Float, x.device()))?;
        passes::normalise_images(images, numbers(&x), attention.norm.numbers(), &mut moments, numbers_mut(&mut normed));
        let [query, key, value] = attention.weights();
        let key = key.f_expand([batch, -1, -1], false)?;
        let weights = key.f_bmm(&normed)?.f_softmax(-1, None::<Kind>)?;
        let seen = weights.f_bmm(&normed.f_transpose(1, 2)?)?;
        let seen =
            seen.f_view([batch, HEADS, HEAD_DIM, channels])?.f_transpose(0, 1)?.f_reshape([HEADS, -1, channels])?;
        let context = seen.f_bmm(&by_head(&value).f_transpose(1, 2)?)?;
        let out = attention.out_by_head();
        let written = context.f_bmm(&out)?.f_view([HEADS, batch, HEAD_DIM, channels])?.f_permute([1, 3, 0, 2])?;
        let written = written.f_reshape([-1, inner])?;
        let map = written.f_mm(&query)?.f_view([batch, channels, channels])?;
        let residual = x.f_view_as(&normed)? + attention.to_out.bias.f_unsqueeze(1)?;
        let y = residual.f_baddbmm(&map, &normed, 1.0, 1.0)?.f_view_as(&x)?;
        if !self.keep {
            return Ok(y);
        }
        self.back(move |dy, way| {
            let of = |weight: &Tensor| way.gradient.of(weight);
            let d = dy.f_view_as(&normed)?;
            of(&attention.to_out.bias).f_copy_(&sum_over(&d, &[0, 2])?)?;
            let mut d_normed = map.f_transpose(1, 2)?.f_bmm(&d)?;
            let d_map = d.f_bmm(&normed.f_transpose(1, 2)?)?.f_view([-1, channels])?;
            let d_query = written.f_tr()?.f_mm(&d_map)?;
            let d_written = d_map.f_mm(&query.f_tr()?)?.f_view([batch, channels, HEADS, HEAD_DIM])?;
            let d_written = d_written.f_permute([2, 0, 3, 1])?.f_reshape([HEADS, -1, channels])?;
            // [heads, 32, C] as [C, heads 32]
            let d_out =
                context.f_transpose(1, 2)?.f_bmm(&d_written)?.f_permute([2, 0, 1])?.f_reshape([channels, inner])?;
            of(&attention.to_out.weight).f_copy_(&d_out.f_view_as(&attention.to_out.weight)?)?;
            let d_context = d_written.f_bmm(&out.f_transpose(1, 2)?)?;
            let d_value = d_context.f_transpose(1, 2)?.f_bmm(&seen)?.f_view([inner, channels])?;
            let d_seen = d_context.f_bmm(&by_head(&value))?.f_view([HEADS, batch, HEAD_DIM, channels])?;
            let d_seen = d_seen.f_transpose(0, 1)?.f_reshape([batch, inner, channels])?;
            let d_weights = d_seen.f_bmm(&normed)?;
            let _ = d_normed.f_baddbmm_(&d_seen.f_transpose(1, 2)?, &weights)?;
            let d_keys = Tensor::f_internal_softmax_backward_data(&d_weights, &weights, -1, Kind::Float)?;
            let d_key = sum_over(&d_keys.f_bmm(&normed.f_transpose(1, 2)?)?, &[0])?;
            let _ = d_normed.f_baddbmm_(&key.f_transpose(1, 2)?, &d_keys)?;
            let d_qkv = Tensor::f_cat(&[d_query, d_key, d_value], 0)?;
            of(&attention.to_qkv).f_copy_(&d_qkv.f_view_as(&attention.to_qkv)?)?;

            let mut dx = dy.copy();
            let Layer { weight: scale, bias: offset } = &attention.norm;
            let (mut d_scale, mut d_offset) = (of(scale), of(offset));
            let to = [numbers_mut(&mut d_scale), numbers_mut(&mut d_offset)];
            let run = (numbers(&x), &moments);
            passes::normalise_images_back(images, run, numbers(scale), numbers(&d_normed), numbers_mut(&mut dx), to);
            Ok(dx)
        });
        Ok(y)
    }
}

impl MixerBlock {
    fn column_weights(&self) -> ColumnWeights<'_> {
        let [first, second] = self.column.each_ref().map(Layer::numbers);
        ColumnWeights { norm: self.column_norm.numbers(), first, second }
    }
}

/// A 1 x 1 convolution's weight, `[out, in]`, once for each window.
fn each(layer: &Layer, images: Images) -> Result<Tensor> {
    let size = layer.weight.size();
    Ok(layer.weight.f_view([size[0], size[1]])?.f_expand([images.batch as i64, -1, -1], false)?)
}

/// Writes the gradients of a layer, given its input, `[N, in]`, and that of its output, `[N, out]`.
fn linear_back(layer: &Layer, x: &Tensor, d: &Tensor, gradient: &Gradient) -> Result<()> {
    let mut d_weight = gradient.of(&layer.weight);
    multiply(Matrix::of(d).transposed(), Matrix::of(x), numbers_mut(&mut d_weight));
    let _ = d.f_sum_intlist_out(&gradient.of(&layer.bias), [0i64].as_slice(), false, Kind::Float)?;
    Ok(())
}

fn sum_over(x: &Tensor, dims: &[i64]) -> Result<Tensor> {
    Ok(x.f_sum_dim_intlist(dims, false, Kind::Float)?)
}

#[cfg(test)]
mod tests {
    use tch::{Device, nn::VarStore};

    use super::super::MixerUnetConfig;
    use super::super::tests::normal;
    use super::*;
    use crate::diffusion::Denoiser;
    use crate::training::{Initializer, Parameters};

    fn difference(a: &Tensor, b: &Tensor) -> f64 {
        ((a - b).abs().max() / b.abs().max()).double_value(&[])
    }

    #[test]
    fn by_hand_it_has_the_output_and_the_gradient_of_the_tensor_operations() {
        if !vectors::supported() {
            return;
        }
        // Rows that are halved and some that are not, but not to two or one: normalised over as few, what is left of the
        // gradient is rounding. Several images, one, and a part of one in a tile.
        for (rows, columns, windows) in [(32, 5, 3), (12, 24, 2), (5, 30, 1), (12, 51, 2)] {
            let mut store = VarStore::new(Device::Cpu);
            let init = Initializer::new(&store.root(), replay::Seed::new(0));
            let config = MixerUnetConfig { dim: 8, condition_dim: 1 };
            let network = MixerUnet::new(&init, &config, rows, columns).unwrap();
            let mut parameters = Parameters::gather(&store).unwrap();
            // None of the weights is zero or one.
            let change = normal(7, &[parameters.len() as i64]) * 0.05;
            tch::no_grad(|| *parameters.values_mut() += change);
            let (x, noise) = (normal(1, &[windows, rows, columns]), normal(2, &[windows]));
            let keep = Tensor::from_slice(&[1.0f32, 0.0, 1.0]).narrow(0, 0, windows).view([windows, 1]);
            let condition = Condition { value: normal(3, &[windows, 1]), keep: Some(keep) };
            let direction = normal(4, &[windows, rows, columns]);

            let expected = network.forward(&x, &noise, Some(&condition));
            for condition in [Some(&condition), None] {
                let (got, expected) = (network.infer(&x, &noise, condition), network.forward(&x, &noise, condition));
                let error = difference(&got, &expected);
                assert!(error < 3e-5, "{rows} x {columns}: {error}");
            }

            // The caller's gradient mode is the caller's affair.
            let _guard = tch::no_grad_guard();
            let (output, pass) = network.learn(&x, &noise, Some(&condition)).unwrap();
            assert!(difference(&output, &expected) < 3e-5);
            let gradient = parameters.empty_gradient().unwrap();
            // What is not written stays as it is, and shows.
            let _ = gradient.of(&network.last.0.weight).fill_(f64::NAN);
            pass.backward(&direction, &gradient).unwrap();
            let gradient = gradient.into_values();
            let expected = tch::with_grad(|| (expected * &direction).sum(Kind::Float));
            let expected = parameters.gradient(&expected).unwrap();
            let mut start = 0;
            for (name, shape) in &parameters.layout().0 {
                let length = shape.iter().product::<i64>();
                let (got, expected) = (gradient.narrow(0, start, length), expected.narrow(0, start, length));
                let error = (&got - &expected).abs().max().double_value(&[]);
                let scale = expected.abs().max().double_value(&[]).max(0.1);
                assert!(error <= 1e-4 * scale, "{rows} x {columns}: {name} is off by {error} of {scale}");
                start += length;
            }
            store.double();
            assert!(network.learn(&x.to_kind(Kind::Double), &noise.to_kind(Kind::Double), None).is_none());
        }
    }
}
