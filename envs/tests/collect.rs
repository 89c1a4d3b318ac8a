//! Collection and episodes as a whole.

use envs::{
    Collect, Collected, EnvId, GaussianPolicy, Maze, MazeReward, Policy, Rng, UniformPolicy, behaviour, collect, make,
};

fn plan(id: EnvId, steps: usize, threads: usize) -> Collect {
    Collect { id, steps, seed: 7, threads: Some(threads) }
}

fn check_columns(data: &Collected, steps: usize) {
    let (s, n) = (&data.spec, data.len());
    assert_eq!(n, steps);
    assert_eq!([data.observations.len(), data.next_observations.len()], [n * s.obs_dim; 2]);
    assert_eq!([data.actions.len(), data.qpos.len(), data.qvel.len()], [n * s.action_dim, n * s.nq, n * s.nv]);
    assert_eq!(data.contexts.len(), n * s.context_dim);
    let mut row = 0;
    for episode in &data.episodes {
        assert_eq!(episode.rows.start, row);
        row = episode.rows.end;
        let last = row - 1;
        for i in episode.rows.clone() {
            assert!(!(data.terminated[i] && data.truncated[i]));
            assert_eq!(data.terminated[i] || data.truncated[i], i == last, "row {i}");
            let o = s.obs_dim;
            if i < last {
                assert_eq!(data.next_observations[i * o..][..o], data.observations[(i + 1) * o..][..o], "row {i}");
            }
        }
    }
    assert_eq!(row, n);
}

#[test]
fn the_same_columns_for_any_number_of_threads() {
    let random = UniformPolicy { obs_dim: 11, action_dim: 3 };
    let one = collect(&plan(EnvId::Hopper, 700, 1), &[&random, &random], &|_| {}).unwrap();
    let three = collect(&plan(EnvId::Hopper, 700, 3), &[&random, &random], &|_| {}).unwrap();
    assert_eq!(one, three);
    check_columns(&one, 700);
    assert!(one.episodes.len() > 10 && one.terminated.iter().any(|&t| t));
    let other = collect(&Collect { seed: 8, ..plan(EnvId::Hopper, 700, 1) }, &[&random, &random], &|_| {}).unwrap();
    assert_ne!(one.observations, other.observations);
}

#[test]
fn policies_share_the_steps_and_the_last_episode_of_each_is_cut() {
    let levels = behaviour::point_mass(0.1).unwrap();
    let policies: Vec<&dyn Policy> = levels.iter().map(|level| level as &dyn Policy).collect();
    let calls = std::sync::Mutex::new(Vec::new());
    let data = collect(&plan(EnvId::PointMass, 1001, 2), &policies, &|n| calls.lock().unwrap().push(n)).unwrap();
    check_columns(&data, 1001);
    for (policy, (first, last)) in [(0, 333), (333, 667), (667, 1001)].into_iter().enumerate() {
        let own: Vec<_> = data.episodes.iter().filter(|e| e.policy == policy).collect();
        assert_eq!((own[0].rows.start, own[own.len() - 1].rows.end), (first, last));
        let (cut, whole) = own.split_last().unwrap();
        assert!(!cut.complete && data.truncated[last - 1]);
        assert!(whole.iter().all(|e| e.complete));
    }
    let calls = calls.into_inner().unwrap();
    assert!(calls.is_sorted() && calls.last() == Some(&1001));
}

#[test]
fn halfcheetah_episodes_end_at_the_time_limit() {
    let levels = behaviour::halfcheetah(0.2).unwrap();
    let data = collect(&plan(EnvId::HalfCheetah, 2500, 2), &[&levels[0]], &|_| {}).unwrap();
    check_columns(&data, 2500);
    let lengths: Vec<usize> = data.episodes.iter().map(|e| e.rows.len()).collect();
    assert_eq!(lengths, [1000, 1000, 500]);
    assert!(data.truncated[999] && data.truncated[1999] && !data.terminated.iter().any(|&t| t));
}

#[test]
fn every_task_is_truncated_at_its_time_limit_and_again_after_a_reset() {
    let maze = EnvId::Maze2d(Maze::Umaze, MazeReward::Dense);
    for id in [EnvId::HalfCheetah, EnvId::PointMass, maze, EnvId::AntMaze(Maze::Umaze), EnvId::WalkerWalk] {
        let mut env = make(id).unwrap();
        let (limit, action) = (env.spec().time_limit, vec![0.0; env.spec().action_dim]);
        for seed in 0..2 {
            env.reset(seed);
            for elapsed in 1..=limit {
                let step = env.step(&action);
                assert_eq!(step.truncated, elapsed == limit, "{id} at {elapsed}");
            }
        }
    }
}

