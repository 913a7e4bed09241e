//! macenko: gives a tile the stains of a reference, after Macenko et al. (ISBI 2009, 1107-10, doi:10.1109/ISBI.2009.5193250): optical
//! densities lie in the plane of the two largest eigenvectors of their covariance, the extreme angles in it are haematoxylin and eosin, and
//! the 99th percentiles of their amounts are brought to the reference's.
//!
//! The default reference is the one in the authors' code, which most others took over: directions (0.5626, 0.7201, 0.4062) and (0.2159,
//! 0.8012, 0.5581), amounts 1.9705 and 1.0308 in natural logarithms against a glass of 240. Angles and amounts are taken from histograms.
#![no_std]
#![allow(unused_attributes)] // natively this file is a module

use histoloom_op::math::{exp, ln, sqrt, whole};
use histoloom_op::{Host, PIXELS, Tile, UNCHANGED, op, quad};

op! {
    manifest: r#"{"name": "macenko", "version": 1, "summary": "Normalises the stain to a reference by its two dyes (Macenko)", "params": [
        {"name": "h_red", "min": 0, "max": 1, "default": 0.5626, "doc": "Optical density of the reference's haematoxylin in red"},
        {"name": "h_green", "min": 0, "max": 1, "default": 0.7201, "doc": "The same in green"},
        {"name": "h_blue", "min": 0, "max": 1, "default": 0.4062, "doc": "The same in blue"},
        {"name": "e_red", "min": 0, "max": 1, "default": 0.2159, "doc": "Optical density of the reference's eosin in red"},
        {"name": "e_green", "min": 0, "max": 1, "default": 0.8012, "doc": "The same in green"},
        {"name": "e_blue", "min": 0, "max": 1, "default": 0.5581, "doc": "The same in blue"},
        {"name": "h_most", "min": 0.1, "max": 10, "default": 1.9705, "doc": "99th percentile of the amounts of haematoxylin, natural logarithm"},
        {"name": "e_most", "min": 0.1, "max": 10, "default": 1.0308, "doc": "99th percentile of the amounts of eosin"}]}"#,
    run: run
}

/// Optical densities are whole numbers of this size where the stains are told: every sum of floats costs the sandbox a look for NaN.
const ONE: i32 = 2048;
/// The same of directions, and of what gives amounts.
const WAY: f64 = 16_384.0;
const ROW: f64 = 4096.0;
/// Grey value of glass, of the tile and of the reference.
const GLASS: f32 = 240.0;
/// Pixels with a channel below this optical density are too pale to tell (beta of the paper).
const PALE: i32 = (0.15 * ONE as f64) as i32;
/// Share cut off at either end of the angles and at the upper end of the amounts (alpha of the paper).
const CUT: f64 = 0.01;
/// Fewer tissue pixels say nothing.
const LEAST: u32 = 500;
/// Stains nearer than this sine of their angle (8.6 degrees) are one; haematoxylin and eosin are some 25 degrees apart.
const APART: f64 = 0.15;
const BINS: usize = 2048;
/// Upper end of the histogram of amounts.
const MOST: f64 = 8.0;
/// Least 99th percentile of a dye that is there.
const LEAST_AMOUNT: f64 = 0.15;

type Matrix = [[f64; 3]; 3];
type Stains = [[f64; 3]; 2];

pub fn run(tile: &mut Tile<'_>, host: &mut impl Host) -> i32 {
    let mut od = [0f32; 256];
    let mut fixed = [0i32; 256];
    for (v, (od, fixed)) in od.iter_mut().zip(&mut fixed).enumerate() {
        *od = ln(GLASS / (v as f32 + 1.0).min(GLASS));
        *fixed = (*od * ONE as f32 + 0.5) as i32;
    }
    let Told { stains, most } = match told(tile, &fixed) {
        Ok(told) => told,
        Err(why) => {
            host.flag("STAIN_NOT_TOLD", why, None);
            return UNCHANGED;
        }
    };
    for (name, v) in ["h_red", "h_green", "h_blue"].iter().zip(stains[0]) {
        host.metric(name, v);
    }
    for (name, v) in ["e_red", "e_green", "e_blue"].iter().zip(stains[1]) {
        host.metric(name, v);
    }
    host.metric("h_most", most[0]);
    host.metric("e_most", most[1]);
    let p = tile.params;
    let wanted = [unit([p[0], p[1], p[2]]), unit([p[3], p[4], p[5]])];
    let matrix = matrix(&wanted, [p[6], p[7]], &stains, most);
    recolour(tile.rgb, &od, &matrix);
    PIXELS
}

/// The stains of a tile.
struct Told {
    /// Directions of haematoxylin and eosin.
    stains: Stains,
    /// 99th percentiles of their amounts.
    most: [f64; 2],
}

