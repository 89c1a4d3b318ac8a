//! Checks that learn from the data: an ensemble's doubt, and the reward proxy.

use gta::augment::{Amendments, Check, Filter, FilterConfig, Filtered, Guide, GuideConfig};
use gta::dynamics::{
    Ensemble, EnsembleConfig, LeaveOut, RegressionConfig, RewardConfig, RewardProxy, ensemble_check, reward_check,
};
use gta::envs::{Collect, EnvId, behaviour, collect};
use gta::eval::{auc, mean};
use gta::replay::{Dataset, Seed, Spec, Transition, Windows};

const HORIZON: usize = 5;

/// Random walks of a point mass, by `seed`.
fn data(steps: usize, seed: u64) -> Dataset {
    let policies = behaviour::point_mass(0.3).unwrap();
    let plan = Collect { id: EnvId::PointMass, steps, seed, threads: Some(1) };
    gta::recorded(collect(&plan, &[&policies[1]], &|_| ()).unwrap()).unwrap()
}

/// Small and quick.
fn config(leave_out: LeaveOut) -> EnsembleConfig {
    let network = RegressionConfig { hidden: vec![32, 32], steps: 600, batch: 64, held_out: 0.3, ..Default::default() };
    EnsembleConfig { network, quantile: 0.95, leave_out, ..EnsembleConfig::default() }
}

/// Every fifth window of a dataset.
fn windows(dataset: &Dataset) -> Windows {
    let config = GuideConfig { horizon: HORIZON, ..GuideConfig::default() };
    let guide = Guide::new(dataset, config, Seed::new(0)).unwrap();
    guide.windows(&(0..guide.index().len()).step_by(HORIZON).collect::<Vec<_>>())
}

fn left(dataset: &Dataset, check: Check, windows: &Windows) -> Filtered {
    let all = FilterConfig { action_tolerance: f32::INFINITY, observation_margin: None, reward_margin: None };
    Filter::new(dataset, all, Some(check)).unwrap().apply(windows.clone()).unwrap()
}

#[test]
fn jumps_are_found_and_real_windows_kept_as_calibrated() {
    let (dataset, fresh) = (data(3_000, 1), windows(&data(3_000, 2)));
    let mut broken = fresh.clone();
    let size = broken.row_dim();
    let jumps: Vec<bool> = (0..broken.len()).map(|index| index % 3 == 0).collect();
    for index in (0..broken.len()).filter(|&index| jumps[index]) {
        broken.window_mut(index)[2 * size] += 0.3;
    }
    let ensemble = Ensemble::learn(&dataset, &config(LeaveOut::Windows), Seed::new(7)).unwrap();
    assert!(ensemble.unexplained() < 0.05, "{}", ensemble.unexplained());
    let doubts: Vec<f64> = ensemble.doubts(&broken).unwrap().iter().map(|d| ensemble.weigh(d)).collect();
    let scores: Vec<f64> = doubts.chunks(HORIZON).map(mean).collect();
    let area = auc(&scores, &jumps).unwrap();
    assert!(area > 0.99, "{area}");

    // Of n windows that nothing was learned from, 95% are kept, within three standard deviations of n draws and of
    // the threshold's own: it was found by as few independent windows as were held out.
    let check = ensemble.into_check();
    let n = fresh.len() as f64;
    let kept = left(&dataset, check.clone(), &fresh).windows.len() as f64;
    let spread = (0.05 * 0.95 * (1.0 / n + 1.0 / (0.3 * n))).sqrt();
    assert!((kept / n - 0.95).abs() < 3.0 * spread, "{kept} of {n} kept");
    // And of those that jump, next to none.
    let found = left(&dataset, check, &broken);
    let missed = found.positions.iter().filter(|&&position| jumps[position as usize]).count();
    assert!(missed * 50 < broken.len(), "{missed} of {} jumps missed", broken.len() / 3);
}

#[test]
fn the_same_seed_gives_the_same_check_whatever_the_threads() {
    let dataset = data(400, 1);
    let network = RegressionConfig { steps: 40, look_every: 20, ..config(LeaveOut::Windows).network };
    let config = EnsembleConfig { network, ..config(LeaveOut::Windows) };
    let learn = |seed, threads| {
        let learn = || {
            gta::native::set_threads(threads);
            Ensemble::learn(&dataset, &config, Seed::new(seed)).unwrap()
        };
        std::thread::scope(|scope| scope.spawn(learn).join().unwrap())
    };
    let (one, two, other) = (learn(3, 1), learn(3, 2), learn(4, 1));
    assert_eq!(one.doubts(&windows(&dataset)).unwrap(), two.doubts(&windows(&dataset)).unwrap());
    let names = [one, two, other].map(|ensemble| ensemble.into_check().name().to_owned());
    assert!(names[0] == names[1] && names[0] != names[2], "{names:?}");
}

