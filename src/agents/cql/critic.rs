//! The conservative critics' gradient, without an autograd graph.
//!
//! Nearly all of CQL's work is the critics at some thirty actions of each state. Three things make it cheaper here than
//! by differentiating the loss:
//! - the first layer's share of a state is computed once for all its actions, `W_s s + W_a a`;
//! - states are worked off a few at a time, so that what lies between the layers stays in the cache;
//! - the derivative of a log-sum-exp is a softmax, and most actions' shares of it are small: of those, a few that are
//!   drawn by lot stand for all in the backward pass, which is two thirds of the work.

use tch::{Kind, Tensor};

use crate::Result;
use crate::agents::network::Critics;
use crate::training::{Layer, Parameters, linear_each, mm, mm_add};

/// Rows worked off together on the CPU: three hidden layers of two critics are then some megabytes.
const ROWS: i64 = 1984;

/// What the critics are held against, for `B` states and `M` sampled actions each.
pub(super) struct Question<'a> {
    /// `[B, O]`.
    pub states: &'a Tensor,
    /// Actions of the data, `[B, A]`.
    pub actions: &'a Tensor,
    /// Bellman targets, `[B]`.
    pub targets: &'a Tensor,
    /// Actions whose values are pushed down, `[B, M, A]`.
    pub sampled: &'a Tensor,
    /// Log-densities that these were drawn with, `[B, M]`.
    pub densities: &'a Tensor,
    /// Temperature of the log-sum-exp.
    pub temperature: f64,
    /// Bounds of the gap between the log-sum-exp and the data's value.
    pub range: (f64, f64),
    /// Weight of the gap, a scalar.
    pub weight: &'a Tensor,
    /// Which actions go through the backward pass; all without it.
    pub thinning: Option<Thinning<'a>>,
}

/// Smaller shares of a log-sum-exp's derivative than `share` are kept with a probability in proportion, at `share`: the
/// gradient's expectation stays what it is. Systematic sampling keeps the number of those kept, and so the variance,
/// near the least possible.
pub(super) struct Thinning<'a> {
    /// In (0, 1).
    pub share: f64,
    /// Independent numbers, uniform in [0, 1), `[B]`.
    pub lots: &'a Tensor,
}

/// What came out, for `N` critics.
pub(super) struct Answer {
    /// Values of the data's actions, `[N, B]`.
    pub values: Tensor,
    /// Values of the sampled actions, `[N, B, M]`.
    pub sampled: Tensor,
    /// Gaps, `[N, B]`, within their bounds.
    pub gaps: Tensor,
    /// Gradient of the mean squared Bellman errors plus the weighted mean gaps, all critics added up, `[P]`.
    pub gradient: Tensor,
    /// Rows that went through the backward pass, of all.
    pub kept: f64,
}

/// Values of `actions` `[B, M, A]` in `states` `[B, O]`: `[N, B, M]`.
pub(super) fn values(critics: &Critics, states: &Tensor, actions: &Tensor) -> Result<Tensor> {
    let _guard = tch::no_grad_guard();
    let size = chunk(states, actions.size()[1]);
    let pieces: Result<Vec<Tensor>> = (0..states.size()[0])
        .step_by(size as usize)
        .map(|at| {
            let part = |t: &Tensor| t.f_narrow(0, at, size.min(states.size()[0] - at));
            Ok(Pass::forward(critics.layers(), &part(states)?, &part(actions)?)?.output)
        })
        .collect();
    Ok(Tensor::f_cat(&pieces?, 1)?)
}

