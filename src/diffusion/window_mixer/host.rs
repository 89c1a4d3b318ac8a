//! The mixer in the host's memory: [`multiply`] multiplies matrices, [`passes`](super::passes) do what lies between.
//!
//! The same network as the tensor operations of [`WindowMixer`] make, and its gradient written out. That saves the
//! passes that separate operations need, and what autograd keeps and does for each of them.

use tch::{Kind, Tensor};

use super::passes::{self, Along, Bias, BiasGradient, Modulation};
use super::{MODULATIONS, WindowMixer};
use crate::Result;
use crate::diffusion::vectors;
use crate::tensor::{has_numbers, numbers, numbers_mut};
use crate::training::{Gradient, Layer, Matrix, multiply, times};

/// What a forward run leaves for the way back.
#[derive(Debug)]
pub(super) struct Record {
    /// Tokens, `[P B, R D]`.
    tokens: Tensor,
    /// The embedding, `[B, E]`, with its way back to its weights.
    embedding: Tensor,
    /// All shifts, scales and gates, `[B, M W]`.
    modulation: Tensor,
    halves: Vec<HalfRecord>,
    last: Normed,
}

/// Half a block: of the tokens' or the channels' mixing.
#[derive(Debug)]
struct HalfRecord {
    normed: Normed,
    /// Hidden numbers before their activation.
    hidden: Tensor,
    /// What the gate lets through.
    mixed: Tensor,
}

/// Normalised rows `[P B, W]`, and one over their deviations.
#[derive(Debug)]
struct Normed {
    rows: Tensor,
    inverse: Vec<f32>,
}

/// Which side of an activation two layers mix.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    /// `[P, B W]`: weights from the left.
    Tokens,
    /// `[P B, W]`: weights from the right.
    Channels,
}

impl Side {
    /// `x` as the matrix that this side's weights are multiplied with.
    fn of(self, x: &Tensor, tokens: i64) -> Result<Tensor> {
        Ok(match self {
            Self::Tokens => x.f_view([tokens, -1])?,
            Self::Channels => x.shallow_clone(),
        })
    }

    /// The layer's product of `x`, without its bias.
    fn product(self, weight: &Tensor, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Tokens => times(Matrix::of(weight), Matrix::of(x)),
            Self::Channels => times(Matrix::of(x), Matrix::of(weight).transposed()),
        }
    }

    /// The gradient of [`product`](Self::product)'s input.
    fn back(self, weight: &Tensor, d: &Tensor) -> Result<Tensor> {
        match self {
            Self::Tokens => times(Matrix::of(weight).transposed(), Matrix::of(d)),
            Self::Channels => times(Matrix::of(d), Matrix::of(weight)),
        }
    }

    /// The gradient of [`product`](Self::product)'s weight, written to `out`.
    fn weight(self, d: &Tensor, x: &Tensor, mut out: Tensor) {
        match self {
            Self::Tokens => multiply(Matrix::of(d), Matrix::of(x).transposed(), numbers_mut(&mut out)),
            Self::Channels => multiply(Matrix::of(d).transposed(), Matrix::of(x), numbers_mut(&mut out)),
        }
    }

    /// Along which side of the hidden matrix its bias lies.
    fn hidden_bias(self) -> Along {
        if self == Self::Tokens { Along::Rows(1) } else { Along::Columns }
    }

    /// Along which side of the activation, seen as rows of windows, the second bias lies.
    fn bias(self, windows: usize) -> Along {
        if self == Self::Tokens { Along::Rows(windows) } else { Along::Columns }
    }
}

/// Whether `x` is what this file works on.
pub(super) fn can_run(x: &Tensor) -> bool {
    has_numbers(x) && x.numel() > 0 && vectors::supported()
}

