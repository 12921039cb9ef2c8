//! Figures beside their targets.

use std::fmt;

/// What a figure has to reach.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    /// `ok` or `MISS`. One small round is judged by nobody: its figures are noise.
    pub(crate) fn verdict(self, figure: f64) -> &'static str {
        if crate::support::is_test() {
            return "(not judged)";
        }
        let met = match self {
            Self::AtLeast(least) => figure >= least,
            Self::AtMost(most) => figure <= most,
        };
        if met { "ok" } else { "MISS" }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, ">= {least}"),
            Self::AtMost(most) => write!(f, "<= {most}"),
        }
    }
}

/// One line: what was measured, the figure, its target, and whether it was met.
pub(crate) fn line(what: &str, figure: f64, target: Target) {
    let verdict = target.verdict(figure);
    println!("{what:<64} {figure:>9.2}   target {target:<8} {verdict}");
}

/// One line without a target.
pub(crate) fn note(what: &str, figure: f64, unit: &str) {
    println!("{what:<64} {figure:>9.1} {unit}");
}

pub(crate) fn title(text: &str) {
    println!("\n## {text}\n");
}

/// The median: noise of a shared machine goes to both ends.
pub(crate) fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// `1000`, `1M`, `10M`.
pub(crate) fn short(size: u64) -> String {
    match size {
        0..1_000_000 => size.to_string(),
        _ => format!("{}M", size / 1_000_000),
    }
}
