//! gymnasium-rs both ways: its trait objects and its time limit over our tasks, its CartPole in our rollouts and evaluations.

use gta::agents::{Actor, Situations};
use gta::envs::{
    self, Env as _, EnvId, Episodic as _, Policy, ReferenceReturns, Rng, UniformPolicy, make, rollouts_in,
};
use gta::eval::evaluate_in;
use gta::gymnasium::gymnasium_rs::core::{Env, Space};
use gta::gymnasium::gymnasium_rs::envs::cartpole::CartPole;
use gta::gymnasium::gymnasium_rs::wrappers::timelimit::TimeLimitWrapper;
use gta::gymnasium::ndarray::Array1;
use gta::gymnasium::{FromGymnasium, ToGymnasium};

type Row = Array1<f32>;
type Boxed = Box<dyn Env<Row, Row>>;

fn boxed(id: EnvId) -> Boxed {
    Box::new(ToGymnasium::new(make(id).unwrap()))
}

/// A smooth action, the same for the same step.
fn action(n: usize, step: usize, scale: f32) -> Vec<f32> {
    (0..n).map(|i| scale * (0.3 * step as f32 + i as f32).sin()).collect()
}

#[test]
fn every_task_is_the_same_behind_a_trait_object_and_its_time_limit_cuts_where_it_says() {
    const LIMIT: usize = 15;
    for id in EnvId::ALL.into_iter().filter(|id| id.is_ready()) {
        let mut direct = make(id).unwrap();
        let spec = direct.spec().clone();
        let mut env = boxed(id);
        let Space::Box { low, high } = env.observation_space() else { panic!("{id}: observations are no box") };
        assert_eq!((low.len(), high.len()), (spec.obs_dim, spec.obs_dim));
        assert!(
            low.iter().all(|&bound| bound == f32::NEG_INFINITY) && high.iter().all(|&bound| bound == f32::INFINITY)
        );
        let expected = Space::Box { low: spec.action_low.into(), high: spec.action_high.into() };
        assert_eq!(env.action_space(), expected, "{id}");

        let mut limited = TimeLimitWrapper::new(&mut *env, LIMIT as i32);
        for seed in [0, 3] {
            let observed = direct.reset(seed as u64).to_vec();
            let (observation, info) = limited.reset_seed(seed);
            assert_eq!(observation.to_vec(), single(&observed), "{id}");
            assert_eq!(info.contains_key("x_position"), id.mjcf().is_some());
            for number in 1..=LIMIT {
                let action = action(spec.action_dim, number, 0.2);
                let position = direct.state().0[0];
                let step = direct.step(&action);
                let (observation, reward, terminated, truncated, info) = limited.step(action.into());
                assert_eq!(observation.to_vec(), single(direct.observation()), "{id}, step {number}");
                assert_eq!((reward, terminated), (step.reward as f32, step.terminated), "{id}, step {number}");
                assert_eq!(info["reward"], step.reward);
                assert!(!terminated, "{id} is to stay up for {LIMIT} steps, so that only the limit ends it");
                assert_eq!(truncated, number == LIMIT, "{id}, step {number}");
                if id.mjcf().is_some() {
                    let moved = direct.state().0[0] - position;
                    assert!((info["x_velocity"].as_f64().unwrap() - moved / spec.dt).abs() < 1e-12, "{id}");
                    assert_eq!(info["x_position"], direct.state().0[0]);
                }
            }
        }
        limited.close();
    }
}

fn single(numbers: &[f64]) -> Vec<f32> {
    numbers.iter().map(|&number| number as f32).collect()
}

#[test]
fn falling_is_termination_and_no_truncation() {
    for id in [EnvId::Hopper, EnvId::Walker2d] {
        let mut env = boxed(id);
        let n = make(id).unwrap().spec().action_dim;
        let mut limited = TimeLimitWrapper::new(&mut *env, 900);
        limited.reset_seed(0);
        let ends = (0..900).map(|step| limited.step(action(n, step, 1.0).into())).find(|step| step.2 || step.3);
        let (_, reward, terminated, truncated, _) = ends.expect("it falls");
        assert!(reward.is_finite() && terminated && !truncated, "{id}");
    }
}

/// The length of an episode of the cheetah, which nothing but time ends.
fn cheetah_runs(env: &mut dyn Env<Row, Row>) -> Option<usize> {
    env.reset_seed(0);
    (1..=1_100).find(|&step| {
        let (_, reward, terminated, truncated, _) = env.step(action(6, step, 0.5).into());
        assert!(reward.is_finite() && !terminated);
        truncated
    })
}

#[test]
fn the_tasks_own_limit_holds_unless_it_is_taken_away() {
    let cheetah = || ToGymnasium::new(make(EnvId::HalfCheetah).unwrap());
    assert_eq!(cheetah_runs(&mut cheetah()), Some(1_000));
    assert_eq!(cheetah_runs(&mut TimeLimitWrapper::new(&mut cheetah(), 1_050)), Some(1_000));
    let mut unlimited = cheetah().without_time_limit();
    assert_eq!(cheetah_runs(&mut unlimited), None);
    assert_eq!(cheetah_runs(&mut TimeLimitWrapper::new(&mut unlimited, 1_050)), Some(1_050));
}

