//! MuJoCo as the judge of data: the only place where quality, and the filter of the pool, meet a task.

use envs::{Oracle, Queries, StatesRef};
use replay::{Batch, Dataset, Source, Spec, States, Windows};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::augment::{BoxError, Check, Parts};
use crate::eval::{
    NoveltyConfig, QualityConfig, QualityMeter, Questions, Simulator, SimulatorError, Successor, Transitions, Truth,
    mean,
};

impl Simulator for Oracle {
    fn name(&self) -> String {
        self.spec().id.to_string()
    }

    fn answer(&self, questions: &Questions<'_>) -> Result<Truth, SimulatorError> {
        let &Questions { observations, previous, actions, states } = questions;
        let known = states.filter(|s| s.has_positions()).map(|s| StatesRef { qpos: &s.qpos, qvel: &s.qvel });
        let contexts = states.filter(|s| s.nc == self.spec().context_dim).and_then(States::contexts);
        let queries = Queries { observations, previous: Some(previous), actions, states: known, contexts };
        let answers = self.step_from(&queries)?;
        let envs::Answers { next_observations, rewards, terminated, rebuilt, .. } = answers;
        Ok(Truth { next_observations, rewards, terminated, rebuilt })
    }
}

/// A check for [`GtaBuilder::check`](crate::GtaBuilder::check) that keeps a generated window only if its dynamic MSE
/// (eq. 11, in units of `dataset`'s states), averaged over its transitions, is at most `most_error`. A window without
/// one transition that the simulator can judge is rejected too.
///
/// This is for tasks that can be simulated; it is beyond the paper. [`dynamics_repair`] puts windows right instead.
pub fn dynamics_check<S>(dataset: &Dataset, simulator: S, most_error: f64) -> Result<Check>
where
    S: Simulator + Send + Sync + 'static,
{
    // Task and threshold are part of the name, and so of what a stored pool must agree in.
    let name = format!("{}: dynamic MSE above {most_error}", simulator.name());
    let meter = meter(dataset, simulator, most_error)?;
    Ok(Check::new(name, move |windows| {
        let set = Transitions::of_windows(windows);
        let mut errors = vec![Vec::new(); set.window_count()];
        for (judged, &window) in meter.judge_each(&set)?.iter().zip(set.windows()) {
            errors[window].extend(judged.map(|j| j.dynamic_mse));
        }
        Ok(errors.iter().map(|of| !of.is_empty() && mean(of) <= most_error).collect())
    }))
}

/// How [`dynamics_repair`] puts a true next state into a window, whose next state is also the state that the next
/// transition starts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repair {
    /// The window is taken apart: one part ends in the true next state, the next begins at the state that was generated.
    /// Every transition stays what it was or becomes exact, and nothing is lost but the connection, which was false. A
    /// part takes the memory of a whole window, though.
    #[default]
    Split,
    /// From there on the window is what the simulator makes of its own actions: exact, and as long as it was. But those
    /// actions were chosen for other states; rewards fall the farther it is rolled.
    Reroll,
}

/// A check for [`GtaBuilder::check`](crate::GtaBuilder::check) that puts right where [`dynamics_check`] would reject: a
/// transition whose dynamic MSE (eq. 11, in units of `dataset`'s states) is above `most_error`, or of which the simulator
/// says other than the window whether the task ends, gets the simulator's next state, reward and end.
///
/// Where the task ends, the window does. Transitions that the simulator cannot judge are left out. What is left breaks
/// the dynamics nowhere by more than `most_error`. This is for tasks that can be simulated; it is beyond the paper.
///
/// Of 60,000 transitions that a model of 2,500 steps generated for HalfCheetah (`examples/results/filters.txt`), a
/// `most_error` of 0.02 repairs a third. [`Repair::Split`] then leaves a seventh of the mean dynamic MSE, and the rewards
/// what they are. By [`Repair::Reroll`] nearly all transitions are exact, but at 0.03 the mean reward falls from 4.99 to
/// 4.03. Rejecting windows cannot do it: most have some wrong steps and few have many.
pub fn dynamics_repair<S>(dataset: &Dataset, simulator: S, most_error: f64, repair: Repair) -> Result<Check>
where
    S: Simulator + Send + Sync + 'static,
{
    let task = simulator.name();
    let name = match repair {
        Repair::Split => format!("{task}: split at dynamic MSE above {most_error}"),
        Repair::Reroll => format!("{task}: rerolled from dynamic MSE above {most_error}"),
    };
    let meter = meter(dataset, simulator, most_error)?;
    Ok(Check::amending(name, move |windows| {
        let found = Found::new(&meter, windows, most_error)?;
        match repair {
            Repair::Split => Ok(found.split(windows)),
            Repair::Reroll => found.reroll(windows, &meter),
        }
    }))
}

