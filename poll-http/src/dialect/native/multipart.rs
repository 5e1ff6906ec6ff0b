//! Forms with files (`multipart/form-data`, RFC 7578). The message is the `content` field, else the only file.
//!
//! The form has arrived whole, so reading it never waits.

use bytes::Bytes;
use futures_util::{FutureExt as _, stream};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use multer::Multipart;

use crate::dialect::native::content_type::ContentType;
use crate::message::refusal::Refusal;

/// How large a form may be beyond its message: the heads of its parts, and other fields.
pub(super) const ENVELOPE_BYTES: usize = 16 * 1024;

/// A part of a form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) media: ContentType,
    pub(super) bytes: Bytes,
}

/// The message in a form.
///
/// # Errors
/// 415 if no part is the message or its type is not allowed in a form, 400 if the form is malformed.
pub(super) fn message(boundary: Option<&str>, body: &[u8]) -> Result<Part, Refusal> {
    let boundary =
        boundary.ok_or_else(|| Refusal::bad_request("`Content-Type`: the form has no boundary"))?;
    let broken = || Refusal::bad_request("the body breaks off in the form");
    // The whole form is here, so the future never waits.
    choose(boundary, Bytes::copy_from_slice(body)).now_or_never().unwrap_or_else(|| Err(broken()))
}

async fn choose(boundary: &str, body: Bytes) -> Result<Part, Refusal> {
    let malformed = |error: multer::Error| Refusal::bad_request(format!("the body is no form: {error}"));
    let body = stream::iter([Ok::<_, std::convert::Infallible>(body)]);
    let mut form = Multipart::new(body, boundary);
    let (mut content, mut files) = (None, Vec::new());
    while let Some(field) = form.next_field().await.map_err(malformed)? {
        let is_content = field.name() == Some("content");
        let file = field.file_name().map(str::to_owned);
        let media = ContentType::of(field.headers().get(CONTENT_TYPE).map(http::HeaderValue::as_bytes));
        let bytes = field.bytes().await.map_err(malformed)?;
        let part = Part { media, bytes };
        if is_content {
            if content.replace(part).is_some() {
                return Err(Refusal::bad_request("the form has more than one `content` field: send one"));
            }
        } else if file.is_some_and(|name| !name.is_empty() || !part.bytes.is_empty()) {
            // A file without name and bytes: nothing was chosen (WHATWG HTML, section 4.10.22.4).
            files.push(part);
        }
    }
    let message = content.or_else(|| if files.len() == 1 { files.pop() } else { None });
    let unclear = "the form has no `content` field and not just one file: send one of them";
    let message = message.ok_or_else(|| Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, unclear))?;
    match message.media {
        ContentType::Json | ContentType::Text | ContentType::Other => Ok(message),
        ContentType::Lines | ContentType::Read(_) | ContentType::Form | ContentType::Multipart(_) => {
            let nested = "a part of a form is one message: JSON, text or bytes";
            Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, nested))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parts between boundaries, with `\n` for line ends.
    fn form(parts: &[&str]) -> Vec<u8> {
        let parts: String = parts.iter().map(|part| format!("--B\n{part}\n")).collect();
        format!("{parts}--B--\n").replace('\n', "\r\n").into_bytes()
    }

    fn taken(parts: &[&str]) -> Result<(ContentType, String), u16> {
        let part = message(Some("B"), &form(parts)).map_err(|refusal| refusal.status().as_u16())?;
        Ok((part.media, String::from_utf8(part.bytes.to_vec()).unwrap()))
    }

    const CONTENT: &str = "Content-Disposition: form-data; name=\"content\"\n\nhello";
    const OTHER: &str = "Content-Disposition: form-data; name=\"x\"\n\ny";
    const FILE: &str = "Content-Disposition: form-data; name=\"f\"; filename=\"a.json\"\nContent-Type: application/json\n\n[1]";
    const UNCHOSEN: &str = "Content-Disposition: form-data; name=\"g\"; filename=\"\"\nContent-Type: application/octet-stream\n\n";

    #[test]
    fn the_content_field_is_the_message_else_the_one_file() {
        let hello = Ok((ContentType::Other, "hello".to_owned()));
        assert_eq!(taken(&[CONTENT]), hello);
        assert_eq!(taken(&[FILE, OTHER, CONTENT, FILE]), hello);
        let file = Ok((ContentType::Json, "[1]".to_owned()));
        assert_eq!(taken(&[FILE]), file);
        assert_eq!(taken(&[OTHER, UNCHOSEN, FILE]), file);
        let typed = "Content-Disposition: form-data; name=\"content\"\nContent-Type: Application/JSON\n\n{}";
        assert_eq!(taken(&[typed]), Ok((ContentType::Json, "{}".to_owned())));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for parts in [&[OTHER][..], &[], &[FILE, FILE], &[OTHER, UNCHOSEN]] {
            assert_eq!(taken(parts), Err(415), "{parts:?}");
        }
        for nested in ["application/x-ndjson", "multipart/form-data; boundary=C"] {
            let part = CONTENT.replace("\n\n", &format!("\nContent-Type: {nested}\n\n"));
            assert_eq!(taken(&[&part]), Err(415), "{nested}");
        }
        assert_eq!(taken(&[CONTENT, CONTENT]), Err(400));
        let whole = form(&[CONTENT]);
        for cut in 0..whole.len() - "--\r\n".len() {
            let refusal = message(Some("B"), &whole[..cut]).unwrap_err();
            assert_eq!(refusal.status().as_u16(), 400, "{cut}");
        }
        assert_eq!(message(None, &whole).unwrap_err().status().as_u16(), 400);
    }
}
