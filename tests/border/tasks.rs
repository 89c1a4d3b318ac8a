//! Our tasks as border's environments, and scores.

use super::*;

#[test]
fn tasks_are_borders_environments_and_repeat() {
    for id in EnvId::ALL.into_iter().filter(|id| id.is_ready()) {
        let mut task = Task::<Rows>::build(&id, 5).unwrap();
        let width = task.spec().action_dim;
        let first = task.reset(None).unwrap();
        assert_eq!((first.len(), first.width()), (1, task.spec().obs_dim));
        let idle = Rows::new(vec![0.0; width], width).unwrap();
        let (mut steps, mut total) = (0, 0.0);
        let last = loop {
            let (step, _) = task.step(&idle);
            (steps, total) = (steps + 1, total + f64::from(step.reward[0]));
            assert!(step.reward[0].is_finite() && step.init_obs.is_none());
            if step.is_done() {
                break step;
            }
        };
        assert_eq!(last.is_terminated[0] + last.is_truncated[0], 1, "{id}: either, not both");
        assert_eq!(last.is_truncated[0] == 1, steps == task.spec().time_limit);
        assert!((task.length() == steps) && (task.total_reward() - total).abs() < 1e-3 * total.abs().max(1.0));
        // Another episode, and the first one again.
        let second = task.reset(Some(&vec![1])).unwrap();
        assert_ne!(second, first);
        assert_eq!(task.reset(Some(&vec![0])).unwrap(), second, "nothing ended");
        assert_eq!(task.reset_with_index(0).unwrap(), first);
        assert_eq!(task.reset_with_index(1).unwrap(), second);
    }
}

#[test]
fn an_action_that_is_none_of_the_tasks_ends_the_episode_and_is_told() {
    let mut task = Task::<Rows>::build(&EnvId::Hopper, 0).unwrap();
    task.reset(None).unwrap();
    let (step, _) = task.step(&Rows::new(vec![0.0; 6], 6).unwrap());
    assert!(step.is_done() && step.reward[0].is_nan());
    let why = task.reset(None).unwrap_err().to_string();
    assert_eq!(why, "action: expected 1 row of 3 numbers for Hopper-v4, got 1 of 6");
    assert!(task.reset(None).is_ok());
    let (step, _) = task.step(&Rows::new(vec![f32::NAN; 3], 3).unwrap());
    assert!(step.is_done() && step.is_truncated == [1] && step.reward[0].is_nan());

    let mut evaluator = TaskEvaluator::<Rows>::new(EnvId::Hopper, 2, 0).unwrap();
    let mut agent: Box<dyn Agent<Task, BorderBuffer<Dataset>>> = Box::new(Spring { rows: Arc::default() });
    let why = evaluator.evaluate(&mut agent).unwrap_err().to_string();
    assert!(why.contains("expected 1 row of 3 numbers for Hopper-v4, got 1 of 2"), "{why}");
    assert!(TaskEvaluator::<Rows>::new(EnvId::Hopper, 0, 0).is_err());
}

#[test]
fn an_evaluation_is_that_of_our_own_rollouts() {
    let mut agent: Box<dyn Agent<Task, BorderBuffer<Dataset>>> = Box::new(Spring { rows: Arc::default() });
    let outcomes = rollouts_batched(EnvId::PointMass, 5, 9, Some(1), |situations, actions| {
        for (o, a) in situations.observations.chunks_exact(4).zip(actions.chunks_exact_mut(2)) {
            a.copy_from_slice(&[(-o[0] - 0.6 * o[2]).clamp(-1.0, 1.0), (-o[1] - 0.6 * o[3]).clamp(-1.0, 1.0)]);
        }
        Ok::<(), envs::Error>(())
    })
    .unwrap();
    let expected = outcomes.iter().map(|outcome| outcome.total_reward).sum::<f64>() / 5.0;
    let mut evaluator = TaskEvaluator::<Rows>::new(EnvId::PointMass, 5, 9).unwrap();
    let (total, record) = evaluator.evaluate(&mut agent).unwrap();
    assert_eq!(f64::from(total), f64::from(expected as f32));
    assert_eq!(record.get_scalar("Episode return").unwrap(), total);
    assert_eq!(record.get_scalar("Episode length").unwrap(), 200.0);
    assert!(record.get("Normalized score").is_none(), "nobody has defined references");
    let references = envs::ReferenceReturns { min: 0.0, max: 200.0 };
    let mut evaluator = evaluator.with_references(Some(references));
    let (score, record) = evaluator.evaluate(&mut agent).unwrap();
    assert_eq!(score, references.score(expected) as f32);
    assert_eq!(record.get_scalar("Normalized score").unwrap(), score);
}
