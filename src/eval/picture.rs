//! Histograms, scatter plots, curves and radars side by side, as one self-contained SVG picture.

use std::fmt::Write;

use envs::Maze;

use super::axis::Axis;
use super::curves::{Curve, Level, curves};
use super::quality::{Measured, WindowReturn};
use super::radar::{Spoke, radar};
use super::stats::{mean, pearson, quantile};
use super::svg::{INK, Keys, LINE, Svg, escaped, style};
use super::table::number;
use super::ways::{Ways, ways};

/// Size of a panel in pixels, and the space in it left and right of the plot and below it, for labels.
const WIDTH: f64 = 430.0;
const HEIGHT: f64 = 350.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 18.0;
const BELOW: f64 = 50.0;
/// Height of the picture's title, and of a panel's.
const TITLE: f64 = 40.0;
const PANEL_TITLE: f64 = 26.0;
/// Space between the legend and the plot.
const GAP: f64 = 8.0;
/// Most panels side by side; more go below.
const COLUMNS: usize = 3;
/// Bars of a histogram.
const BINS: usize = 48;
/// Points of a scatter plot's series: more make the file large and the picture no clearer.
const MOST_POINTS: usize = 2_000;

/// Named numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// What they are, for the legend.
    pub name: String,
    /// The numbers; those that are not finite are left out.
    pub values: Vec<f64>,
}

/// Named points.
#[derive(Clone, Debug, PartialEq)]
pub struct Points {
    /// What they are, for the legend.
    pub name: String,
    /// Pairs of x and y; those that are not finite are left out.
    pub values: Vec<[f64; 2]>,
}

/// One plot of a picture.
#[derive(Clone, Debug, PartialEq)]
pub enum Panel {
    /// How numbers are distributed: the share of each series in each of equal bins. The axis leaves out the lowest
    /// and highest thousandth.
    Histogram {
        /// Heading.
        title: String,
        /// What the numbers are, with units.
        x_label: String,
        /// What is compared.
        series: Vec<Series>,
    },
    /// How two numbers go together.
    Scatter {
        /// Heading.
        title: String,
        /// What x is.
        x_label: String,
        /// What y is.
        y_label: String,
        /// Whether y is meant to be what x is: there is a line then on which they are equal.
        alike: bool,
        /// What is compared.
        series: Vec<Points>,
    },
    /// How numbers change, such as scores while learning: a line with a band around it for each series.
    Curves {
        /// Heading.
        title: String,
        /// What x is.
        x_label: String,
        /// What y is.
        y_label: String,
        /// What is compared.
        series: Vec<Curve>,
        /// Something that does not change, to compare with.
        level: Option<Level>,
    },
    /// How several things compare in several respects at once, each on a spoke of its own: a polygon for each thing.
    Radar {
        /// Heading.
        title: String,
        /// What is compared.
        series: Vec<String>,
        /// In what, clockwise from the top; three or more.
        spokes: Vec<Spoke>,
    },
    /// Ways through a maze, over its map.
    Maze {
        /// Heading.
        title: String,
        /// The map.
        maze: Maze,
        /// Where the task pays, in places as ways have.
        goal: Option<[f64; 2]>,
        /// What is shown.
        series: Vec<Ways>,
    },
}

/// Panels side by side under a title, three in a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// Heading.
    pub title: String,
    /// The plots, from left to right and then downwards.
    pub panels: Vec<Panel>,
}

