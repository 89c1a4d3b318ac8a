//! The rules themselves. Comments in the code are not looked at where a rule is about code.

use super::tree::{ALL, BARE, DEFAULT};
use super::{Finding, Rule, Tree};

/// All rules, in the order they are printed.
pub const RULES: &[Rule] = &[
    Rule {
        name: "replay and envs use neither tch nor each other",
        why: "they must build in seconds, work without LibTorch, and be usable alone",
        check: members_stay_apart,
    },
    Rule {
        name: "what a feature brings is not built without it",
        why: "who wants to wrap a buffer compiles no agent, no second array library and no graphics",
        check: features_stay_apart,
    },
    Rule {
        name: "dependencies point one way: cli -> experiment -> {gta, baselines} -> method -> {eval, agents, diffusion, dynamics} -> augment -> replay",
        why: "a layer that knows nothing of those above it can be read, tested and replaced alone; augment in \
              particular must take any generator, so it names neither tch nor a network nor a task",
        check: layers_point_down,
    },
    Rule {
        name: "no source file of the libraries is longer than 500 lines",
        why: "a file is one noun; a longer one holds two",
        check: files_are_short,
    },
    Rule {
        name: "no module is called utils, common, helpers, base or prelude",
        why: "such names say nothing, so everything ends up there",
        check: modules_have_names,
    },
    Rule {
        name: "no unfinished code and no ignored test",
        why: "what is not finished is not committed, and a test that never runs only looks like one",
        check: nothing_unfinished,
    },
    Rule {
        name: "no path of one machine in the files",
        why: "what works only where it was written does not work",
        check: no_machine_paths,
    },
    Rule {
        name: "the top level holds the known names only",
        why: "a newcomer reads the top level first; everything has a place one level down",
        check: top_level_is_known,
    },
];

const LIBRARIES: [&str; 3] = ["src/", "replay/src/", "envs/src/"];
const LONGEST: usize = 500;
const NAMELESS: [&str; 8] = ["utils", "util", "common", "helpers", "helper", "base", "misc", "prelude"];
const TOP_LEVEL: [&str; 12] = [
    "Cargo.toml",
    "Cargo.lock",
    "README.md",
    "CHANGELOG.md",
    "CITATION.cff",
    "build.rs",
    "src",
    "envs",
    "replay",
    "tests",
    "examples",
    "xtask",
];

/// `(feature, beginnings of the names of packages that come with it alone)`.
const FEATURES: [(&str, &[&str]); 4] = [
    ("border", &["border", "candle"]),
    ("fetch", &["ureq", "rustls"]),
    ("gymnasium", &["gymnasium", "pyo3", "numpy", "ndarray-rand"]),
    ("render", &["glutin", "png", "winit"]),
];
/// The features that are on by default.
const ON: [&str; 1] = ["fetch"];

/// `(folder, names that its code may not use)`. `tch` and `envs` are crates, the others modules of ours.
const LAYERS: [(&str, &[&str]); 12] = [
    (
        "src/augment",
        &["tch", "envs", "diffusion", "dynamics", "agents", "method", "baselines", "eval", "experiment", "cli"],
    ),
    ("src/diffusion", &["envs", "dynamics", "agents", "method", "baselines", "eval", "experiment", "cli"]),
    ("src/dynamics", &["envs", "diffusion", "agents", "method", "baselines", "eval", "experiment", "cli"]),
    (
        "src/training",
        &["envs", "augment", "diffusion", "dynamics", "agents", "method", "baselines", "eval", "experiment", "cli"],
    ),
    ("src/agents", &["envs", "method", "baselines", "eval", "experiment", "cli"]),
    ("src/eval", &["method", "baselines", "experiment", "cli"]),
    ("src/method", &["envs", "agents", "baselines", "experiment", "cli"]),
    ("src/baselines", &["envs", "agents", "eval", "experiment", "cli"]),
    ("src/gta", &["agents", "baselines", "experiment", "cli"]),
    ("src/experiment", &["cli"]),
    // That nothing names it, the default build shows: it is not there.
    ("src/border", &["tch", "diffusion", "dynamics", "agents", "baselines", "experiment", "cli"]),
    (
        "src/gymnasium",
        &["tch", "augment", "diffusion", "dynamics", "agents", "method", "baselines", "eval", "experiment", "cli"],
    ),
];

