//! The layout rules: who may know whom, where files lie, how long they are. Each says why it is there.

mod rules;
mod tree;

use anyhow::{Result, bail};

use rules::RULES;
use tree::Tree;

/// One place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    /// File and line, or the package.
    place: String,
    /// What is wrong there.
    what: String,
}

/// One rule of the layout.
pub struct Rule {
    name: &'static str,
    why: &'static str,
    check: fn(&Tree) -> Vec<Finding>,
}

/// Checks every rule and prints what breaks it.
///
/// # Errors
/// When a rule is broken, or when git or cargo cannot tell what there is.
pub fn check() -> Result<()> {
    let tree = Tree::of_project()?;
    let mut broken = 0;
    for rule in RULES {
        let findings = (rule.check)(&tree);
        if findings.is_empty() {
            continue;
        }
        broken += 1;
        eprintln!("broken rule: {}\n  why: {}", rule.name, rule.why);
        for finding in findings {
            eprintln!("  {}: {}", finding.place, finding.what);
        }
    }
    if broken > 0 {
        bail!("{broken} of {} layout rules broken", RULES.len());
    }
    Ok(())
}