impl Picture {
    /// Returns of windows, rewards of transitions (the paper's Fig. 8), and asked against reached returns (Fig. 7),
    /// of original data and of what was generated from it. Panels without data are left out.
    pub fn of_quality(title: impl Into<String>, original: &Measured, generated: &Measured) -> Self {
        let series = |name: &str, values: Vec<f64>| Series { name: name.into(), values };
        let rewards = |set: &Measured| set.rewards.iter().map(|&r| f64::from(r)).collect();
        let windows = &generated.window_returns;
        let claimed = |windows: &[WindowReturn]| windows.iter().map(|w| w.claimed).collect();
        let asked: Vec<f64> = windows.iter().filter_map(|w| w.asked).collect();
        let mut panels = Vec::new();
        if !windows.is_empty() || !original.window_returns.is_empty() {
            panels.push(Panel::Histogram {
                title: "Returns of windows".into(),
                x_label: "sum of rewards over a window".into(),
                series: vec![
                    series("original", claimed(&original.window_returns)),
                    series("generated, claimed", claimed(windows)),
                    series("generated, oracle", windows.iter().filter_map(|w| w.oracle).collect()),
                    series("asked for", asked.clone()),
                ],
            });
        }
        panels.push(Panel::Histogram {
            title: "Rewards of transitions".into(),
            x_label: "reward".into(),
            series: vec![
                series("original", rewards(original)),
                series("generated, claimed", rewards(generated)),
                series("generated, oracle", generated.oracle_rewards()),
            ],
        });
        if !asked.is_empty() {
            let against = |of: fn(&WindowReturn) -> Option<f64>| {
                windows.iter().filter_map(|w| Some([w.asked?, of(w)?])).collect()
            };
            panels.push(Panel::Scatter {
                title: "Asked and reached return".into(),
                x_label: "return asked for".into(),
                y_label: "sum of rewards over the window".into(),
                alike: true,
                series: vec![
                    Points { name: "claimed".into(), values: against(|w| Some(w.claimed)) },
                    Points { name: "oracle".into(), values: against(|w| w.oracle) },
                ],
            });
        }
        Self { title: title.into(), panels }
    }

    /// The picture as the text of an SVG file, which needs no other file.
    pub fn to_svg(&self) -> String {
        let legend = self.panels.iter().map(Panel::legend_lines).max().unwrap_or(0) as f64 * LINE + GAP;
        let columns = self.panels.len().clamp(1, COLUMNS);
        let (lines, line_height) = (self.panels.len().div_ceil(columns).max(1), HEIGHT + legend);
        let (width, height) = (WIDTH * columns as f64, TITLE + line_height * lines as f64);
        let mut svg = Svg::new();
        svg.line(format_args!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="Helvetica, Arial, sans-serif" font-size="12" fill="{INK}">"##
        ));
        svg.line(format_args!(r##"<rect width="{width}" height="{height}" fill="#FFFFFF"/>"##));
        svg.text([width / 2.0, 26.0], "middle", r#" font-size="17" font-weight="bold""#, &self.title);
        for (index, panel) in self.panels.iter().enumerate() {
            let (x, y) = ((index % columns) as f64 * WIDTH, TITLE + (index / columns) as f64 * line_height);
            let place = [x + LEFT, y + PANEL_TITLE + legend, x + WIDTH - RIGHT, y + line_height - BELOW];
            panel.draw(&mut svg, [x, y], place);
        }
        svg.line(format_args!("</svg>"));
        svg.into_text()
    }
}

impl Panel {
    /// The panel alone as an SVG element for a page: on no background, as wide as the page lets it be.
    pub fn to_svg(&self) -> String {
        let legend = self.legend_lines() as f64 * LINE + GAP;
        let height = HEIGHT + legend;
        let mut svg = Svg::new();
        let label = escaped(self.title());
        svg.line(format_args!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}" font-family="Helvetica, Arial, sans-serif" font-size="12" fill="{INK}">"##
        ));
        self.draw(&mut svg, [0.0, 0.0], [LEFT, PANEL_TITLE + legend, WIDTH - RIGHT, height - BELOW]);
        svg.line(format_args!("</svg>"));
        svg.into_text()
    }

    /// Its heading.
    pub fn title(&self) -> &str {
        let (Self::Histogram { title, .. }
        | Self::Scatter { title, .. }
        | Self::Curves { title, .. }
        | Self::Radar { title, .. }
        | Self::Maze { title, .. }) = self;
        title
    }

    /// Lines of the legend: one for each series with data, and those that explain marks.
    fn legend_lines(&self) -> usize {
        match self {
            Self::Histogram { series, .. } => series.len(),
            Self::Scatter { series, .. } => series.len() + 1,
            Self::Curves { series, level, .. } => series.len() + usize::from(level.is_some()),
            Self::Radar { series, .. } => series.len(),
            Self::Maze { series, goal, .. } => series.len() + usize::from(goal.is_some()),
        }
    }

