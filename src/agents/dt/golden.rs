//! Three updates and a rollout against the published code; see [`golden`](crate::agents::golden).

use tch::{Device, Kind, Tensor};

use super::actor::Contextual;
use super::dropout::Dropout;
use super::transformer::Sequences;
use super::{DecisionTransformer, DtConfig, TransformerConfig};
use crate::agents::golden::{Golden, Place};
use crate::agents::{Actor, Situations, units::Units};
use crate::training::Parameters;

/// Our names are the published ones, but in the order of the alphabet.
fn places() -> Vec<Place> {
    let rules = include_str!("../../../tests/fixtures/agents/dt.tsv").lines().filter(|line| !line.starts_with('#'));
    let place = |line: &str| {
        let name = line.split('\t').nth(2).unwrap().to_owned();
        Place { ours: name.clone(), member: None, rows: None, net: "model", theirs: name }
    };
    rules.map(place).collect()
}

fn agent(golden: &Golden, warmup: u64) -> DecisionTransformer {
    let published = DtConfig::published();
    let config = DtConfig {
        network: TransformerConfig { dropout: 0.0, ..published.network },
        return_scale: 1.0,
        warmup,
        ..published
    };
    let units = Units::plain(17, 6);
    let agent = DecisionTransformer::assemble(&config, golden.start(), units, 0.0).unwrap();
    golden.set(agent.network.parameters(), &places());
    agent
}

fn batch(golden: &Golden, update: i64) -> Sequences {
    let take = |name: &str| golden.get(name).get(update - 1);
    Sequences {
        observations: take("states"),
        actions: take("actions"),
        returns: take("returns_to_go"),
        steps: take("timesteps").to_kind(Kind::Int64),
        mask: take("mask"),
    }
}

fn keep_all() -> Dropout {
    Dropout::new(0.0, replay::Seed::new(0).rng())
}

/// Acts on the recorded states and rewards and compares every action.
fn check_rollout(golden: &Golden, mut actor: Contextual, name: &str) {
    let host = |t: Tensor| Vec::<f32>::try_from(t.to_kind(Kind::Float).contiguous().view(-1)).unwrap();
    let (states, rewards) = (golden.get("rollout/states"), host(golden.get("rollout/rewards")));
    let expected = golden.get(name);
    for step in 0..30 {
        // A second episode beside it, one step behind, has no influence and the same actions.
        let rows: Vec<i64> = if step == 0 { vec![0] } else { vec![step, step - 1] };
        let observations: Vec<f32> = rows.iter().flat_map(|&row| host(states.get(row))).collect();
        let paid = |row: i64| if row == 0 { 0.0 } else { rewards[row as usize - 1] };
        let paid: Vec<f32> = rows.iter().map(|&row| paid(row)).collect();
        let episodes = &[3, 0][..rows.len()];
        let mut actions = vec![0.0; 6 * rows.len()];
        actor.act(&Situations { episodes, observations: &observations, rewards: &paid }, &mut actions).unwrap();
        for (own, &row) in actions.chunks_exact(6).zip(&rows) {
            for (got, expected) in own.iter().zip(host(expected.get(row))) {
                assert!((got - expected).abs() < 1e-5, "{name}, step {row}: {got}, expected {expected}");
            }
        }
    }
}

#[test]
fn three_updates_are_those_of_the_published_code() {
    Golden::both("dt", |golden| {
        for (variant, warmup) in [("", 10_000), ("warm2/", 2)] {
            let mut agent = agent(golden, warmup);
            let start = agent.network.parameters().values().copy();
            for update in 1..=3 {
                let rate = agent.config.rate(update as u64);
                assert!((rate - golden.numbers(&format!("{variant}lr/used"))[update as usize - 1]).abs() < 1e-12);
                agent.learn(&batch(golden, update), &mut keep_all()).unwrap();
                for (name, value) in agent.metrics.report(update as u64).unwrap() {
                    match name {
                        "loss" => golden.check(variant, "loss/train", update, value),
                        // Of warm2 the norms are recorded in f64 alone.
                        "gradient_norm" if variant.is_empty() || golden.kind == Kind::Double => {
                            golden.check(variant, "gradnorm/model", update, value);
                        }
                        _ => {}
                    }
                }
            }
            golden.check_weights(variant, agent.network.parameters(), &start, &places(), |_| "model");
        }
    });
}

#[test]
fn the_first_predictions_are_the_published_ones_wherever_there_is_a_step() {
    let golden = Golden::open("dt", Kind::Float);
    let (agent, batch) = (agent(&golden, 2), batch(&golden, 1));
    let got = agent.network.net.forward(&batch, &mut keep_all()).unwrap();
    let error = ((got - golden.get("pred_s1")).abs() * batch.mask.unsqueeze(-1)).max().double_value(&[]);
    assert!(error < 1e-5, "{error}");
}

#[test]
fn the_layers_are_the_published_ones_where_the_full_recordings_lie_beside_the_repository() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/golden/agents/dt.npz");
    if !path.exists() {
        return;
    }
    let golden = Golden::open("dt", Kind::Float);
    let (agent, batch) = (agent(&golden, 2), batch(&golden, 1));
    let mut full = npyz::npz::NpzArchive::open(&path).unwrap();
    let mut stages = Vec::new();
    let _ = agent.network.net.observed(&batch, &mut keep_all(), &mut |stage| stages.push(stage.detach())).unwrap();
    let names = ["emb_norm", "block0", "block1", "block2", "out_norm"];
    assert_eq!(stages.len(), names.len());
    for (name, stage) in names.into_iter().zip(stages) {
        let array = full.by_name(&format!("s1/{name}")).unwrap().unwrap();
        let expected = Tensor::from_slice(&array.into_vec::<f32>().unwrap()).view([2, 60, 128]);
        // After the last block only states' tokens are there.
        let expected = if stage.size()[1] == 20 { expected.slice(1, 1, 60, 3) } else { expected };
        let each = stage.size()[1] / 20;
        let real = batch.mask.narrow(0, 0, 2).repeat_interleave_self_int(each, 1, None).unsqueeze(-1);
        let error = ((stage.narrow(0, 0, 2) - expected).abs() * real).max().double_value(&[]);
        assert!(error < 2e-5, "{name}: {error}");
    }
}

#[test]
fn it_acts_as_the_published_code_with_a_context_for_each_episode() {
    let golden = Golden::open("dt", Kind::Float);
    let mut agent = agent(&golden, 2);
    check_rollout(&golden, agent.wanting(12.0).unwrap(), "rollout/actions");
    for update in 1..=3 {
        agent.learn(&batch(&golden, update), &mut keep_all()).unwrap();
    }
    check_rollout(&golden, agent.wanting(12.0).unwrap(), "warm2/rollout/actions");
}

/// The weights are laid out by name, wherever the actor's copy is made.
#[test]
fn an_actor_s_copy_does_not_follow_training() {
    let golden = Golden::open("dt", Kind::Float);
    let mut agent = agent(&golden, 2);
    let copy = agent.network.net.copy(agent.network.parameters().values()).unwrap();
    let before = copy.forward(&batch(&golden, 1), &mut keep_all()).unwrap();
    agent.learn(&batch(&golden, 1), &mut keep_all()).unwrap();
    assert_eq!(before, copy.forward(&batch(&golden, 1), &mut keep_all()).unwrap());
    let _: &Parameters = agent.network.parameters();
    assert_eq!(agent.device, Device::Cpu);
}
