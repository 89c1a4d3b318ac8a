//! Known errors, put into the transitions of a known system, are found in full.

use replay::{Source, Spec, States, Transition, WindowIndex, Windows};

use super::*;
use crate::eval::SimulatorError;

/// A cart: position and velocity, pushed by an action. Its velocity is seen with an error of 1e-3, so that states
/// rebuilt from observations are a little wrong; positions beyond 900 cannot be rebuilt; pushes beyond 50 diverge.
#[derive(Debug)]
struct Cart;

impl Simulator for Cart {
    fn name(&self) -> String {
        "cart".into()
    }

    fn answer(&self, questions: &Questions<'_>) -> Result<Truth, SimulatorError> {
        let &Questions { observations, actions, states, .. } = questions;
        let states = states.filter(|states| states.has_positions());
        let mut truth = Truth::default();
        for (row, (observation, &action)) in observations.chunks_exact(2).zip(actions).enumerate() {
            let (x, v) = match states {
                Some(states) => (states.qpos[row], states.qvel[row]),
                None => (f64::from(observation[0]), f64::from(observation[1]) + 1e-3),
            };
            let (next, reward) = step(x, v, f64::from(action));
            truth.next_observations.extend(if action > 50.0 { [f64::NAN; 2] } else { next });
            truth.rewards.push(reward);
            truth.terminated.push(next[0] > END);
            truth.rebuilt.push(x < 900.0);
        }
        Ok(truth)
    }
}

/// Where the road ends: only the last row of the last episode goes beyond.
const END: f64 = 9.2;

fn step(x: f64, v: f64, a: f64) -> ([f64; 2], f64) {
    ([x + 0.1 * v, v + 0.1 * a], v - 0.5 * a * a)
}

/// Eight episodes of twelve rows of the cart.
fn dataset() -> Dataset {
    let mut builder = Dataset::builder(Spec::new(2, 1));
    let mut states = States { nq: 1, nv: 1, ..States::default() };
    for episode in 0..8 {
        let (mut x, mut v) = (f64::from(episode), 0.25 * f64::from(episode));
        for t in 0..12 {
            let a = (f64::from(t) + f64::from(episode)).sin();
            let (next, reward) = step(x, v, a);
            states.qpos.push(x);
            states.qvel.push(v);
            let row = Transition {
                observation: &[x as f32, v as f32],
                action: &[a as f32],
                reward: reward as f32,
                next_observation: &next.map(|v| v as f32),
                terminated: next[0] > END,
                truncated: t == 11,
            };
            builder.push(row).unwrap();
            [x, v] = next;
        }
    }
    builder.states(states);
    builder.build().unwrap()
}

fn meter() -> QualityMeter<Cart> {
    QualityMeter::new(&dataset(), Cart, QualityConfig::default()).unwrap()
}

fn real(length: usize) -> Transitions {
    let index = WindowIndex::new(&dataset(), length).unwrap();
    Transitions::of_data(&index, &(0..index.len()).collect::<Vec<_>>()).unwrap()
}

/// The data's windows of six transitions as if generated; the asked return is twice the real one, plus one.
fn generated() -> Windows {
    let index = WindowIndex::new(&dataset(), 6).unwrap();
    let mut windows = Windows::with_capacity(index.dataset().spec(), 6, index.len());
    for window in 0..index.len() {
        let (start, length) = index.span(window);
        let sum: f32 = index.dataset().rewards()[start..start + length].iter().sum();
        index.gather(window, 2.0 * sum + 1.0, &mut windows);
    }
    windows
}

