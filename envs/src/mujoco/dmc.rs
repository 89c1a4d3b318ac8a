//! What the tasks of dm_control's suite (version 1.0.50) share: rewards, starts, looks.

use rand::RngExt;

use super::simulation::Simulation;
use crate::Rng;

/// Control steps of an episode.
pub(super) const TIME_LIMIT: usize = 1000;

/// How a reward falls outside of its bound, in units of the margin.
pub(super) enum Fall {
    /// Linearly, to this value at the margin and on to 0.
    Linear(f64),
    /// As a Gaussian with this value at the margin.
    Gaussian(f64),
}

/// dm_control's `tolerance` with a lower bound only: 1 from `lower` on, less below it.
pub(super) fn tolerance(x: f64, lower: f64, margin: f64, fall: Fall) -> f64 {
    if x >= lower {
        return 1.0;
    }
    let d = (lower - x) / margin;
    match fall {
        Fall::Linear(value) => (1.0 - (1.0 - value) * d).max(0.0),
        Fall::Gaussian(value) => {
            let scale = (-2.0 * value.ln()).sqrt();
            (-0.5 * (d * scale).powi(2)).exp()
        }
    }
}

/// Positions with every limited joint drawn from its range, and the others at zero.
pub(super) fn limited_joints(simulation: &Simulation, rng: &mut Rng) -> Vec<f64> {
    let model = simulation.model();
    let joints = model.jnt_limited().iter().zip(model.jnt_range());
    joints.map(|(&limited, &[low, high])| if limited { rng.random_range(low..high) } else { 0.0 }).collect()
}

/// Light, sky, ground and the colour of the body, as in dm_control's pictures, and a body seen from `height`.
pub(super) fn look(height: f64) -> String {
    format!(
        r#"<statistic extent="2" center="0 0 {height}"/>
<visual>
<global offwidth="1280" offheight="960"/>
<headlight ambient="0.4 0.4 0.4" diffuse="0.8 0.8 0.8" specular="0.1 0.1 0.1"/>
<map znear="0.01"/>
<quality shadowsize="2048"/>
</visual>
<asset>
<texture name="sky" type="skybox" builtin="gradient" rgb1="0.4 0.6 0.8" rgb2="0 0 0" width="800" height="800" mark="random" markrgb="1 1 1"/>
<texture name="ground" type="2d" builtin="checker" rgb1="0.1 0.2 0.3" rgb2="0.2 0.3 0.4" width="300" height="300" mark="edge" markrgb="0.2 0.3 0.4"/>
<material name="ground" texture="ground" texrepeat="1 1" texuniform="true" reflectance="0.2"/>
<material name="body" rgba="0.7 0.5 0.3 1"/>
</asset>
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rewards_fall_as_documented() {
        for (x, linear, gaussian) in
            [(2.0, 1.0, 1.0), (1.0, 1.0, 1.0), (0.5, 0.5, 0.1), (0.75, 0.75, 0.1_f64.powf(0.25))]
        {
            assert!((tolerance(x, 1.0, 0.5, Fall::Linear(0.5)) - linear).abs() < 1e-12, "{x}");
            assert!((tolerance(x, 1.0, 0.5, Fall::Gaussian(0.1)) - gaussian).abs() < 1e-12, "{x}");
        }
        assert_eq!(tolerance(-1.0, 1.0, 0.5, Fall::Linear(0.5)), 0.0);
    }
}
