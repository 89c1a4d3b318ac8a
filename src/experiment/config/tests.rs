use super::*;

const SMALL: &str = r#"
env = "PointMass-v0"
seeds = [0, 1]
updates = 1e3
dataset.collect = { steps = 900 }

[augmentation]
kind = "gta"
transitions = 500
settings.mu = 0.25
settings.augment.guide = { alpha = 1.1, prefer_top = 0.5 }

[agent]
kind = "td3_bc"
"#;

fn parse(text: &str) -> Result<RunConfig> {
    RunConfig::parse(Path::new("a/small.toml"), text, &[])
}

#[test]
fn a_file_says_what_differs_from_the_published_setting() {
    let config = parse(SMALL).unwrap();
    assert_eq!((config.env, config.updates, config.out.as_path()), (EnvId::PointMass, 1000, Path::new("runs/small")));
    assert_eq!(config.evaluation, EvaluationConfig::default());
    let AugmentationConfig::Gta(gta) = &config.augmentation else { panic!("{:?}", config.augmentation) };
    assert_eq!((gta.settings.mu.get(), gta.settings.augment.guide.alpha.get()), (0.25, 1.1));
    assert_eq!(gta.settings.augment.guide.horizon, 31, "what is not written stays");
    let paper = parse(
        "dataset.id = 'hopper-medium-v2'\nagent.kind = 'td3_bc'\n[augmentation]\nkind = 'gta'\npreset = 'paper'\nratio = 'union'",
    );
    let paper = paper.unwrap();
    assert_eq!((paper.env, paper.seeds.len(), paper.updates), (EnvId::Hopper, 8, 1_000_000));
    let AugmentationConfig::Gta(gta) = &paper.augmentation else { panic!("{:?}", paper.augmentation) };
    assert_eq!((gta.settings.trainer.steps, gta.ratio.of(1, 4)), (1_000_000, 0.8));
}

#[test]
fn synther_has_the_settings_of_its_model() {
    let settings = "settings.trainer.steps = 7\nsettings.denoiser.width = 64";
    let text = SMALL.replace("kind = \"gta\"", "kind = \"synther\"").replace("settings.mu = 0.25", settings);
    let text = text.replace("settings.augment.guide = { alpha = 1.1, prefer_top = 0.5 }", "most_error = 0.5");
    let config = parse(&text).unwrap();
    let AugmentationConfig::SynthEr(synther) = &config.augmentation else { panic!("{:?}", config.augmentation) };
    assert_eq!((synther.settings.trainer.steps, synther.most_error, synther.transitions), (7, Some(0.5), 500));
    assert_eq!((synther.ratio.of(1, 1), config.augmentation.name()), (1.0, "synther"));
    assert_eq!(parse(&config.to_toml()).unwrap(), RunConfig { out: "runs/small".into(), ..config });
    let error = parse(&text.replace("most_error = 0.5", "settings.augment.guide.horizon = 31")).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("small.toml:12") && error.contains("horizon") && error.contains("must be 1"), "{error}");
}

#[test]
fn the_resolved_file_gives_the_same_run() {
    let config = parse(SMALL).unwrap();
    let text = config.to_toml();
    let again = RunConfig::parse(Path::new("b/config.toml"), &text, &[]).unwrap();
    assert_eq!(again, config, "{text}");
    assert_eq!(again.difference(&config), None);
    let mixed = parse(&SMALL.replace("\n[augmentation]", "dataset.add = [{ path = 'x' }]\n[augmentation]")).unwrap();
    assert_eq!(parse(&mixed.to_toml()).unwrap(), mixed);
    let other = parse(&SMALL.replace("0.25", "0.5")).unwrap();
    let difference = other.difference(&config).unwrap();
    assert!(difference.contains("augmentation.settings.mu is 0.25 there and 0.5 here"), "{difference}");
}

#[test]
fn mistakes_name_line_and_key() {
    for (from, to, parts) in [
        ("updates = 1e3", "updatez = 1e3", &["small.toml:4", "'updatez'", "'updates'"][..]),
        ("updates = 1e3", "updates = 0", &["small.toml:4", "'updates'", "at least 1"]),
        ("[0, 1]", "[0, 0]", &["small.toml:3", "'seeds'", "once"]),
        ("[0, 1]", "[0, 'x']", &["small.toml:3", "'seeds", "\"x\""]),
        ("steps = 900", "stepz = 900", &["small.toml:5", "'dataset.collect.stepz'", "'steps'"]),
        ("steps = 900", "steps = 'many'", &["small.toml:5", "'dataset.collect.steps'", "many"]),
        ("\"gta\"", "\"gat\"", &["small.toml:8", "'augmentation.kind'", "s4rl"]),
        ("transitions = 500", "transitions = 0", &["small.toml:9", "'augmentation.transitions'"]),
        ("transitions = 500", "ratio = 1.5", &["small.toml:9", "'augmentation.ratio'", "[0, 1]"]),
        ("transitions = 500", "transitions = 'x'", &["small.toml:9", "'augmentation.transitions'", "\"x\""]),
        ("transitions = 500", "preset = 'big'", &["small.toml:9", "'augmentation.preset'", "paper"]),
        ("settings.mu = 0.25", "settings.nu = 0.25", &["small.toml:10", "'augmentation.settings.nu'", "'mu'"]),
        ("settings.mu = 0.25", "settings.mu = 7", &["small.toml:10", "'augmentation.settings.mu'", "(0, 1]"]),
        ("settings.mu = 0.25", "settings.augment.ratio = 1", &["small.toml:10", "settings.augment.ratio'"]),
        ("prefer_top = 0.5", "prefer_top = 0.0", &["small.toml:11", "prefer_top"]),
        ("\"td3_bc\"", "\"td3\"", &["small.toml:14", "'agent.kind'"]),
        ("env = \"PointMass-v0\"", "", &["small.toml", "'env'", "Hopper-v4"]),
        ("\"PointMass-v0\"", "\"Ant-v4\"", &["small.toml:2", "'env'", "Ant-v4"]),
        ("kind = \"td3_bc\"", "kind = \"td3_bc\"\nbatsch = 3", &["small.toml:15", "'agent.batsch'"]),
    ] {
        let text = SMALL.replacen(from, to, 1);
        assert_ne!(text, SMALL);
        let message = parse(&text).unwrap_err().to_string();
        for part in parts {
            assert!(message.contains(part), "{to}: {message}");
        }
    }
}