#[test]
fn real_data_is_perfect_from_states_and_nearly_so_from_observations() {
    let floor = meter().floor(&real(6)).unwrap();
    let states = floor.states.unwrap();
    assert!(states.dynamic_mse.max < 1e-12 && states.reward_error.rmse < 1e-6, "{states:?}");
    assert_eq!(states.terminals.only_data + states.terminals.only_oracle, 0);
    assert_eq!((states.transitions, states.windows, states.excluded.total()), (8 * 7 * 6, 56, 0));
    assert_eq!(states.novelty.unwrap().both.max, 0.0);
    // Seen 1e-3 too fast: x is off by 1e-4 and v by 1e-3, the reward by 1e-3.
    let (_, scale) = column_moments(2, dataset().observations().chunks_exact(2));
    let expected = ((1e-4 / scale[0]).powi(2) + (1e-3 / scale[1]).powi(2)) / 2.0;
    let seen = floor.observations;
    assert!((seen.dynamic_mse.mean / expected - 1.0).abs() < 1e-2, "{} but {expected}", seen.dynamic_mse.mean);
    assert!((seen.reward_error.bias + 1e-3).abs() < 1e-6 && (seen.reward_error.mean_absolute - 1e-3).abs() < 1e-6);
    assert_eq!(seen.dynamic_squared_error(), 2.0 * seen.dynamic_mse.mean);
    assert_eq!((seen.asked_vs_generated, seen.asked_return), (None, None));
}

#[test]
fn errors_put_into_windows_are_found() {
    let mut windows = generated();
    let truth = meter().measure(&Transitions::of_windows(&windows)).unwrap();
    assert!((truth.quality.asked_vs_generated.unwrap() - 1.0).abs() < 1e-9);
    assert!((truth.quality.asked_vs_oracle.unwrap() - 1.0).abs() < 1e-6);
    assert_eq!(truth.window_returns.len(), 56);
    let sum = |of: fn(&WindowReturn) -> f64| truth.window_returns.iter().map(of).sum::<f64>();
    assert!((sum(|w| w.asked.unwrap()) - 2.0 * sum(|w| w.claimed) - 56.0).abs() < 1e-3);
    // The state before the last one of each window is pushed 3 up in its first dimension: the transition to it
    // and the one from it are each off by 3, and it promises 2 more than it gives.
    for window in 0..windows.len() {
        let row = &mut windows.window_mut(window)[5 * 4..];
        row[0] += 3.0;
        row[3] += 2.0;
    }
    let measured = meter().measure(&Transitions::of_windows(&windows)).unwrap();
    let (_, scale) = column_moments(2, dataset().observations().chunks_exact(2));
    let quality = &measured.quality;
    let expected = (3.0 / scale[0]).powi(2) / 2.0 / 3.0;
    assert!((quality.dynamic_mse.mean / expected - 1.0).abs() < 1e-2, "{} but {expected}", quality.dynamic_mse.mean);
    assert!(quality.dynamic_mse.median < 1e-5, "four of six transitions are right");
    assert!((quality.dynamic_mse.quantile_90 / (3.0 * expected) - 1.0).abs() < 1e-2);
    let (bias, rmse) = (2.0 / 6.0 - 1e-3, (4.0_f64 / 6.0).sqrt());
    assert!((quality.reward_error.bias - bias).abs() < 1e-4 && (quality.reward_error.rmse - rmse).abs() < 1e-3);
    let interval = quality.dynamic_mse_interval.unwrap();
    assert!(interval.low <= quality.dynamic_mse.mean && quality.dynamic_mse.mean <= interval.high);
    let reward = quality.oracle_reward_interval.unwrap();
    assert!(reward.low < quality.oracle_reward.mean && quality.oracle_reward.mean < reward.high);
    assert!(quality.novelty.unwrap().state.mean > 0.0 && quality.novelty.unwrap().action.max == 0.0);
    assert!(measured.window_returns.iter().all(|w| (w.claimed - w.oracle.unwrap() - 2.0).abs() < 0.01));
}