#[test]
fn a_seed_gives_an_episode_and_a_state_continues_it() {
    for id in EnvId::ALL.into_iter().filter(|id| id.is_ready()) {
        let (mut a, mut b) = (make(id).unwrap(), make(id).unwrap());
        let action = vec![0.4; a.spec().action_dim];
        b.reset(1);
        b.step(&action);
        let first = a.reset(3).to_vec();
        assert_eq!(first, b.reset(3), "{id}: what came before does not matter");
        assert_ne!(first, b.reset(4), "{id}");
        let (qpos, qvel) = a.state();
        let (qpos, qvel) = (qpos.to_vec(), qvel.to_vec());
        b.set_state(&qpos, &qvel).unwrap();
        b.set_context(a.context()).unwrap();
        // Noise of sensors goes on where it was.
        let noisy = matches!(id, EnvId::Kitchen(_));
        assert!(noisy || a.observation() == b.observation(), "{id}");
        assert_eq!(a.step(&action), b.step(&action), "{id}");
        assert_eq!(a.state(), b.state(), "{id}");
        assert!(noisy || a.observation() == b.observation(), "{id}");
        assert!(b.set_state(&qpos[1..], &qvel).is_err());
        let context = vec![f64::NAN; a.spec().context_dim];
        assert!(b.set_context(&[a.context(), &[0.0]].concat()).is_err());
        assert_eq!(b.set_context(&context).is_err(), !context.is_empty(), "{id}");
        let mut broken = qvel.clone();
        broken[0] = f64::NAN;
        assert!(b.set_state(&qpos, &broken).unwrap_err().to_string().contains("NaN is not finite"));
    }
}

#[test]
fn an_unstable_step_truncates_and_writes_no_file() {
    let mut env = make(EnvId::HalfCheetah).unwrap();
    let (nq, nv) = (env.spec().nq, env.spec().nv);
    // Left alone, MuJoCo writes a log into the working directory when it meets the first bad state.
    for velocity in [1e9, 1e11] {
        env.set_state(&vec![0.0; nq], &vec![velocity; nv]).unwrap();
        let step = env.step(&[0.0; 6]);
        assert!(step.reward.is_nan() && step.truncated && !step.terminated, "{step:?}");
    }
    env.reset(0);
    assert!(env.step(&[0.0; 6]).reward.is_finite());
    let step = env.step(&[0.0, f32::NAN, 0.0, 0.0, 0.0, 0.0]);
    assert!(step.reward.is_nan() && step.truncated && env.observation().iter().all(|v| v.is_finite()));
    assert!(!std::path::Path::new("MUJOCO_LOG.TXT").exists());
}

/// A policy whose actions are not finite from its tenth step on.
struct Breaks;

impl Policy for Breaks {
    fn obs_dim(&self) -> usize {
        4
    }

    fn action_dim(&self) -> usize {
        2
    }

    fn act(&self, observation: &[f64], _: &mut Rng, action: &mut [f32]) {
        // Gently to the right: the position tells how long it has been going.
        action.fill(if observation[2] > 0.5 { f32::NAN } else { 0.2 });
    }
}

#[test]
fn a_step_that_cannot_be_simulated_is_left_out_and_a_hopeless_policy_is_an_error() {
    let data = collect(&plan(EnvId::PointMass, 60, 2), &[&Breaks], &|_| {}).unwrap();
    check_columns(&data, 60);
    assert!(data.actions.iter().chain(&data.rewards).all(|v| v.is_finite()) && data.episodes.len() > 2);
    let noise = GaussianPolicy::new(UniformPolicy { obs_dim: 4, action_dim: 2 }, 0.1).unwrap();
    assert!(collect(&plan(EnvId::PointMass, 0, 1), &[&noise], &|_| {}).is_err());
    assert!(collect(&plan(EnvId::PointMass, 5, 1), &[], &|_| {}).is_err());
    assert!(collect(&plan(EnvId::Hopper, 5, 1), &[&noise], &|_| {}).unwrap_err().to_string().contains("got 4"));

    struct Hopeless;
    impl Policy for Hopeless {
        fn obs_dim(&self) -> usize {
            4
        }

        fn action_dim(&self) -> usize {
            2
        }

        fn act(&self, _: &[f64], _: &mut Rng, action: &mut [f32]) {
            action.fill(f32::NAN);
        }
    }
    let error = collect(&plan(EnvId::PointMass, 5, 1), &[&noise, &Hopeless], &|_| {}).unwrap_err().to_string();
    assert!(error.contains("number 1") && error.contains("first step"), "{error}");
}