fn members_stay_apart(tree: &Tree) -> Vec<Finding> {
    let forbidden = [
        ("gta-replay", ["tch", "torch-sys", "gta-envs", "gta-rl"]),
        ("gta-envs", ["tch", "torch-sys", "gta-replay", "gta-rl"]),
    ];
    let mut findings = Vec::new();
    for (member, names) in forbidden {
        let Some(used) = tree.dependencies.get(member) else { continue };
        for name in names {
            if used.iter().any(|used| used == name) {
                findings.push(Finding { place: member.to_owned(), what: format!("depends on {name}") });
            }
        }
    }
    findings
}

fn features_stay_apart(tree: &Tree) -> Vec<Finding> {
    let empty = Vec::new();
    let built = |features| tree.built.get(features).unwrap_or(&empty);
    let mut findings = Vec::new();
    for (feature, starts) in FEATURES {
        for (features, without) in [(DEFAULT, !ON.contains(&feature)), (BARE, true)] {
            let strangers = built(features).iter().filter(|name| starts.iter().any(|start| name.starts_with(start)));
            findings.extend(strangers.filter(|_| without).map(|name| Finding {
                place: format!("gta-rl with {features}"),
                what: format!("has {name}, which belongs to the feature {feature}"),
            }));
        }
        // A name that nothing has any more would keep nothing out.
        let all = built(ALL);
        if !all.is_empty() && !all.iter().any(|name| name.starts_with(starts[0])) {
            let what = format!("has no {}: is it still what the feature {feature} brings?", starts[0]);
            findings.push(Finding { place: format!("gta-rl with {ALL}"), what });
        }
    }
    findings
}

fn layers_point_down(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (folder, names) in LAYERS {
        for (path, text) in tree.texts(folder, ".rs") {
            // `src/augment.rs` and `src/augment/..`, but not `src/augmented.rs`.
            if !path[folder.len()..].starts_with(['/', '.']) {
                continue;
            }
            for (number, code) in code_lines(text) {
                for name in names.iter().filter(|name| names_module(code, name)) {
                    findings.push(at(path, number, format!("names {name}")));
                }
            }
        }
    }
    findings
}

fn files_are_short(tree: &Tree) -> Vec<Finding> {
    let libraries = LIBRARIES.iter().flat_map(|folder| tree.texts(folder, ".rs"));
    let long = libraries.map(|(path, text)| (path, text.lines().count())).filter(|(_, lines)| *lines > LONGEST);
    long.map(|(path, lines)| Finding { place: path.to_owned(), what: format!("{lines} lines") }).collect()
}

fn modules_have_names(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts("", ".rs") {
        let stem = path.trim_end_matches(".rs");
        if let Some(name) = stem.split('/').find(|part| NAMELESS.contains(part)) {
            findings.push(Finding { place: path.to_owned(), what: format!("is called {name}") });
        }
        for (number, code) in code_lines(text) {
            let declared = code.trim_start().trim_start_matches("pub ").strip_prefix("mod ");
            let name = declared.map(|rest| rest.trim_end_matches([' ', ';', '{']));
            if let Some(name) = name.filter(|name| NAMELESS.contains(name)) {
                findings.push(at(path, number, format!("declares the module {name}")));
            }
        }
    }
    findings
}