#[test]
fn terminal_flags_are_counted_against_the_oracle() {
    let mut windows = generated();
    let set = Transitions::of_windows(&windows);
    let right = meter().measure(&set).unwrap().quality.terminals;
    assert!(right.both > 0 && right.only_data == 0 && right.neither > 0);
    windows.terminated.iter_mut().for_each(|t| *t = !*t);
    let wrong = meter().measure(&Transitions::of_windows(&windows)).unwrap().quality.terminals;
    // One flag a window is turned.
    let ends = windows.terminated.iter().filter(|t| !**t).count();
    assert_eq!((wrong.both, wrong.only_data), (right.both - ends, 56 - ends));
    assert_eq!((wrong.only_oracle, wrong.neither), (right.only_oracle + ends, right.neither - (56 - ends)));
}

#[test]
fn what_cannot_be_judged_is_left_out_and_counted() {
    let mut windows = generated();
    windows.window_mut(0)[3] = f32::NAN;
    windows.window_mut(1)[4] = 1000.0;
    windows.window_mut(2)[2] = 60.0;
    let measured = meter().measure(&Transitions::of_windows(&windows)).unwrap();
    assert_eq!(measured.quality.excluded, Excluded { not_finite: 1, not_rebuilt: 1, diverged: 1 });
    assert_eq!(measured.quality.dynamic_mse.count, 56 * 6 - 3);
    let missing: Vec<usize> = (0..56 * 6).filter(|&row| measured.transitions[row].is_none()).collect();
    assert_eq!(missing, [0, 7, 12]);
    assert_eq!(measured.oracle_rewards().len(), 56 * 6 - 3);
    // The window with a claimed reward that is no number has no return; two have no oracle return.
    assert_eq!(measured.window_returns.len(), 55);
    assert_eq!(measured.window_returns.iter().filter(|w| w.oracle.is_none()).count(), 2);
    assert_eq!(measured.quality.oracle_window_return.unwrap().count, 53);
    let mut hopeless = generated();
    hopeless.values.iter_mut().for_each(|v| *v = f32::INFINITY);
    let error = meter().measure(&Transitions::of_windows(&hopeless)).unwrap_err();
    assert!(matches!(error, Error::NothingMeasured { transitions: 336, not_finite: 336, .. }), "{error}");
}

#[test]
fn batches_are_judged_without_returns() {
    let data = dataset();
    let mut batch = Batch::with_capacity(data.spec(), 20);
    for row in 0..20 {
        let source = if row < 10 { Source::Real(row) } else { Source::Generated { window: 0, step: row as u32 } };
        batch.push(data.row(row), source);
    }
    let measured = meter().measure(&Transitions::of_batch(&batch)).unwrap();
    assert_eq!((measured.quality.windows, measured.quality.transitions), (11, 20));
    assert_eq!((measured.window_returns.len(), measured.quality.window_return), (0, None));
    assert!(measured.quality.oracle_reward_interval.is_some());
}

#[test]
fn figures_are_reproducible_and_survive_json() {
    let sets = [Transitions::of_windows(&generated()), real(3)];
    let report = || meter().report(&real(6), &[("as generated", &sets[0]), ("short", &sets[1])]).unwrap();
    let first = report();
    assert_eq!(first, report());
    let read: QualityReport = serde_json::from_str(&serde_json::to_string(&first).unwrap()).unwrap();
    // Decimal text keeps every digit of most numbers; the tables show if a figure went astray.
    assert_eq!(read.table(), first.table());
    let text = first.table().to_text();
    let header: Vec<&str> = text.lines().next().unwrap().split("  ").map(str::trim).filter(|c| !c.is_empty()).collect();
    assert_eq!(header, ["real, from states", "real, from observations", "as generated", "short"]);
    assert!(text.contains("\noracle reward, 95% interval of the mean  "), "{text}");
    let asked = text.lines().find(|line| line.starts_with("correlation, asked and claimed")).unwrap();
    assert_eq!(asked.split_whitespace().skip(5).collect::<Vec<_>>(), ["-", "-", "1.000", "-"]);
    let csv = first.to_csv();
    assert_eq!(csv.lines().count(), 5);
    assert!(csv.lines().nth(1).unwrap().starts_with("\"real, from states\",336,56,0,0,0,"));
}