/// Values, losses and gradient of `critics`, whose weights lie as in `parameters`.
pub(super) fn answer(critics: &Critics, parameters: &Parameters, question: &Question<'_>) -> Result<Answer> {
    let _guard = tch::no_grad_guard();
    let (layers, all) = (critics.layers(), Tensor::f_cat(&[question.sampled, &question.actions.unsqueeze(1)], 1)?);
    let (batch, actions) = (all.size()[0], all.size()[1]);
    let mut gradient = Gradient::new(layers);
    let size = chunk(question.states, actions);
    let (mut outputs, mut gaps, mut kept) = (Vec::new(), Vec::new(), 0);
    for at in (0..batch).step_by(size as usize) {
        let part = |t: &Tensor| t.f_narrow(0, at, size.min(batch - at));
        let pass = Pass::forward(layers, &part(question.states)?, &part(&all)?)?;
        let lots = question.thinning.as_ref().map(|thinning| part(thinning.lots)).transpose()?;
        let found =
            question.slopes(&pass.output, &part(question.targets)?, &part(question.densities)?, lots.as_ref())?;
        kept += pass.backward(layers, &(found.slopes / batch as f64), found.relevant.as_ref(), &mut gradient)?;
        outputs.push(pass.output);
        gaps.push(found.gaps);
    }
    let outputs = Tensor::f_cat(&outputs, 1)?;
    Ok(Answer {
        values: outputs.f_select(2, actions - 1)?,
        sampled: outputs.f_narrow(2, 0, actions - 1)?,
        gaps: Tensor::f_cat(&gaps, 1)?,
        gradient: gradient.flat(parameters)?,
        kept: kept as f64 / outputs.numel() as f64,
    })
}

/// States worked off together.
fn chunk(states: &Tensor, actions: i64) -> i64 {
    if states.device().is_cuda() { states.size()[0].max(1) } else { (ROWS / actions).max(1) }
}

/// What [`Question::slopes`] finds for some of the states.
struct Slopes {
    /// Derivative of the losses of each state by each value, `[N, b, M + 1]`.
    slopes: Tensor,
    /// Which actions go through the backward pass, `[N, b, M + 1]`; all without it.
    relevant: Option<Tensor>,
    /// Gaps, `[N, b]`, within their bounds.
    gaps: Tensor,
}

impl Question<'_> {
    /// For the values `[N, b, M + 1]` of some states, the data's action last.
    fn slopes(&self, values: &Tensor, targets: &Tensor, densities: &Tensor, lots: Option<&Tensor>) -> Result<Slopes> {
        let sampled = densities.size()[1];
        let own = values.f_select(2, sampled)?;
        let scaled = values.f_narrow(2, 0, sampled)?.f_sub(densities)?.f_div_scalar(self.temperature)?;
        let pooled = scaled.f_logsumexp([-1i64].as_slice(), false)?.f_mul_scalar(self.temperature)?;
        let mut shares = scaled.f_softmax(-1, scaled.kind())?;
        let mut relevant = None;
        if let (Some(thinning), Some(lots)) = (&self.thinning, lots) {
            shares = thinning.thin(&shares, lots)?;
            let data = own.f_ones_like()?.f_to_kind(Kind::Bool)?.unsqueeze(-1);
            relevant = Some(Tensor::f_cat(&[shares.f_gt(0.0)?, data], 2)?);
        }
        let gap = pooled.f_sub(&own)?;
        let (low, high) = self.range;
        let gaps = gap.f_clamp(low, high)?;
        // As PyTorch's clamp: no slope beyond the bounds.
        let pull = gap.f_ge(low)?.f_mul(&gap.f_le(high)?)?.f_to_kind(values.kind())?.f_mul(self.weight)?;
        let errors = own.f_sub(targets)?.f_mul_scalar(2.0)?.f_sub(&pull)?;
        let slopes = Tensor::f_cat(&[shares.f_mul(&pull.unsqueeze(-1))?, errors.unsqueeze(-1)], 2)?;
        Ok(Slopes { slopes, relevant, gaps })
    }
}

impl Thinning<'_> {
    /// `shares` `[N, b, M]` with the small ones drawn by `lots` `[b]`.
    fn thin(&self, shares: &Tensor, lots: &Tensor) -> Result<Tensor> {
        let small = shares.f_lt(self.share)?;
        let chances = shares.f_mul(&small)?.f_div_scalar(self.share)?;
        // An action is drawn where the running sum of chances passes a whole number.
        let before = lots.unsqueeze(-1).f_expand([shares.size()[0], -1, 1], false)?;
        let sums = Tensor::f_cat(&[&before, &chances.f_cumsum(-1, chances.kind())?.f_add(&before)?], -1)?.f_floor()?;
        let drawn = sums.f_diff(1, -1, None::<Tensor>, None::<Tensor>)?.f_clamp_max(1.0)?;
        Ok(drawn.f_mul_scalar(self.share)?.f_where_self(&small, shares)?)
    }
}

