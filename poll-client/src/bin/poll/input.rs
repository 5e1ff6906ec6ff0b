//! What is published: a text from the command line, a file, or standard input, whole or line by line.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;

use poll_client::{Error, Payload};
use tokio::sync::mpsc;

/// How many lines may be read ahead of the server.
const LINES_AHEAD: usize = 1000;

/// Where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    Text(String),
    File(PathBuf),
    Stdin,
}

impl Input {
    /// `-` is standard input, and `@` names a file, as in curl.
    pub(crate) fn parse(text: &str) -> Self {
        match text.strip_prefix('@') {
            Some(file) => Self::File(file.into()),
            None if text == "-" => Self::Stdin,
            None => Self::Text(text.to_owned()),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Text(_) => "TEXT".to_owned(),
            Self::File(path) => path.display().to_string(),
            Self::Stdin => "standard input".to_owned(),
        }
    }

    fn open(&self) -> Result<Box<dyn BufRead + Send>, Error> {
        Ok(match self {
            Self::Text(text) => Box::new(io::Cursor::new(text.clone().into_bytes())),
            Self::File(path) if path.as_os_str() != OsStr::new("-") => {
                Box::new(BufReader::new(File::open(path).map_err(|error| self.unreadable(&error))?))
            }
            Self::File(_) | Self::Stdin => Box::new(BufReader::new(io::stdin())),
        })
    }

    /// All of it.
    pub(crate) fn read(&self) -> Result<Vec<u8>, Error> {
        let mut whole = Vec::new();
        match self {
            Self::File(path) if path.is_file() => fs::read(path).map(|bytes| whole = bytes),
            Self::Text(_) | Self::File(_) | Self::Stdin => self.open()?.read_to_end(&mut whole).map(drop),
        }
        .map_err(|error| self.unreadable(&error))?;
        Ok(whole)
    }

    /// Its lines without their ends, as they come. Read on a thread, because reading a terminal or a pipe blocks.
    pub(crate) fn lines(&self) -> Result<mpsc::Receiver<io::Result<Vec<u8>>>, Error> {
        let input = self.open()?;
        let (sender, receiver) = mpsc::channel(LINES_AHEAD);
        std::thread::spawn(move || {
            for line in input.split(b'\n') {
                let line = line.map(|mut line| {
                    if line.last() == Some(&b'\r') {
                        line.pop();
                    }
                    line
                });
                let failed = line.is_err();
                if sender.blocking_send(line).is_err() || failed {
                    return;
                }
            }
        });
        Ok(receiver)
    }

    /// Bytes that are UTF-8 are text.
    pub(crate) fn payload(bytes: Vec<u8>) -> Payload {
        match String::from_utf8(bytes) {
            Ok(text) => Payload::text(text),
            Err(error) => Payload::bytes(error.into_bytes()),
        }
    }

    pub(crate) fn not_json(&self, error: &dyn std::fmt::Display) -> Error {
        Error::Usage(format!("{} is not JSON: {error}", self.name()))
    }

    pub(crate) fn unreadable(&self, error: &io::Error) -> Error {
        Error::Usage(format!("cannot read {}: {error}", self.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_at_sign_is_a_file_and_a_dash_standard_input() {
        for (text, input) in [
            ("hello", Input::Text("hello".to_owned())),
            ("", Input::Text(String::new())),
            ("--", Input::Text("--".to_owned())),
            ("-", Input::Stdin),
            ("@a.json", Input::File("a.json".into())),
            ("@-", Input::File("-".into())),
        ] {
            assert_eq!(Input::parse(text), input);
        }
    }
}
