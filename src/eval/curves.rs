//! Curves with bands, such as learning curves over several seeds.

use std::fmt::Write;

use super::axis::Axis;
use super::stats::{mean, standard_deviation};
use super::svg::{Keys, MUTED, style};

/// A named curve: at each x a value and how far it may be off.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// What it is, for the legend.
    pub name: String,
    /// x, value, and half the width of the band; points that are not finite are left out.
    pub points: Vec<[f64; 3]>,
}

/// A named value that holds for every x.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// What it is, for the legend.
    pub name: String,
    /// The value.
    pub value: f64,
}

impl Curve {
    /// The mean of several runs of the same thing, with their sample standard deviation as the band (none for a single
    /// run). An x that not every run has is left out: there the mean would be that of other runs.
    pub fn over_runs(name: impl Into<String>, runs: &[Vec<(f64, f64)>]) -> Self {
        let point = |&(x, _): &(f64, f64)| {
            let at = |run: &Vec<(f64, f64)>| run.iter().find(|point| point.0 == x).map(|point| point.1);
            let values: Vec<f64> = runs.iter().map(at).collect::<Option<_>>()?;
            let band = if values.len() > 1 { standard_deviation(&values, 1) } else { 0.0 };
            Some([x, mean(&values), band])
        };
        let points = runs.first().map_or(Vec::new(), |first| first.iter().filter_map(point).collect());
        Self { name: name.into(), points }
    }
}

