//! Frames of a task, drawn off screen by MuJoCo through EGL.

use std::io::BufWriter;
use std::path::Path;

use mujoco_rs::renderer::MjRenderer;
use mujoco_rs::wrappers::MjtObjBase;
use mujoco_rs::wrappers::mj_visualization::MjvCamera;

use crate::env::{check_context, check_state};
use crate::error::check_len;
use crate::mujoco::{FRAME_HEIGHT, FRAME_WIDTH, Simulation, Task, View};
use crate::{Env, EnvId, EnvSpec, Error, Result, make};

/// Largest width and height of a frame.
const LARGEST: [usize; 2] = [FRAME_WIDTH, FRAME_HEIGHT];

/// A picture, 8 bits per colour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Pixels per row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Red, green and blue of each pixel, row by row from the top, `[height, width, 3]`.
    pub rgb: Vec<u8>,
}

impl Frame {
    /// Writes the picture as a PNG file.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save_png(&self, path: impl AsRef<Path>) -> std::io::Result<()> {
        let file = BufWriter::new(std::fs::File::create(path)?);
        let mut writer = self.encoder(file).write_header()?;
        writer.write_image_data(&self.rgb)?;
        writer.finish()?;
        Ok(())
    }
}

/// Draws states of a MuJoCo task, with a camera that follows the torso; mazes, hands and kitchens are seen from one place.
///
/// It holds a graphics context of the thread that made it.
pub struct Renderer {
    spec: EnvSpec,
    renderer: MjRenderer,
    task: Box<dyn Task>,
    simulation: Simulation,
    size: [usize; 2],
}

impl Renderer {
    /// A renderer for frames of `width` by `height` pixels, at most 1280 by 960.
    ///
    /// # Errors
    /// If the size is zero or too large, the task has no model to draw, the model is not there, or no EGL device is found (on Debian:
    /// packages `libegl1`, `libegl-mesa0` and `libgl1-mesa-dri` bring one that needs no graphics card).
    pub fn new(id: EnvId, width: usize, height: usize) -> Result<Self> {
        let fail = |why: String| Error::Render { task: id, why };
        let task = id.task().ok_or_else(|| fail("it has no MuJoCo model".into()))?;
        if width == 0 || height == 0 || width > LARGEST[0] || height > LARGEST[1] {
            let [w, h] = LARGEST;
            return Err(fail(format!("frames of {width} by {height} pixels are not between 1 by 1 and {w} by {h}")));
        }
        let simulation = Simulation::new(&*task)?;
        let model = simulation.compiled();
        let camera = match task.view() {
            View::Camera(name) => MjvCamera::new_fixed(
                model
                    .name_to_id(MjtObjBase::mjOBJ_CAMERA, name)
                    .ok_or_else(|| fail(format!("its model has no camera {name}")))?,
            ),
            View::Around { point, distance, azimuth, elevation } => {
                MjvCamera { lookat: point, distance, azimuth, elevation, ..MjvCamera::new_free(&model) }
            }
        };
        let renderer = MjRenderer::builder()
            .width(width as u32)
            .height(height as u32)
            .camera(camera)
            .build(&model)
            .map_err(|error| fail(no_context(&error)))?;
        Ok(Self { spec: make(id)?.spec().clone(), renderer, task, simulation, size: [width, height] })
    }

    /// Draws the current state of `env`.
    ///
    /// # Errors
    /// As [`Renderer::state`], or if `env` has not the context of this task.
    pub fn env(&mut self, env: &dyn Env) -> Result<Frame> {
        self.state_in(env.state().0, env.context())
    }

    /// Draws the state at positions `qpos`, `[nq]`, in a context, `[C]`.
    ///
    /// # Errors
    /// As [`Renderer::state`], or if the context has not that size or is not finite.
    pub fn state_in(&mut self, qpos: &[f64], context: &[f64]) -> Result<Frame> {
        check_context(&self.spec, context)?;
        self.task.install(&mut self.simulation, context);
        self.state(qpos)
    }

    /// Draws the state at positions `qpos`, `[nq]`; velocities are not seen. Target and door of Adroit are where those of
    /// the last [`Renderer::env`] were.
    ///
    /// # Errors
    /// If the size is not `[nq]`, a number is not finite, or the graphics driver fails.
    pub fn state(&mut self, qpos: &[f64]) -> Result<Frame> {
        check_len("qpos", qpos.len(), self.spec.nq)?;
        check_state(&self.spec, qpos, &vec![0.0; self.spec.nv])?;
        let fail = |error: &dyn std::fmt::Display| Error::Render { task: self.spec.id, why: error.to_string() };
        self.renderer.sync_data(self.simulation.drawn(qpos)).map_err(|error| fail(&error))?;
        self.renderer.render().map_err(|error| fail(&error))?;
        let rgb = self.renderer.rgb_flat().expect("colours are switched on").to_vec();
        let [width, height] = self.size;
        Ok(Frame { width, height, rgb })
    }
}

/// Why there is no graphics context, with the causes that the error names, and what to do.
fn no_context(error: &dyn std::error::Error) -> String {
    let mut why = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        why += &format!(": {error}");
        cause = error.source();
    }
    format!(
        "EGL gives no graphics context ({why}); on Debian the packages libegl1, libegl-mesa0 and libgl1-mesa-dri bring one \
         that needs no graphics card"
    )
}

