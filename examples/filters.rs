//! What filters do to generated data: `cargo run --example filters -- ORIGINAL.hdf5 GENERATED.hdf5 HalfCheetah-v4`.
//!
//! [`results/filters.txt`](results/filters.txt) is what it prints after
//! `gta train halfcheetah-medium.hdf5 --out model --steps 2500` and
//! `gta augment halfcheetah-medium.hdf5 --folder model --transitions 60000 --generated-only --out generated.hdf5`.
//!
//! Prints the mean dynamic MSE that is left when windows or transitions are rejected, by the simulator itself and by an
//! ensemble that has learned from the original data; how well the ensemble finds the worst tenth; and what the checks
//! that a buffer can be given leave of the generated data. Each episode of it is a window, as `gta augment
//! --generated-only` writes them.

use gta::augment::{Check, Filter, FilterConfig};
use gta::dynamics::{Ensemble, EnsembleConfig, LeaveOut};
use gta::envs::{EnvId, Oracle};
use gta::eval::{
    NoveltyConfig, QualityConfig, QualityMeter, RejectionCurve, Table, Transitions, auc, mean, quantile, worst,
};
use gta::replay::{Seed, WindowIndex, Windows, formats};
use gta::{Repair, dynamics_check, dynamics_repair};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Shares of all that are rejected.
const SHARES: [f64; 8] = [0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6];

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [original, generated, env] = &arguments[..] else { return Err("usage: filters ORIGINAL GENERATED ENV".into()) };
    let (dataset, _) = formats::open(original)?;
    let (generated, _) = formats::open(generated)?;
    let env: EnvId = env.parse()?;
    let longest = generated.episodes().iter().map(|episode| episode.rows.len()).max().unwrap_or(1);
    let index = WindowIndex::new(&generated, longest)?;
    let mut windows = Windows::with_capacity(generated.spec(), longest, index.len());
    (0..index.len()).for_each(|number| index.gather(number, 0.0, &mut windows));

    let novelty = NoveltyConfig { most_queries: 0, ..NoveltyConfig::default() };
    let meter =
        QualityMeter::new(&dataset, Oracle::new(env, None)?, QualityConfig { novelty, ..QualityConfig::default() })?;
    let set = Transitions::of_windows(&windows);
    let judged = meter.judge_each(&set)?;
    let began = std::time::Instant::now();
    let ensemble = Ensemble::learn(&dataset, &EnsembleConfig::default(), Seed::new(0))?;
    let (seconds, steps, unexplained) = (began.elapsed().as_secs_f64(), ensemble.steps(), ensemble.unexplained());
    println!(
        "the ensemble learned for {seconds:.0} s; best after {steps} steps: {unexplained:.4} of the variance left\n"
    );
    let doubts: Vec<f64> = ensemble.doubts(&windows)?.iter().map(|doubt| ensemble.weigh(doubt)).collect();

    // Transitions that the simulator cannot judge are left out on both sides.
    let of = |value: &dyn Fn(usize) -> f64| -> Vec<Option<f64>> {
        judged.iter().enumerate().map(|(row, judged)| judged.map(|_| value(row))).collect()
    };
    let errors = of(&|row| judged[row].map_or(f64::NAN, |judged| judged.dynamic_mse));
    let doubts = of(&|row| doubts[row]);
    let known = |values: Vec<Option<f64>>| -> Vec<f64> { values.into_iter().flatten().collect() };
    let by_window = (known(set.mean_over_windows(&errors)), known(set.mean_over_windows(&doubts)));
    let by_transition = (known(errors), known(doubts));

    let mut table = Table::new(["rejected", "windows: simulator", "ensemble", "transitions: simulator", "ensemble"]);
    let mut curves = Vec::new();
    for (errors, doubts) in [&by_window, &by_transition] {
        for scores in [errors, doubts] {
            curves.push(RejectionCurve::new(scores, errors).ok_or("there is nothing to judge")?);
        }
    }
    for share in SHARES {
        let cells = curves.iter().map(|curve| format!("{:.5}", curve.at(share).mean));
        table.push([format!("{:.0}%", 100.0 * share)].into_iter().chain(cells));
    }
    let least = curves.iter().map(|curve| match curve.least_for(5.0) {
        Some(kept) => format!("{:.1}% (above {:.4})", 100.0 * kept.rejected, kept.threshold),
        None => "never".into(),
    });
    table.push(["for a fifth".to_owned()].into_iter().chain(least));
    println!("mean dynamic MSE of what is kept\n\n{}", table.to_text());
    for (what, (errors, doubts)) in [("windows", &by_window), ("transitions", &by_transition)] {
        let area = auc(doubts, &worst(errors, 0.1)).ok_or("there is no worst tenth")?;
        println!("AUC of the ensemble for the worst tenth of {what} by the simulator: {area:.4}");
    }

    let errors = &by_window.0;
    let middle = |q| quantile(errors, q);
    let reject = |most| dynamics_check(&dataset, Oracle::new(env, None)?, most);
    let repair = |most, repair| dynamics_repair(&dataset, Oracle::new(env, None)?, most, repair);
    let learned = |leave_out, quantile| {
        let config = EnsembleConfig { leave_out, quantile, ..EnsembleConfig::default() };
        ensemble.clone().with_config(&config).map(Ensemble::into_check)
    };
    let mut checks: Vec<(String, Option<Check>)> = vec![("none".into(), None)];
    for most in [middle(0.9), middle(0.6)] {
        checks.push((format!("windows above {most:.3} rejected"), Some(reject(most)?)));
    }
    for most in [0.1, 0.05, 0.03, 0.02, 0.01] {
        checks.push((format!("split above {most}"), Some(repair(most, Repair::Split)?)));
    }
    for most in [0.1, 0.03] {
        checks.push((format!("rerolled above {most}"), Some(repair(most, Repair::Reroll)?)));
    }
    for quantile in [0.99, 0.95, 0.8] {
        let name = |what| format!("ensemble, {what} beyond {quantile}");
        checks.push((name("windows"), Some(learned(LeaveOut::Windows, quantile)?)));
        checks.push((name("transitions"), Some(learned(LeaveOut::Transitions, quantile)?)));
    }

    let all = windows.transitions() as f64;
    let mut table = Table::new(["check", "transitions left", "replaced", "windows", "dynamic MSE", "oracle reward"]);
    for (name, check) in checks {
        let left = Filter::new(&dataset, FilterConfig::default(), check)?.apply(windows.clone())?;
        let quality = meter.measure(&Transitions::of_windows(&left.windows))?.quality;
        let share = |count: f64| format!("{:.1}%", 100.0 * count / all);
        let (kept, replaced) = (left.windows.transitions() as f64, left.amendments.replaced as f64);
        let (error, reward) = (quality.dynamic_mse.mean, quality.oracle_reward.mean);
        let count = left.windows.len().to_string();
        table.push([name, share(kept), share(replaced), count, format!("{error:.5}"), format!("{reward:.3}")]);
    }
    let rewards: Vec<f64> = dataset.rewards().iter().map(|&reward| f64::from(reward)).collect();
    println!("\nwhat checks leave (the data pays {:.3})\n\n{}", mean(&rewards), table.to_text());
    Ok(())
}
