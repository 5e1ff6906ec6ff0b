//! The chunked transfer coding (RFC 9112, section 7.1), as written by `transport/http1/fast/write_response.rs` and
//! `stream/broadcast/pass.rs`. hyper has its own.

/// Ends a chunk's size and its data.
pub(crate) const LINE_END: &[u8] = b"\r\n";

/// The most bytes that a chunk takes beyond its data.
pub(crate) const OVERHEAD: usize = 20;

/// Writes a chunk's first line: its size in hexadecimal, without leading zeros.
pub(crate) fn write_size(out: &mut Vec<u8>, size: usize) {
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4);
    for digit in (0..digits).rev() {
        // Less than 16, so the cast is lossless.
        let value = (size >> (digit * 4) & 15) as u8;
        out.push(if value < 10 { b'0' + value } else { b'A' + value - 10 });
    }
    out.extend_from_slice(LINE_END);
}

/// Writes a chunk; `data` must not be empty, because an empty chunk ends the body.
pub(crate) fn write(out: &mut Vec<u8>, data: &[u8]) {
    write_size(out, data.len());
    out.extend_from_slice(data);
    out.extend_from_slice(LINE_END);
}
