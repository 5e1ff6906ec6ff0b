//! As much of DER (X.690) as public keys in PEM need: a key's kind and its parts (RFC 5280, section 4.1.2.7; RFC 8017,
//! appendix A.1.1).

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;

/// The algorithm identifier of a public key, and the key.
pub(super) fn public_key(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (info, []) = element(der, SEQUENCE)? else { return None };
    let (algorithm, rest) = element(info, SEQUENCE)?;
    let (bits, []) = element(rest, BIT_STRING)? else { return None };
    // Whole bytes.
    let (0, key) = bits.split_first()? else { return None };
    Some((algorithm, key))
}

/// Modulus and exponent of an RSA key.
pub(super) fn rsa_parts(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let (parts, []) = element(key, SEQUENCE)? else { return None };
    let (modulus, rest) = element(parts, INTEGER)?;
    let (exponent, []) = element(rest, INTEGER)? else { return None };
    Some((modulus, exponent))
}

/// The content of the first element, which has this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = der.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81 | 0x82 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length - 0x80))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    (first == tag).then(|| rest.split_at_checked(length)).flatten()
}
