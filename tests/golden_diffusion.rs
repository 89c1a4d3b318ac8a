//! The diffusion model against numbers made by running the published code: see `golden/README.md`.

use std::{collections::HashMap, fs::File, io::BufReader, path::Path};

use gta::Result;
use gta::diffusion::{
    AdamW, AdamWConfig, Churn, Condition, Denoiser, DenoiserConfig, Edm, Guidance, GuidanceKind, Parameters, Request,
    Schedule, Solver, Start, clip, norm,
};
use tch::{Device, Kind, Tensor, nn::VarStore};

const ROWS: i64 = 32;
const ROW_DIM: i64 = 24;
const OBS_DIM: i64 = 17;

/// The arrays of an npz file.
struct Arrays(npyz::npz::NpzArchive<BufReader<File>>);

impl Arrays {
    fn open(name: &str) -> Self {
        Self::at(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name))
    }

    fn at(path: &Path) -> Self {
        Self(npyz::npz::NpzArchive::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    /// Floats of either width, as they are.
    fn get(&mut self, name: &str) -> Tensor {
        let array = self.0.by_name(name).unwrap().unwrap_or_else(|| panic!("no array {name}"));
        let shape: Vec<i64> = array.shape().iter().map(|&n| n as i64).collect();
        match array.dtype().descr().trim_matches('\'') {
            "<f4" => Tensor::from_slice(&array.into_vec::<f32>().unwrap()),
            "<f8" => Tensor::from_slice(&array.into_vec::<f64>().unwrap()),
            "<i8" => Tensor::from_slice(&array.into_vec::<i64>().unwrap()),
            other => panic!("{name} is {other}"),
        }
        .view(shape.as_slice())
    }

    fn doubles(&mut self, name: &str) -> Vec<f64> {
        Vec::try_from(self.get(name).to_kind(Kind::Double).view(-1)).unwrap()
    }
}

/// The full recordings, where they lie beside the repository.
fn shared(name: &str) -> Option<Arrays> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/golden").join(name);
    path.exists().then(|| Arrays::at(&path))
}

/// Name, shape, rule and sum of each weight of the published network, in its order.
fn manifest() -> Vec<(String, Vec<i64>, String, f64)> {
    let parse = |line: &str| {
        let [name, shape, rule, sum] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let shape = shape.split('x').map(|n| n.parse().unwrap()).collect();
        (name.to_owned(), shape, rule.to_owned(), sum.parse().unwrap())
    };
    include_str!("golden/weights.tsv").lines().filter(|line| !line.starts_with('#')).map(parse).collect()
}

fn splitmix64(state: u64) -> u64 {
    let x = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ x >> 31
}

/// The paper's network with every weight set by the manifest's rule.
fn published_network(kind: Kind) -> (VarStore, Box<dyn Denoiser>) {
    // The tests of this file run side by side; threads of their own would only wait for each other.
    tch::set_num_threads(1);
    let mut store = VarStore::new(Device::Cpu);
    let network = DenoiserConfig::paper().build(&store.root(), replay::Seed::new(0), ROWS, ROW_DIM).unwrap();
    let mut variables = store.variables();
    for (k, (name, shape, rule, sum)) in manifest().into_iter().enumerate() {
        let mut variable = variables.remove(&name).unwrap_or_else(|| panic!("the network has no {name}"));
        assert_eq!(variable.size(), shape, "{name}");
        let count: i64 = shape.iter().product();
        let fan_in = (count / shape[0]) as f64;
        let values: Vec<f32> = (0..count as u64)
            .map(|i| {
                let u = (splitmix64((k as u64) << 32 | i) >> 40) as f64 / f64::from(1 << 24) - 0.5;
                let value = match rule.as_str() {
                    "2u" => 2.0 * u,
                    "0.1u" => 0.1 * u,
                    "1+0.2u" => 1.0 + 0.2 * u,
                    "2u/sqrt(numel/shape[0])" => 2.0 * u / fan_in.sqrt(),
                    other => panic!("rule {other}"),
                };
                value as f32
            })
            .collect();
        let total: f64 = values.iter().map(|&v| f64::from(v)).sum();
        assert!((total - sum).abs() < 1e-6 * sum.abs().max(1.0), "{name}: {total} is not {sum}");
        tch::no_grad(|| variable.copy_(&Tensor::from_slice(&values).view(shape.as_slice())));
    }
    assert!(variables.is_empty(), "the published network has no {:?}", variables.keys());
    if kind == Kind::Double {
        store.double();
    }
    (store, network)
}

