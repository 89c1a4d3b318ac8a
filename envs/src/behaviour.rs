//! Behaviour policies of our own making, to collect datasets without any file.

use crate::{EnvId, GaussianPolicy, LinearPolicy, Provenance, Result};

/// Linear HalfCheetah policies of rising return with Gaussian action noise, found by augmented random search.
///
/// `examples/behaviour_policies.rs` makes them again. Each knows its command and its return
/// ([`LinearPolicy::provenance`]), measured with an `action_noise` of 0.15, with which they were also searched: so much
/// noise lets an agent learn which actions are better, and they still run.
///
/// # Errors
/// If `action_noise` is negative or not finite.
pub fn halfcheetah(action_noise: f32) -> Result<Vec<GaussianPolicy<LinearPolicy>>> {
    [
        ("halfcheetah-1", include_str!("../policies/halfcheetah-1.json")),
        ("halfcheetah-2", include_str!("../policies/halfcheetah-2.json")),
        ("halfcheetah-3", include_str!("../policies/halfcheetah-3.json")),
        ("halfcheetah-4", include_str!("../policies/halfcheetah-4.json")),
    ]
    .into_iter()
    .map(|(name, text)| GaussianPolicy::new(LinearPolicy::from_json(name, text)?, action_noise))
    .collect()
}

/// Point mass policies of rising return with Gaussian action noise: proportional-derivative control towards the
/// origin, from hardly any to nearly critically damped.
///
/// # Errors
/// If `action_noise` is negative or not finite.
pub fn point_mass(action_noise: f32) -> Result<Vec<GaussianPolicy<LinearPolicy>>> {
    let controller = |(position, velocity): (f64, f64)| LinearPolicy {
        env: EnvId::PointMass,
        weights: vec![vec![-position, 0.0, -velocity, 0.0], vec![0.0, -position, 0.0, -velocity]],
        mean: vec![0.0; 4],
        std: vec![1.0; 4],
        provenance: Provenance { command: "written by hand".into(), ..Provenance::default() },
    };
    let gains = [(0.02, 0.0), (0.1, 0.05), (1.0, 0.6)];
    gains.into_iter().map(|gains| GaussianPolicy::new(controller(gains), action_noise)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollouts;

    #[test]
    fn halfcheetah_levels_return_what_their_files_say() {
        let levels = halfcheetah(0.15).unwrap();
        let mut before = f64::NEG_INFINITY;
        for level in &levels {
            let origin = &level.mean().provenance;
            assert!(origin.return_mean > before && origin.action_noise == 0.15 && !origin.command.is_empty());
            before = origin.return_mean;
            let outcomes = rollouts(EnvId::HalfCheetah, level, 8, 11, None).unwrap();
            let mean = outcomes.iter().map(|o| o.total_reward).sum::<f64>() / 8.0;
            // Four standard errors of a mean over 8 episodes, and what the published mean itself may be off.
            let slack = 2.0 * origin.return_std + 0.05 * origin.return_mean;
            assert!((mean - origin.return_mean).abs() < slack, "{mean} against {origin:?}");
        }
    }

    #[test]
    fn point_mass_levels_rise() {
        let mean = |policy: &GaussianPolicy<LinearPolicy>| {
            let outcomes = rollouts(EnvId::PointMass, policy, 16, 3, None).unwrap();
            outcomes.iter().map(|o| o.total_reward).sum::<f64>() / 16.0
        };
        let returns: Vec<f64> = point_mass(0.1).unwrap().iter().map(mean).collect();
        assert!(returns.is_sorted() && returns[2] > returns[0] + 50.0, "{returns:?}");
    }
}
