//! Reading a request that needs no engine: a plain GET or POST that has arrived whole.
//!
//! Whatever asks for more is left to hyper: other methods and versions, chunks, `Expect`, `Upgrade`, heads that are
//! broken, too large or not all there. So what is here decides nothing that can be got wrong: either a request is as
//! simple as it can be, or it is not touched. What is taken, a test holds against the engine's own parser.

use http::Method;
use memchr::memchr;

use crate::head::{Field, FieldSet, Places, PlainFields, PlainHead, PlainRequest};
use crate::query::Coding;

/// Fields of a plain request. Browsers send about fifteen, proxies add a few.
const MOST_FIELDS: usize = 32;

/// Fields that ask for more than an answer.
const ASKING: FieldSet =
    FieldSet::of([Field::Te, Field::Expect, Field::Upgrade, Field::Trailer, Field::TransferEncoding]);

/// What stands in targets: pchar, `/` and `?` (RFC 3986, section 3.3).
const IN_TARGETS: u8 = 1;
/// And there for itself, in a query as well.
const PLAIN: u8 = 2;

/// Of each byte, which of these it is.
const TARGETS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 128 {
        let letter = byte as u8;
        table[byte] = match letter {
            b'%' | b'+' => IN_TARGETS,
            b'-' | b'.' | b'_' | b'~' | b':' | b'@' | b'/' | b'?' => IN_TARGETS | PLAIN,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b',' | b';' | b'=' => IN_TARGETS | PLAIN,
            _ if letter.is_ascii_alphanumeric() => IN_TARGETS | PLAIN,
            _ => 0,
        };
        byte += 1;
    }
    table
};

/// What stands in names of fields: tokens (RFC 9110, section 5.6.2).
const IN_NAMES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let letter = byte as u8;
        table[byte] = letter.is_ascii_alphanumeric()
            || matches!(letter, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+')
            || matches!(letter, b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~');
        byte += 1;
    }
    table
};

/// No fields yet.
pub(crate) fn fields() -> Places {
    Places::default()
}

/// The plain request that `bytes` begin with, if they do, and its length in bytes. `places` has room for its fields.
pub(crate) fn read<'a>(
    bytes: &'a [u8],
    places: &'a mut Places,
    max_head_bytes: usize,
) -> Option<(PlainRequest<'a>, usize)> {
    let (method, line) = match bytes {
        [b'G', b'E', b'T', b' ', line @ ..] => (Method::GET, line),
        [b'P', b'O', b'S', b'T', b' ', line @ ..] => (Method::POST, line),
        _ => return None,
    };
    let (target, line) = line.split_at(memchr(b' ', line)?);
    let all = common(target);
    let lines = line.strip_prefix(b" HTTP/1.1\r\n")?;
    if all & IN_TARGETS == 0 || !target.starts_with(b"/") {
        return None;
    }
    let head = bytes.len() - lines.len();
    let lines = &lines[..note(lines, places)?];
    // With the empty line behind them.
    let head = head + lines.len() + 2;
    if head > max_head_bytes {
        return None;
    }
    let fields = PlainFields { lines, places };
    let content = bytes[head..].get(..content_length(fields)?)?;
    if method == Method::GET && !content.is_empty() {
        return None;
    }
    let target = std::str::from_utf8(target).ok()?;
    let (path, query) = match memchr(b'?', target.as_bytes()) {
        Some(at) => (&target[..at], Some(&target[at + 1..])),
        None => (target, None),
    };
    let coding = if all & PLAIN == 0 { Coding::Encoded } else { Coding::Plain };
    let end = head + content.len();
    Some((PlainRequest { head: PlainHead { method, path, query, coding, fields }, content }, end))
}

/// What all bytes of a target are. All of them are looked at, without a branch for each.
fn common(target: &[u8]) -> u8 {
    let both = |all: u8, byte: &u8| all & TARGETS[usize::from(*byte)];
    let (words, rest) = target.as_chunks::<8>();
    let all = words.iter().fold(IN_TARGETS | PLAIN, |all, word| word.iter().fold(all, both));
    rest.iter().fold(all, both)
}