fn nothing_unfinished(tree: &Tree) -> Vec<Finding> {
    // Written in pieces, so that this file does not break its own rule.
    let marks = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("#[", "ignore")];
    let mut findings = Vec::new();
    for (path, text) in tree.texts("", ".rs") {
        for (number, code) in code_lines(text) {
            for mark in marks.iter().filter(|mark| code.contains(**mark)) {
                findings.push(at(path, number, format!("has {}", mark.trim_end_matches('('))));
            }
        }
    }
    findings
}

fn no_machine_paths(tree: &Tree) -> Vec<Finding> {
    let starts = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];
    let mut findings = Vec::new();
    for (path, text) in tree.texts("", "") {
        for (index, line) in text.lines().enumerate() {
            for start in starts {
                // Only as the beginning of a path: `some/work/folder` and a web address are fine.
                let absolute = line.match_indices(start).any(|(position, _)| {
                    let before = line[..position].chars().next_back();
                    !before.is_some_and(|c| c.is_alphanumeric() || "_-./~})".contains(c))
                });
                if absolute {
                    findings.push(at(path, index + 1, format!("names a path below {start}")));
                }
            }
        }
    }
    findings
}

fn top_level_is_known(tree: &Tree) -> Vec<Finding> {
    let mut unknown: Vec<&str> = tree.files.keys().filter_map(|path| path.split('/').next()).collect();
    unknown.dedup();
    unknown.retain(|name| !name.starts_with('.') && !name.starts_with("LICENSE") && !TOP_LEVEL.contains(name));
    unknown.iter().map(|name| Finding { place: (*name).to_owned(), what: "does not belong here".to_owned() }).collect()
}

fn at(path: &str, line: usize, what: String) -> Finding {
    Finding { place: format!("{path}:{line}"), what }
}

/// Lines with their number from one, without line comments (a `//` inside a string ends a line too soon, which hides
/// nothing that matters here).
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
}

