//! Legend colours that colour-blind readers can tell apart.
//!
//! The first seven are the set of Okabe & Ito ("Color Universal Design", 2008) without black. Beyond them each next colour is the one
//! of a lattice of 9 x 9 x 9 colours (without those near black or white, which are ink and glass on an overlay) that is farthest, in
//! OKLab (Ottosson 2020), from all colours so far as seen with normal, protanopic and deuteranopic eyes (matrices of Machado, Oliveira
//! & Fernandes, IEEE TVCG 2009;15:1291-8, severity 1): the least of the three distances counts.

/// Okabe-Ito: orange, sky blue, bluish green, yellow, blue, vermillion, reddish purple.
const OKABE_ITO: [[u8; 3]; 7] =
    [[230, 159, 0], [86, 180, 233], [0, 158, 115], [240, 228, 66], [0, 114, 178], [213, 94, 0], [204, 121, 167]];
/// Steps of the lattice.
const STEPS: [u8; 9] = [0, 32, 64, 96, 128, 160, 192, 224, 255];
/// Lightness (OKLab) of the colours taken from it.
const LIGHTNESS: std::ops::RangeInclusive<f32> = 0.35..=0.92;
const EYES: [[[f32; 3]; 3]; 3] = [
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
];

/// The first `n` colours; the same colour for the same position whatever `n`.
pub fn palette(n: usize) -> Vec<[u8; 3]> {
    let mut out: Vec<[u8; 3]> = OKABE_ITO.into_iter().take(n).collect();
    if n <= OKABE_ITO.len() {
        return out;
    }
    let all = (0..729usize).map(|i| [STEPS[i / 81], STEPS[i / 9 % 9], STEPS[i % 9]]);
    let lattice: Vec<[u8; 3]> = all.filter(|c| LIGHTNESS.contains(&sights(*c)[0][0])).collect();
    let seen: Vec<[[f32; 3]; 3]> = lattice.iter().map(|c| sights(*c)).collect();
    let mut least: Vec<f32> = vec![f32::INFINITY; lattice.len()];
    let mut counted = 0;
    while out.len() < n {
        for color in &out[counted..] {
            let sight = sights(*color);
            least.iter_mut().zip(&seen).for_each(|(l, s)| *l = l.min(apart(s, &sight)));
        }
        counted = out.len();
        let best = (0..lattice.len()).max_by(|a, b| least[*a].total_cmp(&least[*b]).then(b.cmp(a))).unwrap_or(0);
        out.push(lattice[best]);
    }
    out
}

/// The colour in OKLab under each kind of eyes.
fn sights(color: [u8; 3]) -> [[f32; 3]; 3] {
    let linear = color.map(|v| {
        let v = f32::from(v) / 255.0;
        if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
    });
    EYES.map(|m| oklab(times(&m, linear).map(|v| v.clamp(0.0, 1.0))))
}

fn times(m: &[[f32; 3]; 3], v: [f32; 3]) -> [f32; 3] {
    m.map(|r| r[0] * v[0] + r[1] * v[1] + r[2] * v[2])
}

/// Linear sRGB to OKLab.
fn oklab(rgb: [f32; 3]) -> [f32; 3] {
    let lms = times(
        &[[0.412_221_46, 0.536_332_55, 0.051_445_995], [0.211_903_5, 0.680_699_5, 0.107_396_96], [0.088_302_46, 0.281_718_85, 0.629_978_7]],
        rgb,
    );
    times(
        &[
            [0.210_454_26, 0.793_617_8, -0.004_072_047],
            [1.977_998_5, -2.428_592_2, 0.450_593_7],
            [0.025_904_037, 0.782_771_77, -0.808_675_77],
        ],
        lms.map(f32::cbrt),
    )
}

/// The least distance over the kinds of eyes.
fn apart(a: &[[f32; 3]; 3], b: &[[f32; 3]; 3]) -> f32 {
    (0..3).map(|e| (0..3).map(|c| (a[e][c] - b[e][c]).powi(2)).sum::<f32>().sqrt()).fold(f32::INFINITY, f32::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_colours_all_differ_and_keep_their_places() {
        let all = palette(100);
        assert_eq!(all[..7], OKABE_ITO);
        assert_eq!(all[..20], palette(20)[..]);
        let mut unique = all.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), 100);
    }

    #[test]
    fn the_first_sixteen_stay_apart_for_every_kind_of_eyes() {
        let seen: Vec<_> = palette(16).into_iter().map(sights).collect();
        for i in 0..16 {
            for j in 0..i {
                assert!(apart(&seen[i], &seen[j]) > 0.05, "{i} and {j}: {}", apart(&seen[i], &seen[j]));
            }
        }
    }
}
