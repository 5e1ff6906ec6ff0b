//! Markdown: tables that line up in a terminal too, and the marks between which this program writes.

use anyhow::{Result, bail};

/// A table whose columns line up.
pub(crate) fn table(headings: &[&str], rows: Vec<Vec<String>>) -> String {
    let headings: Vec<String> = headings.iter().map(|heading| (*heading).to_owned()).collect();
    let rule: Vec<String> = headings.iter().map(|_| "---".to_owned()).collect();
    let lines: Vec<Vec<String>> = [headings, rule].into_iter().chain(rows).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
    let line = |line: &Vec<String>| {
        let cells = line.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
        format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
    };
    lines.iter().map(line).collect()
}

/// The document with `text` between `<!-- mark -->` and `<!-- /mark -->`, each on a line of its own.
pub(super) fn replace(document: &str, mark: &str, text: &str) -> Result<String> {
    let (opening, closing) = (format!("<!-- {mark} -->"), format!("<!-- /{mark} -->"));
    let lines: Vec<&str> = document.lines().collect();
    let places = |mark: &str| -> Vec<usize> {
        lines.iter().enumerate().filter(|(_, line)| line.trim() == mark).map(|(index, _)| index).collect()
    };
    match (&*places(&opening), &*places(&closing)) {
        (&[begin], &[end]) if begin < end => {
            let (before, after) = (lines[..=begin].join("\n"), lines[end..].join("\n"));
            Ok(format!("{before}\n\n{}\n\n{after}\n", text.trim_end()))
        }
        _ => bail!("it needs one `{opening}` line and one `{closing}` line after it"),
    }
}

/// Text on one line of a table.
pub(super) fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let once = replace("top\n<!-- a -->\nstale\n<!-- /a -->\nrest\n", "a", "new\n").unwrap();
        assert_eq!(once, "top\n<!-- a -->\n\nnew\n\n<!-- /a -->\nrest\n");
        assert_eq!(replace(&once, "a", "new").unwrap(), once);
        for wrong in
            ["", "<!-- a -->\n", "<!-- /a -->\n<!-- a -->\n", "in a `<!-- a -->` line\n<!-- /a -->\n"]
        {
            assert!(replace(wrong, "a", "").is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn columns_line_up_and_text_stays_text() {
        let rows = vec![vec![plain("a|b"), "1".to_owned()]];
        assert_eq!(table(&["", "value"], rows), "|      | value |\n| ---  | ---   |\n| a\\|b | 1     |\n");
    }
}
