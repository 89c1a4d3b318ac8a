//! Each of GTA's design choices does what it says (section 5.3, appendices A, E, F and G of the paper). Tiny networks on
//! the point mass: what is generated is worthless, what the choices make of it is not.

mod gta_toys;

use gta::augment::{Aim, Alpha, Blueprint, Guide, Learning, Prompts};
use gta::diffusion::{DenoiserConfig, Guidance, GuidanceKind, MixerUnetConfig, Solver};
use gta::replay::{Dataset, Spec, Transition, Windows};
use gta::{Conditioning, GtaBlueprint, GtaConfig, GtaLearner, Mu};
use tch::Device;

use gta_toys::{point_mass, tiny};

fn guide(dataset: &Dataset, config: &GtaConfig) -> Guide {
    Guide::new(dataset, config.augment.guide.clone(), config.augment.guide_seed()).unwrap()
}

fn trained(dataset: &Dataset, config: &GtaConfig) -> GtaBlueprint {
    let guide = guide(dataset, config);
    let task = Learning::new(&guide, config.augment.learning_seed());
    GtaLearner::new(config.clone(), None, Device::Cpu).train(&task).unwrap()
}

fn generated(model: &GtaBlueprint, config: &GtaConfig, prompts: &Prompts) -> Windows {
    model.resampled(config).build().unwrap().generate(prompts).unwrap()
}

/// Root mean square of the differences of two sets of windows.
fn distance(a: &Windows, b: &Windows) -> f64 {
    let squares = a.values.iter().zip(&b.values).map(|(a, b)| f64::from(a - b).powi(2));
    (squares.sum::<f64>() / a.values.len() as f64).sqrt()
}

fn with_alpha(config: &GtaConfig, alpha: f64) -> GtaConfig {
    let mut config = config.clone();
    config.augment.guide.alpha = Alpha::new(alpha).unwrap();
    config
}

#[test]
fn windows_of_every_horizon_are_learned_and_generated() {
    let data = point_mass(1_500);
    let unet = MixerUnetConfig { dim: 8, ..MixerUnetConfig::default() };
    for denoiser in [tiny(1).denoiser, DenoiserConfig::MixerUnet(unet)] {
        // Those of Table 10, and the paper's own 31 transitions in 32 rows.
        for horizon in [1, 16, 31, 32, 64, 128] {
            let mut config = GtaConfig { denoiser: denoiser.clone(), ..tiny(1) };
            (config.augment.guide.horizon, config.trainer.steps, config.trainer.batch) = (horizon, 2, 4);
            let prompts = guide(&data, &config).prompts(0, 3);
            let windows = generated(&trained(&data, &config), &config, &prompts);
            assert_eq!((windows.len(), windows.horizon()), (3, horizon), "{denoiser:?}");
            assert!(windows.values.iter().all(|value| value.is_finite()), "{denoiser:?}, {horizon}");
            assert!(distance(&windows, &prompts.windows) > 0.0);
        }
    }
}

#[test]
fn the_further_a_window_is_noised_the_further_it_comes_from_its_prompt() {
    let (data, config) = (point_mass(1_500), tiny(1));
    let (model, prompts) = (trained(&data, &config), guide(&data, &config).prompts(0, 64));
    let mut last = 0.0;
    // Those of Table 29.
    for mu in [0.1, 0.25, 0.5, 0.75, 1.0] {
        let config = GtaConfig { mu: Mu::new(mu).unwrap(), ..config.clone() };
        let now = distance(&generated(&model, &config, &prompts), &prompts.windows);
        // From 0.75 on the noise drowns everything.
        assert!(now > if mu > 0.75 { 0.9 * last } else { last }, "mu {mu}: {now} after {last}");
        last = now;
    }
    // At mu = 1 the window is forgotten: another with the same number and return gives the same.
    let config = GtaConfig { mu: Mu::new(1.0).unwrap(), ..config };
    let mut others = prompts.clone();
    let size = others.windows.window(0).len();
    others.windows.values.rotate_left(size);
    assert_eq!(generated(&model, &config, &prompts).values, generated(&model, &config, &others).values);
}

