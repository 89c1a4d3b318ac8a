//! Windows and returns against numbers of the published GTA code.
//!
//! `fixtures/golden_windows.npz` was made by running the published code's sub-trajectory dataset (NumPy, f32) on two
//! trajectories of HalfCheetah's sizes, 60 transitions each, the second one terminated at its end: all sub-trajectories
//! of 31 transitions, discount 0.99, a penalty of 100 at a terminal.

use std::io::BufReader;
use std::path::Path;

use npyz::npz::NpzArchive;
use replay::{Dataset, Spec, Transition, WindowIndex, Windows, returns};

const HORIZON: usize = 31;
const DISCOUNT: f64 = 0.99;
const PENALTY: f64 = 100.0;

struct Golden(NpzArchive<BufReader<std::fs::File>>);

impl Golden {
    fn array<T: npyz::Deserialize>(&mut self, name: &str) -> Vec<T> {
        self.0.by_name(name).unwrap().expect(name).into_vec().unwrap()
    }

    fn dataset(&mut self) -> Dataset {
        let mut builder = Dataset::builder(Spec::new(17, 6));
        for trajectory in ["traj0", "traj1"] {
            let mut numbers = |name: &str| self.array::<f32>(&format!("{trajectory}_{name}"));
            let (observations, next_observations) = (numbers("observations"), numbers("next_observations"));
            let (actions, rewards) = (numbers("actions"), numbers("rewards"));
            let terminals: Vec<bool> = self.array(&format!("{trajectory}_terminals"));
            for row in 0..rewards.len() {
                let transition = Transition {
                    observation: &observations[row * 17..][..17],
                    action: &actions[row * 6..][..6],
                    reward: rewards[row],
                    next_observation: &next_observations[row * 17..][..17],
                    terminated: terminals[row],
                    truncated: false,
                };
                builder.push(transition).unwrap();
            }
            builder.end_episode();
        }
        builder.build().unwrap()
    }
}

fn golden() -> Golden {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden_windows.npz");
    Golden(NpzArchive::open(path).unwrap())
}

/// Both are sums of up to 60 f32 rewards; the published code adds in f32.
fn assert_close(ours: f32, theirs: f32, what: &str) {
    assert!((ours - theirs).abs() <= 2e-6 * 250.0, "{what}: {ours} against {theirs}");
}

#[test]
fn windows_are_the_published_ones() {
    let mut golden = golden();
    let dataset = golden.dataset();
    let index = WindowIndex::new(&dataset, HORIZON).unwrap();
    let rewards: Vec<f32> = golden.array("sub_rewards");
    let terminals: Vec<bool> = golden.array("sub_terminals");
    let timesteps: Vec<i64> = golden.array("sub_timesteps");
    assert_eq!((index.len(), rewards.len()), (60, 60 * HORIZON));
    let mut windows = Windows::with_capacity(dataset.spec(), HORIZON, index.len());
    for window in 0..index.len() {
        index.gather(window, 0.0, &mut windows);
        let rows = &dataset.episodes()[index.episode(window)].rows;
        let (start, length) = index.span(window);
        assert_eq!((start - rows.start) as i64, timesteps[window * HORIZON]);
        assert_eq!(length, HORIZON);
        for (step, &theirs) in rewards[window * HORIZON..][..HORIZON].iter().enumerate() {
            // The published code leaves the penalty in the rewards that it trains on; ours are what was paid.
            let t = windows.transition(window, step);
            let penalty = if t.terminated { PENALTY as f32 } else { 0.0 };
            assert_eq!(t.reward - penalty, theirs);
        }
        assert_eq!(windows.terminated[window], terminals[(window + 1) * HORIZON - 1]);
        for step in 0..HORIZON {
            let (ours, stored) = (windows.transition(window, step), dataset.row(start + step));
            assert_eq!((ours.observation, ours.action), (stored.observation, stored.action));
            assert_eq!(ours.next_observation, stored.next_observation);
        }
    }
}

#[test]
fn returns_are_the_published_ones() {
    let mut golden = golden();
    let dataset = golden.dataset();
    let index = WindowIndex::new(&dataset, HORIZON).unwrap();
    let discounted = returns::to_go(&dataset, DISCOUNT, PENALTY);
    let plain = returns::to_go(&dataset, 1.0, 0.0);
    let sub_returns: Vec<f32> = golden.array("sub_returns");
    let sub_rtg: Vec<f32> = golden.array("sub_rtg");
    let first: Vec<f32> = golden.array("trajectory_returns");
    let sums: Vec<f32> = golden.array("trajectory_rewards");
    for window in 0..index.len() {
        let (start, length) = index.span(window);
        assert_close(discounted[start], first[window], "return of a window");
        // The published sum subtracts the penalty from rewards that it was already subtracted from.
        let sum = returns::within(&dataset, start, length, 1.0, 2.0 * PENALTY);
        assert_close(sum, sums[window], "sum of a window's rewards");
        for step in 0..length {
            let at = window * HORIZON + step;
            assert_close(discounted[start + step], sub_returns[at], "discounted return-to-go");
            assert_close(plain[start + step], sub_rtg[at], "undiscounted return-to-go");
        }
    }
}
