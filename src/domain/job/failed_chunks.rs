//! The chunks that failed in an attempt.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What follows the number of items in the reason of a job whose chunks failed.
pub(super) const WROTE_TOO_FEW: &str = " items could not be written: ";

/// The longest error or reason that is stored, in bytes.
pub(super) const MAX_REASON: usize = 1024;

/// A range of items that could not be inserted, with the error. It is one chunk, or several
/// adjacent chunks with the same error and the same number of tries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct FailedChunk {
    /// The first ordinal.
    pub from: u64,
    /// The last ordinal, inclusive.
    pub to: u64,
    /// Number of tries.
    #[serde(default)]
    #[schemars(!default)]
    pub tries: u32,
    /// The error of the last try, truncated to 1 KiB.
    #[serde(default)]
    #[schemars(!default)]
    pub error: String,
}

impl FailedChunk {
    /// Makes a range of ordinals, from `from` to `to` inclusive, that failed with `error`.
    #[must_use]
    pub const fn new(from: u64, to: u64, tries: u32, error: String) -> Self {
        Self { from, to, tries, error }
    }

    const fn items(&self) -> u64 {
        self.to - self.from + 1
    }

    /// Whether `next` is adjacent to this range, and has the same error and number of tries.
    fn is_continued_by(&self, next: &Self) -> bool {
        self.to + 1 == next.from && self.tries == next.tries && self.error == next.error
    }
}

/// The failed chunks of an attempt: the first ranges, and the number of the other chunks.
///
/// The list is bounded while it is collected, because a job may have thousands of chunks, each with
/// an error of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FailedChunks {
    /// The first ranges in ascending order, at most [`FailedChunks::MAX_RANGES`]. Adjacent chunks
    /// with the same error and the same number of tries are one range.
    pub ranges: Vec<FailedChunk>,
    /// Number of chunks that are in none of the ranges.
    #[serde(rename = "more")]
    pub unlisted_chunks: u64,
    /// Number of items in the chunks that are in none of the ranges.
    #[serde(rename = "more_items")]
    pub unlisted_items: u64,
}

impl FailedChunks {
    /// Maximum number of ranges that are stored for a job.
    pub const MAX_RANGES: usize = 20;

    /// Adds a chunk. Chunks must be added in ascending order.
    pub fn push(&mut self, chunk: FailedChunk) {
        let chunk = FailedChunk { error: truncated(chunk.error), ..chunk };
        let full = self.ranges.len() >= Self::MAX_RANGES;
        match self.ranges.last_mut() {
            Some(last) if last.is_continued_by(&chunk) => last.to = chunk.to,
            _ if !full => self.ranges.push(chunk),
            _ => {
                self.unlisted_chunks += 1;
                self.unlisted_items += chunk.items();
            }
        }
    }

    /// Whether no chunk failed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Returns the number of items that could not be inserted.
    #[must_use]
    pub fn items(&self) -> u64 {
        self.ranges.iter().map(FailedChunk::items).sum::<u64>() + self.unlisted_items
    }
}

impl Extend<FailedChunk> for FailedChunks {
    fn extend<T: IntoIterator<Item = FailedChunk>>(&mut self, chunks: T) {
        chunks.into_iter().for_each(|chunk| self.push(chunk));
    }
}

impl FromIterator<FailedChunk> for FailedChunks {
    fn from_iter<T: IntoIterator<Item = FailedChunk>>(chunks: T) -> Self {
        let mut collected = Self::default();
        collected.extend(chunks);
        collected
    }
}

/// Truncates a text to [`MAX_REASON`] bytes, between two characters.
pub(super) fn truncated(mut text: String) -> String {
    if text.len() > MAX_REASON {
        let end = (0..=MAX_REASON).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed_chunk(from: u64, to: u64, error: &str) -> FailedChunk {
        FailedChunk { from, to, tries: 3, error: error.into() }
    }

    #[test]
    fn merges_adjacent_chunks_with_the_same_error() {
        let chunks = [
            failed_chunk(0, 49, "a"),
            failed_chunk(50, 99, "a"),
            failed_chunk(100, 149, "b"),
            failed_chunk(200, 249, "b"),
        ];

        let ranges: Vec<_> = FailedChunks::from_iter(chunks).ranges.iter().map(|c| (c.from, c.to)).collect();

        assert_eq!(ranges, [(0, 99), (100, 149), (200, 249)]);
    }

    #[test]
    fn keeps_the_first_20_ranges_and_counts_the_others() {
        let chunks = |n: u64| (0..n).map(|at| failed_chunk(at * 50, at * 50 + 49, &at.to_string()));
        let kept = |n| {
            let chunks: FailedChunks = chunks(n).collect();
            (chunks.ranges.len(), chunks.unlisted_chunks, chunks.unlisted_items, chunks.items())
        };

        assert_eq!(kept(0), (0, 0, 0, 0));
        assert_eq!(kept(20), (20, 0, 0, 1_000));
        assert_eq!(kept(21), (20, 1, 50, 1_050));
        assert_eq!(kept(5_000), (20, 4_980, 249_000, 250_000));
        let all: FailedChunks = chunks(5_000).collect();
        assert_eq!(all.ranges.last().map(|chunk| chunk.from), Some(950));
    }

    #[test]
    fn truncates_between_two_characters() {
        assert_eq!(truncated("é".repeat(1_000)).len(), 1024);
        assert_eq!(truncated(format!("x{}", "é".repeat(1_000))).len(), 1023);
    }

    #[test]
    fn reads_the_json_of_an_earlier_version() {
        let stored = r#"{"ranges": [{"from": 50, "to": 99}]}"#;

        let chunks: FailedChunks = serde_json::from_str(stored).unwrap();

        let range = FailedChunk::new(50, 99, 0, String::new());
        assert_eq!(chunks, FailedChunks { ranges: vec![range], unlisted_chunks: 0, unlisted_items: 0 });
        assert_eq!(serde_json::from_str::<FailedChunks>("{}").unwrap(), FailedChunks::default());
    }
}
