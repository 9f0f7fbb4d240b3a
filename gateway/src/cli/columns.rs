//! Aligned columns, for people and for `awk`.

/// A table under its titles; columns whose title begins with `#` hold numbers, and stand right.
pub(super) fn columns<const N: usize>(titles: [&str; N], rows: &[[String; N]]) -> String {
    let names = titles.map(|title| title.trim_start_matches('#').to_owned());
    let mut widths = [0; N];
    for row in std::iter::once(&names).chain(rows) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in std::iter::once(&names).chain(rows) {
        let cells = row.iter().zip(&widths).zip(titles).map(|((cell, &width), title)| {
            if title.starts_with('#') {
                format!("{cell:>width$}")
            } else {
                format!("{cell:<width$}")
            }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_right_and_nothing_trails() {
        let rows =
            [["gw-0", "1365", "up"], ["gateway-1", "7", ""]].map(|row| row.map(str::to_owned));
        let text = columns(["NAME", "#VSHARDS", "STATE"], &rows);
        let expected = "NAME       VSHARDS  STATE\ngw-0          1365  up\ngateway-1        7\n";
        assert_eq!(text, expected);
    }
}