/// The network's output for `tokens` `[P B, R D]` and `embedding` `[B, E]`, and the record if it is asked for.
pub(super) fn forward(
    net: &WindowMixer,
    tokens: Tensor,
    embedding: Tensor,
    keep: bool,
) -> Result<(Tensor, Option<Record>)> {
    let _guard = tch::no_grad_guard();
    let windows = embedding.size()[0] as usize;
    let (width, rows) = (net.width as usize, tokens.size()[0] as usize);
    let modulation = net.modulation_of(&embedding)?;
    let m = Modulation::new(numbers(&modulation), windows, width);
    let mut x = Side::Channels.product(&net.read.weight, &tokens)?;
    passes::place(numbers_mut(&mut x), width, numbers(&net.read.bias), numbers(&net.position), windows);
    let mut out = x.f_empty_like()?;
    let normalise = |x: &Tensor, part: usize, out: &mut Tensor| -> Result<Option<Normed>> {
        let mut normed = match keep {
            true => Some(Normed { rows: x.f_empty_like()?, inverse: vec![0.0; rows] }),
            false => None,
        };
        let place = normed.as_mut().map(|n| (numbers_mut(&mut n.rows), n.inverse.as_mut_slice()));
        passes::modulate(numbers(x), m.at(part), place, numbers_mut(out));
        Ok(normed)
    };
    let mut halves = Vec::new();
    for (number, (side, [first, second])) in net.halves().enumerate() {
        let part = 3 * number;
        let normed = normalise(&x, part, &mut out)?;
        let mut hidden = side.product(&first.weight, &side.of(&out, net.tokens)?)?;
        let columns = hidden.size()[1] as usize;
        let activated = {
            let mut place = if keep { Some(hidden.f_empty_like()?) } else { None };
            let to = place.as_mut().map(numbers_mut);
            let bias = Bias(numbers(&first.bias), side.hidden_bias());
            passes::activate(numbers_mut(&mut hidden), columns, bias, to);
            place
        };
        let mut mixed = side.product(&second.weight, activated.as_ref().unwrap_or(&hidden))?;
        let bias = Bias(numbers(&second.bias), side.bias(windows));
        passes::gate(numbers_mut(&mut x), numbers_mut(&mut mixed), bias, m.at(part + 2));
        halves.extend(normed.map(|normed| HalfRecord { normed, hidden, mixed }));
    }
    let last = normalise(&x, MODULATIONS as usize * net.blocks.len(), &mut out)?;
    let mut written = Side::Channels.product(&net.write.weight, &out)?;
    let token = written.size()[1] as usize;
    passes::add_columns(numbers_mut(&mut written), token, numbers(&net.write.bias));
    Ok((written, last.map(|last| Record { tokens, embedding, modulation, halves, last })))
}

