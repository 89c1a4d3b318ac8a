//! A report without any simulation, for the tests of how reports are written.

use envs::EnvId;
use serde_json::json;

use super::filters::{Filtering, Filters};
use super::record::{AugmentationReport, DataReport, DatasetReport, Generated, Report, Seconds, Versions};
use super::{Published, ReportSizes};
use crate::augment::{Amendments, Rejections};
use crate::eval::{Excluded, Interval, Novelty, NoveltyScale, Quality, RewardError, Summary, Terminals, WindowReturn};

/// Two datasets, the first of them in the paper, with two augmentations each. All figures differ.
pub(in super::super) fn report() -> Report {
    let sizes = ReportSizes { windows: 100, ..ReportSizes::default() };
    let versions = Versions { gta: "0.1.0".into(), libtorch: Some("2.11.0".into()), mujoco: None };
    let published = Some(Published { id: "halfcheetah-medium-v2".into(), own: false });
    let datasets = vec![dataset("halfcheetah-medium", published, 0.0), dataset("other", None, 1.0)];
    Report { versions, sizes, datasets }
}

fn dataset(name: &str, published: Option<Published>, shift: f64) -> DatasetReport {
    DatasetReport {
        name: name.into(),
        env: EnvId::HalfCheetah,
        checksum: "a52f".into(),
        transitions: 20_000,
        episodes: 20,
        mean_return: 3605.0 + shift,
        provenance: vec![("seed".into(), "1".into())],
        oddities: vec![],
        published,
        data: DataReport {
            quality: Quality { novelty: None, ..quality(3.6 + shift, 6e-13) },
            spacing: Some(novelty(1.0 + shift)),
            seconds: 0.5,
        },
        augmentations: vec![made("s4rl", 3.6 + shift, 2e-4), made("gta", 4.1 + shift, 0.04)],
    }
}

fn made(kind: &str, reward: f64, error: f64) -> AugmentationReport {
    let asks = kind == "gta";
    let rejected = Rejections { action: 4, reward: 1, ..Rejections::default() };
    let returns = (0..8).map(|window| {
        let claimed = 31.0 * reward + f64::from(window);
        let asked = asks.then_some(claimed + 0.5);
        WindowReturn { asked, claimed, oracle: (window != 3).then_some(claimed - 1.0) }
    });
    AugmentationReport {
        label: kind.into(),
        kind: kind.into(),
        settings: json!({ "kind": kind, "settings": { "mu": 0.5 } }),
        horizon: 31,
        generated: Generated {
            windows: 100,
            transitions: 3100,
            rejected: if asks { rejected } else { Rejections::default() },
            amended: Amendments { windows: 2, replaced: if asks { 31 } else { 0 }, dropped: 0 },
            model: "none".into(),
            pool_sha256: "b0".into(),
        },
        training_steps: asks.then_some(2600),
        quality: quality(reward, error),
        original_returns: (0..8).map(|window| 31.0 * 3.6 + f64::from(window)).collect(),
        returns: returns.collect(),
        filters: Some(Filters { windows: filtering(error), transitions: filtering(2.0 * error) }),
        seconds: Seconds { training: 150.0, generating: 9.5, judging: 1.25 },
    }
}

fn filtering(error: f64) -> Filtering {
    Filtering {
        before: error,
        by_simulator: 0.1 * error,
        by_ensemble: 0.3 * error,
        for_a_fifth: Some(0.25),
        for_a_fifth_by_ensemble: None,
        auc: Some(0.9),
    }
}

fn quality(reward: f64, error: f64) -> Quality {
    let interval = |mean: f64| Some(Interval { low: 0.9 * mean, high: 1.1 * mean, level: 0.95 });
    Quality {
        transitions: 3100,
        windows: 100,
        excluded: Excluded::default(),
        obs_dim: 17,
        dynamic_mse: summary(error),
        dynamic_mse_interval: interval(error),
        oracle_reward: summary(reward),
        oracle_reward_interval: interval(reward),
        reward: summary(reward + 0.1),
        reward_error: RewardError { mean_absolute: 0.2, bias: 0.1, rmse: 0.3 },
        window_return: Some(summary(31.0 * reward)),
        oracle_window_return: Some(summary(31.0 * reward)),
        asked_return: Some(summary(32.0 * reward)),
        asked_vs_generated: Some(0.75),
        asked_vs_oracle: Some(0.5),
        terminals: Terminals { both: 1, only_data: 0, only_oracle: 2, neither: 3097 },
        novelty: Some(novelty(error)),
    }
}

fn novelty(scale: f64) -> Novelty {
    let values = json!({
        "scale": NoveltyScale::Raw,
        "state": summary(2.0 * scale),
        "action": summary(0.5 * scale),
        "both": summary(3.0 * scale),
        "state_distance": scale.sqrt(),
        "action_distance": scale.sqrt(),
        "both_distance": scale.sqrt(),
    });
    serde_json::from_value(values).expect("what else a novelty has may be absent")
}

fn summary(mean: f64) -> Summary {
    Summary::of(&[0.4 * mean, 0.5 * mean, 2.1 * mean]).unwrap()
}

/// Fails unless every element that is opened is closed, in order, every attribute quoted, and every `&` a reference.
pub(super) fn assert_xml(text: &str) {
    let mut open = Vec::new();
    for part in text.trim_start_matches("<!doctype html>").split('<').skip(1) {
        let (tag, content) = part.split_once('>').expect("a tag ends");
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        match (tag.strip_prefix('/'), tag.ends_with('/')) {
            (Some(name), _) => assert_eq!(open.pop(), Some(name.to_owned())),
            (None, true) => {}
            (None, false) => open.push(tag.split_whitespace().next().unwrap_or_default().to_owned()),
        }
        assert!(!content.contains('>') && !content.contains('\u{7}'), "{content}");
        for reference in content.split('&').skip(1).chain(tag.split('&').skip(1)) {
            let (name, _) = reference.split_once(';').expect("a reference ends");
            assert!(["amp", "lt", "gt", "quot"].contains(&name), "&{name};");
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn a_report_survives_its_file() {
    let report = report();
    let text = serde_json::to_string(&report).unwrap();
    let read: Report = serde_json::from_str(&text).unwrap();
    // But for the last bit of some numbers, which JSON's reader may miss.
    assert_eq!((read.to_html(), read.to_markdown()), (report.to_html(), report.to_markdown()));
    assert_eq!((read.versions, read.sizes), (report.versions, report.sizes));
}

#[test]
fn a_report_of_nothing_is_whole() {
    let nothing = Report { datasets: vec![], ..report() };
    assert_xml(&nothing.to_html());
    assert_eq!(nothing.to_csv().lines().count(), 1);
    let mut bare = report();
    bare.datasets.iter_mut().for_each(|dataset| dataset.augmentations.clear());
    assert_xml(&bare.to_html());
    assert!(bare.to_markdown().contains("halfcheetah-medium"));
}