    /// Draws the panel whose upper left corner is at `[x, y]`, and its plot into `[x, y, x, y]`, below a legend.
    fn draw(&self, svg: &mut Svg, [left, top]: [f64; 2], place: [f64; 4]) {
        let bold = r#" font-size="14" font-weight="bold""#;
        svg.text([left + LEFT, top + 14.0], "start", bold, self.title());
        let mut keys = Keys::new(svg, [left + LEFT, top + PANEL_TITLE + 6.0]);
        match self {
            Self::Histogram { x_label, series, .. } => histogram(&mut keys, place, x_label, series),
            Self::Scatter { x_label, y_label, alike, series, .. } => {
                scatter(&mut keys, place, [x_label, y_label], series, *alike);
            }
            Self::Curves { x_label, y_label, series, level, .. } => {
                curves(&mut keys, place, [x_label, y_label], series, level.as_ref());
            }
            Self::Radar { series, spokes, .. } => radar(&mut keys, place, series, spokes),
            Self::Maze { maze, goal, series, .. } => ways(&mut keys, place, *maze, *goal, series),
        }
    }
}

fn histogram(keys: &mut Keys<'_>, place: [f64; 4], x_label: &str, series: &[Series]) {
    let finite = |values: &[f64]| values.iter().copied().filter(|v| v.is_finite()).collect::<Vec<f64>>();
    let series: Vec<(&str, Vec<f64>)> = series.iter().map(|s| (s.name.as_str(), finite(&s.values))).collect();
    // By series, so that a small one is not cut off by a large one.
    let ends = series.iter().filter(|(_, values)| !values.is_empty());
    let (low, high) = ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (_, values)| {
        (low.min(quantile(values, 0.001)), high.max(quantile(values, 0.999)))
    });
    let axis = Axis::around(low, high, 8);
    let shares: Vec<Vec<f64>> = series.iter().map(|(_, values)| shares(values, &axis)).collect();
    let tallest = shares.iter().flatten().copied().fold(0.0, f64::max);
    let vertical = Axis::up_to(100.0 * tallest, 5);
    keys.svg.axes(place, [&axis, &vertical], [x_label, "share per bin (%)"]);
    let [x0, y0, x1, y1] = place;
    for (index, ((name, values), shares)) in series.iter().zip(&shares).enumerate() {
        let (colour, dashes) = style(index);
        if values.is_empty() {
            keys.key(|_, _| String::new(), &format!("{name}: no data"));
            continue;
        }
        let mut outline = format!("M{x0:.1} {y1:.1}");
        for (bin, share) in shares.iter().enumerate() {
            let y = y1 - (y1 - y0) * vertical.share(100.0 * share);
            let x = x0 + (x1 - x0) * (bin + 1) as f64 / BINS as f64;
            let _ = write!(outline, "V{y:.1}H{x:.1}");
        }
        let _ = write!(outline, "V{y1:.1}");
        // Only the first is filled: two fills mix to a third colour that no key explains.
        let fill = if index == 0 { format!(r#"{colour}" fill-opacity="0.22"#) } else { "none".into() };
        let stroke = format!(r#"stroke="{colour}" stroke-width="1.7" stroke-dasharray="{dashes}""#);
        keys.svg.line(format_args!(r#"<path d="{outline}" fill="{fill}" {stroke}/>"#));
        let centre = mean(values);
        if (0.0..=1.0).contains(&axis.share(centre)) {
            let x = x0 + (x1 - x0) * axis.share(centre);
            // A triangle on the axis points at the mean.
            keys.svg.line(format_args!(r#"<path d="M{x:.1} {y1:.1}l-5 8h10z" fill="{colour}"/>"#));
        }
        let inside: f64 = shares.iter().sum();
        let beyond = ((1.0 - inside) * values.len() as f64).round();
        let beyond = if beyond > 0.0 { format!(", {beyond} outside") } else { String::new() };
        let text = format!("{name} (\u{25B2} mean {}{beyond})", number(centre));
        keys.key(
            |x, y| format!(r#"<rect x="{x:.1}" y="{:.1}" width="24" height="10" fill="{fill}" {stroke}/>"#, y - 5.0),
            &text,
        );
    }
}

/// The share of all values in each bin of the axis.
fn shares(values: &[f64], axis: &Axis) -> Vec<f64> {
    let mut shares = vec![0.0; BINS];
    for &value in values {
        let share = axis.share(value);
        if (0.0..=1.0).contains(&share) {
            shares[((share * BINS as f64) as usize).min(BINS - 1)] += 1.0 / values.len() as f64;
        }
    }
    shares
}

fn scatter(keys: &mut Keys<'_>, place: [f64; 4], labels: [&str; 2], series: &[Points], alike: bool) {
    let finite = |p: &&[f64; 2]| p[0].is_finite() && p[1].is_finite();
    let ends = |side: usize| {
        let values: Vec<f64> = series.iter().flat_map(|s| s.values.iter().filter(finite).map(|p| p[side])).collect();
        (quantile(&values, 0.0), quantile(&values, 1.0))
    };
    let (x_ends, y_ends) = (ends(0), ends(1));
    let (x_axis, y_axis) = (Axis::around(x_ends.0, x_ends.1, 8), Axis::around(y_ends.0, y_ends.1, 6));
    keys.svg.axes(place, [&x_axis, &y_axis], labels);
    let [x0, y0, x1, y1] = place;
    let at = |p: [f64; 2]| [x0 + (x1 - x0) * x_axis.share(p[0]), y1 - (y1 - y0) * y_axis.share(p[1])];
    for (index, points) in series.iter().enumerate() {
        let (colour, _) = style(index + 1);
        let kept: Vec<[f64; 2]> = points.values.iter().filter(finite).copied().collect();
        let mark = |[x, y]: [f64; 2]| match index {
            0 => format!("M{:.1} {y:.1}h5M{x:.1} {:.1}v5", x - 2.5, y - 2.5),
            _ => format!("M{:.1} {y:.1}a2.2 2.2 0 1 0 4.4 0a2.2 2.2 0 1 0 -4.4 0", x - 2.2),
        };
        let marks: String =
            kept.iter().step_by(kept.len().div_ceil(MOST_POINTS).max(1)).map(|&p| mark(at(p))).collect();
        let style = format!(r#"fill="none" stroke="{colour}" stroke-width="1" stroke-opacity="0.6""#);
        keys.svg.line(format_args!(r#"<path d="{marks}" {style}/>"#));
        let (x, y): (Vec<f64>, Vec<f64>) = kept.iter().map(|p| (p[0], p[1])).unzip();
        let text = match pearson(&x, &y) {
            Some(r) => format!("{} (r = {r:.2})", points.name),
            None => points.name.clone(),
        };
        keys.key(|x, y| format!(r#"<path d="{}" {style}/>"#, mark([x + 12.0, y])), &text);
    }
    // The part of the line of equal values that lies in the plot.
    let ([x_low, x_high], [y_low, y_high]) = (x_axis.ends(), y_axis.ends());
    let (start, end) = (x_low.max(y_low), x_high.min(y_high));
    let line = format!(r#"fill="none" stroke="{INK}" stroke-width="1.2" stroke-dasharray="5 4""#);
    if alike && start < end {
        let ([a, b], [c, d]) = (at([start; 2]), at([end; 2]));
        keys.svg.line(format_args!(r#"<path d="M{a:.1} {b:.1}L{c:.1} {d:.1}" {line}/>"#));
        keys.key(|x, y| format!(r#"<path d="M{x:.1} {y:.1}h24" {line}/>"#), "as asked");
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn numbers(svg: &str, after: &str) -> Vec<f64> {
        svg.split(after).skip(1).map(|rest| rest.split('"').next().unwrap().parse().unwrap()).collect()
    }

    fn histogram_panel(series: &[(&str, &[f64])]) -> Panel {
        let series = series.iter().map(|(name, values)| Series { name: (*name).into(), values: values.to_vec() });
        Panel::Histogram { title: "Rewards".into(), x_label: "reward".into(), series: series.collect() }
    }

    fn histogram_of(series: &[(&str, &[f64])]) -> String {
        Picture { title: "Test".into(), panels: vec![histogram_panel(series)] }.to_svg()
    }

    /// Every opened element is closed, in order, and attributes are quoted.
    pub(in crate::eval) fn assert_well_formed(svg: &str) {
        let mut open = Vec::new();
        for tag in svg.split('<').skip(1) {
            let (tag, _) = tag.split_once('>').expect("a tag ends");
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            match (tag.strip_prefix('/'), tag.ends_with('/')) {
                (Some(name), _) => assert_eq!(open.pop(), Some(name.to_owned())),
                (None, true) => {}
                (None, false) => open.push(tag.split_whitespace().next().unwrap_or_default().to_owned()),
            }
        }
        assert!(open.is_empty(), "{open:?}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn shares_of_a_histogram_add_up() {
        let axis = Axis::around(0.0, 10.0, 5);
        let values: Vec<f64> = (0..1000).map(|i| f64::from(i) * 0.01).collect();
        let counted = shares(&values, &axis);
        assert!((counted.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        // All but the outermost bins, which the margin shortens, hold the same share.
        let (least, most) = counted[2..BINS - 2].iter().fold((1.0_f64, 0.0_f64), |(l, m), &s| (l.min(s), m.max(s)));
        assert!(most - least <= 0.0011);
        assert!((shares(&[5.0, 50.0], &axis).iter().sum::<f64>() - 0.5).abs() < 1e-12);
    }

    #[test]
    fn a_histogram_says_its_means_and_what_it_leaves_out() {
        let mut values: Vec<f64> = (0..2000).map(|i| f64::from(i % 100)).collect();
        values.push(1e7);
        values.push(f64::NAN);
        let svg = histogram_of(&[("data & <more>", &values), ("none", &[])]);
        assert_well_formed(&svg);
        assert!(svg.contains("data &amp; &lt;more&gt; (\u{25B2} mean 5047, 1 outside)"), "{svg}");
        assert!(svg.contains("none: no data"));
    }

    #[test]
    fn points_lie_where_their_numbers_say() {
        let values = vec![[0.0, 0.0], [10.0, 20.0], [5.0, f64::NAN]];
        let mut panel = Panel::Scatter {
            title: "Returns".into(),
            x_label: "asked".into(),
            y_label: "reached".into(),
            alike: true,
            series: vec![Points { name: "one".into(), values: vec![] }, Points { name: "two".into(), values }],
        };
        let svg = Picture { title: "Test".into(), panels: vec![panel.clone()] }.to_svg();
        assert_well_formed(&svg);
        let marks = svg.lines().find(|l| l.matches("a2.2").count() == 4).unwrap();
        let place = |mark: &str| -> Vec<f64> {
            mark.split('a').next().unwrap().split(' ').map(|v| v.parse().unwrap()).collect()
        };
        let marks: Vec<Vec<f64>> = marks.split('M').skip(1).map(place).collect();
        // Further right, and higher up; 2% of the data's extent from the plot's corners.
        let (left, right) =
            (LEFT + (WIDTH - LEFT - RIGHT) * 0.02 / 1.04, WIDTH - RIGHT - (WIDTH - LEFT - RIGHT) * 0.02 / 1.04);
        assert!((marks[0][0] + 2.2 - left).abs() < 0.2 && (marks[1][0] + 2.2 - right).abs() < 0.2, "{marks:?}");
        assert!(marks[1][1] < marks[0][1]);
        assert!(svg.contains("two (r = 1.00)") && svg.contains(">one<") && svg.contains(">as asked<"));
        let Panel::Scatter { alike, .. } = &mut panel else { unreachable!() };
        *alike = false;
        assert!(!panel.to_svg().contains(">as asked<"), "a line of equal values of unlike quantities");
    }

    #[test]
    fn pictures_without_data_and_without_panels_are_whole() {
        assert_well_formed(&histogram_of(&[]));
        assert_well_formed(&histogram_of(&[("same", &[2.0; 9])]));
        assert_well_formed(&Picture { title: "a\u{7}b".into(), panels: vec![] }.to_svg());
        let wide = Picture { title: "Four".into(), panels: vec![histogram_panel(&[]); 4] }.to_svg();
        assert_eq!(numbers(&wide, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\""), [3.0 * WIDTH]);
        assert_eq!(wide.matches(">Rewards<").count(), 4);
        let (x_label, y_label) = ("x".into(), "y".into());
        let empty = Panel::Scatter { title: "t".into(), x_label, y_label, alike: true, series: vec![] };
        let svg = Picture { title: "Two".into(), panels: vec![empty.clone(), empty] }.to_svg();
        assert_well_formed(&svg);
        assert_eq!(numbers(&svg, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\""), [2.0 * WIDTH]);
    }
}
