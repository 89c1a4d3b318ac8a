//! Welch's t-test: do two lists of scores, of unequal spread, have different means?

use serde::{Deserialize, Serialize};

use super::stats::{mean, standard_deviation};

/// What Welch's test needs to know of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    /// Values in the sample.
    pub count: usize,
    /// Their mean.
    pub mean: f64,
    /// Their sample standard deviation (`n - 1` in the denominator).
    pub standard_deviation: f64,
}

impl Moments {
    /// Those of `values`; `None` for fewer than two.
    pub fn of(values: &[f64]) -> Option<Self> {
        (values.len() >= 2).then(|| Self {
            count: values.len(),
            mean: mean(values),
            standard_deviation: standard_deviation(values, 1),
        })
    }
}

/// Result of Welch's t-test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Welch {
    /// The statistic, positive where the first mean is larger.
    pub t: f64,
    /// Degrees of freedom by Welch and Satterthwaite.
    pub df: f64,
    /// Two-sided p-value: how often equal means would differ by as much.
    pub p: f64,
}

/// Welch's t-test of `a` against `b` (Welch 1947; the paper's Table 20).
///
/// `None` where a sample has fewer than two values, neither varies, or a number is not finite.
pub fn welch(a: &Moments, b: &Moments) -> Option<Welch> {
    if a.count < 2 || b.count < 2 {
        return None;
    }
    let error = |m: &Moments| m.standard_deviation.powi(2) / m.count as f64;
    let (error_a, error_b) = (error(a), error(b));
    let variance = error_a + error_b;
    let t = (a.mean - b.mean) / variance.sqrt();
    // As shares of the variance: the fourth powers of tiny deviations would vanish.
    let share = |e: f64, m: &Moments| (e / variance).powi(2) / (m.count - 1) as f64;
    let df = 1.0 / (share(error_a, a) + share(error_b, b));
    (t.is_finite() && df.is_finite()).then(|| Welch { t, df, p: (2.0 * student_t_tail(t.abs(), df)).min(1.0) })
}

/// Probability that Student's t with `df` degrees of freedom exceeds `t`.
///
/// # Panics
/// If `df` is not positive.
pub fn student_t_tail(t: f64, df: f64) -> f64 {
    assert!(df > 0.0, "{df} degrees of freedom");
    let square = t * t;
    if square.is_infinite() {
        return if t > 0.0 { 0.0 } else { 1.0 };
    }
    let both = incomplete_beta(0.5 * df, 0.5, df / (df + square), square / (df + square));
    if t > 0.0 { 0.5 * both } else { 1.0 - 0.5 * both }
}

/// Regularised incomplete beta function `I_x(a, b)`, given `x` and `1 - x` (each exact where the other rounds).
fn incomplete_beta(a: f64, b: f64, x: f64, complement: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if complement <= 0.0 {
        return 1.0;
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * complement.ln()).exp();
    // The continued fraction converges fast below the mean of the distribution; above it, the mirrored one does.
    if x < (a + 1.0) / (a + b + 2.0) {
        front * beta_fraction(a, b, x) / a
    } else {
        1.0 - front * beta_fraction(b, a, complement) / b
    }
}

/// The continued fraction of the incomplete beta function (DLMF 8.17.22), by Lentz's method.
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let nonzero = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / nonzero(1.0 - (a + b) * x / (a + 1.0));
    let mut value = d;
    for step in 1..=10_000 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for coefficient in [even, odd] {
            d = 1.0 / nonzero(1.0 + coefficient * d);
            c = nonzero(1.0 + coefficient / c);
            change = c * d;
            value *= change;
        }
        if (change - 1.0).abs() < 1e-16 {
            break;
        }
    }
    value
}

