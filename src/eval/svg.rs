//! What every drawing is made of: the text of an SVG file, axes, legends, colours.

use std::fmt::Write;

use super::axis::Axis;

/// Okabe and Ito's colours, which colour-blind readers tell apart, and a dash pattern for those who see none.
const STYLES: [(&str, &str); 5] =
    [("#0072B2", ""), ("#D55E00", ""), ("#009E73", "6 3"), ("#000000", "2 2"), ("#CC79A7", "8 3 2 3")];
/// Dash patterns of the series after these, which have the same colours once more.
const MORE_DASHES: [&str; 3] = ["12 4", "1 4", "12 3 1 3 1 3"];
/// Colours of text, of axes, of grids, and of what is less than a series.
pub(super) const INK: &str = "#222222";
pub(super) const FRAME: &str = "#444444";
pub(super) const GRID: &str = "#E6E6E6";
pub(super) const MUTED: &str = "#777777";
/// The same on a dark page: a colour of the drawings, and what takes its place.
const DARK: [(&str, &str); 9] = [
    ("#0072B2", "#56B4E9"),
    ("#D55E00", "#FF9A4D"),
    ("#009E73", "#3DD6A3"),
    ("#000000", "#F2F2F2"),
    ("#CC79A7", "#EBA9CF"),
    (INK, "#E4E4E4"),
    (FRAME, "#B0B0B0"),
    (GRID, "#3A3A3A"),
    (MUTED, "#9A9A9A"),
];
/// Height of a line of a legend.
pub(super) const LINE: f64 = 17.0;

/// Colour and dash pattern of series `index`: no two of twenty are alike.
pub(super) fn style(index: usize) -> (&'static str, &'static str) {
    let (colour, dashes) = STYLES[index % STYLES.len()];
    match (index / STYLES.len()).checked_sub(1) {
        None => (colour, dashes),
        Some(round) => (colour, MORE_DASHES[round % MORE_DASHES.len()]),
    }
}

/// CSS rules that turn the drawings inside of the elements that `scope` selects into such for a dark page.
pub(crate) fn dark_rules(scope: &str) -> String {
    let mut rules = String::new();
    for (light, dark) in DARK {
        for property in ["fill", "stroke"] {
            // Writing to a string cannot fail.
            let _ = writeln!(rules, r#"{scope} [{property}="{light}"] {{ {property}: {dark} }}"#);
        }
    }
    rules
}

/// `text` as it stands in XML and HTML, between tags and between double quotes. Control characters, which XML does not
/// allow even escaped, are left out; line feeds and tabs stay.
pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\n' | '\t' => safe.push(character),
            _ if character.is_control() || matches!(character, '\u{FFFE}' | '\u{FFFF}') => {}
            _ => safe.push(character),
        }
    }
    safe
}

/// The text of an SVG file, line by line.
pub(super) struct Svg(String);

impl Svg {
    pub(super) fn new() -> Self {
        Self(String::new())
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }

    pub(super) fn line(&mut self, arguments: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{arguments}");
    }

    pub(super) fn text(&mut self, [x, y]: [f64; 2], anchor: &str, attributes: &str, text: &str) {
        let text = escaped(text);
        self.line(format_args!(r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}"{attributes}>{text}</text>"#));
    }

    /// Ticks, grid and labels of both axes around a plot.
    pub(super) fn axes(&mut self, [x0, y0, x1, y1]: [f64; 4], axes: [&Axis; 2], labels: [&str; 2]) {
        for (tick, label) in axes[0].ticks() {
            let x = x0 + (x1 - x0) * axes[0].share(tick);
            self.line(format_args!(r##"<path d="M{x:.1} {y0:.1}V{y1:.1}" stroke="{GRID}"/>"##));
            self.text([x, y1 + 17.0], "middle", "", &label);
        }
        for (tick, label) in axes[1].ticks() {
            let y = y1 - (y1 - y0) * axes[1].share(tick);
            self.line(format_args!(r##"<path d="M{x0:.1} {y:.1}H{x1:.1}" stroke="{GRID}"/>"##));
            self.text([x0 - 7.0, y + 4.0], "end", "", &label);
        }
        self.line(format_args!(r##"<path d="M{x0:.1} {y0:.1}V{y1:.1}H{x1:.1}" fill="none" stroke="{FRAME}"/>"##));
        self.text([(x0 + x1) / 2.0, y1 + 38.0], "middle", "", labels[0]);
        let (x, y) = (x0 - 47.0, (y0 + y1) / 2.0);
        self.text([x, y], "middle", &format!(r#" transform="rotate(-90 {x:.1} {y:.1})""#), labels[1]);
    }
}

/// The legend of a panel, written downwards.
pub(super) struct Keys<'a> {
    pub(super) svg: &'a mut Svg,
    x: f64,
    y: f64,
}

impl<'a> Keys<'a> {
    /// An empty legend that begins at `[x, y]`.
    pub(super) fn new(svg: &'a mut Svg, [x, y]: [f64; 2]) -> Self {
        Self { svg, x, y }
    }

    /// A sample of a series' style (an SVG element around `[x, y]`) and what it stands for.
    pub(super) fn key(&mut self, sample: impl FnOnce(f64, f64) -> String, text: &str) {
        let sample = sample(self.x, self.y);
        self.svg.line(format_args!("{sample}"));
        self.svg.text([self.x + 32.0, self.y + 4.0], "start", "", text);
        self.y += LINE;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_colour_of_the_drawings_has_one_for_dark_pages() {
        let colours = STYLES.iter().map(|(colour, _)| *colour).chain([INK, FRAME, GRID, MUTED]);
        let rules = dark_rules("figure");
        for colour in colours {
            assert!(rules.contains(&format!(r#"figure [stroke="{colour}"] {{ stroke: #"#)), "{colour}: {rules}");
        }
    }

    #[test]
    fn twenty_series_can_be_told_apart() {
        let styles: std::collections::BTreeSet<_> = (0..20).map(style).collect();
        assert_eq!(styles.len(), 20);
    }

    proptest! {
        #[test]
        fn escaped_text_has_no_mark_up_and_loses_nothing_visible(text in r#"[a-z<>&"\u{0}-\u{1f} ]{0,40}"#) {
            let safe = escaped(&text);
            let marks = safe.contains(['<', '>', '"', '\u{7}']);
            prop_assert!(!marks, "{}", safe);
            let back = safe.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
            let visible: String = text.chars().filter(|c| !c.is_control() || "\n\t".contains(*c)).collect();
            prop_assert_eq!(back, visible);
        }
    }
}
