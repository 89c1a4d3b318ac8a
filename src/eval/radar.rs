//! Radars: several things compared in several respects at once, as in the paper's Fig. 5.

use std::f64::consts::TAU;
use std::fmt::Write;

use super::svg::{FRAME, GRID, Keys, MUTED, style};
use super::table::number;

/// Where on a spoke the worst of all lies, as a share of its length: at the centre, polygons would lose their corners.
const INNER: f64 = 0.25;
/// Height of the names above and below the radar.
const NAMES: f64 = 64.0;
/// How far the middle of a panel lies left of that of its plot.
const OFF: f64 = 23.0;
/// The smallest number that a logarithm is taken of.
const LEAST: f64 = 1e-20;

/// How numbers lie on a spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpokeScale {
    /// In proportion, more outward.
    More,
    /// By logarithm, less outward.
    LogLess,
}

/// One respect in which things are compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Spoke {
    /// What it is.
    pub name: String,
    /// The number of each thing; one that is not finite takes the inner end.
    pub values: Vec<f64>,
    /// How they lie on the spoke.
    pub scale: SpokeScale,
}

impl Spoke {
    /// Where each number lies, 0 in the centre and 1 at the rim: the best at the rim, the worst at a quarter of it, the
    /// others between. Where all are equal, all lie at the rim.
    pub fn shares(&self) -> Vec<f64> {
        let place = |&value: &f64| match self.scale {
            SpokeScale::More => value,
            SpokeScale::LogLess => -value.max(LEAST).log10(),
        };
        let places: Vec<f64> = self.values.iter().map(place).collect();
        let (low, high) = self.ends_of(&places);
        let share = |&place: &f64| match place {
            _ if !place.is_finite() => INNER,
            _ if high > low => INNER + (1.0 - INNER) * ((place - low) / (high - low)),
            _ => 1.0,
        };
        places.iter().map(share).collect()
    }

    fn ends_of(&self, places: &[f64]) -> (f64, f64) {
        let finite = places.iter().filter(|place| place.is_finite());
        finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &place| (low.min(place), high.max(place)))
    }

    /// What lies at the inner end and at the rim, for people.
    fn ends(&self) -> String {
        let (low, high) = self.ends_of(&self.values);
        let (inner, outer) = match self.scale {
            SpokeScale::More => (low, high),
            SpokeScale::LogLess => (high, low),
        };
        match (inner.is_finite(), inner == outer) {
            (false, _) => "no data".into(),
            (true, true) => number(inner),
            (true, false) => format!("{} to {}", number(inner), number(outer)),
        }
    }
}