#[test]
fn intervals_of_novelty_are_over_windows() {
    // One window in four is pushed away from the data: its six transitions are new together.
    let mut windows = generated();
    for window in (0..windows.len()).step_by(4) {
        windows.window_mut(window).chunks_exact_mut(4).for_each(|row| row[2] += 3.0);
    }
    let quality = meter().measure(&Transitions::of_windows(&windows)).unwrap().quality;
    let novelty = quality.novelty.unwrap();
    let share = |figure: Summary, interval: Option<Interval>| {
        let Interval { low, high, level } = interval.unwrap();
        assert!(low < figure.mean && figure.mean < high && level == 0.95, "{low} {figure:?} {high}");
        (high - low) / figure.mean
    };
    // A mean of 56 zeros and ones, a quarter of them ones, has 95% within 2 x 1.96 x sqrt(3 / 56) = 0.91 of itself; were
    // the 336 transitions independent, it would be 0.37.
    let width = share(novelty.action, novelty.action_interval);
    assert!((0.7..1.2).contains(&width), "{width}");
    share(novelty.both, novelty.both_interval);
    // Observations are the data's own.
    assert_eq!(novelty.state_interval.map(|i| (i.low, i.high)), Some((0.0, 0.0)));
    let report = QualityReport { floor: None, rows: vec![NamedQuality { name: "moved".into(), quality }] };
    let text = report.table().to_text();
    assert!(text.contains("\nnovelty, action, 95% interval of the mean  "), "{text}");
    let csv = report.to_csv();
    let (names, values) = csv.split_once('\n').unwrap();
    let place = names.split(',').position(|name| name == "novelty_both_high").unwrap();
    assert_eq!(values.trim().split(',').nth(place).unwrap(), novelty.both_interval.unwrap().high.to_string());
}

