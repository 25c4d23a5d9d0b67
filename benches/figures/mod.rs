//! What the benchmarks share: medians, and lines that show them.

#![allow(dead_code, reason = "each benchmark uses a part of it")]

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// How often each case is measured, after one round that warms up.
pub const ROUNDS: usize = 5;

/// The middle of `figures`, which are in order afterwards.
pub fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Says the middle of `figures`, whole, and the extremes beside it; answers with the middle.
pub fn say(what: &str, figures: &mut [f64]) -> f64 {
    let median = median(figures);
    println!("  {what:<34} {median:>10.0}  ({:.0} to {:.0})", figures[0], figures[figures.len() - 1]);
    median
}

/// The same to the microsecond, of milliseconds.
pub fn say_ms(what: &str, figures: &mut [f64]) -> f64 {
    let median = median(figures);
    println!("  {what:<40} {median:>8.3}  ({:.3} to {:.3})", figures[0], figures[figures.len() - 1]);
    median
}