#[test]
fn only_return_conditioning_listens_to_the_return_asked_for() {
    let (data, config) = (point_mass(1_500), tiny(1));
    let model = trained(&data, &config);
    // From 1.1 to 2, as in Table 29.
    let of = |conditioning, alpha| {
        let config = with_alpha(&GtaConfig { conditioning, ..config.clone() }, alpha);
        generated(&model, &config, &guide(&data, &config).prompts(0, 16))
    };
    assert!(distance(&of(Conditioning::Return, 1.1), &of(Conditioning::Return, 2.0)) > 1e-4);
    assert_eq!(of(Conditioning::None, 1.1).values, of(Conditioning::None, 2.0).values);
    // Unconditional is what the weight -1 makes of guidance at all noise levels.
    let unguided = GtaConfig { guidance: Guidance { weight: -1.0, ..Guidance::default() }, ..config.clone() };
    let prompts = guide(&data, &config).prompts(0, 16);
    assert_eq!(generated(&model, &unguided, &prompts).values, of(Conditioning::None, 1.1).values);
}

#[test]
fn inpainted_rewards_are_the_prompts_amplified() {
    let (data, config) = (point_mass(1_500), tiny(1));
    let model = trained(&data, &config);
    for alpha in [1.3, 0.7] {
        let config = with_alpha(&GtaConfig { conditioning: Conditioning::RewardInpainting, ..config.clone() }, alpha);
        let prompts = guide(&data, &config).prompts(0, 32);
        let windows = generated(&model, &config, &prompts);
        let amplify = Alpha::new(alpha).unwrap();
        let mut differs = 0;
        for index in 0..windows.len() {
            assert_eq!(windows.lengths[index], prompts.windows.lengths[index]);
            for step in 0..windows.lengths[index] as usize {
                let (new, old) = (windows.transition(index, step), prompts.windows.transition(index, step));
                let asked = amplify.amplify(f64::from(old.reward)) as f32;
                assert!((new.reward - asked).abs() < 1e-4 * (1.0 + asked.abs()), "{} instead of {asked}", new.reward);
                differs += i32::from(new.observation != old.observation);
            }
        }
        assert!(differs > 100, "states are generated");
    }
    // Without a condition, nothing but the rewards knows of alpha.
    let inpainted = |alpha| {
        let config = with_alpha(&GtaConfig { conditioning: Conditioning::RewardInpainting, ..config.clone() }, alpha);
        let mut prompts = guide(&data, &config).prompts(0, 8);
        prompts.windows.returns.fill(0.0);
        generated(&model, &config, &prompts)
    };
    assert!(distance(&inpainted(1.0), &inpainted(2.0)) > 1e-4);
}

#[test]
fn an_inpainted_window_ends_where_its_prompt_does() {
    // A task that pays 1 at its end and nothing else, as AntMaze does: amplified, that is far above what is paid else.
    let mut builder = Dataset::builder(Spec::new(2, 1));
    for row in 0..800 {
        let success = row == 399;
        let transition = Transition {
            observation: &[row as f32 / 800.0, 1.0],
            action: &[0.1],
            reward: f32::from(u8::from(success)),
            next_observation: &[(row + 1) as f32 / 800.0, 1.0],
            terminated: success,
            truncated: row % 100 == 99 && !success,
        };
        builder.push(transition).unwrap();
    }
    let data = builder.build().unwrap();
    let mut config = with_alpha(&GtaConfig { conditioning: Conditioning::RewardInpainting, ..tiny(1) }, 1.3);
    config.augment.guide.prefer_episodes = Some(0.125);
    config.trainer.steps = 2;
    let prompts = guide(&data, &config).prompts(0, 400);
    let windows = generated(&trained(&data, &config), &config, &prompts);
    assert_eq!((&windows.lengths, &windows.terminated), (&prompts.windows.lengths, &prompts.windows.terminated));
    let ends: Vec<usize> = (0..windows.len()).filter(|&index| windows.terminated[index]).collect();
    assert!(!ends.is_empty() && ends.len() < 400, "{} of 400 end", ends.len());
    for index in ends {
        let reward = windows.transition(index, windows.lengths[index] as usize - 1).reward;
        assert!((reward - 1.3).abs() < 1e-3, "{reward} at the end");
    }
}