/// A forward pass over some states and all their actions, with what the backward pass needs.
struct Pass {
    states: Tensor,
    actions: Tensor,
    /// After each hidden layer, `[N, b M, H]`.
    hidden: Vec<Tensor>,
    /// `[N, b, M]`.
    output: Tensor,
}

impl Pass {
    fn forward(layers: &[Layer], states: &Tensor, actions: &Tensor) -> Result<Self> {
        let (rows, each, width) = actions.size3()?;
        let (count, inputs, outputs) = layers[0].weight.size3()?;
        let split = |from: i64, length: i64| layers[0].weight.f_narrow(1, from, length);
        let all = |t: &Tensor| t.unsqueeze(0).f_expand([count, -1, -1], false);
        let of_state = layers[0].bias.f_baddbmm(&all(states)?, &split(0, inputs - width)?, 1.0, 1.0)?;
        let flat = actions.f_reshape([rows * each, width])?;
        let of_action = all(&flat)?.f_bmm(&split(inputs - width, width)?)?;
        let mut x = of_action.f_view([count, rows, each, outputs])?;
        let _ = x.f_add_(&of_state.unsqueeze(2))?;
        let mut x = x.f_relu_()?.f_view([count, rows * each, outputs])?;
        let mut hidden = Vec::with_capacity(layers.len());
        for (index, layer) in layers.iter().enumerate().skip(1) {
            let mut next = linear_each(&x, &layer.weight, &layer.bias)?;
            hidden.push(x);
            x = if index + 1 < layers.len() { next.relu_() } else { next };
        }
        Ok(Self { states: states.shallow_clone(), actions: flat, hidden, output: x.f_view([count, rows, each])? })
    }

    /// Adds the gradient that `slopes` `[N, b, M]` give, through the rows that are `relevant` `[N, b, M]` alone; how many
    /// those were.
    fn backward(
        &self,
        layers: &[Layer],
        slopes: &Tensor,
        relevant: Option<&Tensor>,
        gradient: &mut Gradient,
    ) -> Result<i64> {
        let (count, _, each) = slopes.size3()?;
        let mut kept = 0;
        // One critic after the other: each has relevant rows of its own, and on its own it is large enough.
        for critic in 0..count {
            let rows = match relevant {
                Some(relevant) => relevant.f_select(0, critic)?.f_reshape([-1])?.f_nonzero()?.f_view([-1])?,
                None => Tensor::f_arange(self.actions.size()[0], (Kind::Int64, slopes.device()))?,
            };
            kept += rows.size()[0];
            let of = |t: &Tensor| match relevant {
                Some(_) => t.f_index_select(0, &rows),
                None => Ok(t.shallow_clone()),
            };
            let mut slope = of(&slopes.f_select(0, critic)?.f_reshape([-1, 1])?)?;
            for index in (1..layers.len()).rev() {
                let x = of(&self.hidden[index - 1].f_select(0, critic)?)?;
                gradient.add(index, critic, &x, &slope)?;
                let back = mm(&slope, &layers[index].weight.f_select(0, critic)?.f_transpose(0, 1)?)?;
                slope = x.f_threshold_backward(&back, 0.0)?;
            }
            let states = self.states.f_index_select(0, &rows.f_divide_scalar_mode(each, "floor")?)?;
            gradient.add(0, critic, &Tensor::f_cat(&[states, of(&self.actions)?], 1)?, &slope)?;
        }
        Ok(kept)
    }
}

/// Gradients by layer: weight `[N, in, out]` and bias `[N, 1, out]`.
struct Gradient(Vec<(Tensor, Tensor)>);

impl Gradient {
    fn new(layers: &[Layer]) -> Self {
        Self(layers.iter().map(|layer| (layer.weight.zeros_like(), layer.bias.zeros_like())).collect())
    }

    fn add(&mut self, layer: usize, critic: i64, x: &Tensor, slope: &Tensor) -> Result<()> {
        let (weight, bias) = &self.0[layer];
        mm_add(&mut weight.f_select(0, critic)?, &x.f_transpose(0, 1)?, slope)?;
        let total = slope.f_sum_dim_intlist([0i64].as_slice(), true, slope.kind())?;
        let _ = bias.f_select(0, critic)?.f_add_(&total)?;
        Ok(())
    }

