//! `docs/http.md` as data: its examples and its tables. Text in, values out; asks nobody.

/// One fence of `http`: a request, and the response that the page promises.
#[derive(Debug)]
pub(super) struct Example {
    /// Of the fence's opening, from 1.
    pub(super) line: usize,
    /// Of the server that is asked: `<!-- server: … -->` in front of the fence.
    pub(super) flags: Vec<String>,
    pub(super) request: Part,
    pub(super) response: Part,
}

/// A request or a response.
#[derive(Debug, Default)]
pub(super) struct Part {
    /// The request line or the status line.
    pub(super) start: String,
    pub(super) headers: Vec<(String, String)>,
    /// `None` where the page shows none.
    pub(super) body: Option<String>,
}

/// A row of a table: its cells, and where it stands.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) line: usize,
    pub(super) cells: Vec<String>,
}

/// All examples, in the page's order.
pub(super) fn examples(page: &str) -> Vec<Example> {
    let mut examples = Vec::new();
    let mut flags = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        if let Some(rest) = line.strip_prefix("<!-- server: ") {
            flags = rest.trim_end_matches("-->").split_whitespace().map(str::to_owned).collect();
        }
        if line != "```http" {
            continue;
        }
        let block: Vec<&str> =
            lines.by_ref().map(|(_, line)| line).take_while(|line| !line.starts_with("```")).collect();
        let answer = block.iter().position(|line| line.starts_with("HTTP/1.1 "));
        let (request, response) =
            block.split_at(answer.unwrap_or_else(|| panic!("line {index}: no response")));
        let (request, response) = (part(request), part(response));
        examples.push(Example { line: index + 1, flags: std::mem::take(&mut flags), request, response });
    }
    examples
}

fn part(lines: &[&str]) -> Part {
    let (start, rest) = lines.split_first().unwrap();
    let end = rest.iter().position(|line| line.is_empty()).unwrap_or(rest.len());
    let headers = rest[..end].iter().map(|line| line.split_once(": ").unwrap());
    let body = rest[end..].join("\n").trim().to_owned();
    Part {
        start: (*start).to_owned(),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        body: Some(body).filter(|body| !body.is_empty()),
    }
}

/// The rows of every table whose heading begins with these cells.
pub(super) fn rows(page: &str, heading: &[&str]) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut inside = false;
    for (index, line) in page.lines().enumerate() {
        let Some(inner) = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")) else {
            inside = false;
            continue;
        };
        let cells: Vec<String> = inner.split(" | ").map(|cell| cell.trim().to_owned()).collect();
        if !inside {
            inside = cells.iter().zip(heading).all(|(cell, wanted)| cell == wanted);
        } else if !cells[0].starts_with("---") {
            rows.push(Row { line: index + 1, cells });
        }
    }
    assert!(!rows.is_empty(), "the page has no table {heading:?}");
    rows
}

/// The first fence of JSON below a heading.
pub(super) fn json_below<'a>(page: &'a str, heading: &str) -> &'a str {
    let below = page.split_once(&format!("\n{heading}\n")).unwrap().1;
    below.split_once("```json\n").unwrap().1.split("\n```").next().unwrap()
}

/// What stands between pairs of backticks.
pub(super) fn code(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The code in the first cells of such tables.
pub(super) fn names(rows: &[Row]) -> impl Iterator<Item = &str> {
    rows.iter().flat_map(|row| code(&row.cells[0]))
}
