//! All ratios as one table: `cargo bench -p mdb-benches --bench ratios [-- NAME…]`.
//!
//! Both sides of a row run in turn in one process. The limits are those of `README.md`; a ratio
//! above its limit is marked, and the exit code is 0 all the same: machines differ.

#![expect(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a bench may panic, and counts only a few million"
)]

mod central;
mod reading;
mod routing;
mod tasks;

use mdb_benches::compare::Comparison;

fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let is_wanted =
        |name: &str| wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str()));
    println!(
        "{:<34} {:>12} {:>12} {:>7}  limit",
        "name", "ours", "against", "ratio"
    );
    if is_wanted("search") {
        routing::search();
    }
    if is_wanted("route") {
        routing::route();
    }
    // One thread asks and waits: what is measured is a statement's way, not how threads are woken.
    let one = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    if is_wanted("read sqlite") {
        one.block_on(reading::read_sqlite());
    }
    if is_wanted("read postgres") {
        one.block_on(reading::read_postgres());
    }
    if is_wanted("read mariadb") {
        one.block_on(reading::read_mariadb());
    }
    if is_wanted("central") {
        one.block_on(central::central_hit());
    }
    drop(one);
    if is_wanted("8 tasks") {
        let several = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        several.block_on(tasks::eight_tasks());
    }
}

fn print(name: &str, comparison: Comparison, limit: Option<f64>) {
    let (ours, against, ratio) = (comparison.ours(), comparison.against(), comparison.ratio());
    let limit = match limit {
        None => String::new(),
        Some(limit) if ratio <= limit => format!("≤ {limit:.2}"),
        Some(limit) => format!("≤ {limit:.2}  missed"),
    };
    let shown = |side: f64| {
        if against < 5e-6 {
            format!("{:.1} ns", side * 1e9)
        } else {
            format!("{:.2} µs", side * 1e6)
        }
    };
    println!(
        "{name:<34} {:>12} {:>12} {ratio:>7.3}  {limit}",
        shown(ours),
        shown(against)
    );
}
