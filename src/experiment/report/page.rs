//! A report as one page of HTML that needs no other file and no script.

use std::fmt::Write;

use serde_json::json;

use super::markdown::NOTES;
use super::metric::Metric;
use super::record::{AugmentationReport, DatasetReport, Report};
use super::table::{Grid, grouped};
use crate::eval::{dark_rules, escaped};

/// How the page looks, on a screen of any width and on paper.
const STYLE: &str = include_str!("page.css");

/// A page that is written from its beginning to its end. Void elements are closed, so that it is XML, too.
struct Page(String);

impl Page {
    fn line(&mut self, arguments: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{arguments}");
    }

    /// An element that holds plain text.
    fn text(&mut self, name: &str, text: &str) {
        self.line(format_args!("<{name}>{}</{name}>", escaped(text)));
    }
}

impl Report {
    /// The page.
    pub fn to_html(&self) -> String {
        let mut page = Page(String::new());
        let dark = dark_rules("  figure");
        page.line(format_args!("<!doctype html>"));
        page.line(format_args!(r#"<html lang="en"><head><meta charset="utf-8"/>"#));
        page.line(format_args!(r#"<meta name="viewport" content="width=device-width, initial-scale=1"/>"#));
        let policy = "default-src 'none'; style-src 'unsafe-inline'";
        page.line(format_args!(r#"<meta http-equiv="Content-Security-Policy" content="{policy}"/>"#));
        page.line(format_args!("<title>Quality of generated data</title>"));
        page.line(format_args!(
            "<style>\n{STYLE}@media screen and (prefers-color-scheme: dark) {{\n{dark}}}\n</style>"
        ));
        page.line(format_args!("</head><body><main>"));
        page.line(format_args!("<h1>Quality of generated data</h1>"));
        let names = |names: Vec<&str>| names.join(", ");
        let datasets = names(self.datasets.iter().map(|dataset| dataset.name.as_str()).collect());
        let sizes = &self.sizes;
        let lead = format!(
            "What MuJoCo says of what {} make of {datasets}: {} transitions of each set are judged.",
            names(self.labels()),
            grouped(sizes.judged() as u64),
        );
        page.line(format_args!(r#"<p class="lead">{}</p>"#, escaped(&lead)));
        self.contents(&mut page);
        NOTES.iter().for_each(|note| page.text("p", note));
        for metric in Metric::ALL {
            self.grid(metric).write(&mut page);
        }
        for (number, dataset) in self.datasets.iter().enumerate() {
            dataset.write(&mut page, number);
        }
        self.footer(&mut page);
        page.line(format_args!("</main></body></html>"));
        page.0
    }

    fn contents(&self, page: &mut Page) {
        page.line(format_args!("<nav>"));
        for metric in Metric::ALL {
            let (table, title) = (metric.table(), metric.title());
            page.line(format_args!(r##"<a href="#table-{table}">{title}</a>"##));
        }
        for (number, dataset) in self.datasets.iter().enumerate() {
            page.line(format_args!(r##"<a href="#dataset-{number}">{}</a>"##, escaped(&dataset.name)));
        }
        page.line(format_args!("</nav>"));
    }

    fn footer(&self, page: &mut Page) {
        let Self { versions, sizes, .. } = self;
        let of = |name: &str, version: &Option<String>| version.as_ref().map(|v| format!(", {name} {v}"));
        let libraries = [of("LibTorch", &versions.libtorch), of("MuJoCo", &versions.mujoco)];
        let libraries: String = libraries.into_iter().flatten().collect();
        let text = format!("gta {}{libraries}; seed {}.", versions.gta, sizes.seed);
        page.line(format_args!("<footer>"));
        page.text("p", &text);
        page.text(
            "p",
            "The paper: Lee et al., Generative Trajectory Augmentation with Guidance for Offline Reinforcement Learning, \
             NeurIPS 2024; Tables 21 to 25 and Figures 5, 7 and 8.",
        );
        page.line(format_args!("</footer>"));
    }
}

impl Grid {
    fn write(&self, page: &mut Page) {
        page.line(format_args!(r#"<section id="table-{}">"#, self.metric.table()));
        page.text("h2", &self.metric.heading());
        page.line(format_args!(r#"<div class="wide"><table><thead><tr><th scope="col">dataset</th>"#));
        for name in ["data"].into_iter().chain(self.columns.iter().map(String::as_str)) {
            page.line(format_args!(r#"<th scope="col">{}</th>"#, escaped(name)));
        }
        page.line(format_args!("</tr></thead><tbody>"));
        for row in &self.rows {
            page.line(format_args!(r#"<tr><th scope="row">{}</th>"#, escaped(&row.dataset)));
            for figure in [&row.data].into_iter().chain(&row.cells) {
                let cell = figure.as_ref().map_or_else(
                    || "\u{2013}".into(),
                    |figure| {
                        let text = self.text(figure);
                        let interval = text.interval.map(|interval| format!("<small>{interval}</small>"));
                        let median = text.median.map(|median| format!("<small>median {median}</small>"));
                        let more: String = [interval, median].into_iter().flatten().collect();
                        format!("<b>{}</b>{more}", text.mean)
                    },
                );
                page.line(format_args!("<td>{cell}</td>"));
            }
            page.line(format_args!("</tr>"));
            if let Some(paper) = &row.paper {
                let other = if paper.own { "" } else { "<small>other data</small>" };
                page.line(format_args!(r#"<tr class="paper"><th scope="row">paper {}{other}</th><td></td>"#, paper.id));
                for cell in &paper.cells {
                    let cell = cell.map_or_else(String::new, |value| self.paper_text(value));
                    page.line(format_args!("<td>{cell}</td>"));
                }
                page.line(format_args!("</tr>"));
            }
        }
        page.line(format_args!("</tbody></table></div></section>"));
    }
}

impl DatasetReport {
    fn write(&self, page: &mut Page, number: usize) {
        page.line(format_args!(r#"<section id="dataset-{number}">"#));
        page.text("h2", &self.name);
        page.text("p", &self.about());
        page.line(format_args!(r#"<div class="figures">"#));
        for panel in self.figures() {
            page.line(format_args!("<figure>\n{}</figure>", panel.to_svg()));
        }
        page.line(format_args!("</div>"));
        let made = || self.augmentations.iter();
        if made().any(|made| made.horizon != super::config::HORIZON) {
            page.text("p", "Where windows are shorter, so are the sums over them: compare returns within one figure.");
        }
        if made().any(|made| made.returns.is_empty()) {
            page.text("p", "Where a check took windows apart, there are no sums over whole ones to show.");
        }
        if made().any(|made| made.returns.iter().any(|returns| returns.oracle.is_none())) {
            page.text(
                "p",
                "The oracle's returns are those of windows whose every transition can be judged. Others have an observation \
                 that stands for more than one state, such as a speed that the task clips.",
            );
        }
        page.line(format_args!(r#"<div class="wide"><table class="details"><thead><tr><th scope="col"></th>"#));
        for made in &self.augmentations {
            page.line(format_args!(r#"<th scope="col">{}</th>"#, escaped(&made.label)));
        }
        page.line(format_args!("</tr></thead><tbody>"));
        for (name, cells) in self.details() {
            let cells: String = cells.iter().map(|cell| format!("<td>{}</td>", escaped(cell))).collect();
            page.line(format_args!(r#"<tr><th scope="row">{}</th>{cells}</tr>"#, escaped(&name)));
        }
        page.line(format_args!("</tbody></table></div>"));
        page.line(format_args!("<details><summary>The file</summary><dl>"));
        let own = self.provenance.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        for (key, value) in [("sha256", self.checksum.as_str())].into_iter().chain(own) {
            page.text("dt", key);
            page.text("dd", value);
        }
        for oddity in &self.oddities {
            page.text("dt", "note");
            page.text("dd", oddity);
        }
        page.line(format_args!("</dl></details>"));
        self.augmentations.iter().for_each(|made| made.write(page));
        page.line(format_args!("</section>"));
    }
}

impl AugmentationReport {
    fn write(&self, page: &mut Page) {
        page.line(format_args!("<details><summary>Settings of {}</summary>", escaped(&self.label)));
        let listed = json!({ "augmentation": [self.settings] });
        let text = toml::to_string(&listed).unwrap_or_else(|_| self.settings.to_string());
        page.line(format_args!("<pre>{}</pre>", escaped(&text)));
        page.line(format_args!("<dl>"));
        for (key, value) in [("model", &self.generated.model), ("windows, sha256", &self.generated.pool_sha256)] {
            page.text("dt", key);
            page.text("dd", value);
        }
        page.line(format_args!("</dl></details>"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_xml, report};

    #[test]
    fn every_dataset_and_augmentation_is_on_the_page_which_is_whole_and_alone() {
        let report = report();
        let page = report.to_html();
        assert_xml(&page);
        for table in 21..=25 {
            assert_eq!(page.matches(&format!(r#"<section id="table-{table}">"#)).count(), 1);
        }
        for dataset in &report.datasets {
            assert_eq!(page.matches(&format!(r#"<th scope="row">{}</th>"#, dataset.name)).count(), 5);
            assert_eq!(page.matches(&format!("<h2>{}</h2>", dataset.name)).count(), 1);
        }
        for label in ["data", "s4rl", "gta"] {
            let count = page.matches(&format!(r#"<th scope="col">{label}</th>"#)).count();
            assert_eq!(count, if label == "data" { 5 } else { 5 + report.datasets.len() }, "{label}");
        }
        assert_eq!(page.matches("<figure>").count(), 2 * 4);
        assert_eq!(page.matches("<summary>Settings of gta</summary>").count(), 2);
        assert_eq!(page.matches(r#"<tr class="paper">"#).count(), 5, "the second dataset is not in the paper");
        assert!(page.contains("other data") && page.contains("not comparable"));
        // Nothing is loaded, nothing runs.
        for part in ["<script", "src=", "url(", "@import", "<link", "onload", "javascript:"] {
            assert!(!page.contains(part), "{part}");
        }
        let addresses: Vec<&str> = page.match_indices("http").map(|(at, _)| &page[at..at + 26]).collect();
        assert!(
            addresses.iter().all(|at| at.starts_with("http://www.w3.org/2000/svg") || at.starts_with("http-equiv"))
        );
    }

    #[test]
    fn names_are_text_and_never_mark_up() {
        let mut report = report();
        let wild = "<b onclick=\"x\">&\u{7}</b>";
        report.datasets[0].name = wild.into();
        report.datasets[0].oddities = vec![wild.into()];
        report.datasets[0].provenance = vec![(wild.into(), wild.into())];
        report.datasets[0].augmentations[1].label = wild.into();
        report.datasets[0].augmentations[1].settings["label"] = wild.into();
        report.datasets[0].augmentations[1].generated.model = wild.into();
        let page = report.to_html();
        assert_xml(&page);
        assert!(!page.contains("<b onclick") && page.contains("&lt;b onclick=&quot;x&quot;&gt;&amp;&lt;/b&gt;"));
    }
}
