//! Idempotent requests: the key of a request, and how a repeated request is recognised.
//!
//! A caller that received no response can't tell whether its batch was created. With a key it can
//! repeat the request: the ledger stores the key with the batch, and answers the repeated request
//! with that batch.

use std::{fmt, time::Duration};

use schemars::JsonSchema;
use sha2::{Digest, Sha256};

use super::invalid::Invalid;

/// The caller's key for one request: 1 to 255 visible ASCII characters.
#[derive(Clone, PartialEq, Eq, JsonSchema)]
#[schemars(inline)]
pub struct IdempotencyKey(#[schemars(length(min = 1, max = Self::MAX_LENGTH), regex(pattern = Self::PATTERN))] String);

impl IdempotencyKey {
    /// The header with the key.
    pub const HEADER: &str = "Idempotency-Key";
    /// The longest key, in characters.
    pub const MAX_LENGTH: usize = 255;
    /// The pattern of a key, for the OpenAPI schema.
    const PATTERN: &str = "^[!-~]+$";

    /// Checks a key.
    ///
    /// # Errors
    ///
    /// [`Invalid`] with the header as its field. The message does not contain the key, which may be
    /// of any length.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        let fits = (1..=Self::MAX_LENGTH).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self(text.to_owned()));
        }
        Err(Invalid::new(
            Self::HEADER,
            format!("must be 1 to {} visible ASCII characters, without a space", Self::MAX_LENGTH),
        ))
    }

    /// Returns the key as it was sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Does not show the key, so that it appears in no log.
impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdempotencyKey(***)")
    }
}

/// The identity of a request, for recognising a repeated one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateRequest {
    /// A hash of the caller. Keys of different callers are independent. Empty when callers are not
    /// distinguished.
    pub caller: String,
    /// The key of the request.
    pub key: IdempotencyKey,
    /// A hash of the request body.
    pub fingerprint: String,
    /// How long the key is remembered.
    pub remembered: Duration,
}

impl CreateRequest {
    /// The default of `remembered`.
    pub const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

    /// Makes the identity of a request by `actor` with this `body`. Requests with the same
    /// body are the same.
    #[must_use]
    pub fn new(actor: Option<&str>, key: IdempotencyKey, body: &[u8]) -> Self {
        Self {
            // Hashed, because it may be long, or may be a name or a token.
            caller: actor.map(|actor| hash(actor.as_bytes())).unwrap_or_default(),
            key,
            fingerprint: hash(body),
            remembered: Self::REMEMBERED,
        }
    }
}

/// Returns the SHA-256 hash in hex.
fn hash(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_keys_of_1_to_255_visible_ascii_characters() {
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
    fn distinguishes_requests_by_caller_and_body() {
        let request = |actor, body: &str| CreateRequest::new(actor, IdempotencyKey::new("k").unwrap(), body.as_bytes());
        let usual = request(Some("ann"), "5");

        assert_eq!(request(Some("ann"), "5"), usual);
        assert_ne!(request(Some("ann"), "6").fingerprint, usual.fingerprint);
        let callers = [Some("ann"), Some("bob"), Some(""), None].map(|actor| request(actor, "5").caller);
        assert!((1..4).all(|at| !callers[..at].contains(&callers[at])), "{callers:?}");
        assert!(callers.iter().all(|caller| !caller.contains("ann") && caller.len() <= 64));
        assert_eq!(request(Some(&"long ".repeat(10_000)), "5").caller.len(), 64);
    }
}