/// Natural logarithm of the gamma function for positive `x`, by Lanczos' series with Godfrey's coefficients (g = 7).
fn ln_gamma(x: f64) -> f64 {
    const SERIES: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    if x < 0.5 {
        // Reflection: the series is for the right half.
        return (std::f64::consts::PI / (std::f64::consts::PI * x).sin()).ln() - ln_gamma(1.0 - x);
    }
    let x = x - 1.0;
    let sum = SERIES.iter().enumerate().skip(1).fold(SERIES[0], |sum, (i, c)| sum + c / (x + i as f64));
    let t = x + 7.5;
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn near(value: f64, expected: f64) -> bool {
        (value - expected).abs() <= 1e-11 * expected.abs()
    }

    /// Table 20 of the paper (means and deviations of 8 seeds) with SciPy 1.17.1's `ttest_ind_from_stats`, which
    /// rounds to the printed p-values 0.0001, 0.0000, 0.0008 and 0.0303.
    #[test]
    fn table_20_of_the_paper() {
        let moments = |mean, standard_deviation| Moments { count: 8, mean, standard_deviation };
        for (gta, synther, t, df, p) in [
            ((84.63, 2.20), (78.64, 2.38), 5.227405498858435, 13.914297253243992, 0.00013060640459158494),
            ((85.27, 1.02), (81.20, 1.46), 6.46357531098358, 12.518521366594317, 2.5369168270650683e-05),
            ((86.11, 0.94), (81.97, 2.21), 4.875778894459935, 9.45251978264579, 0.0007604744014984186),
            ((85.91, 1.05), (82.81, 3.21), 2.59614282512062, 8.480992723605706, 0.030324738430331122),
        ] {
            let w = welch(&moments(gta.0, gta.1), &moments(synther.0, synther.1)).unwrap();
            assert!(near(w.t, t) && near(w.df, df) && near(w.p, p), "{w:?} but SciPy has {t} {df} {p}");
        }
    }

    /// SciPy 1.17.1's `ttest_ind(equal_var=False)`.
    #[test]
    fn raw_samples() {
        let x = [84.082, 74.889, 80.836, 78.864, 79.095, 79.569, 75.96, 79.536];
        let y = [83.135, 87.323, 84.226, 83.647, 83.719, 83.332];
        let w = welch(&Moments::of(&y).unwrap(), &Moments::of(&x).unwrap()).unwrap();
        assert!(near(w.t, 4.326721512192397) && near(w.df, 11.246356557669547) && near(w.p, 0.0011415366130113128));
    }

    /// SciPy 1.17.1's `t.sf`; the last two by its definition for one and two degrees of freedom.
    #[test]
    fn tails_of_students_t() {
        let (one, two) = (40.0_f64, 1e-3_f64);
        for (t, df, tail) in [
            (0.0, 5.0, 0.5),
            (1.0, 1.0, 0.25),
            (2.5, 7.3, 0.019825117332800214),
            (4.0, 12.9, 0.0007671720330379976),
            (-1.2, 30.0, 0.8802348245551688),
            (9.0, 3.5, 0.0007659164870992926),
            (one, 1.0, (1.0 / one).atan() / std::f64::consts::PI),
            (two, 2.0, 0.5 - two / (2.0 * (2.0 + two * two).sqrt())),
        ] {
            assert!(near(student_t_tail(t, df), tail), "{} but expected {tail}", student_t_tail(t, df));
        }
    }

    #[test]
    fn nothing_to_compare_is_said() {
        let constant = Moments::of(&[1.0, 1.0]).unwrap();
        assert_eq!(welch(&constant, &constant), None);
        assert_eq!(Moments::of(&[1.0]), None);
        assert_eq!(welch(&Moments { count: 1, ..constant }, &Moments::of(&[1.0, 2.0]).unwrap()), None);
        let infinite = Moments { standard_deviation: f64::INFINITY, ..constant };
        assert_eq!(welch(&infinite, &constant), None);
        assert_eq!((student_t_tail(f64::INFINITY, 3.0), student_t_tail(f64::NEG_INFINITY, 3.0)), (0.0, 1.0));
    }

    proptest! {
        #[test]
        fn tails_fall_and_mirror(t in -30.0..30.0, step in 1e-3..5.0, df in 0.5..500.0) {
            let (here, there) = (student_t_tail(t, df), student_t_tail(t + step, df));
            prop_assert!((0.0..=1.0).contains(&here) && there <= here);
            prop_assert!((here + student_t_tail(-t, df) - 1.0).abs() < 1e-13);
        }

        #[test]
        fn many_degrees_of_freedom_are_nearly_normal(df in 1e5..1e7) {
            // The normal tail at 1.959963984540054 is 0.025, and Student's differs by about 0.12 / df.
            prop_assert!((student_t_tail(1.959_963_984_540_054, df) - 0.025).abs() < 0.2 / df + 1e-8);
        }

        #[test]
        fn swapping_the_samples_flips_t_only(a in prop::collection::vec(-10.0..10.0, 2..20), b in prop::collection::vec(-10.0..10.0, 2..20)) {
            let (a, b) = (Moments::of(&a).unwrap(), Moments::of(&b).unwrap());
            let (ab, ba) = (welch(&a, &b).unwrap(), welch(&b, &a).unwrap());
            prop_assert_eq!(ab.t, -ba.t);
            prop_assert!((ab.p - ba.p).abs() < 1e-12 && (0.0..=1.0).contains(&ab.p));
            let (least, most) = ((a.count.min(b.count) - 1) as f64, (a.count + b.count - 2) as f64);
            prop_assert!(ab.df >= least - 1e-9 && ab.df <= most + 1e-9);
        }
    }
}
