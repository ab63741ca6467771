//! Pictures side by side, each with its name above it.

use super::{Canvas, Rgb, font};

const MARGIN: usize = 4;
const SCALE: usize = 2;
const BACKGROUND: Rgb = [255; 3];
const INK: Rgb = [40; 3];

/// Lays `cells` (name, picture) out in rows of `columns`; every cell is as large as the largest picture.
pub fn contact_sheet(cells: &[(String, Canvas)], columns: usize) -> Canvas {
    let columns = columns.clamp(1, cells.len().max(1));
    let label = font::HEIGHT * SCALE + MARGIN;
    let width = cells.iter().map(|(_, picture)| picture.width()).max().unwrap_or(1) + MARGIN;
    let height = cells.iter().map(|(_, picture)| picture.height()).max().unwrap_or(1) + label + MARGIN;
    let rows = cells.len().div_ceil(columns).max(1);
    let mut sheet = Canvas::new(columns * width + MARGIN, rows * height + MARGIN, BACKGROUND);
    for (place, (name, picture)) in cells.iter().enumerate() {
        let (x, y) = (MARGIN + place % columns * width, MARGIN + place / columns * height);
        let fits = (width - MARGIN) / ((font::WIDTH + 1) * SCALE);
        let name: String = name.chars().take(fits).collect();
        sheet.text([x, y], SCALE, &name, INK);
        sheet.paste(picture, [x, y + label]);
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_in_rows() {
        let cell = |value| ("frame 0".to_owned(), Canvas::new(11, 7, [value; 3]));
        let sheet = contact_sheet(&[cell(1), cell(2), cell(3)], 2);
        assert_eq!((sheet.width(), sheet.height()), (4 + 2 * 15, 4 + 2 * 25));
        assert_eq!(sheet.get(4, 18), Some([1; 3]));
        assert_eq!(sheet.get(19, 18), Some([2; 3]));
        assert_eq!(sheet.get(4, 43), Some([3; 3]));
        assert_eq!(sheet.get(19, 43), Some(BACKGROUND));
        assert_eq!(contact_sheet(&[], 4).width(), 9);
    }
}
