//! Groups of errors that differ only in their values.
//!
//! ```text
//!   50 items could not be written: out of labels at 57   ──▶  out of labels at N
//!   can't reach "10.0.0.7:5432" after 3 tries            ──▶  can't reach "…" after N tries
//! ```

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::failed_chunks::WROTE_TOO_FEW;

/// The group of an error: all errors whose titles are the same. Numbers, words with digits, long
/// hexadecimal words, quoted values and the kind of white space do not count, nor does anything
/// after 200 characters of the title.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorGroup {
    /// Identifies the group: 16 hexadecimal digits, the beginning of the SHA-256 of the title.
    pub id: String,
    /// The text that the errors have in common, with `N` for a number, `ID` for another word with
    /// digits, and `"…"` for a quoted value. At most 200 characters.
    pub title: String,
}

impl ErrorGroup {
    /// The number of digits of an id.
    pub const ID_LENGTH: usize = 16;
    const MAX_TITLE: usize = 200;

    /// Returns the group of the error of a failed job.
    #[must_use]
    pub fn of(error: &str) -> Self {
        let title = title(cause(error));
        let digest = HEXLOWER.encode(&Sha256::digest(title.as_bytes()));
        Self { id: digest[..Self::ID_LENGTH].to_owned(), title }
    }
}

/// The error without the number of items that were not written because of it.
fn cause(error: &str) -> &str {
    let cause = error.split_once(WROTE_TOO_FEW).filter(|(items, _)| items.bytes().all(|b| b.is_ascii_digit()));
    cause.map_or(error, |(_, cause)| cause)
}

fn title(error: &str) -> String {
    let (mut title, mut rest, mut before) = (String::new(), error.trim(), ' ');
    while let Some(next) = rest.chars().next() {
        let part = length_of_part(rest, before);
        before = rest[..part].chars().next_back().unwrap_or(next);
        title.push_str(&replaced(&rest[..part]));
        rest = &rest[part..];
    }
    if title.is_empty() {
        return "(no message)".to_owned();
    }
    title.chars().take(ErrorGroup::MAX_TITLE).collect()
}

/// The length of the first part of `text` in bytes: a quoted value, a word, white space, or one
/// other character.
fn length_of_part(text: &str, before: char) -> usize {
    let length_while = |is_part: fn(char) -> bool| text.find(|c| !is_part(c)).unwrap_or(text.len());
    match text.chars().next() {
        Some(quote @ ('"' | '`' | '\'')) => length_of_quoted(text, quote, before).unwrap_or(1),
        Some(c) if c.is_whitespace() => length_while(char::is_whitespace),
        Some(c) if is_in_word(c) => length_of_word(text),
        Some(c) => c.len_utf8(),
        None => 0,
    }
}

/// The length of a word. A dot or a comma between two digits is part of a number.
fn length_of_word(text: &str) -> usize {
    let (mut end, mut before) = (0, ' ');
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let is_between_digits = before.is_ascii_digit() && rest.peek().is_some_and(char::is_ascii_digit);
        let is_separator = matches!(c, '.' | ',') && is_between_digits;
        if !is_in_word(c) && !is_separator {
            break;
        }
        end += c.len_utf8();
        before = c;
    }
    end
}

/// The length of a quoted value with both quotes. A quote within a word is an apostrophe.
fn length_of_quoted(text: &str, quote: char, before: char) -> Option<usize> {
    if before.is_alphanumeric() {
        return None;
    }
    let ends = |(at, _): &(usize, &str)| !text[at + 1..].starts_with(char::is_alphanumeric);
    let (end, _) = text.match_indices(quote).skip(1).find(ends)?;
    Some(end + 1)
}

fn is_in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '-'
}

/// What the title has instead of a part of the error.
fn replaced(part: &str) -> String {
    match part.chars().next() {
        Some('"' | '`' | '\'') if part.len() > 1 => "\"…\"".to_owned(),
        Some(c) if c.is_whitespace() => " ".to_owned(),
        Some(_) if part.contains(|c: char| c.is_ascii_digit()) => without_digits(part),
        Some(_) if is_hex(part) => "ID".to_owned(),
        _ => part.to_owned(),
    }
}

/// A number keeps its sign and its unit, such as `ms`. Any other word with digits is an id.
fn without_digits(word: &str) -> String {
    let number = word.trim_start_matches('-');
    let sign = &word[..word.len() - number.len()];
    let unit = number.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | ','));
    let is_number = unit.len() < number.len() && unit.chars().count() <= 2 && unit.chars().all(char::is_alphabetic);
    if is_number { format!("{sign}N{unit}") } else { "ID".to_owned() }
}

/// Whether a word without digits is long enough to be a hash, and not a word of a language.
fn is_hex(word: &str) -> bool {
    word.len() >= 12 && word.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_title_has_no_values() {
        let table = [
            ("out of labels at 57", "out of labels at N"),
            ("50 items could not be written: out of labels at 57", "out of labels at N"),
            ("many items could not be written: no ink", "many items could not be written: no ink"),
            ("no answer after 30s, 1,500ms, 1.5s, 2µs or -3 tries.", "no answer after Ns, Nms, Ns, Nµs or -N tries."),
            ("code QR-7K3MX0 of b12-j3-g0 is taken", "code ID of ID is taken"),
            ("0xdeadbeef 550e8400-e29b-41d4-a716-446655440000", "ID ID"),
            ("hash abcdefabcdef differs", "hash ID differs"),
            ("the facade was effaced", "the facade was effaced"),
            ("can't read 'a b', `c` or \"d's\"", "can't read \"…\", \"…\" or \"…\""),
            ("it's the printer's fault", "it's the printer's fault"),
            ("an open \"quote", "an open \"quote"),
            ("connect to 10.0.0.7:5432\n  failed ", "connect to N:N failed"),
            ("item 7, then 8.", "item N, then N."),
            ("größe 12 überschritten", "größe N überschritten"),
            ("", "(no message)"),
        ];

        for (error, title) in table {
            assert_eq!(ErrorGroup::of(error).title, title, "{error}");
        }
        assert_eq!(ErrorGroup::of(&"ä ".repeat(500)).title.chars().count(), 200);
    }

    #[test]
    fn the_title_alone_determines_the_id() {
        let [labels, more, ink] = ["out of labels at 57", "out of labels at 58", "no ink"].map(ErrorGroup::of);

        assert_eq!(labels, more);
        assert_ne!(labels.id, ink.id);
        assert_eq!(labels.id, "bc99b688834791dc");
    }

    proptest! {
        #[test]
        fn every_error_has_a_short_title_and_an_id(error in "\\PC*|[ '\"`a1-]*") {
            let ErrorGroup { id, title } = ErrorGroup::of(&error);

            prop_assert!((1..=200).contains(&title.chars().count()));
            prop_assert!(id.len() == ErrorGroup::ID_LENGTH && id.bytes().all(|b| b.is_ascii_hexdigit()));
        }
    }
}
