//! The conservative critics' gradient, without an autograd graph.
//!
//! Nearly all of CQL's work is the critics at some thirty actions of each state. Three things make it cheaper here than
//! by differentiating the loss:
//! - the first layer's share of a state is computed once for all its actions, `W_s s + W_a a`;
//! - states are worked off a few at a time, so that what lies between the layers stays in the cache;
//! - the derivative of a log-sum-exp is a softmax, and most actions' shares of it are nothing: only the others go
//!   through the backward pass, which is two thirds of the work.

use tch::{Kind, Tensor};

use crate::Result;
use crate::agents::network::Critics;
use crate::training::{Layer, Parameters};

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
    /// Shares of a log-sum-exp up to this count as nothing.
    pub negligible: f64,
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
        let found = question.slopes(&pass.output, &part(question.targets)?, &part(question.densities)?, batch)?;
        kept += pass.backward(layers, &found.slopes, &found.relevant, &mut gradient)?;
        outputs.push(pass.output);
        gaps.push(found.gaps);
    }
    let outputs = Tensor::f_cat(&outputs, 1)?;
    Ok(Answer {
        values: outputs.f_select(2, actions - 1)?,
        sampled: outputs.f_narrow(2, 0, actions - 1)?,
        gaps: Tensor::f_cat(&gaps, 1)?,
        gradient: gradient.flat(parameters)?,
        kept: kept as f64 / (batch * actions) as f64,
    })
}

/// States worked off together.
fn chunk(states: &Tensor, actions: i64) -> i64 {
    if states.device().is_cuda() { states.size()[0].max(1) } else { (ROWS / actions).max(1) }
}

/// What [`Question::slopes`] finds for some of the states.
struct Slopes {
    /// Derivative of the loss by each value, `[N, b, M + 1]`.
    slopes: Tensor,
    /// Which actions go through the backward pass, `[b, M + 1]`.
    relevant: Tensor,
    /// Gaps, `[N, b]`, within their bounds.
    gaps: Tensor,
}

impl Question<'_> {
    /// For the values `[N, b, M + 1]` of some of the `batch` states, the data's action last.
    fn slopes(&self, values: &Tensor, targets: &Tensor, densities: &Tensor, batch: i64) -> Result<Slopes> {
        let sampled = densities.size()[1];
        let own = values.f_select(2, sampled)?;
        let scaled = values.f_narrow(2, 0, sampled)?.f_sub(densities)?.f_div_scalar(self.temperature)?;
        let pooled = scaled.f_logsumexp([-1i64].as_slice(), false)?.f_mul_scalar(self.temperature)?;
        let shares = scaled.f_softmax(-1, scaled.kind())?;
        let gap = pooled.f_sub(&own)?;
        let (low, high) = self.range;
        let gaps = gap.f_clamp(low, high)?;
        // As PyTorch's clamp: no slope beyond the bounds.
        let pull = gap.f_ge(low)?.f_mul(&gap.f_le(high)?)?.f_to_kind(values.kind())?.f_mul(self.weight)?;
        let errors = own.f_sub(targets)?.f_mul_scalar(2.0)?.f_sub(&pull)?;
        let slopes = Tensor::f_cat(&[shares.f_mul(&pull.unsqueeze(-1))?, errors.unsqueeze(-1)], 2)?;
        let mut relevant = slopes.f_new_ones([slopes.size()[1], sampled + 1], (Kind::Bool, slopes.device()))?;
        relevant.f_narrow(1, 0, sampled)?.f_copy_(&shares.f_amax([0i64].as_slice(), false)?.f_gt(self.negligible)?)?;
        relevant = relevant.f_contiguous()?;
        Ok(Slopes { slopes: slopes.f_div_scalar(batch as f64)?, relevant, gaps })
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
            let mut next = layer.bias.f_baddbmm(&x, &layer.weight, 1.0, 1.0)?;
            hidden.push(x);
            x = if index + 1 < layers.len() { next.relu_() } else { next };
        }
        Ok(Self { states: states.shallow_clone(), actions: flat, hidden, output: x.f_view([count, rows, each])? })
    }

    /// Adds the gradient that `slopes` `[N, b, M]` give, through the rows that are `relevant` `[b, M]` alone; how many
    /// those were.
    fn backward(&self, layers: &[Layer], slopes: &Tensor, relevant: &Tensor, gradient: &mut Gradient) -> Result<i64> {
        let (count, _, each) = slopes.size3()?;
        let rows = relevant.f_view([-1])?.f_nonzero()?.f_view([-1])?;
        let of = |t: &Tensor, dim: i64| t.f_index_select(dim, &rows);
        let mut slope = of(&slopes.f_reshape([count, -1, 1])?, 1)?;
        for index in (1..layers.len()).rev() {
            let x = of(&self.hidden[index - 1], 1)?;
            gradient.add(index, &x, &slope)?;
            slope = x.f_threshold_backward(&slope.f_bmm(&layers[index].weight.f_transpose(1, 2)?)?, 0.0)?;
        }
        let states = self.states.f_index_select(0, &rows.f_divide_scalar_mode(each, "floor")?)?;
        let input = Tensor::f_cat(&[states, of(&self.actions, 0)?], 1)?;
        gradient.add(0, &input.unsqueeze(0).f_expand([count, -1, -1], false)?, &slope)?;
        Ok(rows.size()[0])
    }
}

/// Gradients by layer: weight `[N, in, out]` and bias `[N, 1, out]`.
struct Gradient(Vec<(Tensor, Tensor)>);

impl Gradient {
    fn new(layers: &[Layer]) -> Self {
        Self(layers.iter().map(|layer| (layer.weight.zeros_like(), layer.bias.zeros_like())).collect())
    }

    fn add(&mut self, layer: usize, x: &Tensor, slope: &Tensor) -> Result<()> {
        let (weight, bias) = &mut self.0[layer];
        let _ = weight.f_baddbmm_(&x.f_transpose(1, 2)?, slope)?;
        let _ = bias.f_add_(&slope.f_sum_dim_intlist([1i64].as_slice(), true, slope.kind())?)?;
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