/// Writes the gradient of everything that the network has learned, given that of its output, `[P B, R D]`.
pub(super) fn backward(net: &WindowMixer, record: Record, d_output: &Tensor, gradient: &Gradient) -> Result<()> {
    let Record { tokens, embedding, modulation, halves, last } = record;
    let d_embedding = {
        let _guard = tch::no_grad_guard();
        let windows = modulation.size()[0] as usize;
        let width = net.width as usize;
        let m = Modulation::new(numbers(&modulation), windows, width);
        let mut d_modulation = modulation.f_zeros_like()?;
        let dm = numbers_mut(&mut d_modulation);

        // The output: `write` of modulated rows.
        let mut out = last.rows.f_empty_like()?;
        let mut dx = last.rows.f_zeros_like()?;
        let mut d = Side::Channels.back(&net.write.weight, d_output)?;
        let part = MODULATIONS as usize * net.blocks.len();
        modulate_back(&d, &last, m.at(part), &mut dx, dm, &mut out);
        Side::Channels.weight(d_output, &out, gradient.of(&net.write.weight));
        sum_rows(d_output, &gradient.of(&net.write.bias));

        let mut mixers: Vec<_> = net.halves().collect();
        for (number, half) in halves.into_iter().enumerate().rev() {
            let (side, [first, second]) = mixers.pop().expect("a record has a half for each of the network");
            let HalfRecord { normed, hidden, mixed } = half;
            let part = 3 * number;
            let mut bias = zeroed(gradient.of(&second.bias));
            let bias = BiasGradient(numbers_mut(&mut bias), side.bias(windows));
            passes::gate_back(numbers(&dx), numbers(&mixed), m.at(part + 2), numbers_mut(&mut d), dm, bias);

            let d_mixed = side.of(&d, net.tokens)?;
            let mut d_hidden = side.back(&second.weight, &d_mixed)?;
            let (columns, mut activated) = (hidden.size()[1] as usize, hidden.f_empty_like()?);
            let mut bias = zeroed(gradient.of(&first.bias));
            let bias = BiasGradient(numbers_mut(&mut bias), side.hidden_bias());
            let (to, again) = (numbers_mut(&mut d_hidden), numbers_mut(&mut activated));
            passes::activate_back(numbers(&hidden), columns, to, again, bias);
            side.weight(&d_mixed, &activated, gradient.of(&second.weight));

            d = side.back(&first.weight, &d_hidden)?.f_view_as(&normed.rows)?;
            modulate_back(&d, &normed, m.at(part), &mut dx, dm, &mut out);
            side.weight(&d_hidden, &side.of(&out, net.tokens)?, gradient.of(&first.weight));
        }

        // The input: `read` of the tokens, and their positions.
        Side::Channels.weight(&dx, &tokens, gradient.of(&net.read.weight));
        sum_rows(&dx, &gradient.of(&net.read.bias));
        let by_token = dx.f_view([net.tokens, -1, net.width])?;
        let _ = by_token.f_sum_intlist_out(&gradient.of(&net.position), [1i64].as_slice(), true, Kind::Float)?;

        // The modulation: one layer of the embedding.
        Side::Channels.weight(&d_modulation, &embedding.f_detach()?, gradient.of(&net.modulation.weight));
        sum_rows(&d_modulation, &gradient.of(&net.modulation.bias));
        Side::Channels.back(&net.modulation.weight, &d_modulation)?
    };
    // What gives the embedding is small and has several forms: autograd finds its way back.
    gradient.trace(&embedding, &d_embedding, &net.embedding_weights())
}

fn modulate_back(d: &Tensor, normed: &Normed, m: Modulation, dx: &mut Tensor, dm: &mut [f32], out: &mut Tensor) {
    let normed = (numbers(&normed.rows), normed.inverse.as_slice());
    passes::modulate_back(numbers(d), normed, m, numbers_mut(dx), dm, numbers_mut(out));
}

fn zeroed(mut sums: Tensor) -> Tensor {
    numbers_mut(&mut sums).fill(0.0);
    sums
}

fn sum_rows(x: &Tensor, sums: &Tensor) {
    passes::add_rows(numbers(x), numbers_mut(&mut zeroed(sums.shallow_clone())));
}

impl WindowMixer {
    /// The halves of all blocks in their order.
    fn halves(&self) -> impl Iterator<Item = (Side, &[Layer; 2])> {
        self.blocks.iter().flat_map(|block| [(Side::Tokens, &block.tokens), (Side::Channels, &block.channels)])
    }

    /// All shifts, scales and gates in order of use, `[B, M W]`, without a way back.
    fn modulation_of(&self, embedding: &Tensor) -> Result<Tensor> {
        let mut modulation = Side::Channels.product(&self.modulation.weight, &embedding.f_contiguous()?)?;
        let columns = modulation.size()[1] as usize;
        passes::add_columns(numbers_mut(&mut modulation), columns, numbers(&self.modulation.bias));
        Ok(modulation)
    }

    /// All weights that the embedding depends on.
    fn embedding_weights(&self) -> Vec<&Tensor> {
        let layers = self.noise.iter().chain(&self.condition);
        layers.flat_map(|layer| [&layer.weight, &layer.bias]).chain([&self.null]).collect()
    }
}

#[cfg(test)]
mod tests {
    use replay::Seed;
    use tch::{Device, nn::VarStore};

