//! Rows as lines: columns aligned on a terminal, elsewhere separated by tabs, for `cut` and `awk`.

use crate::format::Screen;

/// Rows as lines, without trailing spaces. Columns are at least as wide as `widths`, which is updated to their width.
pub(crate) fn align(rows: &[Vec<String>], widths: &mut Vec<usize>, screen: Screen) -> Vec<String> {
    if screen == Screen::Pipe {
        return rows.iter().map(|row| row.join("\t")).collect();
    }
    for row in rows {
        widths.resize(row.len().max(widths.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(shown(cell).chars().count());
        }
    }
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(widths.iter()).map(|(cell, width)| format!("{:<width$}", shown(cell)));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Without control characters, which could move a terminal's cursor or change its title.
fn shown(cell: &str) -> String {
    cell.chars().filter(|character| !character.is_control()).collect()
}