fn told(tile: &Tile<'_>, od: &[i32; 256]) -> Result<Told, &'static str> {
    let (n, covariance) = covariance(tile, od);
    if n < LEAST {
        return Err("This tile shows too little tissue to tell its stain, so its colours were left as they are");
    }
    let [first, second] = plane(&covariance);
    let (mut angles, mut total) = ([0u32; BINS], 0);
    let (along, across) = (first.map(|v| (v * WAY) as i32), second.map(|v| (v * WAY) as i32));
    tissue(tile, od, |d| {
        let (a, b) = (dot(d, along), dot(d, across));
        // a measure that grows with the angle, from -1 to 1; a is hardly ever below 0, for the first direction is that of all colours
        let size = (a + b.max(-b)).max(1) as f32;
        let t = b as f32 / size + 1.0;
        angles[(whole(t * (BINS as f32 / 2.0)) as usize).min(BINS - 1)] += 1;
        total += 1;
    });
    let end = |share: f64| 2.0 * percentile(&angles, total, share) - 1.0;
    let direction = |t: f64| {
        let (a, b) = (1.0 - t.max(-t), t);
        unit([0, 1, 2].map(|c| a * first[c] + b * second[c]))
    };
    let (low, high) = (direction(end(CUT)), direction(end(1.0 - CUT)));
    let across = cross(&low, &high);
    if across.iter().map(|v| v * v).sum::<f64>() < APART * APART {
        return Err("Haematoxylin and eosin cannot be told apart in this tile, so its colours were left as they are");
    }
    // haematoxylin absorbs more red
    let stains = if low[0] > high[0] { [low, high] } else { [high, low] };
    let most = amounts(tile, od, &stains);
    if most[0] < LEAST_AMOUNT || most[1] < LEAST_AMOUNT {
        return Err("One of the two stains is hardly there in this tile, so its colours were left as they are");
    }
    Ok(Told { stains, most })
}

/// Optical densities of the tissue, of some 65 000 pixels in whole rows: more of them tell no more.
#[inline(always)]
fn tissue(tile: &Tile<'_>, od: &[i32; 256], mut each: impl FnMut([i32; 3])) {
    let w = tile.width;
    let every = (w * tile.height / 65_536).max(1);
    for (rgb, labels) in tile.rgb.chunks_exact(3 * w).zip(tile.labels.chunks_exact(w)).step_by(every) {
        for (p, label) in rgb.chunks_exact(3).zip(labels) {
            let d = [od[p[0] as usize], od[p[1] as usize], od[p[2] as usize]];
            if (*label != 0) & (d[0] > PALE) & (d[1] > PALE) & (d[2] > PALE) {
                each(d);
            }
        }
    }
}

/// Number of tissue pixels and the covariance of their densities.
fn covariance(tile: &Tile<'_>, od: &[i32; 256]) -> (u32, Matrix) {
    let (mut n, mut sum, mut product) = (0u32, [0i64; 3], [[0i64; 3]; 3]);
    tissue(tile, od, |d| {
        n += 1;
        for i in 0..3 {
            sum[i] += i64::from(d[i]);
            for j in i..3 {
                product[i][j] += i64::from(d[i] * d[j]);
            }
        }
    });
    let (count, one) = (f64::from(n.max(1)), f64::from(ONE));
    let mean = sum.map(|s| s as f64 / count / one);
    let entry = |i: usize, j: usize| product[i.min(j)][i.max(j)] as f64 / count / (one * one) - mean[i] * mean[j];
    (n, [0, 1, 2].map(|i| [0, 1, 2].map(|j| entry(i, j))))
}

/// The two eigenvectors of the largest eigenvalues, by Jacobi's rotations; the first points to where densities are positive.
fn plane(covariance: &Matrix) -> Stains {
    let (mut m, mut v) = (*covariance, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
    for _ in 0..12 {
        for (p, q) in [(0, 1), (0, 2), (1, 2)] {
            rotate(&mut m, &mut v, p, q);
        }
    }
    let mut order = [0, 1, 2];
    for (i, j) in [(0, 1), (1, 2), (0, 1)] {
        if m[order[i]][order[i]] < m[order[j]][order[j]] {
            order.swap(i, j);
        }
    }
    [order[0], order[1]].map(|k| {
        let column = [v[0][k], v[1][k], v[2][k]];
        let sign = if column[0] + column[1] + column[2] < 0.0 { -1.0 } else { 1.0 };
        column.map(|x: f64| sign * x)
    })
}

fn rotate(m: &mut Matrix, v: &mut Matrix, p: usize, q: usize) {
    if m[p][q].max(-m[p][q]) <= 1e-14 * (m[p][p] + m[q][q]) {
        return; // as good as 0, and its inverse is not
    }
    let theta = (m[q][q] - m[p][p]) / (2.0 * m[p][q]);
    let size = theta.max(-theta) + sqrt(theta * theta + 1.0);
    let t = if theta < 0.0 { -1.0 / size } else { 1.0 / size };
    let c = 1.0 / sqrt(t * t + 1.0);
    let s = t * c;
    for k in 0..3 {
        let (a, b) = (m[k][p], m[k][q]);
        m[k][p] = c * a - s * b;
        m[k][q] = s * a + c * b;
    }
    for k in 0..3 {
        let (a, b) = (m[p][k], m[q][k]);
        m[p][k] = c * a - s * b;
        m[q][k] = s * a + c * b;
        let (a, b) = (v[k][p], v[k][q]);
        v[k][p] = c * a - s * b;
        v[k][q] = s * a + c * b;
    }
}

/// 99th percentiles of the amounts of both stains.
fn amounts(tile: &Tile<'_>, od: &[i32; 256], stains: &Stains) -> [f64; 2] {
    let rows = inverse(stains).map(|row| row.map(|v| (v * ROW) as i32));
    let (mut counts, mut total) = ([[0u32; BINS]; 2], 0);
    // densities by rows are amounts of this size; a bin has this many of them
    let bin = ONE * ROW as i32 / (BINS as i32 / MOST as i32);
    tissue(tile, od, |d| {
        for (counts, row) in counts.iter_mut().zip(&rows) {
            counts[((dot(d, *row).max(0) / bin) as usize).min(BINS - 1)] += 1;
        }
        total += 1;
    });
    [0, 1].map(|s| percentile(&counts[s], total, 1.0 - CUT) * MOST)
}

/// Where in a histogram, from 0 to 1, a share of the values lies below.
fn percentile(counts: &[u32; BINS], total: u32, share: f64) -> f64 {
    let wanted = share * f64::from(total);
    let mut below = 0.0;
    for (i, n) in counts.iter().enumerate() {
        let n = f64::from(*n);
        if below + n >= wanted && n > 0.0 {
            return (i as f64 + (wanted - below) / n) / BINS as f64;
        }
        below += n;
    }
    1.0
}

/// Rows that give the amounts of both stains from a density: the pseudo-inverse.
fn inverse(s: &Stains) -> Stains {
    let (a, b, c) = (square(&s[0], &s[0]), square(&s[0], &s[1]), square(&s[1], &s[1]));
    let det = (a * c - b * b).max(1e-12);
    [[0, 1, 2].map(|k| (c * s[0][k] - b * s[1][k]) / det), [0, 1, 2].map(|k| (a * s[1][k] - b * s[0][k]) / det)]
}

/// Densities of the tile to those under the reference's stains.
fn matrix(wanted: &Stains, wanted_most: [f64; 2], stains: &Stains, most: [f64; 2]) -> Matrix {
    let rows = inverse(stains);
    let entry = |to: usize, from: usize| (0..2).map(|s| wanted[s][to] * wanted_most[s] / most[s] * rows[s][from]).sum::<f64>();
    [0, 1, 2].map(|to| [0, 1, 2].map(|from| entry(to, from)))
}

/// New colours. A sum of densities is a product of transmissions, so each channel is the product of three table entries.
fn recolour(rgb: &mut [u8], od: &[f32; 256], matrix: &Matrix) {
    // of four, so that an entry is one vector; no darker than what is black, for products of less are slow
    let mut tables = [[[0f32; 4]; 256]; 3];
    for (from, table) in tables.iter_mut().enumerate() {
        for (entry, od) in table.iter_mut().zip(od) {
            *entry = [0, 1, 2, 2].map(|to| exp((-(matrix[to][from] as f32) * od).max(-20.0)));
        }
    }
    let [red, green, blue] = &tables;
    let new = |[r, g, b]: [usize; 3]| {
        let (r, g, b) = (&red[r & 255], &green[g & 255], &blue[b & 255]);
        [0, 1, 2, 3].map(|c| {
            let v = GLASS * r[c] * g[c] * b[c];
            whole(if v < 255.0 { v } else { 255.0 })
        })
    };
    let mut quads = rgb.chunks_exact_mut(12);
    for p in &mut quads {
        if let Ok(p) = <&mut [u8; 12]>::try_from(p) {
            let [a, b, c, d] = quad(p).map(new);
            let words = [
                a[0] | a[1] << 8 | a[2] << 16 | b[0] << 24,
                b[1] | b[2] << 8 | c[0] << 16 | c[1] << 24,
                c[2] | d[0] << 8 | d[1] << 16 | d[2] << 24,
            ];
            p.chunks_exact_mut(4).zip(words).for_each(|(to, w)| to.copy_from_slice(&w.to_le_bytes()));
        }
    }
    for p in quads.into_remainder().chunks_exact_mut(3) {
        let v = new([p[0] as usize, p[1] as usize, p[2] as usize]);
        p.iter_mut().zip(v).for_each(|(to, v)| *to = v as u8);
    }
}

fn dot(d: [i32; 3], row: [i32; 3]) -> i32 {
    d[0] * row[0] + d[1] * row[1] + d[2] * row[2]
}

fn square(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn cross(a: &[f64; 3], b: &[f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

fn unit(v: [f64; 3]) -> [f64; 3] {
    let size = sqrt(square(&v, &v)).max(1e-9);
    v.map(|x| x / size)
}