    use super::super::WindowMixerConfig;
    use super::super::tests::normal;
    use super::*;
    use crate::diffusion::{Condition, Denoiser};
    use crate::training::{Initializer, Parameters};

    /// A network none of whose weights is zero, and its weights.
    fn network(config: &WindowMixerConfig, rows: i64) -> (VarStore, WindowMixer, Parameters) {
        let store = VarStore::new(Device::Cpu);
        let init = Initializer::new(&store.root(), Seed::new(0));
        let network = WindowMixer::new(&init, config, rows, 3).unwrap();
        let mut parameters = Parameters::gather(&store).unwrap();
        let noise = normal(7, &[parameters.len() as i64]) * 0.1;
        tch::no_grad(|| *parameters.values_mut() += noise);
        (store, network, parameters)
    }

    fn difference(a: &Tensor, b: &Tensor) -> f64 {
        ((a - b).abs().max() / b.abs().max()).double_value(&[])
    }

    #[test]
    fn by_hand_it_has_the_output_and_the_gradient_of_the_tensor_operations() {
        if !vectors::supported() {
            return;
        }
        // Widths on both sides of the lanes that sums are made in, rows that fill the last token and some that do not.
        for (width, rows, windows) in [(8, 8, 5), (32, 10, 3), (72, 9, 1)] {
            let config = WindowMixerConfig {
                width,
                depth: 3,
                token_hidden: 5,
                channel_hidden: 40,
                embedding: 6,
                ..Default::default()
            };
            let (_store, network, parameters) = network(&config, rows);
            let (x, noise) = (normal(1, &[windows, rows, 3]), normal(2, &[windows]));
            let keep = Tensor::from_slice(&[1.0f32, 0.0, 1.0, 1.0, 0.0]).narrow(0, 0, windows).view([windows, 1]);
            let condition = Condition { value: normal(3, &[windows, 1]), keep: Some(keep) };
            let direction = normal(4, &[windows, rows, 3]);

            let expected = network.forward(&x, &noise, Some(&condition));
            assert!(difference(&network.infer(&x, &noise, Some(&condition)), &expected) < 1e-5);
            let without = network.forward(&x, &noise, None);
            assert!(difference(&network.infer(&x, &noise, None), &without) < 1e-5);

            // The caller's gradient mode is the caller's affair.
            let _guard = tch::no_grad_guard();
            let (output, pass) = network.learn(&x, &noise, Some(&condition)).unwrap();
            assert!(difference(&output, &expected) < 1e-5);
            let gradient = parameters.empty_gradient().unwrap();
            // What is not written stays as it is, and shows.
            let _ = gradient.of(&network.null).fill_(f64::NAN);
            pass.backward(&direction, &gradient).unwrap();
            let gradient = gradient.into_values();
            // One window whose condition is kept tells the null condition nothing; autograd then says zero, too.
            let expected = tch::with_grad(|| (expected * &direction).sum(Kind::Float));
            let expected = parameters.gradient(&expected).unwrap();
            let mut start = 0;
            for (name, shape) in &parameters.layout().0 {
                let length = shape.iter().product::<i64>();
                let (got, expected) = (gradient.narrow(0, start, length), expected.narrow(0, start, length));
                let error = (&got - &expected).abs().max().double_value(&[]);
                let scale = expected.abs().max().double_value(&[]);
                assert!(error <= 2e-5 * scale, "width {width}: {name} is off by {error} of {scale}");
                start += length;
            }
        }
    }

    #[test]
    fn what_is_not_f32_is_left_to_the_tensor_operations() {
        let (mut store, network, _) = network(&WindowMixerConfig { width: 8, depth: 1, ..Default::default() }, 8);
        store.double();
        let (x, noise) = (normal(1, &[2, 8, 3]).to_kind(Kind::Double), normal(2, &[2]).to_kind(Kind::Double));
        assert!(network.learn(&x, &noise, None).is_none());
        assert_eq!(network.infer(&x, &noise, None), network.forward(&x, &noise, None));
    }
}
