//! Our physics against Gymnasium's, on the recordings that `tests/fixtures/make_recordings.py` made with Gymnasium
//! 1.4.0 and MuJoCo 3.17.0.

use npyz::npz::NpzArchive;

use super::locomotion::Locomotion;
use super::simulation::Simulation;
use super::task::{MujocoEnv, Task};
use crate::{Env, EnvId, Oracle, Queries, StatesRef};

/// Both run the same machine code on the same model, so that they agree to the last bit where both use the same
/// mathematical library; a difference in its last bits stays far below this.
const TOLERANCE: f64 = 1e-9;

struct Recording {
    qpos: Vec<f64>,
    qvel: Vec<f64>,
    warm_start: Vec<f64>,
    action: Vec<f32>,
    observation: Vec<f64>,
    reward: Vec<f64>,
    terminated: Vec<u8>,
    first: Vec<i64>,
    archive: NpzArchive<std::io::BufReader<std::fs::File>>,
}

impl Recording {
    fn open(task: &Locomotion) -> Self {
        let name = task.id.name().split('-').next().unwrap().to_lowercase();
        let path = format!("{}/tests/fixtures/{name}.npz", env!("CARGO_MANIFEST_DIR"));
        let mut archive = NpzArchive::open(&path).unwrap();
        Self {
            qpos: column(&mut archive, "rows/qpos"),
            qvel: column(&mut archive, "rows/qvel"),
            warm_start: column(&mut archive, "rows/warmstart"),
            action: column(&mut archive, "rows/action"),
            observation: column(&mut archive, "rows/observation"),
            reward: column(&mut archive, "rows/reward"),
            terminated: column(&mut archive, "rows/terminated"),
            first: column(&mut archive, "runs/first"),
            archive,
        }
    }
}

fn column<T: npyz::Deserialize>(archive: &mut NpzArchive<std::io::BufReader<std::fs::File>>, name: &str) -> Vec<T> {
    archive.by_name(name).unwrap().unwrap_or_else(|| panic!("no array {name}")).into_vec().unwrap()
}

fn row<T>(values: &[T], index: usize, width: usize) -> &[T] {
    &values[index * width..][..width]
}

fn assert_close(what: &str, index: usize, ours: &[f64], theirs: &[f64], tolerance: f64) {
    assert_eq!(ours.len(), theirs.len());
    for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{what} {i} of row {index}: {a}, Gymnasium {b}");
    }
}

/// 1,000 random actions, each from Gymnasium's own state and first guess of the solver.
fn steps_agree(task: &'static Locomotion) {
    let recording = Recording::open(task);
    let mut simulation = Simulation::new(task).unwrap();
    let spec = MujocoEnv::new(Box::new(*task)).unwrap().spec().clone();
    let mut observation = vec![0.0; spec.obs_dim];
    assert_eq!(recording.reward.len(), 1000);
    for i in 0..recording.reward.len() {
        let (qpos, qvel) = (row(&recording.qpos, i, spec.nq), row(&recording.qvel, i, spec.nv));
        let action = row(&recording.action, i, spec.action_dim);
        simulation.place(qpos, qvel);
        simulation.guess(row(&recording.warm_start, i, spec.nv));
        let outcome = task.advance(&mut simulation, &[], action).unwrap();
        task.observe(&simulation, &mut observation);
        assert_close("observation", i, &observation, row(&recording.observation, i, spec.obs_dim), TOLERANCE);
        assert_close("reward", i, &[outcome.reward], &[recording.reward[i]], TOLERANCE);
        assert_eq!(outcome.terminated, recording.terminated[i] != 0, "terminated, row {i}");
    }
}

/// Runs of 100 random actions that follow from their first state alone.
fn runs_agree(task: &'static Locomotion) {
    let recording = Recording::open(task);
    let mut env = MujocoEnv::new(Box::new(*task)).unwrap();
    let spec = env.spec().clone();
    let ends = recording.first.iter().skip(1).map(|&f| f as usize).chain([recording.reward.len()]);
    for (start, end) in recording.first.iter().map(|&f| f as usize).zip(ends) {
        env.set_state(row(&recording.qpos, start, spec.nq), row(&recording.qvel, start, spec.nv)).unwrap();
        for i in start..end {
            let step = env.step(row(&recording.action, i, spec.action_dim));
            assert_close("observation", i, env.observation(), row(&recording.observation, i, spec.obs_dim), TOLERANCE);
            assert_close("reward", i, &[step.reward], &[recording.reward[i]], TOLERANCE);
            assert_eq!(step.terminated, recording.terminated[i] != 0, "terminated, row {i}");
        }
    }
}

