//! Three updates against numbers made by running the published code: see `tests/fixtures/agents/README.md`.

use std::{cell::RefCell, fs::File, io::BufReader, path::PathBuf};

use replay::Seed;
use tch::{Device, Kind, Tensor};

use super::noise::Noise;
use super::policy::{MlpActor, Policy};
use super::rows::Rows;
use super::trained::Start;
use super::units::Units;
use super::{Actor, Situations};
use crate::Result;
use crate::training::Parameters;

/// The recordings of one algorithm.
pub(super) struct Golden {
    name: &'static str,
    arrays: RefCell<npyz::npz::NpzArchive<BufReader<File>>>,
    pub(super) kind: Kind,
}

/// Where a published tensor lies in a network of ours.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) ours: String,
    /// Which of several critics; their weights are transposed.
    pub(super) member: Option<i64>,
    /// First row and number of rows, where one layer of ours is several of theirs.
    pub(super) rows: Option<(i64, i64)>,
    pub(super) net: &'static str,
    pub(super) theirs: String,
}

/// Places of an [`Mlp`](super::network::Mlp) of `layers` layers, published as `{prefix}{2 i}`.
pub(super) fn mlp(net: &'static str, prefix: &str, layers: usize) -> Vec<Place> {
    places(net, prefix, layers, None)
}

