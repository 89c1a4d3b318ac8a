//! Frames for [`ToGymnasium`](super::ToGymnasium): one renderer for each thread, task and size.

use std::cell::RefCell;
use std::collections::HashMap;

use envs::{EnvId, Renderer};
use ndarray::Array3;

/// A task, and the height and width of its frames.
type Picture = (EnvId, [usize; 2]);

thread_local! {
    /// A renderer holds a graphics context of the thread that made it, so it cannot lie in an environment that may be
    /// sent to another. `None` where there can be no renderer, so that this is tried and said once.
    static RENDERERS: RefCell<HashMap<Picture, Option<Renderer>>> = RefCell::default();
}

/// A frame of the state at positions `qpos`, `[height, width, 3]`; `None`, after a warning, where none can be drawn.
pub(super) fn frame(id: EnvId, qpos: &[f64], size: [usize; 2]) -> Option<Array3<u8>> {
    RENDERERS.with_borrow_mut(|renderers| {
        let renderer = renderers.entry((id, size)).or_insert_with(|| {
            Renderer::new(id, size[0], size[1]).inspect_err(|error| tracing::warn!("no frames: {error}")).ok()
        });
        let frame = renderer.as_mut()?.state(qpos).inspect_err(|error| tracing::warn!("no frame: {error}")).ok()?;
        Array3::from_shape_vec((frame.height, frame.width, 3), frame.rgb).ok()
    })
}

#[cfg(test)]
mod tests {
    use gymnasium_rs::core::Env as _;

    use super::super::ToGymnasium;
    use super::*;

    #[test]
    fn frames_have_the_size_asked_for_in_any_thread() {
        let mut env = ToGymnasium::new(envs::make(EnvId::HalfCheetah).unwrap()).with_frames(64, 48);
        env.reset_seed(0);
        // A machine without EGL draws nothing; that this is no error is what there is to test there.
        let drawn = Renderer::new(EnvId::HalfCheetah, 64, 48).is_ok();
        for _ in 0..2 {
            let frame = env.render();
            assert_eq!(frame.is_some(), drawn);
            assert!(
                frame.is_none_or(|frame| frame.dim() == (48, 64, 3) && frame.iter().any(|&v| v != frame[[0, 0, 0]]))
            );
            env = std::thread::spawn(move || {
                assert_eq!(env.render().is_some(), drawn);
                env
            })
            .join()
            .unwrap();
        }
        assert_eq!(env.with_frames(0, 48).render(), None);
    }
}