#[test]
fn doubted_transitions_alone_are_left_out() {
    let dataset = data(2_000, 1);
    let mut given = windows(&dataset);
    let size = given.row_dim();
    // The state of the third row: the second transition leads to it, the third away from it.
    given.window_mut(0)[2 * size] += 3.0;
    let config = EnsembleConfig { quantile: 1.0, factor: 2.0, ..config(LeaveOut::Transitions) };
    let found = left(&dataset, ensemble_check(&dataset, &config, Seed::new(7)).unwrap(), &given);
    assert_eq!((&found.positions[..3], &found.starts[..3]), (&[0, 0, 1][..], &[0, 3, 0][..]));
    assert_eq!((&found.windows.lengths[..3], found.amendments.dropped), (&[1, 2, 5][..], 2));
    assert_eq!(found.rejections.total(), 0);
}

#[test]
fn what_cannot_be_learned_from_is_refused() {
    let dataset = data(400, 1);
    let learn = |config: &EnsembleConfig| Ensemble::learn(&dataset, config, Seed::new(0)).map(|_| ());
    let good = config(LeaveOut::Windows);
    for bad in [
        EnsembleConfig { quantile: 0.0, ..good.clone() },
        EnsembleConfig { factor: f64::NAN, ..good.clone() },
        EnsembleConfig { disagreement: -1.0, ..good.clone() },
        EnsembleConfig { network: RegressionConfig { held_out: 0.6, ..good.network.clone() }, ..good.clone() },
    ] {
        assert!(learn(&bad).is_err(), "{bad:?}");
    }
    let network = RegressionConfig { steps: 10, ..good.network.clone() };
    let ensemble = Ensemble::learn(&dataset, &EnsembleConfig { network, ..good }, Seed::new(0)).unwrap();
    let other = Windows::with_capacity(&Spec::new(2, 2), HORIZON, 0);
    assert!(ensemble.doubts(&other).unwrap_err().to_string().contains("(4, 2)"));
}

fn quick(next_state: bool) -> RewardConfig {
    let network = RegressionConfig { members: 2, hidden: vec![64, 64], steps: 1_500, batch: 128, ..Default::default() };
    RewardConfig { network, next_state }
}

#[test]
fn the_point_masss_rewards_are_recovered() {
    let (dataset, fresh) = (data(3_000, 1), data(500, 2));
    let real = windows(&fresh);
    let mut blank = real.clone();
    let dim = blank.row_dim();
    blank.values.chunks_exact_mut(dim).for_each(|row| row[dim - 1] = 0.0);
    let deviation = {
        let rewards = fresh.rewards();
        let mean = rewards.iter().sum::<f32>() / rewards.len() as f32;
        (rewards.iter().map(|r| (r - mean).powi(2)).sum::<f32>() / rewards.len() as f32).sqrt()
    };
    for next_state in [false, true] {
        let check = reward_check(&dataset, &quick(next_state), Seed::new(3)).unwrap();
        let left = Filter::new(&dataset, FilterConfig::default(), Some(check)).unwrap().apply(blank.clone()).unwrap();
        assert_eq!(left.windows.len(), real.len());
        let changed = real.transitions() as u64;
        assert_eq!(left.amendments, Amendments { windows: real.len() as u64, replaced: changed, dropped: 0 });
        let mut squares = 0.0;
        for (ours, theirs) in left.windows.values.chunks_exact(dim).zip(real.values.chunks_exact(dim)) {
            assert_eq!(ours[..dim - 1], theirs[..dim - 1], "nothing else is touched");
            squares += (ours[dim - 1] - theirs[dim - 1]).powi(2);
        }
        let error = (squares / changed as f32).sqrt();
        assert!(error < 0.1 * deviation, "{error} of {deviation} (next_state {next_state})");
    }
}

#[test]
fn the_end_of_a_task_is_paid_like_any_other_step() {
    // Reward 2 for action 1 and -2 for action -1, wherever and whether or not the task ends.
    let mut builder = Dataset::builder(Spec::new(1, 1));
    for row in 0..400 {
        let sign = if row % 3 == 0 { 1.0 } else { -1.0 };
        let (observation, next_observation) = (&[(row % 7) as f32], &[(row % 5) as f32]);
        let terminated = row % 10 == 9;
        builder
            .push(Transition {
                observation,
                action: &[sign],
                reward: 2.0 * sign,
                next_observation,
                terminated,
                truncated: false,
            })
            .unwrap();
    }
    let dataset = builder.build().unwrap();
    let guide = Guide::new(&dataset, GuideConfig { horizon: 10, ..GuideConfig::default() }, Seed::new(0)).unwrap();
    let mut windows = guide.windows(&[0, 1]);
    let (real, dim) = (windows.clone(), windows.row_dim());
    // A mark that was left on would be overwritten like anything else.
    windows.window_mut(0)[9 * dim + dim - 1] = -100.0;
    RewardProxy::learn(&dataset, &quick(false), Seed::new(1)).unwrap().relabel(&mut windows).unwrap();
    assert_eq!(windows.terminated, [true, true]);
    for step in 0..10 {
        let (ours, theirs) = (windows.transition(0, step).reward, real.transition(0, step).reward);
        assert!((ours - theirs).abs() < 0.1, "step {step}: {ours} against {theirs}");
    }
    assert_eq!(windows.window(0)[10 * dim..], real.window(0)[10 * dim..], "no reward behind the end");
}
