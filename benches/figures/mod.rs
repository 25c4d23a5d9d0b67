//! Medians, and lines that print them, for all benchmarks.

#![allow(dead_code, reason = "each benchmark uses a part of it")]

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Number of measurements of each case, after one warm-up.
pub const ROUNDS: usize = 5;

/// Returns the median of `figures`, and sorts them.
pub fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Prints the rounded median of `figures` with minimum and maximum. Returns the median.
pub fn print_median(what: &str, figures: &mut [f64]) -> f64 {
    let median = median(figures);
    println!("  {what:<34} {median:>10.0}  ({:.0} to {:.0})", figures[0], figures[figures.len() - 1]);
    median
}

/// Prints a median of milliseconds, to the microsecond.
pub fn print_median_ms(what: &str, figures: &mut [f64]) -> f64 {
    let median = median(figures);
    println!("  {what:<40} {median:>8.3}  ({:.3} to {:.3})", figures[0], figures[figures.len() - 1]);
    median
}
