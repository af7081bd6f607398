//! Where things are on a screen of a given size. Pure arithmetic: the model needs to know how
//! many rows the list has, the view draws into the same rectangles.

use ratatui::layout::Rect;

use crate::tui::message::Size;

/// Narrowest screen that is drawn.
pub(crate) const LEAST: Size = Size { width: 40, height: 10 };
/// Rows of the panel below the list: its title and six lines of facts.
const PANEL_ROWS: u16 = 7;
/// From this width on, the panel stands beside the list.
const SIDE_WIDTH: u16 = 140;
/// Width of the list with the panel beside it.
const LIST_WIDTH: u16 = 92;

/// How much room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Smaller than [`LEAST`].
    TooSmall,
    /// One column, one line about the selected credential.
    Compact,
    /// The panel below the list; made for 80x24.
    Stacked,
    /// The panel beside the list.
    Side,
}

/// The rectangles of the list screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// How much room there is.
    pub(crate) shape: Shape,
    /// The line on top.
    pub(crate) header: Rect,
    /// The titles of the columns; empty where there is no room.
    pub(crate) titles: Rect,
    /// The rows.
    pub(crate) list: Rect,
    /// The panel, or its one line.
    pub(crate) panel: Rect,
    /// What was said last.
    pub(crate) notice: Rect,
    /// Rule and keys; empty when hidden.
    pub(crate) bar: Rect,
}

impl Geometry {
    /// The rectangles for a size; `bar` is whether the line of keys is shown.
    pub(crate) fn of(size: Size, bar: bool) -> Self {
        let Size { width, height } = size;
        let shape = if width < LEAST.width || height < LEAST.height {
            Shape::TooSmall
        } else if width < 60 || height < 20 {
            Shape::Compact
        } else if width < SIDE_WIDTH {
            Shape::Stacked
        } else {
            Shape::Side
        };
        let bar_rows = if bar { 2 } else { 0 };
        let row = |y: u16, rows: u16| Rect::new(0, y.min(height), width, rows.min(height));
        let notice_y = height.saturating_sub(bar_rows + 2);
        let titles_y = if shape == Shape::Compact { 0 } else { 2 };
        let titles = u16::from(shape != Shape::Compact);
        let list_y = if shape == Shape::Compact { 1 } else { 3 };
        let below = match shape {
            Shape::Stacked => PANEL_ROWS + 2,
            Shape::Side => 1,
            Shape::Compact | Shape::TooSmall => 1,
        };
        let list_rows = notice_y.saturating_sub(list_y + below);
        let mut list = row(list_y, list_rows);
        let panel = match shape {
            Shape::Stacked => row(list_y + list_rows + 1, PANEL_ROWS),
            Shape::Side => {
                list.width = LIST_WIDTH;
                let x = LIST_WIDTH + 2;
                Rect::new(x, titles_y, width - x - 1, notice_y.saturating_sub(titles_y + 1))
            }
            Shape::Compact | Shape::TooSmall => row(list_y + list_rows, 1),
        };
        Self {
            shape,
            header: row(0, 1),
            titles: Rect { width: list.width, ..row(titles_y, titles) },
            list,
            panel,
            notice: row(notice_y, 2),
            bar: row(height.saturating_sub(bar_rows), bar_rows),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_inside_every_size_and_nothing_overlaps() {
        for width in 1..=220 {
            for height in 1..=60 {
                for bar in [true, false] {
                    let geometry = Geometry::of(Size { width, height }, bar);
                    if geometry.shape == Shape::TooSmall {
                        continue;
                    }
                    let screen = Rect::new(0, 0, width, height);
                    let parts = [
                        geometry.header,
                        geometry.titles,
                        geometry.list,
                        geometry.panel,
                        geometry.notice,
                        geometry.bar,
                    ];
                    assert!(geometry.list.height >= 3, "{width}x{height}");
                    for (index, part) in parts.iter().enumerate() {
                        assert_eq!(screen.intersection(*part), *part, "{width}x{height}");
                        for other in &parts[index + 1..] {
                            assert!(!part.intersects(*other), "{width}x{height} {part} {other}");
                        }
                    }
                }
            }
        }
    }
}