/// The largest difference, in units of the largest number expected.
fn relative_error(got: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(got.size(), expected.size());
    let expected = expected.to_kind(Kind::Double);
    ((got.to_kind(Kind::Double) - &expected).abs().max() / expected.abs().max()).double_value(&[])
}

#[test]
fn the_papers_network_has_29_6_million_weights_and_its_output() {
    for (kind, tolerance) in [(Kind::Double, 1e-7), (Kind::Float, 1e-5)] {
        let (store, network) = published_network(kind);
        let weights: usize = store.variables().values().map(Tensor::numel).sum();
        assert_eq!(weights / 100_000, 296);

        let mut golden = Arrays::open("network.npz");
        let mut input = |name| golden.get(name).to_kind(kind);
        let (x, sigma, condition) = (input("x"), input("sigma"), Condition::new(input("cond")));
        let edm = Edm::default();
        let _guard = tch::no_grad_guard();
        let raw = network.forward(
            &(&x / (sigma.square() + 1.0).sqrt().view([-1, 1, 1])),
            &(sigma.log() / 4.0),
            Some(&condition),
        );
        let conditional = edm.denoise(&*network, &x, &sigma, Some(&condition));
        let unconditional = edm.denoise(&*network, &x, &sigma, None);
        for (got, expected) in
            [(&raw, "net_out_cond_f64"), (&conditional, "precond_cond_f64"), (&unconditional, "precond_uncond_f64")]
        {
            let error = relative_error(got, &golden.get(expected));
            assert!(error < tolerance, "{kind:?} {expected}: {error}");
        }
        // One batch may hold both.
        let keep = Tensor::from_slice(&[1.0f32, 0.0, 1.0, 0.0]).view([4, 1]).to_kind(kind);
        let mixed = edm.denoise(&*network, &x, &sigma, Some(&Condition { value: condition.value, keep: Some(keep) }));
        for window in 0..4 {
            let expected = if window % 2 == 0 { &conditional } else { &unconditional }.get(window);
            assert!(relative_error(&mixed.get(window), &expected) < 1e-5, "window {window}");
        }
    }
}

#[test]
fn noise_levels_and_churn_are_the_published_ones() {
    let mut golden = Arrays::open("schedule.npz");
    for steps in [16, 128] {
        let schedule = Schedule::full(&Edm::default(), steps);
        let (sigmas, gammas) = (golden.doubles(&format!("sigmas_{steps}")), golden.doubles(&format!("gammas_{steps}")));
        assert_eq!(schedule.sigmas().len(), sigmas.len());
        for (i, (&got, expected)) in schedule.sigmas().iter().zip(sigmas).enumerate() {
            // The reference is computed in f32.
            assert!((got - expected).abs() <= 1e-6 * expected, "level {i} of {steps}: {got} is not {expected}");
        }
        for (i, expected) in gammas.into_iter().enumerate() {
            let got = Churn::default().gamma(schedule.sigmas()[i], steps);
            assert!((got - expected).abs() < 1e-7, "gamma {i} of {steps}: {got} is not {expected}");
        }
    }
}

/// Keeps the input of every pass.
#[derive(Debug)]
struct Recorder {
    network: Box<dyn Denoiser>,
    inputs: std::sync::Mutex<Vec<(f64, Tensor)>>,
}

impl Denoiser for Recorder {
    fn forward(&self, x: &Tensor, noise: &Tensor, condition: Option<&Condition>) -> Tensor {
        let sigma = (noise.double_value(&[0]) * 4.0).exp();
        self.inputs.lock().unwrap().push((sigma, x * (sigma * sigma + 1.0).sqrt()));
        self.network.forward(x, noise, condition)
    }
}