/// Draws a radar into a plot.
pub(super) fn radar(keys: &mut Keys<'_>, [x0, y0, x1, y1]: [f64; 4], series: &[String], spokes: &[Spoke]) {
    let count = spokes.len().max(1) as f64;
    // How far the lowest corner lies below the centre, as a share of the radius.
    let lowest = (0..spokes.len()).map(|spoke| -(TAU * spoke as f64 / count).cos()).fold(0.0, f64::max);
    let radius = (0.42 * (x1 - x0)).min((y1 - y0 - NAMES) / (1.0 + lowest));
    // Spokes are named on both sides, so the middle is that of the whole panel, beside whose plot is less on the right.
    let centre = [(x0 + x1) / 2.0 - OFF, y0 + 0.6 * NAMES + radius];
    let at = |spoke: usize, share: f64| {
        let (sine, cosine) = (TAU * spoke as f64 / count).sin_cos();
        [centre[0] + share * radius * sine, centre[1] - share * radius * cosine]
    };
    let polygon = |shares: &dyn Fn(usize) -> f64| {
        let mut path = String::new();
        for spoke in 0..spokes.len() {
            let [x, y] = at(spoke, shares(spoke));
            // Writing to a string cannot fail.
            let _ = write!(path, "{}{x:.1} {y:.1}", if spoke == 0 { "M" } else { "L" });
        }
        if path.is_empty() { "M0 0".into() } else { path + "Z" }
    };
    for ring in [INNER, 0.5, 0.75, 1.0] {
        let (path, colour) = (polygon(&|_| ring), if ring == 1.0 { FRAME } else { GRID });
        keys.svg.line(format_args!(r#"<path d="{path}" fill="none" stroke="{colour}"/>"#));
    }
    for (index, spoke) in spokes.iter().enumerate() {
        let ([x, y], [cx, cy]) = (at(index, 1.0), centre);
        keys.svg.line(format_args!(r#"<path d="M{cx:.1} {cy:.1}L{x:.1} {y:.1}" stroke="{GRID}"/>"#));
        let sine = (TAU * index as f64 / count).sin();
        let below = if y > cy + 0.1 * radius { 20.0 } else { -24.0 };
        // Away from the middle, the text begins or ends near the corner, so that it stays inside of the panel.
        let (anchor, x) = match sine {
            s if s > 0.3 => ("middle", x - 8.0),
            s if s < -0.3 => ("middle", x + 8.0),
            _ => ("middle", x),
        };
        keys.svg.text([x, y + below], anchor, "", &spoke.name);
        keys.svg.text([x, y + below + 14.0], anchor, &format!(r#" fill="{MUTED}""#), &spoke.ends());
    }
    let shares: Vec<Vec<f64>> = spokes.iter().map(Spoke::shares).collect();
    for (index, name) in series.iter().enumerate() {
        let (colour, dashes) = style(index);
        let path = polygon(&|spoke| shares[spoke].get(index).copied().unwrap_or(INNER));
        let stroke = format!(r#"stroke="{colour}" stroke-width="1.9" stroke-dasharray="{dashes}""#);
        keys.svg.line(format_args!(
            r#"<path d="{path}" fill="{colour}" fill-opacity="0.08" {stroke} stroke-linejoin="round"/>"#
        ));
        keys.key(|x, y| format!(r#"<path d="M{x:.1} {y:.1}h24" fill="none" {stroke}/>"#), name);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Panel;
    use super::super::picture::tests::assert_well_formed;
    use super::*;

    fn spoke(values: &[f64], scale: SpokeScale) -> Spoke {
        Spoke { name: "a & b".into(), values: values.to_vec(), scale }
    }

    #[test]
    fn the_best_lies_at_the_rim_and_the_worst_at_a_quarter() {
        assert_eq!(spoke(&[2.0, 4.0, 3.0], SpokeScale::More).shares(), [0.25, 1.0, 0.625]);
        // By logarithm, a hundredth is twice as far from 1 as a tenth.
        assert_eq!(spoke(&[1.0, 0.01, 0.1], SpokeScale::LogLess).shares(), [0.25, 1.0, 0.625]);
        assert_eq!(spoke(&[3.0, 3.0, f64::NAN], SpokeScale::More).shares(), [1.0, 1.0, 0.25]);
        assert_eq!(spoke(&[0.0, 1.0], SpokeScale::LogLess).shares(), [1.0, 0.25], "an error of nothing is the best");
        assert_eq!(spoke(&[1.0, 0.01], SpokeScale::LogLess).ends(), "1.000 to 0.01000");
    }

    #[test]
    fn every_series_has_its_polygon_and_key() {
        let spokes = [SpokeScale::More, SpokeScale::More, SpokeScale::LogLess].map(|scale| spoke(&[2.0, 4.0], scale));
        let series = vec!["s4rl".to_owned(), "<gta>".to_owned()];
        let panel = |series: &[String], spokes: &[Spoke]| {
            Panel::Radar { title: "t".into(), series: series.to_vec(), spokes: spokes.to_vec() }.to_svg()
        };
        let svg = panel(&series, &spokes);
        assert_well_formed(&svg);
        assert_eq!(svg.matches("stroke-linejoin").count(), 2);
        assert_eq!((svg.matches(">s4rl<").count(), svg.matches(">&lt;gta&gt;<").count()), (1, 1));
        assert_eq!(svg.matches(">a &amp; b<").count(), 3);
        assert_well_formed(&panel(&[], &[]));
        assert_well_formed(&panel(&series, &[spoke(&[], SpokeScale::More)]));
    }

    proptest! {
        #[test]
        fn better_lies_farther_out(a in 1e-12..1e6_f64, b in 1e-12..1e6_f64, c in 1e-12..1e6_f64) {
            for (scale, sign) in [(SpokeScale::More, 1.0), (SpokeScale::LogLess, -1.0)] {
                let shares = spoke(&[a, b, c], scale).shares();
                prop_assert!(shares.iter().all(|share| (0.25..=1.0).contains(share)));
                prop_assert!((shares[0] - shares[1]) * (a - b) * sign >= 0.0);
                prop_assert!(shares.contains(&1.0));
            }
        }
    }
}
