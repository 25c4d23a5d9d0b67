//! Finds the name that a misspelt or misplaced one most likely means.

use serde::Serialize;

/// The largest distance at which a name is taken for a misspelling of another.
const MAX_DISTANCE: usize = 2;

/// Returns the name of `known` that is closest to `name`, if one is close.
pub(super) fn closest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let distances = known.iter().map(|known| (distance(name, known), *known));
    // In a short name, two wrong letters of four may mean anything.
    let is_close = |found: &(usize, &str)| found.0 <= MAX_DISTANCE && found.0 * 2 <= name.len();
    distances.filter(is_close).min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}

/// Returns the setting `table.name`, if one of the tables in `settings` has this name.
pub(super) fn in_a_table(name: &str, settings: &impl Serialize) -> Option<String> {
    let settings = serde_json::to_value(settings).ok()?;
    let mut tables = settings.as_object()?.iter();
    tables.find(|(_, table)| table.get(name).is_some()).map(|(table, _)| format!("{table}.{name}"))
}

/// The number of bytes to insert, remove or replace until `one` is `two` (Levenshtein).
fn distance(one: &str, two: &str) -> usize {
    let first_row = (0..=two.len()).collect();
    let last_row = one.bytes().zip(1..).fold(first_row, |above: Vec<usize>, (byte, at)| {
        let mut row = vec![at];
        let mut left = at;
        for (other, pair) in two.bytes().zip(above.windows(2)) {
            let &[diagonal, upper] = pair else { continue };
            left = (diagonal + usize::from(byte != other)).min(upper + 1).min(left + 1);
            row.push(left);
        }
        row
    });
    last_row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_counts_the_bytes_to_change() {
        for (one, two, expected) in [
            ("", "", 0),
            ("", "role", 4),
            ("role", "role", 0),
            ("role", "rloe", 2),
            ("chunk_siz", "chunk_size", 1),
            ("concurency", "concurrency", 1),
            ("queued", "queued_per_batch", 10),
        ] {
            assert_eq!((distance(one, two), distance(two, one)), (expected, expected), "{one} {two}");
        }
    }

    #[test]
    fn only_a_close_name_is_meant() {
        let known = ["base", "role", "chunk_size", "chunk_tries"];
        for (name, meant) in [
            ("chunk_sizes", Some("chunk_size")),
            ("chunksize", Some("chunk_size")),
            ("rol", Some("role")),
            ("rloe", Some("role")),
            ("port", None),
            ("b", None),
            ("colour", None),
        ] {
            assert_eq!(closest(name, &known), meant, "{name}");
        }
    }
}