/// The oracle does not know the solver's first guess: it starts from zero, and the solver's tolerance is what remains.
fn oracle_agrees(task: &'static Locomotion) {
    let recording = Recording::open(task);
    let oracle = Oracle::new(task.id, None).unwrap();
    let o = oracle.spec().obs_dim;
    let states = StatesRef { qpos: &recording.qpos, qvel: &recording.qvel };
    let queries = Queries { observations: &[], actions: &recording.action, states: Some(states), ..Queries::default() };
    let answers = oracle.step_from(&queries).unwrap();
    assert_eq!((answers.unrebuilt_rows(), answers.diverged_rows()), (0, 0));
    let mut largest: f64 = 0.0;
    for (ours, theirs) in answers.next_observations.iter().zip(&recording.observation) {
        largest = largest.max((ours - theirs).abs() / theirs.abs().max(1.0));
    }
    assert!(largest < 1e-5, "largest error {largest}");
    for i in 0..answers.len() {
        assert_close("reward", i, &[answers.rewards[i]], &[recording.reward[i]], 1e-5);
        assert_eq!(answers.terminated[i], recording.terminated[i] != 0, "terminated, row {i}");
    }
    // From observations alone: each row follows the observation before it, unless another run starts there.
    let observations: Vec<f32> = recording.observation.iter().map(|&v| v as f32).collect();
    let rows = recording.reward.len() - 1;
    let a = oracle.spec().action_dim;
    let queries =
        Queries { observations: &observations[..rows * o], actions: &recording.action[a..], ..Queries::default() };
    let answers = oracle.step_from(&queries).unwrap();
    let mut known = 0;
    for i in (0..rows).filter(|&i| answers.known(i) && !recording.first.contains(&(i as i64 + 1))) {
        known += 1;
        let theirs = row(&recording.observation, i + 1, o);
        assert_close("observation", i, row(&answers.next_observations, i, o), theirs, 1e-3);
    }
    let clipped = |i: usize| row(&observations, i, o).iter().skip(oracle.spec().nq - 1).any(|v| v.abs() >= 9.9);
    let expected = (0..rows).filter(|&i| task.velocity_limit.is_some() && clipped(i)).count();
    assert_eq!(answers.unrebuilt_rows(), expected);
    assert!(known > 100, "{known} rows known");
}

/// Every array of the compiled model that the motion depends on.
fn models_agree(task: &'static Locomotion) {
    let mut archive = Recording::open(task).archive;
    let simulation = Simulation::new(task).unwrap();
    let m = simulation.model();
    let ours: [(&str, Vec<f64>); 24] = [
        ("actuator_ctrlrange", m.actuator_ctrlrange().concat()),
        ("actuator_gear", m.actuator_gear().concat()),
        ("body_inertia", m.body_inertia().concat()),
        ("body_ipos", m.body_ipos().concat()),
        ("body_iquat", m.body_iquat().concat()),
        ("body_mass", m.body_mass().to_vec()),
        ("body_pos", m.body_pos().concat()),
        ("dof_armature", m.dof_armature().to_vec()),
        ("dof_damping", m.dof_damping().to_vec()),
        ("geom_friction", m.geom_friction().concat()),
        ("geom_margin", m.geom_margin().to_vec()),
        ("geom_pos", m.geom_pos().concat()),
        ("geom_quat", m.geom_quat().concat()),
        ("geom_size", m.geom_size().concat()),
        ("geom_solimp", m.geom_solimp().concat()),
        ("geom_solref", m.geom_solref().concat()),
        ("jnt_axis", m.jnt_axis().concat()),
        ("jnt_pos", m.jnt_pos().concat()),
        ("jnt_range", m.jnt_range().concat()),
        ("jnt_solimp", m.jnt_solimp().concat()),
        ("jnt_solref", m.jnt_solref().concat()),
        ("jnt_stiffness", m.jnt_stiffness().to_vec()),
        ("qpos0", m.qpos0().to_vec()),
        ("timestep", vec![m.opt().timestep]),
    ];
    for (name, values) in ours {
        let mut theirs: Vec<f64> = column(&mut archive, &format!("model/{name}"));
        if name == "geom_size" {
            // The ground's size is only how far it is drawn.
            theirs[..3].copy_from_slice(&values[..3]);
        }
        assert_close(name, 0, &values, &theirs, 1e-15);
    }
}

/// All four comparisons for one task.
macro_rules! against_gymnasium {
    ($($name:ident: $task:expr),*) => {$(
        mod $name {
            #[test]
            fn single_steps() {
                super::steps_agree($task);
            }

            #[test]
            fn runs_from_a_first_state() {
                super::runs_agree($task);
            }

            #[test]
            fn the_oracle() {
                super::oracle_agrees($task);
            }

            #[test]
            fn the_compiled_model() {
                super::models_agree($task);
            }
        }
    )*};
}

against_gymnasium!(
    halfcheetah: &crate::mujoco::HALF_CHEETAH,
    hopper: &crate::mujoco::HOPPER,
    walker2d: &crate::mujoco::WALKER2D
);

/// A rollout sampled from the starts of `make`: the noise has the published scale.
#[test]
fn starts_have_gymnasiums_spread() {
    for (id, scale, uniform) in
        [(EnvId::HalfCheetah, 0.1, false), (EnvId::Hopper, 5e-3, true), (EnvId::Walker2d, 5e-3, true)]
    {
        let mut env = crate::make(id).unwrap();
        let origin = if id == EnvId::HalfCheetah { 0.0 } else { 1.25 };
        let (mut positions, mut velocities) = (Vec::new(), Vec::new());
        for seed in 0..2000 {
            env.reset(seed);
            let (qpos, qvel) = env.state();
            positions.push(qpos[1] - origin);
            positions.push(qpos[0]);
            velocities.extend_from_slice(qvel);
        }
        let deviation =
            |values: &[f64]| (values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64).sqrt() / scale;
        // A uniform distribution on ±1 has standard deviation 1/√3.
        let third = 1.0 / 3.0_f64.sqrt();
        assert!((deviation(&positions) - third).abs() < 0.03, "{id}");
        assert!((deviation(&velocities) - if uniform { third } else { 1.0 }).abs() < 0.03, "{id}");
        assert!(positions.iter().all(|p| p.abs() <= scale));
    }
}
