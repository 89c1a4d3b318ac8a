//! MuJoCo's state and its steps: the only file that drives the simulator.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Once, PoisonError};

use mujoco_rs::logging::set_log_handler;
use mujoco_rs::wrappers::mj_logging::{MjLogMessage, MjtLogLevel, log_config, set_log_config};
use mujoco_rs::wrappers::{MjData, MjModel};

use super::task::Task;
use crate::{EnvId, Error, Result};

/// The compiled model of a task; compiled once per process.
pub(crate) fn model(task: &dyn Task) -> Result<Arc<MjModel>> {
    static MODELS: Mutex<BTreeMap<EnvId, Arc<MjModel>>> = Mutex::new(BTreeMap::new());
    let mut models = MODELS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(model) = models.get(&task.id()) {
        return Ok(model.clone());
    }
    route_messages();
    let model = MjModel::from_xml_string(&task.mjcf())
        .map_err(|error| Error::Simulator { task: task.id(), why: error.to_string() })?;
    let model = Arc::new(model);
    models.insert(task.id(), model.clone());
    Ok(model)
}

/// Sends MuJoCo's messages to `tracing`. By default MuJoCo writes them to `MUJOCO_LOG.TXT` in the working directory.
fn route_messages() {
    static ROUTED: Once = Once::new();
    ROUTED.call_once(|| {
        // SAFETY: this runs under the lock of `model`, before the first model exists, so no thread of this crate uses
        // MuJoCo. The handler does not call back into MuJoCo and does not panic.
        unsafe {
            set_log_handler(pass_on);
            // The handler's installation switches every topic on, and with them messages on the stepping path.
            set_log_config(log_config().with_topics(0).with_logto_file(false).with_logto_console(false));
        }
    });
}

fn pass_on(message: &MjLogMessage) {
    match message.level() {
        // MuJoCo cannot go on after an error: the process ends after this message, so it must be seen.
        MjtLogLevel::mjLOG_ERROR => {
            tracing::error!(target: "mujoco", "{}", message.subject());
            eprintln!("MuJoCo error: {}", message.subject());
        }
        // An unstable simulation is detected and counted where it happens; the message adds nothing.
        _ => tracing::debug!(target: "mujoco", "{}", message.subject()),
    }
}

/// One simulated body.
pub(crate) struct Simulation {
    data: MjData<Arc<MjModel>>,
    frame_skip: usize,
    /// Whether what MuJoCo derives from positions and velocities is that of the current ones.
    derived: bool,
}

impl Simulation {
    pub fn new(task: &dyn Task) -> Result<Self> {
        let data = MjData::try_new(model(task)?)
            .map_err(|error| Error::Simulator { task: task.id(), why: error.to_string() })?;
        Ok(Self { data, frame_skip: task.frame_skip(), derived: false })
    }

    pub fn model(&self) -> &MjModel {
        self.data.model()
    }

    pub fn qpos(&self) -> &[f64] {
        self.data.qpos()
    }

    pub fn qvel(&self) -> &[f64] {
        self.data.qvel()
    }

    /// Velocities, to be cut by a task before it steps.
    pub fn qvel_mut(&mut self) -> &mut [f64] {
        self.derived = false;
        self.data.qvel_mut()
    }

    /// Positions of all bodies' frames in the world, which is body 0.
    ///
    /// Current after [`Self::start`] and [`Self::advance_and_derive`]; after [`Self::advance`] one simulation step old.
    pub fn body_positions(&self) -> &[[f64; 3]] {
        self.data.xpos()
    }

    /// Rotations of all bodies' frames, row by row; as current as [`Self::body_positions`].
    pub fn body_rotations(&self) -> &[[f64; 9]] {
        self.data.xmat()
    }

    /// What the model's sensors show; as current as [`Self::body_positions`].
    pub fn sensors(&self) -> &[f64] {
        self.data.sensordata()
    }

    /// Starts an episode as Gymnasium does: everything reset, the state written, and one forward pass, which leaves
    /// the solver's first guess for the step that follows.
    pub fn start(&mut self, qpos: &[f64], qvel: &[f64]) {
        self.data.reset();
        self.data.qpos_mut().copy_from_slice(qpos);
        self.data.qvel_mut().copy_from_slice(qvel);
        self.forward();
    }

    /// One forward pass at the current state.
    pub fn forward(&mut self) {
        self.data.forward();
        self.derived = true;
    }

    /// Writes a state for a single step. The solver's first guess is zero, so that the step depends on nothing that
    /// was simulated before.
    pub fn place(&mut self, qpos: &[f64], qvel: &[f64]) {
        self.data.qpos_mut().copy_from_slice(qpos);
        self.data.qvel_mut().copy_from_slice(qvel);
        self.data.qacc_warmstart_mut().fill(0.0);
        self.derived = false;
    }

    /// Sets the solver's first guess for the next step.
    #[cfg(test)]
    pub fn guess(&mut self, acceleration: &[f64]) {
        self.data.qacc_warmstart_mut().copy_from_slice(acceleration);
    }

    /// Applies `gain * action` for one control step, as Gymnasium and D4RL do. Returns whether the simulation stayed
    /// sound; where it did not, all of its state is reset, so that nothing of it reaches what is simulated next.
    pub fn advance(&mut self, action: &[f32], gain: f64) -> bool {
        let finite = self.control(action, gain);
        if finite {
            (0..self.frame_skip).for_each(|_| self.data.step());
            self.derived = false;
        }
        self.check(finite)
    }

    /// Applies `action` for one control step and brings what is derived from the state up to date, as dm_control does;
    /// otherwise as [`Self::advance`]. For models that are integrated in one stage (not RK4).
    pub fn advance_and_derive(&mut self, action: &[f32]) -> bool {
        let finite = self.control(action, 1.0);
        if finite {
            if !self.derived {
                self.data.step1();
            }
            // A step is its two halves: the first half of the last one is what the observation needs.
            for _ in 0..self.frame_skip {
                self.data.step2();
                self.data.step1();
            }
            self.derived = true;
        }
        self.check(finite)
    }

    /// Writes the controls; false where one is not finite.
    fn control(&mut self, action: &[f32], gain: f64) -> bool {
        for (control, &value) in self.data.ctrl_mut().iter_mut().zip(action) {
            *control = gain * f64::from(value);
        }
        action.iter().all(|value| value.is_finite())
    }

    /// Resets the simulation unless all went well.
    fn check(&mut self, finite: bool) -> bool {
        let sound = finite && self.data.ffi().warning.iter().all(|warning| warning.number == 0);
        if !sound {
            self.data.reset();
            self.forward();
        }
        sound
    }
}
