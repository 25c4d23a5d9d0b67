//! The code on an item: the pair (batch, ordinal), encrypted as one AES-128 block and written in
//! Crockford's base 32.
//!
//! ```text
//!   batch, ordinal ──16 bytes──▶ AES-128 ──▶ 26 characters ──▶ "QR-" + 26 characters
//!                  ◀─────────  decode reverses each step  ◀───
//! ```
//!
//! With one key, AES maps each pair to a different block, so codes are unique, and a retry makes
//! the same codes. Without the key, a code can't be guessed. A code decodes to the primary key of
//! its item, so looking up an item by its code needs no index.

use std::fmt;

use aes::Aes128;
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use data_encoding::{Encoding, Specification};

use super::batch::BatchId;

/// Number of characters of the encoded block in a code.
const ENCODED_LEN: usize = 26;

/// The secret key of the codes: 16 bytes, written as 32 hex digits. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct CodeKey([u8; 16]);

impl CodeKey {
    /// Creates a key from `bytes`, which must come from a cryptographic random source.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Reads a key from 32 hex digits. Returns `None` for any other text.
    #[must_use]
    pub fn parse(hex: &str) -> Option<Self> {
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    /// Returns the bytes, for storing the key in the ledger.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for CodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeKey(***)")
    }
}

/// Encodes and decodes codes with one key.
#[derive(Clone)]
pub struct CodeScheme {
    cipher: Aes128,
    alphabet: Encoding,
    fingerprint: String,
}

/// The item that a code decodes to. The item may not exist, or its stored code may have another
/// prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodedCode {
    /// The batch of the item.
    pub batch: BatchId,
    /// The ordinal of the item within the batch, from 0.
    pub ordinal: u64,
    /// The code in upper case and without look-alikes. The prefix is kept as given.
    pub canonical: String,
}

impl CodeScheme {
    /// Creates the scheme with `key`.
    #[must_use]
    pub fn new(key: &CodeKey) -> Self {
        let cipher = Aes128::new(&key.0.into());
        // The fingerprint is the first half of the encrypted zero block. No code
        // contains this block, because batch ids start at 1.
        let mut block = [0; 16].into();
        cipher.encrypt_block(&mut block);
        let fingerprint = format!("{:016x}", halves(block.into()).0);
        Self { cipher, alphabet: crockford(), fingerprint }
    }

    /// Returns the fingerprint of the key: 16 hex digits that distinguish keys without revealing
    /// them. Each batch stores the fingerprint of the key it was created with.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Returns the code of one item: `prefix`, a hyphen and 26 characters. Without a prefix, only
    /// the 26 characters.
    #[must_use]
    pub fn encode(&self, prefix: Option<&str>, batch: BatchId, ordinal: u64) -> String {
        let pair = u128::from(batch.get().unsigned_abs()) << 64 | u128::from(ordinal);
        let mut block = pair.to_be_bytes().into();
        self.cipher.encrypt_block(&mut block);
        self.write(prefix, block.into())
    }

    /// Returns a code of the right form that no item has or ever gets. `random` returns random
    /// numbers; about one in 2,000 is not usable, and the next one is taken.
    #[must_use]
    pub fn example(&self, prefix: Option<&str>, mut random: impl FnMut() -> u128) -> String {
        loop {
            let code = self.write(prefix, random().to_be_bytes());
            if self.decode(&code).is_none() {
                return code;
            }
        }
    }

    fn write(&self, prefix: Option<&str>, block: [u8; 16]) -> String {
        let mut code = String::with_capacity(prefix.map_or(0, |p| p.len() + 1) + ENCODED_LEN);
        if let Some(prefix) = prefix {
            code.push_str(prefix);
            code.push('-');
        }
        self.alphabet.encode_append(&block, &mut code);
        code
    }

    /// Returns a regular expression for the codes with `prefix`.
    #[must_use]
    pub fn pattern(prefix: Option<&str>) -> String {
        // No character of a prefix has a meaning in a regular expression here.
        let prefix = prefix.map(|prefix| format!("{prefix}-")).unwrap_or_default();
        format!("^{prefix}[0-9A-HJKMNP-TV-Z]{{{ENCODED_LEN}}}$")
    }

    /// Decodes a code. Accepts lower case letters, and reads O as 0, and I and L as 1.
    ///
    /// Returns `None` if the text is not a code, or does not decrypt to a valid batch id. `Some`
    /// does not mean that the item exists or that the prefix is right: compare `canonical` with the
    /// stored code.
    #[must_use]
    pub fn decode(&self, code: &str) -> Option<DecodedCode> {
        let (prefix, encoded) = code.split_at_checked(code.len().checked_sub(ENCODED_LEN)?)?;
        let block: [u8; 16] = self.alphabet.decode(encoded.as_bytes()).ok()?.try_into().ok()?;
        let mut block = block.into();
        self.cipher.decrypt_block(&mut block);

        let (batch, ordinal) = halves(block.into());
        let batch = BatchId::new(i64::try_from(batch).ok()?).ok()?;
        let prefix = if prefix.is_empty() { None } else { Some(prefix.strip_suffix('-')?) };
        Some(DecodedCode { batch, ordinal, canonical: self.encode(prefix, batch, ordinal) })
    }
}

impl fmt::Debug for CodeScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CodeScheme({})", self.fingerprint)
    }
}

