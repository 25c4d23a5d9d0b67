//! Tables of figures, in Markdown.

#![allow(dead_code, reason = "each program uses a part of it")]

use std::fmt::Display;

/// A table that is printed when it is complete.
pub struct Table {
    title: String,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(title: impl Display, columns: &[&str]) -> Self {
        let mut table = Self { title: title.to_string(), rows: Vec::new() };
        table.rows.push(columns.iter().map(ToString::to_string).collect());
        table.rows.push(vec!["---".to_owned(); columns.len()]);
        table
    }

    pub fn row(&mut self, cells: &[&dyn Display]) {
        self.rows.push(cells.iter().map(ToString::to_string).collect());
    }

    pub fn print(self) {
        println!("### {}\n", self.title);
        for row in self.rows {
            println!("| {} |", row.join(" | "));
        }
        println!();
    }
}

/// The middle of `figures`, whole, and the extremes beside it when there are several.
pub fn spread(figures: &mut [f64]) -> String {
    let median = crate::figures::median(figures);
    match figures {
        [] | [_] => format!("{median:.0}"),
        [min, .., max] => format!("{median:.0} ({min:.0} to {max:.0})"),
    }
}

/// The smallest of `figures` that at least `percent` in a hundred of them do not exceed; 0 when
/// there are none. Sorts them.
pub fn percentile(figures: &mut [f64], percent: usize) -> f64 {
    figures.sort_by(f64::total_cmp);
    let rank = (figures.len() * percent).div_ceil(100).max(1);
    figures.get(rank - 1).copied().unwrap_or_default()
}
