//! What an id costs: `cargo bench -p mdb-benches --bench ids [-- NAME…]`.
//!
//! Both sides of a ratio run in turn in one process; the limits are those of `README.md`. Of ids that
//! are made elsewhere it is told how many times longer they take.

#![expect(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a bench may panic, and counts only a few million"
)]

mod authority;
mod dealing;
mod floors;
mod processes;
mod rates;

use mdb_benches::compare::Comparison;

fn main() {
    if processes::is_told() {
        return;
    }
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let is_wanted =
        |name: &str| wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str()));
    println!(
        "{:<44} {:>10} {:>10} {:>7}  limit",
        "name", "ours", "against", "ratio"
    );
    if is_wanted("shared") {
        dealing::shared();
    }
    if is_wanted("handle") {
        dealing::handle();
    }
    if is_wanted("others") {
        dealing::others();
    }
    if is_wanted("rates") {
        rates::sustained();
    }
    if is_wanted("processes") {
        processes::sustained();
    }
}

/// One line of the table; the ratio is how much longer ours takes.
fn print(name: &str, comparison: Comparison, at_most: f64) {
    let ratio = comparison.ratio();
    let missed = if ratio <= at_most { "" } else { "  missed" };
    line(name, comparison, ratio, &format!("≤ {at_most:.2}{missed}"));
}

/// One line of the table; the ratio is how many times faster ours is.
fn print_faster(name: &str, comparison: Comparison, at_least: Option<f64>) {
    let ratio = 1.0 / comparison.ratio();
    let limit = at_least.map(|limit| {
        let missed = if ratio >= limit { "" } else { "  missed" };
        format!("≥ {limit:.0}{missed}")
    });
    line(name, comparison, ratio, &limit.unwrap_or_default());
}

fn line(name: &str, comparison: Comparison, ratio: f64, limit: &str) {
    println!(
        "{name:<44} {:>7.2} ns {:>7.2} ns {ratio:>7.2}  {limit}",
        comparison.ours() * 1e9,
        comparison.against() * 1e9,
    );
}