/// Notes the fields that `lines` begin with (RFC 9112, section 5). The length of their lines, without the empty one that
/// ends them.
fn note(lines: &[u8], places: &mut Places) -> Option<usize> {
    let mut rest = lines;
    for _ in 0..=MOST_FIELDS {
        if rest.starts_with(b"\r\n") {
            return Some(lines.len() - rest.len());
        }
        let name = rest.iter().position(|byte| !IN_NAMES[usize::from(*byte)])?;
        let (name, [b':', value @ ..]) = rest.split_at(name) else { return None };
        let (value, end) = value.split_at(value_length(value));
        if name.is_empty() || !end.starts_with(b"\r\n") {
            return None;
        }
        rest = &end[2..];
        if let Some(field) = Field::of(name) {
            let value = value.trim_ascii_start();
            let start = lines.len() - end.len() - value.len();
            let end = start + value.trim_ascii_end().len();
            places.note(field, (u16::try_from(start).ok()?, u16::try_from(end).ok()?));
        }
    }
    None
}

/// How many bytes of a field's value `bytes` begin with: all but controls, for a value may be opaque (RFC 9110, section
/// 5.5). The one control that may stand in values, the tab, hardly ever does.
fn value_length(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let controls = controls(u64::from_le_bytes(*word));
        if controls != 0 {
            return at * 8 + controls.trailing_zeros() as usize / 8;
        }
    }
    let controls = rest.iter().position(u8::is_ascii_control);
    words.len() * 8 + controls.unwrap_or(rest.len())
}