#[test]
fn a_fixed_aim_asks_one_return_of_every_window() {
    let (data, mut config) = (point_mass(1_500), tiny(1));
    config.augment.guide.aim = Aim::Fixed { quantile: 1.0 };
    let guide = guide(&data, &config);
    let best = guide.conditions().iter().copied().fold(f32::MIN, f32::max);
    assert_eq!(guide.prompts(0, 40).windows.returns, [best; 40]);
}

#[test]
fn guidance_variants_differ_where_they_say_so() {
    let (data, config) = (point_mass(1_500), tiny(1));
    let (model, prompts) = (trained(&data, &config), guide(&data, &config).prompts(0, 16));
    let of = |solver, guidance| generated(&model, &GtaConfig { solver, guidance, ..config.clone() }, &prompts);
    let (heun, dpm) = (Solver::Heun { steps: 4 }, Solver::DpmSolver { steps: 4, eta: 1.0, lowest: 0.0 });
    let (paper, published) = (Guidance::default(), Guidance { kind: GuidanceKind::Published, ..Guidance::default() });
    assert!(distance(&of(heun, paper), &of(heun, published)) > 1e-4, "Heun's correction is guided, or not");
    assert_eq!(of(dpm, paper).values, of(dpm, published).values, "there is no correction");
    let high = Guidance { above: 1.0, ..paper };
    assert!(distance(&of(dpm, paper), &of(dpm, high)) > 1e-4);
    let never = Guidance { above: 1e9, ..paper };
    assert_eq!(of(dpm, never).values, of(dpm, Guidance::none()).values);
}

#[test]
fn a_model_of_a_part_of_the_data_knows_that_part_only() {
    let (data, mut config) = (point_mass(1_500), tiny(1));
    config.augment.learn_from = 0.2;
    let all = guide(&data, &config);
    let part = config.augment.learned(&all).unwrap().unwrap();
    assert!(part.dataset().len() >= 300 && part.dataset().len() < 700, "{}", part.dataset().len());
    let (model, whole) = (trained(&data, &config), trained(&data, &tiny(1)));
    let rewards = part.dataset().rewards();
    let mean = rewards.iter().map(|&r| f64::from(r)).sum::<f64>() / rewards.len() as f64;
    let units = |model: &GtaBlueprint| f64::from(*model.snapshot().config().normalizer.mean.last().unwrap());
    assert!((units(&model) - mean).abs() < 1e-5 * (1.0 + mean.abs()));
    assert!((units(&whole) - mean).abs() > 1e-3);
    // Prompts come from everywhere all the same.
    let tenth = data.len() / 10;
    let origins = all.prompts(0, 400).windows.origins;
    assert!((0..10).all(|part| origins.iter().any(|row| row / tenth == part)));
}

#[test]
fn the_seed_of_the_part_is_the_buffers() {
    let (data, mut config) = (point_mass(1_500), tiny(1));
    config.augment.learn_from = 0.2;
    let rewards = |seed| {
        let mut config = config.clone();
        config.augment.seed = seed;
        config.augment.learned(&guide(&data, &config)).unwrap().unwrap().dataset().rewards().to_vec()
    };
    assert_eq!(rewards(0), rewards(0));
    assert!((1..5).any(|seed| rewards(seed) != rewards(0)));
    assert!(tiny(1).augment.learned(&guide(&data, &tiny(1))).unwrap().is_none(), "all of it is the default");
}