impl std::fmt::Debug for Renderer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Renderer").field("id", &self.spec.id).field("size", &self.size).finish()
    }
}

#[cfg(test)]
mod tests {
    use mujoco_rs::renderer::png;

    use super::*;

    /// Reddish pixels, which only the robot has, and their mean column.
    fn robot(frame: &Frame) -> (usize, f64) {
        let reddish = |p: &&[u8]| i32::from(p[0]) > i32::from(p[2]) + 40;
        let columns: Vec<usize> =
            (0..frame.rgb.len() / 3).filter(|&i| reddish(&&frame.rgb[i * 3..][..3])).map(|i| i % frame.width).collect();
        (columns.len(), columns.iter().sum::<usize>() as f64 / columns.len().max(1) as f64)
    }

    #[test]
    fn the_camera_follows_the_robot() {
        for id in [EnvId::HalfCheetah, EnvId::Hopper, EnvId::Walker2d] {
            let mut renderer = match Renderer::new(id, 160, 120) {
                Ok(renderer) => renderer,
                // A machine without EGL: that this is an error and no crash is what there is to test.
                Err(Error::Render { why, .. }) => return assert!(!why.is_empty()),
                Err(other) => panic!("{other}"),
            };
            let mut env = make(id).unwrap();
            env.reset(0);
            let frame = renderer.env(&*env).unwrap();
            assert_eq!(frame.rgb.len(), 160 * 120 * 3);
            let (size, column) = robot(&frame);
            assert!(size > 100 && (column - 80.0).abs() < 25.0, "{id}: {size} pixels around column {column}");
            let mut far = env.state().0.to_vec();
            far[0] += 20.0;
            let (far_size, far_column) = robot(&renderer.state(&far).unwrap());
            assert!(far_size.abs_diff(size) < 40 && (far_column - column).abs() < 3.0, "{id}: {far_size} {far_column}");
            let folder = tempfile::tempdir().unwrap();
            frame.save_png(folder.path().join("frame.png")).unwrap();
            let file = std::fs::File::open(folder.path().join("frame.png")).unwrap();
            let mut reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().unwrap();
            let mut pixels = vec![0; frame.rgb.len()];
            reader.next_frame(&mut pixels).unwrap();
            assert_eq!(pixels, frame.rgb);
        }
    }

    /// dm_control's pictures (1.0.50, EGL with Mesa's software renderer), which `tests/fixtures/trim_replays.py` kept.
    #[test]
    fn the_suite_looks_as_in_dm_control() {
        for (id, name) in [(EnvId::CheetahRun, "dmc_cheetah_run"), (EnvId::WalkerWalk, "dmc_walker_walk")] {
            let mut renderer = match Renderer::new(id, 84, 84) {
                Ok(renderer) => renderer,
                Err(Error::Render { why, .. }) => return assert!(!why.is_empty()),
                Err(other) => panic!("{other}"),
            };
            let path = format!("{}/tests/fixtures/replays/{name}.npz", env!("CARGO_MANIFEST_DIR"));
            let mut archive = npyz::npz::NpzArchive::open(path).unwrap();
            let array = archive.by_name("ep0_frames_u8_t0_50_150_300").unwrap().unwrap();
            let frames: Vec<u8> = array.into_vec().unwrap();
            let qpos: Vec<f64> = archive.by_name("ep0_qpos").unwrap().unwrap().into_vec().unwrap();
            for (step, theirs) in [0, 50, 150, 300].into_iter().zip(frames.chunks_exact(84 * 84 * 3)) {
                let ours = renderer.state(&qpos[9 * step..][..9]).unwrap().rgb;
                let off = |least: u8| ours.iter().zip(theirs).filter(|(a, b)| a.abs_diff(**b) >= least).count();
                println!("{id}, step {step}: {} numbers of {} differ, {} by 4 or more", off(1), ours.len(), off(4));
                // Drivers round otherwise, most of all at edges.
                assert!(off(1) < ours.len() / 10 && off(4) < ours.len() / 100, "{id}, step {step}");
            }
        }
    }

    #[test]
    fn hands_and_kitchens_are_drawn() {
        for id in [EnvId::Pen, EnvId::Door, EnvId::Kitchen(crate::Kitchen::Complete)] {
            if !crate::assets::found() {
                return;
            }
            let mut renderer = match Renderer::new(id, 64, 48) {
                Ok(renderer) => renderer,
                Err(Error::Render { why, .. }) => return assert!(!why.is_empty()),
                Err(other) => panic!("{other}"),
            };
            let mut env = make(id).unwrap();
            env.reset(1);
            let first = renderer.env(&*env).unwrap();
            assert_eq!(first, renderer.env(&*env).unwrap(), "{id}");
            env.reset(2);
            let same = first == renderer.env(&*env).unwrap();
            assert_eq!(same, matches!(id, EnvId::Kitchen(_)), "{id}: targets and doors are seen where they are");
        }
    }

    #[test]
    fn impossible_frames_are_errors() {
        for (id, width, height) in [(EnvId::PointMass, 64, 64), (EnvId::Hopper, 0, 64), (EnvId::Hopper, 64, 2000)] {
            assert!(matches!(Renderer::new(id, width, height), Err(Error::Render { .. })));
        }
    }
}