/// Pushes the cart to the side that the pole falls to.
struct Balance;

impl Balance {
    /// Scores of pushing to the left and to the right.
    fn scores(observation: &[f64]) -> [f32; 2] {
        let falls = observation[2] + 0.3 * observation[3] + 0.05 * observation[0] + 0.1 * observation[1];
        [0.0, falls as f32]
    }
}

impl Policy for Balance {
    fn obs_dim(&self) -> usize {
        4
    }

    fn action_dim(&self) -> usize {
        2
    }

    fn act(&self, observation: &[f64], _: &mut Rng, action: &mut [f32]) {
        action.copy_from_slice(&Self::scores(observation));
    }
}

impl Actor for Balance {
    fn act(&mut self, situations: &Situations<'_>, actions: &mut [f32]) -> gta::Result<()> {
        for (observation, action) in situations.observations.chunks_exact(4).zip(actions.chunks_exact_mut(2)) {
            let observation: Vec<f64> = observation.iter().map(|&number| f64::from(number)).collect();
            action.copy_from_slice(&Self::scores(&observation));
        }
        Ok(())
    }
}

fn cart_pole() -> envs::Result<FromGymnasium<Row, i32>> {
    FromGymnasium::new(Box::new(CartPole::new()), 300)
}

#[test]
fn cart_pole_is_played_as_it_plays_itself() {
    let mut ours = cart_pole().unwrap();
    let mut theirs = CartPole::new();
    for seed in [0, 5] {
        ours.begin(seed as u64).unwrap();
        let mut observation = theirs.reset_seed(seed).0;
        for step in 1.. {
            let wide: Vec<f64> = observation.iter().map(|&number| f64::from(number)).collect();
            assert_eq!(ours.current(), wide, "seed {seed}, step {step}");
            // To the right until it falls.
            let brought = ours.advance(&[-1.0, 2.0]).unwrap();
            let (next, reward, terminated, ..) = theirs.step(1);
            assert_eq!((brought.reward, brought.terminated), (f64::from(reward), terminated));
            assert!(!brought.truncated && step < 30);
            observation = next;
            if terminated {
                break;
            }
        }
    }
}

#[test]
fn cart_pole_is_rolled_out_and_evaluated_by_our_code() {
    let random = UniformPolicy { obs_dim: 4, action_dim: 2 };
    let falls = rollouts_in(cart_pole, &random, 10, 0, Some(2)).unwrap();
    assert!(falls.iter().all(|outcome| outcome.terminated && outcome.length < 150), "{falls:?}");
    let balanced = rollouts_in(cart_pole, &Balance, 10, 0, Some(2)).unwrap();
    // Every step but the one that ends the task pays 1.
    assert!(balanced.iter().all(|o| !o.terminated && o.length == 300 && o.total_reward == 300.0), "{balanced:?}");

    let evaluation = evaluate_in(&mut Balance, cart_pole, 10, 0, Some(2)).unwrap();
    assert_eq!(evaluation.episodes, balanced);
    let best = ReferenceReturns { min: 0.0, max: 300.0 };
    assert_eq!(best.score(evaluation.mean_return()), 100.0);

    let wrong =
        rollouts_in(cart_pole, &UniformPolicy { obs_dim: 4, action_dim: 1 }, 1, 0, None).unwrap_err().to_string();
    assert!(wrong.contains("action of a policy: expected 2 numbers, got 1"), "{wrong}");
}

#[test]
fn what_cart_pole_shows_becomes_a_dataset() {
    let dataset = cart_pole().unwrap().record(&UniformPolicy { obs_dim: 4, action_dim: 2 }, 500, 1).unwrap();
    assert_eq!((dataset.len(), dataset.spec().obs_dim, dataset.spec().action_dim), (500, 4, 2));
    assert_eq!((&dataset.spec().action_low[..], &dataset.spec().action_high[..]), (&[0.0; 2][..], &[1.0; 2][..]));
    assert!((0..500).all(|i| [[1.0, 0.0], [0.0, 1.0]].iter().any(|one| dataset.row(i).action == one)));
    let again = cart_pole().unwrap().record(&UniformPolicy { obs_dim: 4, action_dim: 2 }, 500, 1).unwrap();
    assert!((0..500).all(|i| dataset.row(i).observation == again.row(i).observation), "the seed decides");
    for episode in &dataset.episodes()[..dataset.episodes().len() - 1] {
        assert!(dataset.row(episode.rows.end - 1).terminated);
    }
}

#[test]
fn a_task_that_went_there_and_back_is_the_same() {
    let back = || FromGymnasium::new(Box::new(ToGymnasium::new(make(EnvId::Hopper)?)), 1_000);
    let (mut back, mut direct) = (back().unwrap(), make(EnvId::Hopper).unwrap());
    back.begin(9).unwrap();
    direct.reset(9);
    for number in 0..60 {
        assert_eq!(single(back.current()), single(direct.observation()));
        let (ours, step) = (back.advance(&action(3, number, 0.5)).unwrap(), direct.step(&action(3, number, 0.5)));
        assert_eq!(ours.reward as f32, step.reward as f32);
        assert_eq!((ours.terminated, ours.truncated), (step.terminated, step.truncated));
        if step.done() {
            break;
        }
    }
}