/// A meter of dynamic MSE alone; fails for a threshold that means nothing.
fn meter<S: Simulator>(dataset: &Dataset, simulator: S, most_error: f64) -> Result<QualityMeter<S>> {
    if most_error.is_nan() || most_error <= 0.0 {
        let why = format!("must be above 0, is {most_error}");
        return Err(crate::Error::Config { name: "most_error".into(), why });
    }
    let novelty = NoveltyConfig { most_queries: 0, ..NoveltyConfig::default() };
    Ok(QualityMeter::new(dataset, simulator, QualityConfig { novelty, ..QualityConfig::default() })?)
}

/// What the simulator says of each transition of some windows.
struct Found {
    /// What follows; absent where it cannot tell.
    truths: Vec<Option<Successor>>,
    /// Whether it follows in the window, too.
    right: Vec<bool>,
}

impl Found {
    fn new<S: Simulator>(meter: &QualityMeter<S>, windows: &Windows, most_error: f64) -> Result<Self, BoxError> {
        let set = Transitions::of_windows(windows);
        let truths = meter.successors(&set)?;
        let right = truths.iter().zip(&set.columns().terminated).map(|(truth, &terminated)| {
            let judged = truth.as_ref().map(|truth| truth.judged);
            judged.is_some_and(|j| j.dynamic_mse <= most_error && j.oracle_terminated == terminated)
        });
        Ok(Self { right: right.collect(), truths })
    }

    /// See [`Repair::Split`].
    fn split(&self, windows: &Windows) -> Parts {
        let mut parts = Parts::none_of(windows);
        let mut first = 0;
        for index in 0..windows.len() {
            let (length, mut start) = (windows.lengths[index] as usize, 0);
            for step in 0..length {
                let last = step + 1 == length;
                match &self.truths[first + step] {
                    // The part ends before what nobody knows.
                    None => {
                        if start < step {
                            parts.push(windows, index, start, step - start);
                        }
                        start = step + 1;
                    }
                    Some(truth) if !self.right[first + step] => {
                        parts.push(windows, index, start, step + 1 - start);
                        let part = parts.windows.len() - 1;
                        succeed(&mut parts.windows, part, step - start, truth);
                        parts.windows.end(part, step + 1 - start, truth.judged.oracle_terminated);
                        if truth.judged.oracle_terminated {
                            break;
                        }
                        start = step + 1;
                    }
                    Some(_) if last => parts.push(windows, index, start, length - start),
                    Some(_) => {}
                }
            }
            first += length;
        }
        parts
    }

    /// See [`Repair::Reroll`].
    fn reroll<S: Simulator>(self, windows: &Windows, meter: &QualityMeter<S>) -> Result<Parts, BoxError> {
        let mut rolled = windows.clone();
        // Transitions left of each window, and those from which windows are rolled on, with what follows.
        let mut left: Vec<usize> = windows.lengths.iter().map(|&length| length as usize).collect();
        let (mut wrong, mut first) = (Vec::new(), 0);
        for (index, &length) in left.iter().enumerate() {
            if let Some(step) = (0..length).find(|&step| !self.right[first + step]) {
                wrong.push((index, step, self.truths[first + step].clone()));
            }
            first += length;
        }
        let spec = Spec::new(windows.obs_dim(), windows.action_dim());
        while !wrong.is_empty() {
            // All windows a step further at a time: simulators are asked about many rows at once.
            let (mut batch, mut next) = (Batch::with_capacity(&spec, wrong.len()), Vec::with_capacity(wrong.len()));
            for (index, step, truth) in wrong {
                let Some(truth) = truth else {
                    (left[index], rolled.terminated[index]) = (step, false);
                    continue;
                };
                succeed(&mut rolled, index, step, &truth);
                if truth.judged.oracle_terminated || step + 1 == left[index] {
                    (left[index], rolled.terminated[index]) = (step + 1, truth.judged.oracle_terminated);
                } else {
                    let source = Source::Generated { window: index as u64, step: step as u32 + 1 };
                    batch.push(rolled.transition(index, step + 1), source);
                    next.push((index, step + 1));
                }
            }
            let truths = meter.successors(&Transitions::of_batch(&batch))?;
            wrong = next.into_iter().zip(truths).map(|((index, step), truth)| (index, step, truth)).collect();
        }
        let mut parts = Parts::none_of(windows);
        for (index, &length) in left.iter().enumerate().filter(|(_, length)| **length > 0) {
            rolled.end(index, length, rolled.terminated[index]);
            parts.keep(&rolled, index);
        }
        Ok(parts)
    }
}

