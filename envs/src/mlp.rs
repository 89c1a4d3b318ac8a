//! Multi-layer perceptrons as policies, read from safetensors files.

use std::path::Path;

use rand_distr::{Distribution, StandardNormal};
use safetensors::{Dtype, SafeTensors};

use crate::{Error, Policy, Result, Rng};

/// A Gaussian policy with an MLP mean, from a safetensors file.
///
/// Tensors: `layers.{i}.weight` `[out, in]` and `layers.{i}.bias` `[out]`; `obs_mean` and `obs_std` `[O]`;
/// optionally `log_std` `[A]`, or `log_std.weight` `[A, last hidden]` and `log_std.bias` `[A]`, cut to `[-20, 2]`.
/// Metadata: `hidden` (`tanh` or `relu`), `output` (`tanh` or anything else for none) and `obs_clip`, the bound of
/// normalised observations. Actions are sampled, squashed if `output` says so, and cut to `[-1, 1]`.
#[derive(Clone, Debug)]
pub struct MlpPolicy {
    mean: Vec<f64>,
    std: Vec<f64>,
    clip: f64,
    layers: Vec<Layer>,
    log_std: LogStd,
    relu: bool,
    squash: bool,
}

/// `weight x + bias`.
#[derive(Clone, Debug)]
struct Layer {
    inputs: usize,
    weight: Vec<f64>,
    bias: Vec<f64>,
}

impl Layer {
    fn apply<'a>(&'a self, x: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
        let rows = self.weight.chunks_exact(self.inputs).zip(&self.bias);
        rows.map(move |(row, bias)| bias + row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>())
    }
}

/// Logarithm of the actions' standard deviation.
#[derive(Clone, Debug)]
enum LogStd {
    Deterministic,
    Constant(Vec<f64>),
    OfState(Layer),
}

impl MlpPolicy {
    /// Reads a policy from a file.
    ///
    /// # Errors
    /// If the file cannot be read or does not hold a policy of this form.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let name = path.as_ref().display().to_string();
        let bytes =
            std::fs::read(path).map_err(|error| Error::Policy { name: name.clone(), why: error.to_string() })?;
        Self::from_bytes(&name, &bytes)
    }

    /// Reads a policy from the bytes of a file; `name` appears in errors.
    ///
    /// # Errors
    /// If the bytes do not hold a policy of this form.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self> {
        let fail = |why: String| Error::Policy { name: name.to_owned(), why };
        let file = Tensors::new(bytes).map_err(&fail)?;
        file.policy().map_err(fail)
    }

    /// The policy that does what this one does on average, before actions are squashed and cut.
    pub fn without_noise(&self) -> Self {
        Self { log_std: LogStd::Deterministic, ..self.clone() }
    }
}

/// An opened file. Its errors are the reasons that [`Error::Policy`] gives.
struct Tensors<'a> {
    tensors: SafeTensors<'a>,
    metadata: std::collections::HashMap<String, String>,
}