/// Whether the code uses `name` as a path: `name::..`, `crate::name`, `use name;`, or inside `use crate::{..}`.
fn names_module(code: &str, name: &str) -> bool {
    let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    code.match_indices(name).any(|(position, _)| {
        let (before, after) = (&code[..position], &code[position + name.len()..]);
        if word(before.chars().next_back()) || word(after.chars().next()) {
            return false;
        }
        let used = code.trim_start().starts_with("use ") || code.trim_start().starts_with("pub use ");
        after.starts_with("::") || before.ends_with("crate::") || before.ends_with("gta::") || used
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Tree {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), Some((*text).to_owned()))).collect();
        Tree { files, ..Tree::default() }
    }

    fn places(findings: &[Finding]) -> Vec<&str> {
        findings.iter().map(|finding| finding.place.as_str()).collect()
    }

    #[test]
    fn a_member_that_links_tch_is_found() {
        let mut tree = Tree::default();
        tree.dependencies.insert("gta-replay".into(), vec!["gta-replay".into(), "rand".into(), "torch-sys".into()]);
        tree.dependencies.insert("gta-envs".into(), vec!["gta-envs".into(), "gta-replay".into()]);
        let whats: Vec<_> = members_stay_apart(&tree).into_iter().map(|f| (f.place, f.what)).collect();
        assert_eq!(
            whats,
            [
                ("gta-replay".to_owned(), "depends on torch-sys".to_owned()),
                ("gta-envs".to_owned(), "depends on gta-replay".to_owned())
            ]
        );
    }

    #[test]
    fn a_package_that_belongs_to_a_feature_is_found_without_it() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let mut tree = Tree::default();
        tree.built.insert(ALL, names(&["gta-rl", "border-core", "ureq", "gymnasium-rs", "pyo3-ffi", "glutin"]));
        tree.built.insert(DEFAULT, names(&["gta-rl", "ureq"]));
        tree.built.insert(BARE, names(&["gta-rl", "ndarray"]));
        assert_eq!(features_stay_apart(&tree), []);
        tree.built.insert(DEFAULT, names(&["gta-rl", "ureq", "pyo3-ffi"]));
        tree.built.insert(BARE, names(&["rustls-webpki"]));
        tree.built.insert(ALL, names(&["gta-rl", "border-core", "ureq", "gymnasium-rs"]));
        let whats: Vec<_> =
            features_stay_apart(&tree).into_iter().map(|f| format!("{}: {}", f.place, f.what)).collect();
        assert_eq!(
            whats,
            [
                "gta-rl with no features: has rustls-webpki, which belongs to the feature fetch",
                "gta-rl with default features: has pyo3-ffi, which belongs to the feature gymnasium",
                "gta-rl with all features: has no glutin: is it still what the feature render brings?",
            ]
        );
    }

    #[test]
    fn a_layer_that_looks_up_is_found() {
        let tree = tree(&[
            ("src/augment/pool.rs", "use tch::Tensor;\n// tch:: in a comment\nlet stretch::x = 1;\n"),
            ("src/augment.rs", "use crate::{diffusion, error};\n"),
            ("src/augmented.rs", "use tch::Tensor;\n"),
            ("src/diffusion/edm.rs", "use tch::Tensor;\nfn f() { crate::agents::g() }\n"),
            ("src/eval/quality.rs", "use envs::Oracle;\nlet agents = 1;\n"),
        ]);
        let findings = layers_point_down(&tree);
        assert_eq!(places(&findings), ["src/augment.rs:1", "src/augment/pool.rs:1", "src/diffusion/edm.rs:2"]);
    }

    #[test]
    fn a_long_file_is_found_in_the_libraries_only() {
        let long = "x\n".repeat(LONGEST + 1);
        let tree = tree(&[("src/a.rs", &long), ("tests/b.rs", &long), ("envs/src/c.rs", &"x\n".repeat(LONGEST))]);
        assert_eq!(places(&files_are_short(&tree)), ["src/a.rs"]);
    }

    #[test]
    fn nameless_modules_are_found() {
        let tree = tree(&[
            ("src/utils.rs", ""),
            ("replay/src/common/io.rs", ""),
            ("src/lib.rs", "mod database;\npub mod helpers;\nmod prelude {\n"),
        ]);
        let findings = modules_have_names(&tree);
        assert_eq!(places(&findings), ["replay/src/common/io.rs", "src/lib.rs:2", "src/lib.rs:3", "src/utils.rs"]);
    }

    #[test]
    fn unfinished_code_and_ignored_tests_are_found() {
        let text = format!(
            "fn f() {{ {}) }}\n// {})\n{}]\n",
            concat!("todo", "!("),
            concat!("todo", "!("),
            concat!("#[", "ignore")
        );
        let tree = tree(&[("src/a.rs", &text)]);
        assert_eq!(places(&nothing_unfinished(&tree)), ["src/a.rs:1", "src/a.rs:3"]);
    }

    #[test]
    fn machine_paths_are_found() {
        let home = concat!("/ho", "me/");
        let text = format!("open(\"{home}me/x\")\nhttps://host{home}x\nsome{home}x\n{home}y\n");
        let tree = tree(&[("README.md", &text)]);
        assert_eq!(places(&no_machine_paths(&tree)), ["README.md:1", "README.md:4"]);
    }

    #[test]
    fn strangers_on_the_top_level_are_found() {
        let tree =
            tree(&[(".ci/run", ""), ("LICENSE-MIT", ""), ("notes.md", ""), ("scripts/x.sh", ""), ("src/a.rs", "")]);
        assert_eq!(places(&top_level_is_known(&tree)), ["notes.md", "scripts"]);
    }

    #[test]
    fn nothing_is_found_in_a_clean_tree() {
        let tree = tree(&[("src/lib.rs", "//! Tour.\nmod augment;\n"), ("src/augment/mod.rs", "use replay::Batch;\n")]);
        for rule in RULES {
            assert_eq!((rule.check)(&tree), [], "{}", rule.name);
        }
    }
}