#[test]
fn figures_written_before_there_were_intervals_are_read() {
    let quality = meter().measure(&real(6)).unwrap().quality;
    let mut object = serde_json::to_value(&quality).unwrap();
    let novelty = object["novelty"].as_object_mut().unwrap();
    for name in ["state_interval", "action_interval", "both_interval"] {
        assert!(novelty.remove(name).is_some());
    }
    let read: Quality = serde_json::from_value(object).unwrap();
    assert_eq!(read.novelty.unwrap().both_interval, None);
    let config: QualityConfig = serde_json::from_str(r#"{"novelty": {"most_queries": 7}}"#).unwrap();
    assert_eq!(config.novelty.device, crate::native::DeviceChoice::Cpu);
}

#[test]
fn without_queries_novelty_is_not_measured() {
    let mut config = QualityConfig::default();
    config.novelty.most_queries = 0;
    let quality = QualityMeter::new(&dataset(), Cart, config).unwrap().measure(&real(6)).unwrap().quality;
    assert_eq!(quality.novelty, None);
}

#[test]
fn a_constant_dimension_is_divided_by_the_floor() {
    let mut builder = Dataset::builder(Spec::new(2, 1));
    let still = Transition {
        observation: &[1.0, 1.0],
        action: &[0.0],
        reward: 0.0,
        next_observation: &[1.0, 1.0],
        terminated: false,
        truncated: false,
    };
    builder.push(still).unwrap();
    let data = builder.build().unwrap();
    let config = QualityConfig { std_floor: 0.5, ..QualityConfig::default() };
    let index = WindowIndex::new(&data, 1).unwrap();
    let set = Transitions::of_data(&index, &[0]).unwrap();
    let quality = QualityMeter::new(&data, Cart, config).unwrap().measure(&set).unwrap().quality;
    let expected = ((0.1 * 1.001 / 0.5_f64).powi(2) + (0.001 / 0.5_f64).powi(2)) / 2.0;
    assert!((quality.dynamic_mse.mean - expected).abs() < 1e-12);
    assert_eq!(quality.dynamic_mse_interval, None);
}

#[test]
fn bad_settings_sizes_and_simulators_are_named() {
    let config = QualityConfig { std_floor: 0.0, ..QualityConfig::default() };
    let error = QualityMeter::new(&dataset(), Cart, config).unwrap_err();
    assert_eq!(error.to_string(), "std_floor: must be positive and finite, not 0");
    let mut config = QualityConfig::default();
    config.bootstrap.level = 1.0;
    assert!(QualityMeter::new(&dataset(), Cart, config).unwrap_err().to_string().contains("bootstrap.level"));
    let other = Transitions::of_batch(&Batch::with_capacity(&Spec::new(3, 1), 0));
    assert!(meter().measure(&other).unwrap_err().to_string().contains("sizes (3, 1), the dataset's are (2, 1)"));
    struct Broken(bool);
    impl Simulator for Broken {
        fn name(&self) -> String {
            "broken".into()
        }

        fn answer(&self, _: &Questions<'_>) -> Result<Truth, SimulatorError> {
            if self.0 { Err("no such model".into()) } else { Ok(Truth::default()) }
        }
    }
    let of = |broken| QualityMeter::new(&dataset(), Broken(broken), QualityConfig::default()).unwrap();
    let error = of(true).measure(&real(6)).unwrap_err();
    assert_eq!(error.to_string(), "the simulator failed on 336 transitions: no such model");
    let error = of(false).measure(&real(6)).unwrap_err();
    assert_eq!(error.to_string(), "the simulator's next observations: expected 672 numbers for 336 transitions, got 0");
}

/// Says what it was told: rebuilt where there was an observation before, which leads to the one it is asked about; rewards
/// are the context, -1 without one.
struct Attentive;

impl Simulator for Attentive {
    fn name(&self) -> String {
        "attentive".into()
    }

    fn answer(&self, questions: &Questions<'_>) -> Result<Truth, SimulatorError> {
        let &Questions { observations, previous, states, .. } = questions;
        let contexts = states.and_then(States::contexts);
        let rows = observations.len() / 2;
        let rebuilt = observations.chunks_exact(2).zip(previous.chunks_exact(2)).map(|(now, before)| {
            before.iter().all(|v| v.is_finite()) && (now[0] - (before[0] + 0.1 * before[1])).abs() < 1e-5
        });
        Ok(Truth {
            next_observations: observations.iter().map(|&o| f64::from(o)).collect(),
            rewards: contexts.map_or(vec![-1.0; rows], <[f64]>::to_vec),
            terminated: vec![false; rows],
            rebuilt: rebuilt.collect(),
        })
    }
}

#[test]
fn simulators_are_told_the_observation_before_and_the_context_that_all_data_share() {
    let judged = |context: Option<&dyn Fn(usize) -> f64>| {
        let mut builder = Dataset::builder(Spec::new(2, 1));
        (0..8).for_each(|episode| builder.push_episode(&dataset(), episode).unwrap());
        if let Some(context) = context {
            let contexts = (0..dataset().len()).map(context).collect();
            builder.states(States { contexts, nc: 1, ..States::default() });
        }
        let meter = QualityMeter::new(&builder.build().unwrap(), Attentive, QualityConfig::default()).unwrap();
        meter.measure(&Transitions::of_windows(&generated())).unwrap().quality
    };
    let shared = judged(Some(&|_| 4.0));
    // 56 windows of six, of each of which the first transition has none before.
    assert_eq!((shared.transitions, shared.excluded.not_rebuilt), (336, 56));
    assert_eq!(shared.oracle_reward.mean, 4.0);
    assert_eq!(judged(Some(&|row| row as f64)).oracle_reward.mean, -1.0, "rows differ: nobody knows which");
    assert_eq!(judged(None).oracle_reward.mean, -1.0);
}