/// Splits a block into its two big-endian halves.
const fn halves(block: [u8; 16]) -> (u64, u64) {
    let pair = u128::from_be_bytes(block);
    ((pair >> 64) as u64, pair as u64)
}

#[expect(clippy::expect_used, reason = "the specification is constant, and every test of this module runs it")]
fn crockford() -> Encoding {
    let mut specification = Specification::new();
    specification.symbols.push_str("0123456789ABCDEFGHJKMNPQRSTVWXYZ");
    specification.translate.from.push_str("abcdefghjkmnpqrstvwxyzOoIiLl");
    specification.translate.to.push_str("ABCDEFGHJKMNPQRSTVWXYZ001111");
    specification.encoding().expect("32 distinct symbols and translations from other letters are a valid encoding")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn scheme() -> CodeScheme {
        CodeScheme::new(&CodeKey::parse("000102030405060708090a0b0c0d0e0f").unwrap())
    }

    fn batch(id: i64) -> BatchId {
        BatchId::new(id).unwrap()
    }

    #[test]
    fn a_code_is_a_prefix_and_26_characters() {
        let code = scheme().encode(Some("QR"), batch(123), 0);

        assert_eq!(code.len(), 3 + 26);
        assert!(code.starts_with("QR-"));
        assert_eq!(scheme().encode(None, batch(123), 0), code[3..]);
    }

    #[test]
    fn a_code_is_aes_128_of_batch_and_ordinal() {
        // Computed with `openssl enc -aes-128-ecb -nopad` over 0…7b 0…00.
        let block = "000000000000007b0000000000000000";
        let code = scheme().encode(None, batch(123), 0);

        let decoded = scheme().decode(&code).unwrap();

        assert_eq!(format!("{:016x}{:016x}", decoded.batch.get(), decoded.ordinal), block);
        assert_eq!(code, OPENSSL);
    }

    const OPENSSL: &str = "5C1G29SWXE98WS0DANCK9K0PVR";

    #[test]
    fn reads_lower_case_letters_and_look_alikes() {
        let code = scheme().encode(Some("a-b"), batch(7), 9);
        let typed = format!("a-b-{}", code[4..].to_lowercase().replace('0', "o").replace('1', "l"));

        assert_eq!(scheme().decode(&typed).unwrap().canonical, code);
    }

    #[test]
    fn rejects_text_that_is_not_a_code() {
        let other = CodeScheme::new(&CodeKey::from_bytes([7; 16]));
        let ours = scheme().encode(None, batch(1), 1);

        for code in ["", "QR-", "ÄÄÄÄÄÄÄÄÄÄÄÄÄ", "00000000000000000000000000", "UUUUUUUUUUUUUUUUUUUUUUUUUU"]
        {
            assert_eq!(scheme().decode(code), None, "{code}");
        }
        assert_eq!(other.decode(&ours), None);
        assert_eq!(scheme().decode(&format!("QR{ours}")), None, "a prefix ends with a hyphen");
    }

    #[test]
    fn an_example_has_the_form_of_a_code_and_never_is_one() {
        let real = scheme().write(None, block_of(&scheme().encode(None, batch(1), 0)).to_be_bytes());
        let mut numbers = [block_of(&real), u128::MAX].into_iter();

        let example = scheme().example(Some("QR"), || numbers.next().unwrap());

        assert_eq!(real, scheme().encode(None, batch(1), 0));
        assert_eq!(numbers.next(), None, "the number of a real code is not used");
        assert_eq!((example.len(), scheme().decode(&example)), (3 + 26, None));
        assert_eq!(CodeScheme::pattern(Some("QR")), "^QR-[0-9A-HJKMNP-TV-Z]{26}$");
        assert_eq!(CodeScheme::pattern(None), "^[0-9A-HJKMNP-TV-Z]{26}$");
    }

    /// The encrypted block of a code without a prefix, as a number.
    fn block_of(code: &str) -> u128 {
        u128::from_be_bytes(crockford().decode(code.as_bytes()).unwrap().try_into().unwrap())
    }

    #[test]
    fn hides_the_key_from_debug_output() {
        let key = CodeKey::parse("00ff00ff00ff00ff00ff00ff00ff00ff").unwrap();

        let shown = format!("{key:?} {:?}", CodeScheme::new(&key)).to_lowercase();

        assert!(!shown.contains("00ff") && !shown.contains("255"), "{shown}");
    }

    proptest! {
        #[test]
        fn decodes_every_code_that_it_encoded(
            id in 1_i64..=BatchId::MAX, ordinal: u64, prefix in "([A-Za-z0-9_-]{1,16})?",
        ) {
            let prefix = Some(prefix.as_str()).filter(|p| !p.is_empty());
            let code = scheme().encode(prefix, batch(id), ordinal);

            let decoded = scheme().decode(&code).unwrap();

            prop_assert_eq!((decoded.batch.get(), decoded.ordinal, decoded.canonical), (id, ordinal, code));
        }

        #[test]
        fn gives_adjacent_items_different_codes(id in 1_i64..1_000_000) {
            let codes: HashSet<_> = (0..100).map(|n| scheme().encode(None, batch(id), n)).collect();

            prop_assert_eq!(codes.len(), 100);
        }

        #[test]
        fn never_panics(text in any::<String>()) {
            let _ = scheme().decode(&text);
        }
    }
}