#[test]
fn a_missing_dataset_names_the_line_it_is_asked_for_in() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.toml");
    let error = |text: &str| {
        std::fs::write(&file, text).unwrap();
        RunConfig::read(&file, &[]).unwrap_err().to_string()
    };
    let message = error("env = 'hopper'\nagent.kind = 'td3_bc'\n[dataset]\npath = 'nowhere.hdf5'");
    assert!(message.contains("run.toml:4: 'dataset.path'") && message.contains("nowhere.hdf5"), "{message}");
    let message = error("agent.kind = 'td3_bc'\ndataset.id = 'hopper-absent-v2'");
    assert!(message.contains("run.toml:2: 'dataset.id'") && message.contains("hopper_absent-v2.hdf5"), "{message}");
    let message = error("agent.kind = 'td3_bc'\nenv = 'hopper'");
    assert!(message.contains("run.toml: 'dataset'"), "{message}");
    assert!(RunConfig::read(&folder.path().join("none.toml"), &[]).unwrap_err().to_string().contains("none.toml"));
}

#[test]
fn an_id_in_the_place_of_a_path_is_an_id() {
    let by_path = parse("agent.kind = 'td3_bc'\ndataset.path = 'hopper-medium-v2'").unwrap();
    let by_id = parse("agent.kind = 'td3_bc'\ndataset.id = 'hopper-medium-v2'").unwrap();
    assert_eq!((by_path.env, &by_path.agent), (by_id.env, &by_id.agent));
    assert_eq!(by_path.dataset.known_id(), Some("hopper-medium-v2"));
    assert_eq!(by_path.dataset.name(by_path.env), by_id.dataset.name(by_id.env));
    let minari = parse("env = 'hopper'\nagent.kind = 'bc'\ndataset.path = 'mujoco/hopper/absent-v0'").unwrap();
    assert_eq!(minari.dataset.name(minari.env), "mujoco/hopper/absent-v0");
    let file = parse("env = 'hopper'\nagent.kind = 'bc'\ndataset.path = 'some/hopper-medium-v2.hdf5'").unwrap();
    assert_eq!((file.dataset.known_id(), file.dataset.name(file.env).as_str()), (None, "hopper-medium-v2"));
}

#[test]
fn oversampling_has_settings_of_its_own() {
    let text = |augmentation: &str| {
        format!("env = 'PointMass-v0'\nagent.kind = 'bc'\n[augmentation]\nkind = 'oversample'\n{augmentation}")
    };
    let config = parse(&text("ratio = 'union'\nguide.prefer_top = 0.1")).unwrap();
    let AugmentationConfig::Oversample(oversample) = &config.augmentation else { panic!("{:?}", config.augmentation) };
    assert_eq!((oversample.ratio, oversample.guide.prefer_top), (Ratio::Union, Some(0.1)));
    assert_eq!(parse(&config.to_toml()).unwrap(), config);
    for (wrong, key) in
        [("guide.prefer_top = 2", "augmentation.guide.prefer_top"), ("transitions = 0", "augmentation.transitions")]
    {
        let message = parse(&text(wrong)).unwrap_err().to_string();
        assert!(message.contains("small.toml:5") && message.contains(key), "{message}");
    }
}

#[test]
fn checks_have_their_settings_and_defaults() {
    let with = |line: &str| parse(&SMALL.replace("settings.mu = 0.25", line));
    let config = with("most_error = 0.1\nrepair = 'split'\nensemble.quantile = 0.9\nreward_proxy = {}").unwrap();
    let AugmentationConfig::Gta(gta) = &config.augmentation else { panic!("{:?}", config.augmentation) };
    assert_eq!((gta.most_error, gta.repair), (Some(0.1), Some(crate::Repair::Split)));
    assert_eq!(gta.ensemble.as_ref().map(|e| (e.quantile, e.factor)), Some((0.9, 1.0)));
    assert!(gta.reward_proxy.is_some());
    assert_eq!(parse(&config.to_toml()).unwrap(), RunConfig { out: "runs/small".into(), ..config });
    for (line, said) in [
        ("repair = 'split'", "needs most_error"),
        ("ensemble.quantile = 2.0", "quantile"),
        ("ensemble.quantil = 0.5", "quantil"),
        ("reward_proxy.network.members = 0", "members"),
        ("repair = 'mend'", "repair"),
    ] {
        let error = with(line).unwrap_err().to_string();
        assert!(error.contains("small.toml:10") && error.contains(said), "{line}: {error}");
    }
}
