//! A request that may come twice, and what tells that it is the same one.
//!
//! A caller that got no answer does not know whether its batch exists. Under a key it may simply
//! ask again: whoever keeps the first request beside the batch can answer the second one from
//! there.

use std::{fmt, time::Duration};

use schemars::JsonSchema;
use sha2::{Digest, Sha256};

use super::Invalid;

/// A caller's own word for one request: 1 to 255 visible ASCII characters.
#[derive(Clone, PartialEq, Eq, JsonSchema)]
#[schemars(inline)]
pub struct IdempotencyKey(#[schemars(length(min = 1, max = Self::MOST), regex(pattern = Self::PATTERN))] String);

impl IdempotencyKey {
    /// The header that carries it.
    pub const HEADER: &str = "Idempotency-Key";
    /// The longest key, in characters.
    pub const MOST: usize = 255;
    /// What it may be, for readers of a schema.
    const PATTERN: &str = "^[!-~]+$";

    /// Checks a key.
    ///
    /// # Errors
    ///
    /// [`Invalid`] with the header as its field. It does not repeat the key, which may be of any
    /// length.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        let fits = (1..=Self::MOST).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self(text.to_owned()));
        }
        Err(Invalid::new(
            Self::HEADER,
            format!("must be 1 to {} visible ASCII characters, without a space", Self::MOST),
        ))
    }

    /// The key as it was sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Shows none of it, since logs do not either.
impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdempotencyKey(***)")
    }
}

/// What tells a request that comes again from a new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateRequest {
    /// Whose key it is: the keys of one caller say nothing about those of another. Empty where
    /// callers are not told apart.
    pub caller: String,
    /// The caller's word for it.
    pub key: IdempotencyKey,
    /// Of what was asked.
    pub fingerprint: String,
    /// How long the key stands for the batch that it made.
    pub remembered: Duration,
}

impl CreateRequest {
    /// How long a request is usually remembered.
    pub const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

    /// The request of `actor` for what `asked` spells out. Requests are the same when they spell
    /// the same.
    #[must_use]
    pub fn new(actor: Option<&str>, key: IdempotencyKey, asked: &[u8]) -> Self {
        Self {
            // Hashed, since it may be long and may be a name or a token.
            caller: actor.map(|actor| hash(actor.as_bytes())).unwrap_or_default(),
            key,
            fingerprint: hash(asked),
            remembered: Self::REMEMBERED,
        }
    }
}

/// SHA-256 in hex.
fn hash(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_visible_ascii_of_some_length() {
        let longest = "k".repeat(255);
        for good in ["7", "!", "~", "f81d4fae-7dec-11d0", "\"quoted\"", &longest] {
            assert_eq!(IdempotencyKey::new(good).unwrap().as_str(), good);
        }

        let too_long = "k".repeat(256);
        for bad in ["", " ", "two words", "tab\t", "\u{7f}", "schlüssel", &too_long] {
            let invalid = IdempotencyKey::new(bad).unwrap_err();
            assert_eq!(invalid.field, "Idempotency-Key");
            assert!(invalid.why.contains("1 to 255 visible ASCII"), "{invalid}");
        }
    }

    #[test]
    fn a_request_differs_by_its_caller_and_by_what_was_asked() {
        let request =
            |actor, asked: &str| CreateRequest::new(actor, IdempotencyKey::new("k").unwrap(), asked.as_bytes());
        let usual = request(Some("ann"), "5");

        assert_eq!(request(Some("ann"), "5"), usual);
        assert_ne!(request(Some("ann"), "6").fingerprint, usual.fingerprint);
        let callers = [Some("ann"), Some("bob"), Some(""), None].map(|actor| request(actor, "5").caller);
        assert!((1..4).all(|at| !callers[..at].contains(&callers[at])), "{callers:?}");
        assert!(callers.iter().all(|caller| !caller.contains("ann") && caller.len() <= 64));
        assert_eq!(request(Some(&"long ".repeat(10_000)), "5").caller.len(), 64);
    }
}
