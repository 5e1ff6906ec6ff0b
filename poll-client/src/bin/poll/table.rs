//! Rows as lines: columns aligned on a terminal, elsewhere separated by tabs, for `cut` and `awk`.

use std::borrow::Cow;

use crate::format::Screen;

/// Rows as lines, without trailing spaces. Columns are at least as wide as `widths`, which is updated to their width.
pub(crate) fn align(rows: &[Vec<String>], widths: &mut Vec<usize>, screen: Screen) -> Vec<String> {
    let rows: Vec<Vec<_>> = rows.iter().map(|row| row.iter().map(|cell| shown(cell)).collect()).collect();
    if screen == Screen::Pipe {
        return rows.iter().map(|row| row.join("\t")).collect();
    }
    for row in &rows {
        widths.resize(row.len().max(widths.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &Vec<Cow<'_, str>>| {
        let cells = row.iter().zip(widths.iter()).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Control characters as escapes. A name may hold them, and must neither forge a line or a column, nor pass for the name
/// without them, nor move a terminal's cursor.
fn shown(cell: &str) -> Cow<'_, str> {
    if !cell.contains(char::is_control) {
        return cell.into();
    }
    let mut shown = String::new();
    for character in cell.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_forges_a_row() {
        let rows = [vec!["an\tn\nbob".to_owned(), "now".to_owned()]];
        assert_eq!(align(&rows, &mut Vec::new(), Screen::Pipe), ["an\\tn\\nbob\tnow"]);
        assert_eq!(align(&rows, &mut Vec::new(), Screen::Terminal), ["an\\tn\\nbob  now"]);
    }
}