impl<'a> Tensors<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, String> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        Ok(Self { tensors, metadata: header.metadata().clone().unwrap_or_default() })
    }

    fn has(&self, name: &str) -> bool {
        self.tensors.tensor(name).is_ok()
    }

    fn setting(&self, key: &str) -> Result<&str, String> {
        self.metadata.get(key).map(String::as_str).ok_or_else(|| format!("metadata has no {key:?}"))
    }

    /// The numbers and the shape of a tensor.
    fn numbers(&self, name: &str) -> Result<(Vec<f64>, Vec<usize>), String> {
        let view = self.tensors.tensor(name).map_err(|error| format!("tensor {name}: {error}"))?;
        let bytes = view.data();
        let values: Vec<f64> = match view.dtype() {
            Dtype::F32 => bytes.as_chunks().0.iter().map(|&b| f64::from(f32::from_le_bytes(b))).collect(),
            Dtype::F64 => bytes.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b)).collect(),
            other => return Err(format!("tensor {name} is {other:?}, expected F32 or F64")),
        };
        match values.iter().find(|value| !value.is_finite()) {
            Some(bad) => Err(format!("tensor {name} holds {bad}")),
            None => Ok((values, view.shape().to_vec())),
        }
    }

    fn vector(&self, name: &str, len: usize) -> Result<Vec<f64>, String> {
        let (values, shape) = self.numbers(name)?;
        if shape == [len] { Ok(values) } else { Err(format!("tensor {name} is {shape:?}, expected [{len}]")) }
    }

    fn layer(&self, name: &str, inputs: Option<usize>) -> Result<Layer, String> {
        let (weight, shape) = self.numbers(&format!("{name}.weight"))?;
        let [outputs, width] = shape[..] else { return Err(format!("{name}.weight is {shape:?}, expected a matrix")) };
        if width == 0 || outputs == 0 || inputs.is_some_and(|inputs| inputs != width) {
            return Err(format!("{name}.weight is {shape:?}, expected {inputs:?} inputs"));
        }
        Ok(Layer { inputs: width, weight, bias: self.vector(&format!("{name}.bias"), outputs)? })
    }

    fn policy(&self) -> Result<MlpPolicy, String> {
        let mut layers: Vec<Layer> = Vec::new();
        while layers.is_empty() || self.has(&format!("layers.{}.weight", layers.len())) {
            let inputs = layers.last().map(|layer| layer.bias.len());
            layers.push(self.layer(&format!("layers.{}", layers.len()), inputs)?);
        }
        let (first, last) = (&layers[0], &layers[layers.len() - 1]);
        let (obs_dim, action_dim) = (first.inputs, last.bias.len());
        let log_std = if self.has("log_std.weight") {
            let layer = self.layer("log_std", Some(last.inputs))?;
            if layer.bias.len() != action_dim {
                return Err(format!("log_std has {} outputs, expected {action_dim}", layer.bias.len()));
            }
            LogStd::OfState(layer)
        } else if self.has("log_std") {
            LogStd::Constant(self.vector("log_std", action_dim)?)
        } else {
            LogStd::Deterministic
        };
        let clip: f64 =
            self.setting("obs_clip")?.parse().map_err(|_| "metadata obs_clip is not a number".to_owned())?;
        let std = self.vector("obs_std", obs_dim)?;
        if clip.is_nan() || clip <= 0.0 || std.iter().any(|&s| s <= 0.0) {
            return Err("obs_clip and obs_std must be positive".into());
        }
        let relu = match self.setting("hidden")? {
            "relu" => true,
            "tanh" => false,
            other => return Err(format!("metadata hidden is {other:?}, expected tanh or relu")),
        };
        let squash = self.setting("output")? == "tanh";
        Ok(MlpPolicy { mean: self.vector("obs_mean", obs_dim)?, std, clip, layers, log_std, relu, squash })
    }
}

impl Policy for MlpPolicy {
    fn obs_dim(&self) -> usize {
        self.mean.len()
    }

