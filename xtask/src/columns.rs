//! Tables as text.

/// Columns as wide as their widest cell: the first to the left, the others to the right.
pub fn align<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &[String; N]| {
        let mut cells = row.iter().zip(widths);
        let first = cells.next().map(|(cell, width)| format!("{cell:<width$}")).unwrap_or_default();
        cells.fold(first, |line, (cell, width)| format!("{line}  {cell:>width$}"))
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [["a", "bb"], ["ccc", "d"]].map(|row| row.map(str::to_owned));
        assert_eq!(align(&rows), "a    bb\nccc   d");
    }
}
