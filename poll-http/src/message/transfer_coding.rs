//! The transfer codings of a request (RFC 9112, section 6.1).
//!
//! The connection decodes `chunked`. Nothing decodes any other, so its content would be published encoded.

use http::StatusCode;

use crate::message::head::{Field, Head};
use crate::message::refusal::Refusal;

/// Refuses any transfer coding but `chunked`.
///
/// # Errors
/// 501 for a coding that is not understood, 400 if `chunked` is applied twice.
pub(crate) fn check(head: Head<'_>) -> Result<(), Refusal> {
    if head.field(Field::TransferEncoding).is_none() {
        return Ok(());
    }
    let codings = head.fields(Field::TransferEncoding).flat_map(|line| line.split(|byte| *byte == b','));
    let codings = codings.map(<[u8]>::trim_ascii).filter(|coding| !coding.is_empty());
    let mut chunked = 0;
    for coding in codings {
        if !coding.eq_ignore_ascii_case(b"chunked") {
            let detail = "`Transfer-Encoding`: no coding but `chunked` is understood";
            return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, detail));
        }
        chunked += 1;
    }
    if chunked > 1 {
        Err(Refusal::bad_request("`Transfer-Encoding`: `chunked` is given twice"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    #[test]
    fn only_chunked_is_taken() {
        let check = |lines: &[&str]| {
            let request = Request::post("/");
            let request =
                lines.iter().fold(request, |request, line| request.header("transfer-encoding", *line));
            let head = request.body(()).unwrap().into_parts().0;
            super::check((&head).into()).err().map(|refusal| refusal.status().as_u16())
        };
        assert_eq!(check(&[]), None);
        for fine in ["chunked", "Chunked", " ,chunked\t,"] {
            assert_eq!(check(&[fine]), None, "{fine}");
        }
        for other in
            ["gzip, chunked", "identity, chunked", "gzip;a=\"b, chunked\", chunked", "xchunked, chunked"]
        {
            assert_eq!(check(&[other]), Some(501), "{other}");
        }
        assert_eq!(check(&["gzip", "chunked"]), Some(501));
        assert_eq!(check(&["chunked, chunked"]), Some(400));
        assert_eq!(check(&["chunked", "chunked"]), Some(400));
    }
}