/// Places of [`Critics`](super::network::Critics), each published as `(network, prefix)`.
pub(super) fn critics(members: &[(&'static str, &str)], layers: usize) -> Vec<Place> {
    let member =
        |(index, (net, prefix)): (usize, &(&'static str, &str))| places(net, prefix, layers, Some(index as i64));
    members.iter().enumerate().flat_map(member).collect()
}

fn places(net: &'static str, prefix: &str, layers: usize, member: Option<i64>) -> Vec<Place> {
    let place = |(index, part): (usize, &str)| Place {
        ours: format!("layers.{index}.{part}"),
        member,
        rows: None,
        net,
        theirs: format!("{prefix}{}.{part}", 2 * index),
    };
    (0..layers).flat_map(|index| [(index, "weight"), (index, "bias")]).map(place).collect()
}

/// The part of `vector`, which lies as `parameters` do, at `place`, as it was published.
pub(super) fn piece(parameters: &Parameters, vector: &Tensor, place: &Place) -> Tensor {
    let mut start = 0;
    for (name, shape) in &parameters.layout().0 {
        let length: i64 = shape.iter().product();
        if *name == place.ours {
            let view = vector.narrow(0, start, length).view(shape.as_slice());
            return match place.member {
                None => place.rows.map_or(view.shallow_clone(), |(first, count)| view.narrow(0, first, count)),
                Some(member) if place.ours.ends_with("weight") => view.get(member).tr(),
                Some(member) => view.get(member).view(-1),
            };
        }
        start += length;
    }
    panic!("the network has no {}", place.ours);
}

fn splitmix64(state: u64) -> u64 {
    let x = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ x >> 31
}

impl Golden {
    pub(super) fn open(name: &'static str, kind: Kind) -> Self {
        // The tests run side by side; threads of their own would only wait for each other.
        tch::set_num_threads(1);
        let path = Self::folder().join(format!("{name}.npz"));
        let arrays = npyz::npz::NpzArchive::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self { name, arrays: RefCell::new(arrays), kind }
    }

    /// In f32 and in f64, with the tolerance of losses and gradients.
    pub(super) fn both(name: &'static str, test: impl Fn(&Self)) {
        [Kind::Float, Kind::Double].into_iter().for_each(|kind| test(&Self::open(name, kind)));
    }

    fn folder() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/agents")
    }

    pub(super) fn start(&self) -> Start {
        let mut start = Start::fresh(Seed::new(0), Device::Cpu);
        start.kind = self.kind;
        start
    }

    /// Whether there is an array of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.arrays.borrow_mut().by_name(name).unwrap().is_some()
    }

    /// An array, as the test's kind.
    pub(super) fn get(&self, name: &str) -> Tensor {
        let mut arrays = self.arrays.borrow_mut();
        let array = arrays.by_name(name).unwrap().unwrap_or_else(|| panic!("no array {name}"));
        let shape: Vec<i64> = array.shape().iter().map(|&n| n as i64).collect();
        let flat = match array.dtype().descr().trim_matches('\'') {
            "<f4" => Tensor::from_slice(&array.into_vec::<f32>().unwrap()),
            "<f8" => Tensor::from_slice(&array.into_vec::<f64>().unwrap()),
            "<i4" => Tensor::from_slice(&array.into_vec::<i32>().unwrap()),
            "<i8" => Tensor::from_slice(&array.into_vec::<i64>().unwrap()),
            "|u1" => Tensor::from_slice(&array.into_vec::<u8>().unwrap()),
            other => panic!("{name} is {other}"),
        };
        flat.view(shape.as_slice()).to_kind(self.kind)
    }

    /// Numbers in f64 whatever the test's kind.
    pub(super) fn numbers(&self, name: &str) -> Vec<f64> {
        let wide = Self { kind: Kind::Double, ..Self::open(self.name, Kind::Double) };
        Vec::try_from(wide.get(name).view(-1)).unwrap()
    }

    /// The array of the same kind of run where there is one; `name` may begin with a variant.
    fn expected(&self, variant: &str, name: &str) -> Option<(Vec<f64>, bool)> {
        let sharp = format!("{variant}f64/{name}");
        let plain = format!("{variant}{name}");
        let name = [sharp, plain].into_iter().filter(|n| self.has(n));
        let mut name: Vec<String> = name.collect();
        if self.kind == Kind::Float {
            name.reverse();
        }
        let name = name.first()?;
        Some((self.numbers(name), self.kind == Kind::Double && name.contains("f64/")))
    }

    /// Sets the weights at `places` by the rule; `net` overrides the networks' names in the rule's file.
    pub(super) fn set(&self, parameters: &Parameters, places: &[Place]) {
        self.set_as(parameters, places, None);
    }

    pub(super) fn set_as(&self, parameters: &Parameters, places: &[Place], net: Option<&str>) {
        let rules = std::fs::read_to_string(Self::folder().join(format!("{}.tsv", self.name))).unwrap();
        for place in places {
            let wanted = net.unwrap_or(place.net);
            let line = rules.lines().map(|line| line.split('\t').collect::<Vec<_>>());
            let line = line.filter(|f| f.len() == 7).find(|f| f[1] == wanted && f[2] == place.theirs);
            let line = line.unwrap_or_else(|| panic!("no rule for {place:?}"));
            let number = |field: usize| line[field].parse::<f64>().unwrap();
            let shape: Vec<i64> = line[3].split('x').filter(|n| !n.is_empty()).map(|n| n.parse().unwrap()).collect();
            let k: u64 = line[0].parse().unwrap();
            let value = |i: u64| {
                let u = (splitmix64(k << 32 | i) >> 40) as f64 / f64::from(1 << 24) - 0.5;
                (number(5) + number(4) * u) as f32
            };
            let values: Vec<f32> = (0..shape.iter().product::<i64>() as u64).map(value).collect();
            let total: f64 = values.iter().map(|&v| f64::from(v)).sum();
            assert!((total - number(6)).abs() < 1e-6 * total.abs().max(1.0), "{place:?}");
            let mut view = piece(parameters, parameters.values(), place);
            tch::no_grad(|| view.copy_(&Tensor::from_slice(&values).view(shape.as_slice())));
        }
    }

    /// The batch of update `update`, from 1.
    pub(super) fn rows(&self, update: i64) -> Rows {
        let take = |name: &str| self.get(name).get(update - 1);
        Rows {
            observations: take("obs"),
            actions: take("actions"),
            rewards: take("rewards").view(-1),
            next_observations: take("next_obs"),
            continues: 1.0 - take("dones").view(-1),
            next_actions: None,
        }
    }

    /// The noise of update `update`, from 1.
    pub(super) fn noise(&self, update: i64) -> Recorded<'_> {
        Recorded { golden: self, update }
    }

    /// Compares `got` with element `update - 1` of a recorded series.
    pub(super) fn check(&self, variant: &str, name: &str, update: i64, got: f64) {
        let (expected, sharp) = self.expected(variant, name).unwrap_or_else(|| panic!("no {variant}{name}"));
        let expected = expected[update as usize - 1];
        let tolerance = if sharp { 2e-7 } else { 1e-4 };
        let near = (got - expected).abs() <= tolerance * expected.abs().max(1e-3);
        assert!(near, "{:?} {variant}{name}, update {update}: {got}, expected {expected}", self.kind);
    }

    /// Compares the norms of the gradient that each published network at `places` had in `update`.
    pub(super) fn check_gradient(
        &self,
        variant: &str,
        parameters: &Parameters,
        gradient: &Tensor,
        places: &[Place],
        update: i64,
    ) {
        let mut nets: Vec<&str> = places.iter().map(|place| place.net).collect();
        nets.dedup();
        for net in nets {
            let own = places.iter().filter(|place| place.net == net);
            let square: f64 = own
                .map(|place| piece(parameters, gradient, place).to_kind(Kind::Double).square().sum(Kind::Double))
                .map(|sum| sum.double_value(&[]))
                .sum();
            self.check(variant, &format!("gradnorm/{net}"), update, square.sqrt());
        }
    }

    /// Compares the weights after the last update: first elements, sums, and how far they went from `start`. `renamed`
    /// gives the published name of a target network for its source's.
    pub(super) fn check_weights(
        &self,
        variant: &str,
        parameters: &Parameters,
        start: &Tensor,
        places: &[Place],
        renamed: impl Fn(&str) -> &'static str,
    ) {
        let mut index: std::collections::HashMap<&str, usize> = Default::default();
        for place in places {
            let (published, order) = (renamed(place.net), index.entry(renamed(place.net)).or_default());
            let now = piece(parameters, parameters.values(), place).to_kind(Kind::Double);
            let way = (&now - piece(parameters, start, place).to_kind(Kind::Double)).square().sum(Kind::Double).sqrt();
            let what = format!("{:?} {variant}{published}/{}", self.kind, place.theirs);
            let head = self.expected(variant, &format!("final/{published}/{}", place.theirs));
            let mut compared = head.is_some();
            let (head, sharp) = head.unwrap_or_default();
            let got: Vec<f64> = Vec::try_from(now.contiguous().view(-1)).unwrap();
            for (got, expected) in got.iter().zip(&head) {
                assert!((got - expected).abs() < if sharp { 1e-9 } else { 5e-7 }, "{what}: {got}, expected {expected}");
            }
            let totals = [("final_sum", now.sum(Kind::Double)), ("final_delta", way)];
            for (name, got) in totals {
                let Some((expected, sharp)) = self.expected(variant, &format!("{name}/{published}")) else { continue };
                compared = true;
                let (got, expected) = (got.double_value(&[]), expected[*order]);
                let tolerance = if sharp { 1e-7 } else { 3e-4 };
                assert!(
                    (got - expected).abs() < tolerance * expected.abs().max(0.1),
                    "{what} {name}: {got}, expected {expected}"
                );
            }
            assert!(compared, "nothing was recorded of {what}");
            *order += 1;
        }
    }

    /// Compares the evaluation actions after the last update.
    pub(super) fn check_actions(&self, variant: &str, policy: &Policy) {
        let units = Units::plain(17, 6);
        let observations: Vec<f32> =
            Vec::try_from(self.get("obs").get(0).narrow(0, 0, 8).to_kind(Kind::Float).contiguous().view(-1)).unwrap();
        let (episodes, rewards) = ([0, 1, 2, 3, 4, 5, 6, 7], [0.0; 8]);
        let situations = Situations { episodes: &episodes, observations: &observations, rewards: &rewards };
        let mut actions = [0.0; 48];
        MlpActor::new(policy, &units).unwrap().act(&situations, &mut actions).unwrap();
        for (got, expected) in actions.iter().zip(self.numbers(&format!("{variant}act_final"))) {
            assert!((f64::from(*got) - expected).abs() < 5e-6, "{variant}act_final: {got}, expected {expected}");
        }
    }
}

/// Recorded random numbers by name.
pub(super) struct Recorded<'a> {
    golden: &'a Golden,
    update: i64,
}

impl Recorded<'_> {
    fn take(&self, name: &str, shape: &[i64]) -> Tensor {
        self.golden.get(&format!("noise/{name}")).get(self.update - 1).view(shape)
    }
}

impl Noise for Recorded<'_> {
    fn normal(&mut self, name: &str, shape: &[i64]) -> Result<Tensor> {
        Ok(self.take(name, shape))
    }

    fn uniform(&mut self, name: &str, shape: &[i64]) -> Result<Tensor> {
        Ok(self.take(name, shape))
    }

    /// Recorded as masks.
    fn dropout(&mut self, name: &str, shape: &[i64], rate: f64) -> Result<Tensor> {
        Ok(self.take(name, shape) / (1.0 - rate))
    }
}