    fn action_dim(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.bias.len())
    }

    fn act(&self, observation: &[f64], rng: &mut Rng, action: &mut [f32]) {
        let normalise = |((o, m), s): ((&f64, &f64), &f64)| ((o - m) / s).clamp(-self.clip, self.clip);
        let mut x: Vec<f64> = observation.iter().zip(&self.mean).zip(&self.std).map(normalise).collect();
        let (last, hidden) = self.layers.split_last().expect("a policy has a layer");
        for layer in hidden {
            x = layer.apply(&x).map(|v| if self.relu { v.max(0.0) } else { v.tanh() }).collect();
        }
        let log_std = match &self.log_std {
            LogStd::Deterministic => None,
            LogStd::Constant(values) => Some(values.clone()),
            LogStd::OfState(layer) => Some(layer.apply(&x).map(|v| v.clamp(-20.0, 2.0)).collect()),
        };
        for (i, (out, mean)) in action.iter_mut().zip(last.apply(&x)).enumerate() {
            let noise: f64 = StandardNormal.sample(rng);
            let sampled = mean + log_std.as_ref().map_or(0.0, |log_std| log_std[i].exp() * noise);
            *out = if self.squash { sampled.tanh() } else { sampled }.clamp(-1.0, 1.0) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use rand_chacha::rand_core::SeedableRng;
    use safetensors::tensor::TensorView;

    use super::*;

    type Columns = Vec<(&'static str, Vec<usize>, Vec<f32>)>;

    fn settings(output: &str) -> HashMap<String, String> {
        [("hidden", "relu"), ("output", output), ("obs_clip", "2")].map(|(k, v)| (k.into(), v.into())).into()
    }

    /// Two observations, two hidden units, one action.
    fn columns() -> Columns {
        vec![
            ("layers.0.weight", vec![2, 2], vec![1.0, 0.0, 0.0, -1.0]),
            ("layers.0.bias", vec![2], vec![0.5, 0.0]),
            ("layers.1.weight", vec![1, 2], vec![0.1, 0.2]),
            ("layers.1.bias", vec![1], vec![0.05]),
            ("obs_mean", vec![2], vec![1.0, 0.0]),
            ("obs_std", vec![2], vec![2.0, 1.0]),
        ]
    }

    fn file(columns: &Columns, settings: HashMap<String, String>) -> Vec<u8> {
        let bytes: Vec<Vec<u8>> = columns.iter().map(|c| c.2.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
        let views = columns
            .iter()
            .zip(&bytes)
            .map(|((name, shape, _), bytes)| (*name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
        safetensors::serialize(views, Some(settings)).unwrap()
    }

    fn action(policy: &MlpPolicy, observation: [f64; 2], seed: u64) -> f32 {
        let mut action = [0.0];
        policy.act(&observation, &mut Rng::seed_from_u64(seed), &mut action);
        action[0]
    }

    #[test]
    fn a_network_is_evaluated_as_written() {
        let policy = MlpPolicy::from_bytes("own", &file(&columns(), settings("none"))).unwrap();
        assert_eq!((policy.obs_dim(), policy.action_dim()), (2, 1));
        // Normalised (1, -2 after the bound), hidden (1.5, 2), output 0.15 + 0.4 + 0.05.
        assert!((action(&policy, [3.0, -7.0], 0) - 0.6).abs() < 1e-6);
        // Hidden (0, 0): only the bias is left.
        assert!((action(&policy, [-1.0, 3.0], 1) - 0.05).abs() < 1e-6);
        let squashed = MlpPolicy::from_bytes("own", &file(&columns(), settings("tanh"))).unwrap();
        assert!((action(&squashed, [3.0, -7.0], 0) - 0.6_f32.tanh()).abs() < 1e-6);
    }

    #[test]
    fn actions_are_sampled_with_the_given_deviation() {
        let mut constant = columns();
        constant.push(("log_std", vec![1], vec![0.1_f32.ln()]));
        let mut of_state = columns();
        of_state.push(("log_std.weight", vec![1, 2], vec![0.0, 0.0]));
        of_state.push(("log_std.bias", vec![1], vec![0.1_f32.ln()]));
        for columns in [constant, of_state] {
            let policy = MlpPolicy::from_bytes("own", &file(&columns, settings("none"))).unwrap();
            let draws: Vec<f64> = (0..4000).map(|seed| f64::from(action(&policy, [-1.0, 3.0], seed)) - 0.05).collect();
            let mean = draws.iter().sum::<f64>() / 4000.0;
            let deviation = (draws.iter().map(|d| d * d).sum::<f64>() / 4000.0).sqrt();
            assert!(mean.abs() < 0.01 && (deviation - 0.1).abs() < 0.01, "{mean} {deviation}");
            assert!((action(&policy.without_noise(), [-1.0, 3.0], 7) - 0.05).abs() < 1e-6);
        }
    }

    #[test]
    fn files_that_hold_no_policy_are_refused() {
        let fails = |columns: &Columns, settings: HashMap<String, String>, why: &str| {
            let error = MlpPolicy::from_bytes("own", &file(columns, settings)).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("policy own"), "{error}");
        };
        for missing in 0..6 {
            let mut columns = columns();
            let (name, _, _) = columns.remove(missing);
            // Without its second layer the network ends at the first, with two actions.
            if name != "layers.1.weight" {
                fails(&columns, settings("none"), name);
            }
        }
        let mut wrong = columns();
        wrong[2] = ("layers.1.weight", vec![1, 3], vec![0.0; 3]);
        fails(&wrong, settings("none"), "expected Some(2) inputs");
        let mut wrong = columns();
        wrong[0].2[1] = f32::NAN;
        fails(&wrong, settings("none"), "holds NaN");
        let mut wrong = columns();
        wrong[5].2[0] = 0.0;
        fails(&wrong, settings("none"), "must be positive");
        fails(&columns(), HashMap::new(), "obs_clip");
        assert!(MlpPolicy::from_bytes("own", b"nothing").is_err());
        assert!(MlpPolicy::load("/nowhere/policy.safetensors").unwrap_err().to_string().contains("/nowhere"));
    }

    /// Published policies, where they lie beside the repository. Gymnasium 1.4.0 gives them mean returns of 8856,
    /// 1247 (a range of 1058 to 1582) and 3981 over six episodes.
    #[test]
    fn published_policies_run() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/policies");
        for (name, id, expected) in [
            ("halfcheetah-sac", crate::EnvId::HalfCheetah, 8000.0..9500.0),
            ("hopper-sac", crate::EnvId::Hopper, 900.0..2000.0),
            ("walker2d-sac", crate::EnvId::Walker2d, 3500.0..4300.0),
        ] {
            let path = format!("{folder}/{name}.safetensors");
            if !Path::new(&path).exists() {
                continue;
            }
            let policy = MlpPolicy::load(path).unwrap();
            let outcomes = crate::rollouts(id, &policy, 4, 0, None).unwrap();
            let mean = outcomes.iter().map(|o| o.total_reward).sum::<f64>() / 4.0;
            assert!(expected.contains(&mean), "{name} returns {mean}");
        }
    }
}
