//! One request as the page writes it, sent to a real server, and as much of the response as the page shows.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use super::page::Part;
use crate::process::Server;

/// A response that came.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: String,
    /// Names in small letters.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(had, _)| had.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Whether it is made of lines, each of which stands for itself.
    pub(super) fn is_stream(&self) -> bool {
        let media = self.header("content-type").unwrap_or_default();
        matches!(media, "application/x-ndjson" | "text/event-stream")
    }
}

/// Asks, and reads the whole response; of one that stays open at least `lines` lines.
pub(super) fn exchange(server: &Server, request: &Part, lines: usize) -> Answer {
    let mut stream = server.connect();
    let has = |name: &str| request.headers.iter().any(|(had, _)| had.eq_ignore_ascii_case(name));
    let body = request.body.clone().unwrap_or_default();
    // Only in multipart do line ends matter.
    let body = if body.starts_with("--") { body.replace('\n', "\r\n") } else { body };
    let mut head = format!("{}\r\n", request.start);
    for (name, value) in &request.headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !has("host") {
        head += &format!("Host: {}\r\n", server.addresses[0]);
    }
    if !request.start.starts_with("GET ") && !has("content-length") && !has("transfer-encoding") {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    write!(stream, "{head}\r\n{body}").unwrap();
    read(stream, request.start.starts_with("HEAD "), lines)
}

fn read(stream: TcpStream, is_head: bool, lines: usize) -> Answer {
    let mut reader = BufReader::new(stream);
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    };
    let status = line();
    let mut headers = Vec::new();
    loop {
        let line = line();
        let Some((name, value)) = line.split_once(": ") else { break };
        headers.push((name.to_lowercase(), value.to_owned()));
    }
    let mut answer = Answer { status, headers, body: String::new() };
    if is_head {
        return answer;
    }
    if let Some(length) = answer.header("content-length") {
        reader.take(length.parse().unwrap()).read_to_string(&mut answer.body).unwrap();
    } else if answer.header("transfer-encoding").is_some() {
        while answer.body.lines().count() < lines
            && let Some(chunk) = chunk(&mut reader)
        {
            if answer.header("content-type") == Some("application/x-ndjson") {
                assert!(chunk.ends_with('\n') && chunk.lines().count() == 1, "one chunk a line: {chunk:?}");
            }
            answer.body += &chunk;
        }
    }
    answer
}

/// The next chunk, unless it is the last.
fn chunk(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut size = String::new();
    reader.read_line(&mut size).unwrap();
    let size = usize::from_str_radix(size.trim_end(), 16).unwrap();
    let mut chunk = vec![0; size + 2];
    reader.read_exact(&mut chunk).unwrap();
    chunk.truncate(size);
    (size > 0).then(|| String::from_utf8(chunk).unwrap())
}