/// Draws curves and a level into a plot.
pub(super) fn curves(keys: &mut Keys<'_>, place: [f64; 4], labels: [&str; 2], series: &[Curve], level: Option<&Level>) {
    let finite = |curve: &Curve| -> Vec<[f64; 3]> {
        curve.points.iter().filter(|point| point.iter().all(|v| v.is_finite())).copied().collect()
    };
    let series: Vec<(&str, Vec<[f64; 3]>)> = series.iter().map(|curve| (curve.name.as_str(), finite(curve))).collect();
    let level = level.filter(|level| level.value.is_finite());
    let points = || series.iter().flat_map(|(_, points)| points);
    let heights = points().flat_map(|[_, y, band]| [y - band, y + band]).chain(level.map(|level| level.value));
    let x_axis = between(points().map(|point| point[0]), 6);
    let y_axis = between(heights, 6);
    keys.svg.axes(place, [&x_axis, &y_axis], labels);
    let [x0, y0, x1, y1] = place;
    let at = |x: f64, y: f64| [x0 + (x1 - x0) * x_axis.share(x), y1 - (y1 - y0) * y_axis.share(y)];
    // All bands first, so that none hides a line.
    for (index, (_, points)) in series.iter().enumerate() {
        let upper = points.iter().map(|&[x, y, band]| at(x, y + band));
        let lower = points.iter().rev().map(|&[x, y, band]| at(x, y - band));
        let (colour, _) = style(index);
        if points.iter().any(|point| point[2] > 0.0) {
            let outline = path(upper.chain(lower));
            keys.svg.line(format_args!(r#"<path d="{outline}Z" fill="{colour}" fill-opacity="0.14"/>"#));
        }
    }
    for (index, (name, points)) in series.iter().enumerate() {
        let (colour, dashes) = style(index);
        let Some(last) = points.last() else {
            keys.key(|_, _| String::new(), &format!("{name}: no data"));
            continue;
        };
        let stroke = format!(r#"fill="none" stroke="{colour}" stroke-width="1.9" stroke-dasharray="{dashes}""#);
        let line = path(points.iter().map(|&[x, y, _]| at(x, y)));
        keys.svg.line(format_args!(r#"<path d="{line}" {stroke} stroke-linejoin="round"/>"#));
        if let [only] = points[..] {
            // A single point has no line.
            let [x, y] = at(only[0], only[1]);
            keys.svg.line(format_args!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" fill="{colour}"/>"#));
        }
        let text = match last[2] {
            0.0 => format!("{name} ({:.1} at the end)", last[1]),
            band => format!("{name} ({:.1} \u{B1} {band:.1} at the end)", last[1]),
        };
        keys.key(|x, y| format!(r#"<path d="M{x:.1} {y:.1}h24" {stroke}/>"#), &text);
    }
    if let Some(level) = level {
        let [_, y] = at(0.0, level.value);
        let stroke = format!(r#"fill="none" stroke="{MUTED}" stroke-width="1.2" stroke-dasharray="1 3""#);
        keys.svg.line(format_args!(r#"<path d="M{x0:.1} {y:.1}H{x1:.1}" {stroke}/>"#));
        let text = format!("{} ({:.1})", level.name, level.value);
        keys.key(|x, y| format!(r#"<path d="M{x:.1} {y:.1}h24" {stroke}/>"#), &text);
    }
}

/// An axis that holds all of `values`.
fn between(values: impl Iterator<Item = f64>, ticks: usize) -> Axis {
    let ends = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    Axis::around(ends.0, ends.1, ticks)
}

/// The path through some points.
fn path(points: impl Iterator<Item = [f64; 2]>) -> String {
    let mut path = String::new();
    for (index, [x, y]) in points.enumerate() {
        // Writing to a string cannot fail.
        let _ = write!(path, "{}{x:.1} {y:.1}", if index == 0 { "M" } else { "L" });
    }
    path
}

#[cfg(test)]
mod tests {
    use super::super::picture::tests::assert_well_formed;
    use super::super::{Panel, Picture};
    use super::*;

    fn svg(series: Vec<Curve>, level: Option<Level>) -> String {
        let (x_label, y_label) = ("updates".into(), "score".into());
        let panel = Panel::Curves { title: "TD3+BC".into(), x_label, y_label, series, level };
        Picture { title: "Test".into(), panels: vec![panel] }.to_svg()
    }

    #[test]
    fn a_curve_is_the_mean_of_the_runs_that_all_have_its_points() {
        let runs = [vec![(1.0, 10.0), (2.0, 20.0), (3.0, 7.0)], vec![(1.0, 12.0), (2.0, 26.0)]];
        let curve = Curve::over_runs("gta", &runs);
        assert_eq!(curve.points, [[1.0, 11.0, 2.0_f64.sqrt()], [2.0, 23.0, 18.0_f64.sqrt()]]);
        assert_eq!(Curve::over_runs("one", &runs[..1]).points[2], [3.0, 7.0, 0.0]);
        assert!(Curve::over_runs("none", &[]).points.is_empty());
    }

    #[test]
    fn curves_rise_where_their_numbers_do_and_say_where_they_end() {
        let curve = |name: &str, points| Curve { name: name.into(), points };
        let rising = vec![[0.0, 0.0, 1.0], [50.0, 30.0, 2.0], [100.0, 40.0, 3.0]];
        let level = Level { name: "data".into(), value: 31.7 };
        let text = svg(vec![curve("gta", rising), curve("none", vec![[0.0, f64::NAN, 0.0]])], Some(level));
        assert_well_formed(&text);
        assert!(text.contains("gta (40.0 \u{B1} 3.0 at the end)") && text.contains("none: no data"));
        assert!(text.contains("data (31.7)") && text.contains("fill-opacity"));
        let line = text.lines().find(|line| line.contains("stroke-linejoin")).unwrap();
        let points = line.split('"').nth(1).unwrap().trim_start_matches('M').split('L');
        let points: Vec<Vec<f64>> =
            points.map(|point| point.split(' ').map(|v| v.parse().unwrap()).collect()).collect();
        assert!(points.windows(2).all(|pair| pair[1][0] > pair[0][0] && pair[1][1] < pair[0][1]), "{points:?}");
    }

    #[test]
    fn curves_without_points_and_with_one_are_whole() {
        assert_well_formed(&svg(vec![], None));
        let one = svg(vec![Curve { name: "x".into(), points: vec![[5.0, 5.0, 0.0]] }], None);
        assert_well_formed(&one);
        assert!(one.contains("<circle"));
    }
}