    /// As one vector, laid out as `parameters`.
    fn flat(&self, parameters: &Parameters) -> Result<Tensor> {
        let piece = |(name, _): &(String, Vec<i64>)| {
            let at = (0..self.0.len()).find_map(|layer| match name.strip_prefix(&format!("layers.{layer}."))? {
                "weight" => Some(&self.0[layer].0),
                _ => Some(&self.0[layer].1),
            });
            at.expect("critics without normalisation have layers alone").view(-1)
        };
        let pieces: Vec<Tensor> = parameters.layout().0.iter().map(piece).collect();
        Ok(Tensor::f_cat(&pieces, 0)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::network::{Draws, sizes};
    use crate::agents::noise::{Noise, SeedNoise};
    use crate::agents::trained::{ADAM, Start};
    use replay::Seed;
    use tch::Device;

    const B: i64 = 70;
    const M: i64 = 9;

    /// Compares with the gradient of the loss as it is written; several chunks of states.
    #[test]
    fn the_gradient_is_that_of_the_loss_and_thinning_does_not_change_its_expectation() {
        tch::set_num_threads(1);
        let mut start = Start::fresh(Seed::new(3), Device::Cpu);
        start.kind = Kind::Double;
        let critics = start
            .network("critics", ADAM, |init| Critics::new(init, 2, &sizes(7, &[20, 16], 1), Draws::PYTORCH, false))
            .unwrap();
        let mut noise = SeedNoise { seed: Seed::new(4), kind: Kind::Double, device: Device::Cpu };
        let mut draw = |name, shape: &[i64]| noise.normal(name, shape).unwrap();
        let (states, actions, targets) = (draw("s", &[B, 4]), draw("a", &[B, 3]), draw("y", &[B]));
        let (sampled, densities) = (draw("sampled", &[B, M, 3]), draw("densities", &[B, M]) * 2.0);
        let weight = Tensor::from(3.0f64);
        let (temperature, range) = (0.7, (3.0, f64::INFINITY));
        let rounds = 400;
        let lots = |round: u64| {
            let mut noise = SeedNoise { seed: Seed::new(5 + round), kind: Kind::Double, device: Device::Cpu };
            (noise.uniform("lots", &[B]).unwrap() + 1.0) / 2.0
        };
        let lots: Vec<Tensor> = (0..rounds).map(lots).collect();
        let ask = |thinning| {
            let question = Question {
                states: &states,
                actions: &actions,
                targets: &targets,
                sampled: &sampled,
                densities: &densities,
                temperature,
                range,
                weight: &weight,
                thinning,
            };
            answer(&critics.net, critics.parameters(), &question).unwrap()
        };
        let exact = ask(None);
        assert_eq!(exact.kept, 1.0);

        let own = critics.net.forward(&states, &actions);
        let wide = states.unsqueeze(1).expand([-1, M, -1], false).reshape([B * M, 4]);
        let others = critics.net.forward(&wide, &sampled.view([B * M, 3])).view([2, B, M]);
        assert!((values(&critics.net, &states, &sampled).unwrap() - &others).abs().max().double_value(&[]) < 1e-12);
        let pooled = ((others - &densities) / temperature).logsumexp([-1i64].as_slice(), false) * temperature;
        let gaps = (pooled - &own).clamp_min(range.0);
        assert!(gaps.eq(range.0).any().int64_value(&[]) == 1, "some gaps are at their bound");
        let loss = ((own - &targets).square() + &gaps * &weight).sum(Kind::Double) / B as f64;
        let expected = critics.gradient(&loss).unwrap();
        let size = expected.square().sum(Kind::Double).sqrt().double_value(&[]);
        let off = |got: &Tensor| (got - &expected).square().sum(Kind::Double).sqrt().double_value(&[]) / size;
        assert!(off(&exact.gradient) < 1e-12 && (&exact.gaps - &gaps).abs().max().double_value(&[]) < 1e-12);

        let (mut mean, mut kept, mut once) = (expected.zeros_like(), 0.0, 0.0);
        for lots in &lots {
            let thinned = ask(Some(Thinning { share: 0.2, lots }));
            (mean, kept) = (mean + &thinned.gradient / rounds as f64, kept + thinned.kept / rounds as f64);
            once = off(&thinned.gradient);
        }
        assert!(kept < 0.6, "{kept} of the rows are kept");
        assert!(off(&mean) < 3.0 * once / (rounds as f64).sqrt(), "{} on average, {once} at once", off(&mean));
    }
}
