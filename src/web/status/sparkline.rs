//! PURE: a small line of the last windows, as SVG.

use std::fmt::{self, Write};

/// Its size in the units of its own coordinates, and in pixels.
const WIDTH: f64 = 88.0;
const HEIGHT: f64 = 22.0;

/// Kept free on every side, so that a thick line at the rim is not cut.
const MARGIN: f64 = 2.0;

/// Draws values, oldest first, from 0 to their maximum; a gap stays where one is missing. With no
/// value at all it is empty, and takes the same place.
pub(super) fn draw(out: &mut String, values: &[Option<f64>]) -> fmt::Result {
    write!(
        out,
        "<svg width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" aria-hidden=\"true\">"
    )?;
    if values.iter().any(Option::is_some) {
        out.write_str("<path d=\"")?;
        path(out, values)?;
        out.write_str("\"/>")?;
    }
    out.write_str("</svg>")
}

fn path(out: &mut String, values: &[Option<f64>]) -> fmt::Result {
    let highest = values.iter().flatten().copied().fold(0.0, f64::max);
    let steps = u32::try_from(values.len().saturating_sub(1)).unwrap_or(u32::MAX);
    let step = (WIDTH - 2.0 * MARGIN) / f64::from(steps.max(1));
    let mut connected = false;
    for (place, value) in (0_u32..).zip(values) {
        let Some(value) = value else {
            connected = false;
            continue;
        };
        let share = if highest > 0.0 { value / highest } else { 0.0 };
        let x = MARGIN + step * f64::from(place);
        let y = HEIGHT - MARGIN - share * (HEIGHT - 2.0 * MARGIN);
        if connected {
            write!(out, "L{x:.1} {y:.1}")?;
        } else {
            // A step of no length makes a lone value a dot.
            write!(out, "M{x:.1} {y:.1}h0")?;
        }
        connected = true;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_begin_at_zero_and_break_where_a_window_is_missing() {
        for (values, expected) in [
            (&[][..], ""),
            (&[None, None], ""),
            (&[Some(0.0), Some(0.0)], "M2.0 20.0h0L86.0 20.0"),
            (&[Some(5.0)], "M2.0 2.0h0"),
            // Half of the maximum is half of the height: 20 - 18 / 2.
            (
                &[Some(1.0), Some(2.0), None, Some(0.0)],
                "M2.0 11.0h0L30.0 2.0M86.0 20.0h0",
            ),
        ] {
            let mut path = String::new();
            super::path(&mut path, values).unwrap();
            if expected.is_empty() {
                assert_eq!(path, "");
                draw(&mut path, values).unwrap();
                assert!(path.ends_with("aria-hidden=\"true\"></svg>"), "{path}");
            } else {
                assert_eq!(path, expected);
            }
        }
    }
}
