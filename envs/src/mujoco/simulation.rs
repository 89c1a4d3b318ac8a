//! MuJoCo's state and its steps: the only file that drives the simulator.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Once, PoisonError};

use mujoco_rs::logging::set_log_handler;
use mujoco_rs::wrappers::mj_logging::{MjLogMessage, MjtLogLevel, log_config, set_log_config};
use mujoco_rs::wrappers::{MjData, MjModel, MjSpec, MjtObjBase};

use super::task::Task;
use crate::{EnvId, Error, Result};

/// Where a model comes from.
pub(crate) enum Source {
    /// MJCF text.
    Text(String),
    /// A file below the folder of [`assets`](crate::assets).
    Asset(&'static str),
}

/// The compiled model of a task; compiled once per process.
pub(crate) fn model(task: &dyn Task) -> Result<Arc<MjModel>> {
    static MODELS: Mutex<BTreeMap<EnvId, Arc<MjModel>>> = Mutex::new(BTreeMap::new());
    let mut models = MODELS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(model) = models.get(&task.model_of()) {
        return Ok(model.clone());
    }
    let model = Arc::new(compile(task, crate::assets)?);
    models.insert(task.model_of(), model.clone());
    Ok(model)
}

/// Compiles the model of a task; `assets` names the folder of the files, if it is one.
pub(super) fn compile(task: &dyn Task, assets: impl FnOnce() -> Result<PathBuf>) -> Result<MjModel> {
    route_messages();
    match task.model() {
        Source::Text(text) => MjModel::from_xml_string(&text)
            .map_err(|error| Error::Simulator { task: task.id(), why: error.to_string() }),
        Source::Asset(file) => {
            let path = assets()?.join(file);
            let fail = |why: String| {
                let why = why.lines().collect::<Vec<_>>().join("; ");
                Error::Assets { why: format!("{} does not load: {why}", path.display()) }
            };
            // In two steps, because MuJoCo cuts what it says of both in one at 99 characters, and with it a mesh's name.
            let compiled = MjSpec::from_xml(&path).and_then(|mut spec| spec.compile());
            let mut model = compiled.map_err(|error| fail(error.to_string()))?;
            task.prepare(&mut model).map_err(fail)?;
            Ok(model)
        }
    }
}

/// Fails unless a model read from a file has `[nq, nv, nu]` and these bodies and sites. The error is what is wrong with it.
pub(super) fn check_model(
    model: &MjModel,
    sizes: [usize; 3],
    bodies: &[&str],
    sites: &[&str],
) -> std::result::Result<(), String> {
    let found = [model.nq(), model.nv(), model.nu()].map(|size| size as usize);
    if found != sizes {
        return Err(format!("it has nq, nv and nu {found:?}, expected {sizes:?}"));
    }
    let bodies = bodies.iter().map(|name| (MjtObjBase::mjOBJ_BODY, name));
    let sites = sites.iter().map(|name| (MjtObjBase::mjOBJ_SITE, name));
    match bodies.chain(sites).find(|(kind, name)| model.name_to_id(*kind, name).is_none()) {
        Some((_, name)) => Err(format!("it has no {name}")),
        None => Ok(()),
    }
}

/// Sends MuJoCo's messages to `tracing`. By default MuJoCo writes them to `MUJOCO_LOG.TXT` in the working directory.
fn route_messages() {
    static ROUTED: Once = Once::new();
    ROUTED.call_once(|| {
        // SAFETY: every model is compiled after this, so no thread of this crate uses MuJoCo before it ends. The handler
        // does not call back into MuJoCo and does not panic.
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
    /// The model as compiled, which other simulations use too.
    compiled: Arc<MjModel>,
    frame_skip: usize,
    /// Whether what MuJoCo derives from positions and velocities is that of the current ones.
    derived: bool,
}

impl Simulation {
    pub fn new(task: &dyn Task) -> Result<Self> {
        let compiled = model(task)?;
        let data = MjData::try_new(compiled.clone())
            .map_err(|error| Error::Simulator { task: task.id(), why: error.to_string() })?;
        Ok(Self { data, compiled, frame_skip: task.frame_skip(), derived: false })
    }

    pub fn model(&self) -> &MjModel {
        self.data.model()
    }

    /// The model as compiled: without what [`Self::place_body`] changed.
    pub fn compiled(&self) -> Arc<MjModel> {
        self.compiled.clone()
    }

    /// Changes where a body is in this simulation's model, of which it takes a copy of its own at the first change; `place`
    /// gets the body's number.
    pub fn place_body(&mut self, name: &str, place: impl FnOnce(&mut MjModel, usize)) {
        let body = self.numbered(MjtObjBase::mjOBJ_BODY, name);
        let mut own = self.data.swap_model(self.compiled.clone());
        place(Arc::make_mut(&mut own), body);
        self.data.swap_model(own);
        self.derived = false;
    }

    /// The number of a body or site that [`check_model`] has found.
    fn numbered(&self, kind: MjtObjBase, name: &str) -> usize {
        self.model().name_to_id(kind, name).expect("looked for when the model was read")
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

    /// Position of a body's frame in the world; as current as [`Self::body_positions`].
    pub fn body(&self, name: &str) -> [f64; 3] {
        self.data.xpos()[self.numbered(MjtObjBase::mjOBJ_BODY, name)]
    }

    /// Position of a site in the world; as current as [`Self::body_positions`].
    pub fn site(&self, name: &str) -> [f64; 3] {
        self.data.site_xpos()[self.numbered(MjtObjBase::mjOBJ_SITE, name)]
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

    /// Derives the positions of bodies and sites alone from `qpos`.
    pub fn pose(&mut self, qpos: &[f64]) {
        self.data.qpos_mut().copy_from_slice(qpos);
        self.data.kinematics();
        self.derived = false;
    }

    /// Everything derived at positions `qpos`, to be drawn.
    #[cfg(feature = "render")]
    pub fn drawn(&mut self, qpos: &[f64]) -> &mut MjData<Arc<MjModel>> {
        self.data.qpos_mut().copy_from_slice(qpos);
        self.forward();
        &mut self.data
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

    /// The controls of the last step.
    #[cfg(test)]
    pub fn controls(&self) -> &[f64] {
        self.data.ctrl()
    }

    /// Applies `gain * action` for one control step, as Gymnasium and D4RL do. Returns whether the simulation stayed
    /// sound; where it did not, all of its state is reset, so that nothing of it reaches what is simulated next.
    pub fn advance(&mut self, action: &[f32], gain: f64) -> bool {
        self.advance_by(action, |_, value| gain * value)
    }

    /// As [`Self::advance`], with the control that `control` makes of the index of an actuator and its action.
    pub fn advance_by(&mut self, action: &[f32], control: impl Fn(usize, f64) -> f64) -> bool {
        let finite = self.control(action, control);
        if finite {
            (0..self.frame_skip).for_each(|_| self.data.step());
            self.derived = false;
        }
        self.check(finite)
    }

    /// Applies `action` for one control step and brings what is derived from the state up to date, as dm_control does;
    /// otherwise as [`Self::advance`]. For models that are integrated in one stage (not RK4).
    pub fn advance_and_derive(&mut self, action: &[f32]) -> bool {
        let finite = self.control(action, |_, value| value);
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
    fn control(&mut self, action: &[f32], control: impl Fn(usize, f64) -> f64) -> bool {
        for (index, (written, &value)) in self.data.ctrl_mut().iter_mut().zip(action).enumerate() {
            *written = control(index, f64::from(value));
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::assets::found;
    use crate::mujoco::{Door, FrankaKitchen, Pen};
    use crate::{Kitchen, assets};

    /// Links to all files below `from`, in `to`.
    fn link_all(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let (path, target) = (entry.path(), to.join(entry.file_name()));
            if path.is_dir() {
                link_all(&path, &target);
            } else {
                std::os::unix::fs::symlink(fs::canonicalize(&path).unwrap(), target).unwrap();
            }
        }
    }

    #[test]
    fn files_that_are_missing_or_broken_are_errors_that_name_them() {
        if !found() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        link_all(&assets().unwrap(), folder.path());
        let fails = |task: &dyn Task, names: &str| {
            let error = compile(task, || Ok(folder.path().to_owned())).unwrap_err().to_string();
            println!("{error}");
            assert!(error.contains(names) && error.contains(&folder.path().display().to_string()), "{error}");
            assert!(error.contains("cargo xtask setup --assets") && error.lines().count() == 1, "{error}");
        };
        let file = |name: &str| folder.path().join(name);
        let replace = |name: &str, bytes: &[u8]| {
            fs::remove_file(file(name)).unwrap();
            fs::write(file(name), bytes).unwrap();
        };
        let mesh = "adroit_hand/resources/meshes/palm.stl";
        let whole = fs::read(file(mesh)).unwrap();
        replace(mesh, &whole[..whole.len() / 2]);
        fails(&Pen, "palm.stl");
        replace(mesh, b"no mesh");
        fails(&Door, "palm.stl");
        fs::remove_file(file(mesh)).unwrap();
        fails(&Pen, "palm.stl");
        let kitchen = FrankaKitchen(Kitchen::Mixed);
        replace("kitchen_franka/kitchen_assets/item_assets/kettle_chain.xml", b"<mujocoinclude/>");
        fails(&kitchen, "kitchen_env_model.xml");
        replace("kitchen_franka/kitchen_assets/kitchen_env_model.xml", b"<mujoco/>");
        fails(&kitchen, "expected [30, 29, 9]");
        fs::remove_file(file("adroit_hand/adroit_pen.xml")).unwrap();
        fails(&Pen, "adroit_pen.xml");
    }
}