#[test]
fn partial_noising_and_sampling_with_given_noise_give_the_published_windows() {
    let (_store, network) = published_network(Kind::Float);
    let recorder = Recorder { network, inputs: Default::default() };
    let mut golden = Arrays::open("sampling.npz");
    let windows = (golden.get("samples_raw") - golden.get("norm_mean")) / golden.get("norm_std");
    let (condition, noise) = (golden.get("cond"), golden.get("noise"));
    for (churn, temperature) in [(0, 1), (0, 2), (80, 1), (80, 2)] {
        let case = format!("churn{churn}_temp{temperature}");
        let solver =
            Solver::StochasticHeun { steps: 16, churn: Churn { amount: f64::from(churn), ..Churn::default() } };
        let request = Request {
            start: Start::Partial { windows: &windows, mu: 0.5 },
            condition: Some(&condition),
            guidance: Guidance { weight: f64::from(temperature) - 1.0, kind: GuidanceKind::Published, above: 0.0 },
            inpainting: None,
        };
        let mut draw = |number: u64| -> Result<Tensor> { Ok(noise.get(number as i64)) };
        let got = solver.sample(&recorder, &Edm::default(), &request, &mut draw, &mut |_, _| Ok(())).unwrap();
        let error = relative_error(&got, &golden.get(&format!("out_norm_{case}")));
        assert!(error < 1e-4, "{case}: {error}");

        // The published code evaluates the unconditional network where its weight is zero; we do not, and where both
        // are needed they are one pass.
        let inputs = std::mem::take(&mut *recorder.inputs.lock().unwrap());
        let levels = golden.doubles(&format!("eval_sigma_{case}"));
        let first_of_pairs: Vec<usize> = (0..levels.len()).filter(|i| i % 3 != 1).collect();
        assert_eq!(inputs.len(), first_of_pairs.len(), "{case}");
        for (&(sigma, _), &i) in inputs.iter().zip(&first_of_pairs) {
            assert!((sigma / levels[i] - 1.0).abs() < 1e-5, "{case} pass {i}: {sigma} is not {}", levels[i]);
        }
        if let Some(mut full) = shared("sampling_dim16proc.npz").filter(|_| churn == 0) {
            let expected = full.get(&format!("eval_x_{case}"));
            for ((_, x), &i) in inputs.iter().zip(&first_of_pairs) {
                let error = relative_error(&x.narrow(0, 0, 4), &expected.get(i as i64));
                assert!(error < 1e-4, "{case} input of pass {i}: {error}");
            }
        }
    }
}

#[test]
fn the_first_training_step_has_the_published_loss_and_gradients() {
    // In f64 what is left is the rounding of the reference, which is f32: up to 1.2e-5 of a gradient's norm. Here f32 adds as
    // much, since windows are read by other, shorter sums than there.
    for (kind, tolerance) in [(Kind::Double, 2e-5), (Kind::Float, 4e-5)] {
        first_training_step(kind, tolerance);
    }
}

fn first_training_step(kind: Kind, tolerance: f64) {
    let (store, network) = published_network(kind);
    let (mut golden, mut sampling) = (Arrays::open("training.npz"), Arrays::open("sampling.npz"));
    let step = |tensor: Tensor| tensor.get(0);
    let x0 = ((step(golden.get("x")) - sampling.get("norm_mean")) / sampling.get("norm_std")).to_kind(kind);
    let edm = Edm::default();
    let sigma: Vec<f32> =
        golden.doubles("sig_n").iter().take(4).map(|&normal| edm.training_sigma(normal) as f32).collect();
    let mask = Tensor::ones([1, ROWS, ROW_DIM], (kind, Device::Cpu));
    let _ = mask.narrow(1, ROWS - 1, 1).narrow(2, OBS_DIM, ROW_DIM - OBS_DIM).zero_();
    let condition = Condition::new(step(golden.get("cond")).to_kind(kind));
    let (sigma, noise) = (Tensor::from_slice(&sigma).to_kind(kind), step(golden.get("noise")).to_kind(kind));
    let loss = edm.loss(&*network, &x0, &sigma, &noise, Some(&condition), Some(&mask));
    let expected = golden.doubles("loss")[0];
    assert!((loss.double_value(&[]) / expected - 1.0).abs() < 1e-5, "{} is not {expected}", loss.double_value(&[]));

    loss.backward();
    let (manifest, variables) = (manifest(), store.variables());
    let norm = |tensor: &Tensor| tensor.to_kind(Kind::Double).square().sum(None::<Kind>).sqrt().double_value(&[]);
    let mut total = 0.0;
    let index = golden.doubles("grad_index");
    for (k, expected) in index.into_iter().zip(golden.doubles("grad_norm")) {
        let name = &manifest[k as usize].0;
        let got = norm(&variables[name].grad());
        total += got * got;
        // The reference sums squares in f32, which loses that much over millions of weights.
        let tolerance = if variables[name].numel() > 1_000_000 { 1e-3 } else { tolerance };
        assert!((got - expected).abs() < tolerance * expected + 1e-7, "{name}: {got} is not {expected}");
    }
    let expected = golden.doubles("gnorm")[0];
    assert!((total.sqrt() / expected - 1.0).abs() < 1e-5, "{} is not {expected}", total.sqrt());
    if let Some(mut full) = shared("training_dim16proc.npz") {
        let names: HashMap<_, _> = variables.iter().filter(|(_, v)| v.requires_grad() && v.numel() <= 2048).collect();
        for (name, variable) in names {
            let error = relative_error(&variable.grad(), &full.get(&format!("grad0/{name}")));
            assert!(error < 1e-3, "gradient of {name}: {error}");
        }
    }
}

