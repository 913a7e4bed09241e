//! Small labels on pictures. In: a text (Basic Latin and Latin-1) and a place. Out: pixels. Letters are 8 x 8 px times a scale;
//! what the font lacks becomes `?`; what does not fit on the picture is cut off.

use font8x8::legacy::{BASIC_LEGACY, LATIN_LEGACY};
use image::{Rgb, RgbImage};

/// Width and height of a letter at scale 1, in pixels.
pub(super) const LETTER_PX: u32 = 8;
/// From one line of a text to the next.
pub(super) const LINE_PX: u32 = 14;

/// Draws a text with its upper left corner at (x, y).
pub(super) fn draw(picture: &mut RgbImage, x: u32, y: u32, scale: u32, color: [u8; 3], text: &str) {
    for (i, letter) in text.chars().enumerate() {
        let glyph = match letter as usize {
            0xa0.. => LATIN_LEGACY.get(letter as usize - 0xa0),
            basic => BASIC_LEGACY.get(basic),
        }
        .or(BASIC_LEGACY.get('?' as usize));
        let left = x + i as u32 * LETTER_PX * scale;
        for (row, bits) in glyph.into_iter().flatten().enumerate() {
            for column in (0..LETTER_PX).filter(|c| bits >> c & 1 == 1) {
                fill(picture, left + column * scale, y + row as u32 * scale, scale, scale, color);
            }
        }
    }
}

/// Lines of text below each other, each as far as the picture goes.
pub(super) fn lines(picture: &mut RgbImage, x: u32, y: u32, color: [u8; 3], lines: &[String]) {
    let width = picture.width() - x;
    for (line, y) in lines.iter().zip((y..).step_by(LINE_PX as usize)) {
        draw(picture, x, y, 1, color, &fitted(line, 1, width));
    }
}

/// The text cut to a width, with `..` at the cut.
pub(super) fn fitted(text: &str, scale: u32, width: u32) -> String {
    let room = (width / (LETTER_PX * scale)) as usize;
    if text.chars().count() <= room {
        return text.to_owned();
    }
    text.chars().take(room.saturating_sub(2)).chain("..".chars()).collect()
}

/// Fills a rectangle, cut off at the border.
pub(super) fn fill(picture: &mut RgbImage, x: u32, y: u32, width: u32, height: u32, color: [u8; 3]) {
    for py in y..y.saturating_add(height).min(picture.height()) {
        for px in x..x.saturating_add(width).min(picture.width()) {
            picture.put_pixel(px, py, Rgb(color));
        }
    }
}

/// Draws the border of a rectangle, inside it.
pub(super) fn frame(picture: &mut RgbImage, x: u32, y: u32, width: u32, height: u32, line: u32, color: [u8; 3]) {
    fill(picture, x, y, width, line, color);
    fill(picture, x, (y + height).saturating_sub(line), width, line, color);
    fill(picture, x, y, line, height, color);
    fill(picture, (x + width).saturating_sub(line), y, line, height, color);
}
