//! Digests as text.

use sha2::{Digest, Sha256};

/// Bytes of a digest that tell runs, cells and settings apart.
const SHORT: usize = 8;

/// The 64 hexadecimal digits of the digest of `bytes`.
pub fn sha256_hex(bytes: impl AsRef<[u8]>) -> String {
    hex(&Sha256::digest(bytes))
}

/// The hexadecimal digits of what `hash` has taken in: 64 of SHA-256.
pub fn whole(hash: impl Digest) -> String {
    hex(&hash.finalize())
}

/// The first 16 hexadecimal digits of what `hash` has taken in.
pub fn short(hash: Sha256) -> String {
    hex(&hash.finalize()[..SHORT])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_lower_case_and_whole() {
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256_hex("abc"), known);
        assert_eq!(whole(Sha256::new().chain_update("abc")), known);
        assert_eq!(short(Sha256::new().chain_update("abc")), known[..16]);
    }
}