#[test]
fn five_training_steps_have_the_published_losses_gradients_and_weights() {
    let (store, network) = published_network(Kind::Float);
    let mut parameters = Parameters::gather(&store).unwrap();
    let mut optimizer = AdamW::new(AdamWConfig::default(), parameters.values());
    let (mut golden, mut sampling) = (Arrays::open("training.npz"), Arrays::open("sampling.npz"));
    let [x, noise, cond, mean, std] =
        [golden.get("x"), golden.get("noise"), golden.get("cond"), sampling.get("norm_mean"), sampling.get("norm_std")];
    let edm = Edm::default();
    let levels: Vec<f32> = golden.doubles("sig_n").iter().map(|&n| edm.training_sigma(n) as f32).collect();
    let mask = Tensor::ones([1, ROWS, ROW_DIM], (Kind::Float, Device::Cpu));
    let _ = mask.narrow(1, ROWS - 1, 1).narrow(2, OBS_DIM, ROW_DIM - OBS_DIM).zero_();
    let (losses, norms) = (golden.doubles("loss"), golden.doubles("gnorm"));
    for step in 0..5 {
        let at = step as i64;
        let x0 = (x.get(at) - &mean) / &std;
        let (sigma, condition) = (Tensor::from_slice(&levels[4 * step..][..4]), Condition::new(cond.get(at)));
        let loss = edm.loss(&*network, &x0, &sigma, &noise.get(at), Some(&condition), Some(&mask));
        let gradient = parameters.gradient(&loss).unwrap();
        let (loss, length) = (loss.double_value(&[]), norm(&gradient).unwrap().double_value(&[]));
        assert!((loss / losses[step] - 1.0).abs() < 1e-4, "loss {step}: {loss} is not {}", losses[step]);
        // Adam moves a weight by the full rate however small its gradient, so where that is rounding only, its sign is
        // chance and steps drift apart: in f64 the fourth norm is 0.88676, where f32 gave 0.89098 there and 0.88585 here.
        let tolerance = [1e-5, 1e-4, 1e-3, 1e-2, 1e-2][step];
        assert!(
            (length / norms[step] - 1.0).abs() < tolerance,
            "gradient norm {step}: {length} is not {}",
            norms[step]
        );
        optimizer.step_averaged(parameters.values_mut(), &gradient, clip(length, 1.0), 3e-4, None).unwrap();
    }
    // The first numbers of each weight. Five steps move one by up to 15e-4; chance signs part a few by a step or two.
    let (manifest, variables) = (manifest(), store.variables());
    let (mut errors, heads) = (Vec::new(), golden.doubles("final_head"));
    for (&k, head) in golden.doubles("final_index").iter().zip(heads.chunks(4)) {
        let got = Vec::<f64>::try_from(variables[&manifest[k as usize].0].to_kind(Kind::Double).view(-1)).unwrap();
        errors.extend(got.iter().zip(head).map(|(got, expected)| (got - expected).abs()));
    }
    let (mean, worst) = (errors.iter().sum::<f64>() / errors.len() as f64, errors.iter().copied().fold(0.0, f64::max));
    assert!(mean < 2e-5 && worst < 6e-4, "weights are off by {mean} on average, by up to {worst}");
}
