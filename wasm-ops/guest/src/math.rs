//! Arithmetic that gives the same bits natively and on WebAssembly, for `core` has no logarithm. In and out: finite numbers in the stated
//! ranges; what lies outside is brought to their ends.

/// Optical density of a grey value in thousandths: -1000 log10((v + 1) / 256).
pub const OD: [u16; 256] = [
    2408, 2107, 1931, 1806, 1709, 1630, 1563, 1505, 1454, 1408, 1367, 1329, 1294, 1262, 1232, 1204, 1178, 1153, 1129, 1107, 1086, 1066,
    1047, 1028, 1010, 993, 977, 961, 946, 931, 917, 903, 890, 877, 864, 852, 840, 828, 817, 806, 795, 785, 775, 765, 755, 745, 736, 727,
    718, 709, 701, 692, 684, 676, 668, 660, 652, 645, 637, 630, 623, 616, 609, 602, 595, 589, 582, 576, 569, 563, 557, 551, 545, 539, 533,
    527, 522, 516, 511, 505, 500, 494, 489, 484, 479, 474, 469, 464, 459, 454, 449, 444, 440, 435, 431, 426, 421, 417, 413, 408, 404, 400,
    395, 391, 387, 383, 379, 375, 371, 367, 363, 359, 355, 351, 348, 344, 340, 336, 333, 329, 325, 322, 318, 315, 311, 308, 304, 301, 298,
    294, 291, 288, 284, 281, 278, 275, 272, 268, 265, 262, 259, 256, 253, 250, 247, 244, 241, 238, 235, 232, 229, 226, 224, 221, 218, 215,
    212, 210, 207, 204, 201, 199, 196, 193, 191, 188, 186, 183, 180, 178, 175, 173, 170, 168, 165, 163, 160, 158, 155, 153, 151, 148, 146,
    143, 141, 139, 136, 134, 132, 129, 127, 125, 123, 120, 118, 116, 114, 112, 109, 107, 105, 103, 101, 99, 96, 94, 92, 90, 88, 86, 84, 82,
    80, 78, 76, 74, 72, 70, 68, 66, 64, 62, 60, 58, 56, 54, 52, 50, 48, 47, 45, 43, 41, 39, 37, 35, 33, 32, 30, 28, 26, 24, 23, 21, 19, 17,
    16, 14, 12, 10, 9, 7, 5, 3, 2, 0,
];

/// Natural logarithm of x from 1e-30 on, to 2e-7 of its value. (ln m = 2 atanh((m - 1) / (m + 1)), by its series.)
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    let bits = (if x > 1e-30 { x } else { 1e-30 }).to_bits() as i32;
    // the mantissa from sqrt(1/2) to sqrt(2)
    let e = (bits - 0x3f35_04f3) >> 23;
    let m = f32::from_bits((bits - (e << 23)) as u32);
    let s = (m - 1.0) / (m + 1.0);
    let q = s * s;
    e as f32 * core::f32::consts::LN_2 + 2.0 * s * (1.0 + q * (1.0 / 3.0 + q * (0.2 + q * (1.0 / 7.0 + q * (1.0 / 9.0)))))
}

/// e to the power of x from -80 to 80, to 3e-7 of its value.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let x = if x > 80.0 { 80.0 } else { x };
    let x = if x < -80.0 { -80.0 } else { x };
    // adding and taking away 1.5 * 2^23 rounds to a whole number, whose bits are then at hand
    let shifted = x * core::f32::consts::LOG2_E + 12_582_912.0;
    let k = shifted - 12_582_912.0;
    let r = x - k * 0.693_359_4 + k * 2.121_944_4e-4;
    let p = 1.0 / 720.0;
    let p = ((((p * r + 1.0 / 120.0) * r + 1.0 / 24.0) * r + 1.0 / 6.0) * r + 0.5) * r * r + r + 1.0;
    let power = (shifted.to_bits() as i32 - 0x4b40_0000 + 127) << 23;
    p * f32::from_bits(power as u32)
}

/// The nearest whole number of x from 0 to 4e6, of two as near the even one. (Adding 2^23 leaves no room for a fraction; the conversion of
/// the language looks for what does not fit, which costs.)
#[inline(always)]
pub fn whole(x: f32) -> u32 {
    (x + 8_388_608.0).to_bits() & 0x7f_ffff
}

/// Square root of x from 0 to 1e300 (Newton, from half the exponent).
pub fn sqrt(x: f64) -> f64 {
    if x.is_nan() || x <= 1e-300 {
        return 0.0;
    }
    let x = if x > 1e300 { 1e300 } else { x };
    let mut y = f64::from_bits((x.to_bits() >> 1) + 0x1ff8_0000_0000_0000);
    for _ in 0..5 {
        y = 0.5 * (y + x / y);
    }
    y
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{exp, ln, sqrt, whole, OD};

    #[test]
    fn they_are_what_the_standard_library_says() {
        for i in 1..20_000 {
            let x = i as f32 * 0.0173;
            assert!((ln(x) - x.ln()).abs() <= 3e-7 * x.ln().abs().max(1.0), "ln {x}");
            let y = x / 4.0 - 40.0;
            assert!((exp(y) / y.exp() - 1.0).abs() < 5e-7, "exp {y}: {} {}", exp(y), y.exp());
            let z = f64::from(x) * 1e5;
            assert!((sqrt(z) / z.sqrt() - 1.0).abs() < 1e-15, "sqrt {z}");
        }
        assert_eq!([0.0, 0.4, 0.6, 1.5, 2.5, 4e6].map(whole), [0, 0, 1, 2, 2, 4_000_000]);
        assert_eq!(sqrt(0.0), 0.0);
        assert!(exp(-1e9) < 1e-30 && exp(1e9).is_finite() && ln(0.0).is_finite());
        for (v, od) in OD.iter().enumerate() {
            assert_eq!(f64::from(*od), (-1000.0 * ((v as f64 + 1.0) / 256.0).log10()).round());
        }
    }
}
