//! Whether a response is the one that the page shows, where `…` in a text stands for anything.

use std::collections::BTreeSet;

use serde_json::Value;

use super::exchange::Answer;
use super::page::Part;

/// Numbers that are others each time.
const DIFFERS: [&str; 4] = ["timestamp", "age_seconds", "bytes_received", "bytes_sent"];

/// What differs, in words.
type Difference = Result<(), String>;

/// Status, every header that is shown, and the body, if one is.
pub(super) fn compare(shown: &Part, came: &Answer) -> Difference {
    same("the status", &shown.start, &came.status)?;
    for (name, value) in &shown.headers {
        let had = came.header(name).ok_or_else(|| format!("there is no {name}"))?;
        same(name, value, had)?;
    }
    match &shown.body {
        None => Ok(()),
        Some(body) if came.is_stream() => lines(body, &came.body),
        Some(body) if came.body.starts_with(['{', '[']) => json(body, &came.body),
        Some(body) => same("the body", body, came.body.trim_end()),
    }
}

/// A stream, which may have gone on behind what is shown.
fn lines(shown: &str, came: &str) -> Difference {
    let mut came = came.lines();
    for line in shown.lines() {
        let had = came.next().ok_or_else(|| format!("no line for {line}"))?;
        match (line.find(['{', '[']), had.find(['{', '['])) {
            (Some(at), Some(had_at)) if line[..at] == had[..had_at] => json(&line[at..], &had[had_at..])?,
            _ => same("a line", line, had)?,
        }
    }
    Ok(())
}

pub(super) fn json(shown: &str, came: &str) -> Difference {
    let parsed = |text| serde_json::from_str(text).map_err(|error| format!("{error}: {text}"));
    values("", &parsed(shown)?, &parsed(came)?)
}

/// Objects have the same fields, lists are as long, and times may be any.
fn values(name: &str, shown: &Value, came: &Value) -> Difference {
    match (shown, came) {
        (Value::Object(shown), Value::Object(came)) => {
            let fields =
                |object: &serde_json::Map<_, _>| object.keys().cloned().collect::<BTreeSet<String>>();
            if fields(shown) != fields(came) {
                return Err(format!("the fields {:?} are {:?}", fields(shown), fields(came)));
            }
            shown.iter().try_for_each(|(name, value)| values(name, value, &came[name]))
        }
        (Value::Array(shown), Value::Array(came)) if shown.len() == came.len() => {
            shown.iter().zip(came).try_for_each(|(shown, came)| values(name, shown, came))
        }
        (Value::String(shown), Value::String(came)) => same(name, shown, came),
        (Value::Number(_), Value::Number(_)) if DIFFERS.contains(&name) => Ok(()),
        _ if shown == came => Ok(()),
        _ => Err(format!("`{name}` is {came}, not {shown}")),
    }
}

fn same(what: &str, shown: &str, came: &str) -> Difference {
    if fits(shown, came) { Ok(()) } else { Err(format!("{what} is {came:?}, not {shown:?}")) }
}

/// Whether the text is the pattern, with anything in place of each `…`.
fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once('…') {
        None => pattern == text,
        Some((head, tail)) => text.strip_prefix(head).is_some_and(|rest| {
            rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| fits(tail, &rest[at..]))
        }),
    }
}

#[test]
fn what_differs_is_found() {
    let shown = |text| json(r#"{"a":1,"b":["…"],"timestamp":1.5}"#, text).is_ok();
    assert!(shown(r#"{"timestamp":2,"b":["x"],"a":1}"#));
    assert!(!shown(r#"{"a":1,"b":["x"]}"#), "a field less");
    assert!(!shown(r#"{"a":1,"b":["x"],"timestamp":2,"c":0}"#), "a field more");
    assert!(!shown(r#"{"a":2,"b":["x"],"timestamp":2}"#), "another value");
    assert!(!shown(r#"{"a":1,"b":["x","y"],"timestamp":2}"#), "a longer list");
    assert!(!shown(r#"{"a":1,"b":["x"],"timestamp":"2"}"#), "a time of another kind");
    assert!(fits("a…c…", "abc") && fits("…", "") && !fits("a…c", "ab"));
    assert!(lines("{\"a\":1}", "{\"a\":1}\n{\"a\":2}").is_ok() && lines("x\ny", "x").is_err());
}