/// The high bit of the lowest byte of a word that is a control; of those above it what comes. Bytes borrow from those
/// above them, but only where they are controls.
fn controls(word: u64) -> u64 {
    const fn each(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    let delete = word ^ each(0x7f);
    let is_delete = delete.wrapping_sub(each(1)) & !delete;
    let is_below_space = word.wrapping_sub(each(b' ')) & !word;
    (is_delete | is_below_space) & each(0x80)
}

/// The length of the content; `None` where it is not said in the one plain way (RFC 9112, section 6.2), or a field
/// asks anything of the connection but to be kept.
fn content_length(fields: PlainFields<'_>) -> Option<usize> {
    let asks = fields.places.there().meets(ASKING);
    if asks || !fields.all(Field::Connection).all(|value| value.eq_ignore_ascii_case(b"keep-alive")) {
        return None;
    }
    fields.single(Field::ContentLength).ok()?.map_or(Some(0), decimal)
}

/// A number of one to nine digits.
fn decimal(text: &[u8]) -> Option<usize> {
    let digit = |digit: &u8| digit.is_ascii_digit().then(|| usize::from(digit - b'0'));
    let short = (1..=9).contains(&text.len());
    if short { text.iter().try_fold(0, |number, next| Some(number * 10 + digit(next)?)) } else { None }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::uri::PathAndQuery;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::body::RequestBody;

    /// The request, and what is left of the text behind it.
    fn plain(text: &str) -> Option<(Request<RequestBody>, &str)> {
        let mut fields = fields();
        let (request, end) = read(text.as_bytes(), &mut fields, 16 * 1024)?;
        Some((request.into_request(), &text[end..]))
    }

    #[test]
    fn a_whole_plain_request_is_read() {
        let (request, rest) =
            plain("GET /a?b=c HTTP/1.1\r\nHost: x\r\nConnection: Keep-Alive\r\n\r\nGET").unwrap();
        assert_eq!(
            (request.method(), request.uri().path(), request.uri().query()),
            (&Method::GET, "/a", Some("b=c"))
        );
        assert_eq!(request.headers()["host"], "x");
        assert!(matches!(request.body(), RequestBody::Empty));
        assert_eq!(rest, "GET");
        let (request, rest) =
            plain("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi, you").unwrap();
        assert!(matches!(request.body(), RequestBody::Full(body) if body == "hi"));
        assert_eq!(rest, ", you");
        assert!(plain("POST /a HTTP/1.1\r\nHost: x\r\n\r\n").is_some());
    }

    #[test]
    fn everything_else_is_left_to_the_engine() {
        let heads = [
            "GET / HTTP/1.1\r\nHost: x\r\n",
            "GET / HTTP/1.0\r\nHost: x\r\n\r\n",
            "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /\" HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /#a HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1",
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, upgrade\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n1",
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nhi",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\nhi",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2, 2\r\n\r\nhi",
        ];
        for head in heads {
            assert!(plain(head).is_none(), "{head:?}");
        }
        assert!(read(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", &mut fields(), 20).is_none());
    }

    #[test]
    fn controls_end_values_wherever_they_stand() {
        for (byte, at) in (0..=u8::MAX).flat_map(|byte| (0..20).map(move |at| (byte, at))) {
            for around in [b' ', b'a', b'~', 0x80, 0xff] {
                let mut value = [around; 20];
                value[at] = byte;
                let length = if byte.is_ascii_control() { at } else { 20 };
                assert_eq!(value_length(&value), length, "{byte} at {at} in {around}");
            }
        }
    }

    /// How lines end: nearly always as they should.
    fn ends() -> impl Strategy<Value = &'static str> {
        let other = select(&["\n", "\r", "\r\n ", "\0\r\n", "\x7f\r\n", "\u{1f}\r\n", "\r\r\n", ""]);
        prop_oneof![20 => Just("\r\n"), 1 => other]
    }

    proptest! {
        /// The parser of the engine is the judge: whatever is taken here, it takes in the same way.
        #[test]
        fn what_is_plain_is_what_the_engine_takes_it_for(
            line in "(GET|POST) /[a-z?%=&]{0,9} HTTP/1[.]1",
            lines in vec("(Host|hOST|tE|[A-Za-z!-]{0,4}|[a-z]{3}|X-Y): {0,2}[ a-zé~]{0,12}(|||||||\t)", 0..5),
            asked in "(Content-Length: [0-9]|Connection: keep-alive|Connection: close|X: y)",
            ends in vec(ends(), 8),
            content in "[a-z\r\n]{0,9}",
        ) {
            let lines = [line, asked].into_iter().chain(lines).chain([String::new()]);
            let head: String = lines.zip(ends).flat_map(|(line, end)| [line, end.to_owned()]).collect();
            let bytes = [head.as_bytes(), content.as_bytes()].concat();
            let mut places = fields();
            if let Some((request, _)) = read(&bytes, &mut places, 16 * 1024) {
                let mut room = [httparse::EMPTY_HEADER; MOST_FIELDS];
                let mut judged = httparse::Request::new(&mut room);
                let length = judged.parse(&bytes).unwrap().unwrap();
                let head = &request.head;
                prop_assert_eq!((judged.method, judged.version), (Some(head.method.as_str()), Some(1)));
                let target = head.query.map_or(head.path.to_owned(), |query| format!("{}?{query}", head.path));
                prop_assert_eq!(judged.path, Some(target.as_str()));
                let fields = judged.headers.iter().map(|field| (field.name.as_bytes(), field.value));
                prop_assert!(fields.clone().eq(head.fields.lines()));
                for (name, _) in fields.clone() {
                    let same = fields.clone().filter(|(other, _)| other.eq_ignore_ascii_case(name));
                    let mut values = same.map(|(_, value)| value);
                    if let Some(field) = Field::of(name) {
                        prop_assert!(head.fields.all(field).eq(values.clone()));
                    }
                    let name = http::HeaderName::from_bytes(name).unwrap();
                    prop_assert_eq!(request.field(&name), values.next());
                }
                prop_assert!(bytes[length..].starts_with(request.content));
            }
        }
    }

    #[test]
    fn whatever_is_read_can_be_said_in_the_types_of_http() {
        for byte in 0..=u8::MAX {
            let char = char::from(byte);
            let target = format!("/a{char}?b{char}c");
            if TARGETS[usize::from(byte)] & IN_TARGETS != 0 {
                assert_eq!(PathAndQuery::try_from(&*target).unwrap().as_str(), target);
            }
            let head = |name: &[u8], value: &[u8]| {
                [b"GET / HTTP/1.1\r\nHost: x\r\nN", name, b": v", value, b"\r\n\r\n"].concat()
            };
            for bytes in [head(&[byte], b""), head(b"", &[byte, b'v'])] {
                let mut fields = fields();
                let Some((request, _)) = read(&bytes, &mut fields, 16 * 1024) else { continue };
                let lower = |name| String::from_utf8_lossy(name).to_lowercase();
                let plain = request.head.fields.lines().map(|(name, value)| (lower(name), value));
                let plain: Vec<_> = plain.collect();
                let request = request.into_request();
                let said = request
                    .headers()
                    .iter()
                    .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes()));
                assert_eq!(said.collect::<Vec<_>>(), plain, "{:?}", String::from_utf8_lossy(&bytes));
            }
        }
    }
}
