//! The code on an item: one AES-128 block over (batch, ordinal), written in Crockford's base 32.
//!
//! ```text
//!   batch, ordinal ──16 bytes──▶ AES-128 ──▶ 26 characters ──▶ "QR-" + 26 characters
//!                  ◀────────────  the same way back  ◀────────
//! ```
//!
//! A block cipher is a bijection, so codes are unique by construction and the same again after a
//! retry; without the key nobody guesses one. A code decodes to the primary key of its item, so
//! finding an item by its code needs no index.

use std::fmt;

use aes::Aes128;
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use data_encoding::{Encoding, Specification};

use super::BatchId;

/// How many characters of a code are the encoded block.
const ENCODED: usize = 26;

/// The secret that turns (batch, ordinal) into codes: 16 bytes, written as 32 hex digits. Its
/// `Debug` shows none of it.
#[derive(Clone, PartialEq, Eq)]
pub struct CodeKey([u8; 16]);

impl CodeKey {
    /// A key of these bytes. They ought to come from the system's random source.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Reads 32 hex digits; `None` for anything else.
    #[must_use]
    pub fn parse(hex: &str) -> Option<Self> {
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    /// The bytes, for the ledger that keeps them.
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

/// Writes and reads codes under one key.
///
/// The only scheme so far; another one would be another way of making this type, with the same
/// three methods.
#[derive(Clone)]
pub struct CodeScheme {
    cipher: Aes128,
    alphabet: Encoding,
    fingerprint: String,
}

/// What a code says. Whether such an item exists, and carries just this code, is for the ledger to
/// tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodedCode {
    /// The batch of the item.
    pub batch: BatchId,
    /// The item's place in it, from 0.
    pub ordinal: u64,
    /// The code in its one true spelling.
    pub canonical: String,
}

impl CodeScheme {
    /// The scheme under `key`.
    #[must_use]
    pub fn new(key: &CodeKey) -> Self {
        let cipher = Aes128::new(&key.0.into());
        // Batch 0 does not exist, so this block never is an item's code.
        let mut block = [0; 16].into();
        cipher.encrypt_block(&mut block);
        let fingerprint = data_encoding::HEXLOWER.encode(&block[..8]);
        Self { cipher, alphabet: crockford(), fingerprint }
    }

    /// Tells keys apart without giving them away: 16 hex digits. Each batch keeps the one it was
    /// made with.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The code of one item.
    #[must_use]
    pub fn encode(&self, prefix: Option<&str>, batch: BatchId, ordinal: u64) -> String {
        let mut block = [0; 16];
        block[..8].copy_from_slice(&batch.get().to_be_bytes());
        block[8..].copy_from_slice(&ordinal.to_be_bytes());
        let mut block = block.into();
        self.cipher.encrypt_block(&mut block);

        let mut code = String::with_capacity(prefix.map_or(0, |p| p.len() + 1) + ENCODED);
        if let Some(prefix) = prefix {
            code.push_str(prefix);
            code.push('-');
        }
        self.alphabet.encode_append(&block, &mut code);
        code
    }

    /// Reads a code; `None` when it can't be one of ours. Small letters, and the look-alikes O, I
    /// and L, are read as Crockford says.
    #[must_use]
    pub fn decode(&self, code: &str) -> Option<DecodedCode> {
        let (prefix, encoded) = code.split_at_checked(code.len().checked_sub(ENCODED)?)?;
        let block: [u8; 16] = self.alphabet.decode(encoded.as_bytes()).ok()?.try_into().ok()?;
        let mut block = block.into();
        self.cipher.decrypt_block(&mut block);

        let half = |bytes: &[u8]| bytes.try_into().map(u64::from_be_bytes).ok();
        let batch = BatchId::new(i64::try_from(half(&block[..8])?).ok()?).ok()?;
        let ordinal = half(&block[8..])?;
        let prefix = if prefix.is_empty() { None } else { Some(prefix.strip_suffix('-')?) };
        Some(DecodedCode { batch, ordinal, canonical: self.encode(prefix, batch, ordinal) })
    }
}

impl fmt::Debug for CodeScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CodeScheme({})", self.fingerprint)
    }
}

fn crockford() -> Encoding {
    let mut specification = Specification::new();
    specification.symbols.push_str("0123456789ABCDEFGHJKMNPQRSTVWXYZ");
    specification.translate.from.push_str("abcdefghjkmnpqrstvwxyzOoIiLl");
    specification.translate.to.push_str("ABCDEFGHJKMNPQRSTVWXYZ001111");
    specification.encoding().expect("32 distinct symbols, and letters outside them, make an encoding")
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
    fn small_letters_and_look_alikes_are_read() {
        let code = scheme().encode(Some("a-b"), batch(7), 9);
        let typed = format!("a-b-{}", code[4..].to_lowercase().replace('0', "o").replace('1', "l"));

        assert_eq!(scheme().decode(&typed).unwrap().canonical, code);
    }

    #[test]
    fn what_is_not_ours_is_none() {
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
    fn the_key_shows_in_no_debug() {
        let key = CodeKey::parse("00ff00ff00ff00ff00ff00ff00ff00ff").unwrap();

        let shown = format!("{key:?} {:?}", CodeScheme::new(&key)).to_lowercase();

        assert!(!shown.contains("00ff") && !shown.contains("255"), "{shown}");
    }

    proptest! {
        #[test]
        fn every_code_reads_back(id in 1_i64..=BatchId::MAX, ordinal: u64, prefix in "([A-Za-z0-9_-]{1,16})?") {
            let prefix = Some(prefix.as_str()).filter(|p| !p.is_empty());
            let code = scheme().encode(prefix, batch(id), ordinal);

            let decoded = scheme().decode(&code).unwrap();

            prop_assert_eq!((decoded.batch.get(), decoded.ordinal, decoded.canonical), (id, ordinal, code));
        }

        #[test]
        fn neighbours_have_different_codes(id in 1_i64..1_000_000) {
            let codes: HashSet<_> = (0..100).map(|n| scheme().encode(None, batch(id), n)).collect();

            prop_assert_eq!(codes.len(), 100);
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = scheme().decode(&text);
        }
    }
}