/// Writes what truly follows from step `step` of a window into it.
fn succeed(windows: &mut Windows, index: usize, step: usize, truth: &Successor) {
    let (o, a, d) = (windows.obs_dim(), windows.action_dim(), windows.row_dim());
    let rows = &mut windows.window_mut(index)[step * d..][..2 * d];
    rows[o + a] = truth.judged.oracle_reward as f32;
    rows[d..d + o].copy_from_slice(&truth.next_observation);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::{Amendments, Filter, FilterConfig, Guide, GuideConfig};
    use envs::{Collect, EnvId, behaviour, collect};
    use replay::Seed;

    #[test]
    fn windows_that_break_the_dynamics_are_rejected_and_real_ones_kept() {
        let policies = behaviour::point_mass(0.3).unwrap();
        let plan = Collect { id: EnvId::PointMass, steps: 400, seed: 1, threads: Some(1) };
        let dataset = crate::recorded(collect(&plan, &[&policies[1]], &|_| ()).unwrap()).unwrap();
        let guide = Guide::new(&dataset, GuideConfig { horizon: 5, ..GuideConfig::default() }, Seed::new(0)).unwrap();
        let mut windows = guide.windows(&[0, 50, 100]);
        // The second window jumps in its third row.
        let row_dim = windows.row_dim();
        windows.window_mut(1)[2 * row_dim] += 1.0;
        let check = |most| dynamics_check(&dataset, Oracle::new(EnvId::PointMass, Some(1)).unwrap(), most).unwrap();
        let kept = |most| {
            Filter::new(&dataset, FilterConfig::default(), Some(check(most))).unwrap().apply(windows.clone()).unwrap()
        };
        assert_eq!(kept(1e-3).windows.origins, [0, 100]);
        assert_eq!(kept(1e3).windows.origins.len(), 3);
        assert!(dynamics_check(&dataset, Oracle::new(EnvId::PointMass, Some(1)).unwrap(), 0.0).is_err());
        // A pool checked by one task's simulator must not be taken for one checked by another's.
        assert_eq!(check(0.5).name(), "PointMass-v0: dynamic MSE above 0.5");
    }

    /// One observation moves by the action; the task ends beyond 3, and nothing is known of states below -9.
    #[derive(Clone)]
    struct Line;

    impl Simulator for Line {
        fn name(&self) -> String {
            "line".into()
        }

        fn answer(&self, questions: &Questions<'_>) -> Result<Truth, SimulatorError> {
            let (states, actions) = (questions.observations, questions.actions);
            let next: Vec<f64> = states.iter().zip(actions).map(|(s, a)| f64::from(s + a)).collect();
            Ok(Truth {
                rewards: next.iter().map(|s| 10.0 * s).collect(),
                terminated: next.iter().map(|&s| s > 3.0).collect(),
                rebuilt: states.iter().map(|&s| s > -9.0).collect(),
                next_observations: next,
            })
        }
    }

    /// States and then actions, and whether the task ends.
    type Given = (&'static [f32], bool);

    /// Windows of up to four steps: so many states and then actions, and the rewards that the line pays.
    fn windows(rows: &[Given]) -> Windows {
        let mut windows = Windows::with_capacity(&Spec::new(1, 1), 4, rows.len());
        for (numbers, terminated) in rows {
            let (states, actions) = numbers.split_at(numbers.len() / 2 + 1);
            for row in 0..5 {
                let action = actions.get(row).copied();
                let next = states.get(row + 1).copied().unwrap_or(0.0);
                let state = states[row.min(actions.len())];
                windows.values.extend([state, action.unwrap_or(0.0), action.map_or(0.0, |_| 10.0 * next)]);
            }
            windows.lengths.push(actions.len() as u32);
            windows.terminated.push(*terminated);
            windows.returns.push(0.0);
            windows.origins.push(windows.origins.len());
        }
        windows
    }

    fn line_data() -> Dataset {
        let mut builder = Dataset::builder(Spec::new(1, 1));
        for state in [-20.0, 20.0] {
            let (observation, next_observation) = (&[state], &[state]);
            builder
                .push(replay::Transition {
                    observation,
                    action: &[0.0],
                    reward: 10.0 * state,
                    next_observation,
                    terminated: false,
                    truncated: false,
                })
                .unwrap();
        }
        builder.build().unwrap()
    }

    fn repaired_line(given: &Windows, repair: Repair) -> crate::augment::Filtered {
        let check = dynamics_repair(&line_data(), Line, 1e-6, repair).unwrap();
        Filter::new(&line_data(), FilterConfig::default(), Some(check)).unwrap().apply(given.clone()).unwrap()
    }

    #[test]
    fn a_wrong_step_is_put_right_and_nothing_is_lost() {
        let right: Given = (&[0.0, 0.5, 1.0, 1.5, 2.0, 0.5, 0.5, 0.5, 0.5], false);
        let jump: Given = (&[0.0, 0.5, 1.5, 2.0, 2.5, 0.5, 0.5, 0.5, 0.5], false);
        let given = windows(&[right, jump]);
        let split = repaired_line(&given, Repair::Split);
        let (before, after): (Given, Given) =
            ((&[0.0, 0.5, 1.0, 0.5, 0.5], false), (&[1.5, 2.0, 2.5, 0.5, 0.5], false));
        assert_eq!(split.windows.values, windows(&[right, before, after]).values);
        assert_eq!((&split.positions[..], &split.starts[..]), (&[0, 1, 1][..], &[0, 0, 2][..]));
        assert_eq!(split.amendments, Amendments { windows: 1, replaced: 1, dropped: 0 });
        let rolled = repaired_line(&given, Repair::Reroll);
        assert_eq!(rolled.windows.values, windows(&[right, right]).values);
        assert_eq!(rolled.amendments, Amendments { windows: 1, replaced: 3, dropped: 0 });
        // Once repaired there is nothing to repair.
        for (repaired, repair) in [(split, Repair::Split), (rolled, Repair::Reroll)] {
            let again = repaired_line(&repaired.windows, repair);
            assert_eq!((again.windows, again.amendments), (repaired.windows, Amendments::default()));
        }
    }

    #[test]
    fn a_window_ends_where_the_task_does_and_only_there() {
        let missed: Given = (&[2.0, 2.5, 3.5, 4.0, 4.5, 0.5, 1.0, 0.5, 0.5], false);
        let invented: Given = (&[0.0, 0.5, 1.0, 0.5, 0.5], true);
        let rolled_over: Given = (&[1.0, 0.0, 1.0, 2.0, 2.5, 1.0, 1.0, 1.0, 0.5], false);
        for repair in [Repair::Split, Repair::Reroll] {
            let left = repaired_line(&windows(&[missed, invented]), repair);
            assert_eq!((left.windows.lengths, left.windows.terminated), (vec![2, 2], vec![true, false]), "{repair:?}");
            assert_eq!(left.amendments, Amendments { windows: 2, replaced: 2, dropped: 2 });
        }
        let left = repaired_line(&windows(&[rolled_over]), Repair::Reroll).windows;
        assert_eq!((left.lengths[0], left.terminated[0]), (3, true));
        assert_eq!(left.transition(0, 2).next_observation, [4.0]);
    }

    #[test]
    fn what_cannot_be_judged_is_left_out() {
        let later: Given = (&[-8.5, -9.0, -8.5, -8.0, -0.5, 0.5, 0.5], false);
        let only: Given = (&[-9.5, -9.0, 0.5], false);
        let left = repaired_line(&windows(&[later, only]), Repair::Split);
        assert_eq!((left.positions, left.starts), (vec![0, 0], vec![0, 2]));
        assert_eq!((left.windows.lengths, left.rejections.check), (vec![1, 1], 1));
        assert_eq!(left.amendments, Amendments { windows: 1, replaced: 0, dropped: 1 });
        // What would follow is not known either.
        let left = repaired_line(&windows(&[later, only]), Repair::Reroll);
        assert_eq!((left.positions, left.windows.lengths, left.rejections.check), (vec![0], vec![1], 1));
        assert_eq!(left.amendments, Amendments { windows: 1, replaced: 0, dropped: 2 });
    }

    #[test]
    fn rerolled_windows_of_the_point_mass_are_those_that_were_there() {
        let policies = behaviour::point_mass(0.3).unwrap();
        let plan = Collect { id: EnvId::PointMass, steps: 400, seed: 1, threads: Some(1) };
        let dataset = crate::recorded(collect(&plan, &[&policies[1]], &|_| ()).unwrap()).unwrap();
        let guide = Guide::new(&dataset, GuideConfig { horizon: 5, ..GuideConfig::default() }, Seed::new(0)).unwrap();
        let (real, mut broken) = (guide.windows(&[0, 50]), guide.windows(&[0, 50]));
        let row_dim = broken.row_dim();
        broken.window_mut(1)[2 * row_dim] += 1.0;
        let oracle = Oracle::new(EnvId::PointMass, Some(1)).unwrap();
        let check = dynamics_repair(&dataset, oracle, 1e-3, Repair::Reroll).unwrap();
        let left = Filter::new(&dataset, FilterConfig::default(), Some(check)).unwrap().apply(broken).unwrap();
        assert_eq!((left.windows.window(0), left.amendments.windows), (real.window(0), 1));
        for (ours, theirs) in left.windows.window(1).iter().zip(real.window(1)) {
            assert!((ours - theirs).abs() < 1e-4, "{ours} against {theirs}");
        }
    }
}
