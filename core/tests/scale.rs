//! Slides as large as whole-slide scanners make them: memory while a slide grows, time by its area, and runs killed at random. Slides
//! are drawn as they are read; each is mapped by this same program as a child process, so that its peak memory and its processor time
//! are its own.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what it expected, a child what it used"
)]

use std::path::Path;
use std::process::{Command, Stdio};

use histoloom_core::slide::{Mpp, Region, SlideInfo};
use histoloom_core::{Encoder, Job, Planes, Result, TileSource, export, params, semantic_map};
use image::RgbImage;

/// What the whole run may take, without weights.
const MEMORY_KB: u64 = 256 << 10;
const CHANNELS: usize = 16;
const STRIDE: usize = 16;

/// A disc of tissue, 30 % of the slide, of patches of four textures.
struct Drawn(SlideInfo);

impl Drawn {
    fn new(side_px: u64) -> Self {
        Self(SlideInfo {
            name: "drawn".into(),
            id: "drawn".into(),
            width_px: side_px,
            height_px: side_px,
            downsamples: vec![1.0],
            mpp: Some(Mpp::new(0.25).unwrap()),
            origin_px: (0, 0),
        })
    }
}

impl TileSource for Drawn {
    fn info(&self) -> &SlideInfo {
        &self.0
    }

    fn read(&self, r: &Region) -> Result<RgbImage> {
        let (half, mut out) = (self.0.width_px as f64 / 2.0, Vec::with_capacity(3 * (r.width_px * r.height_px) as usize));
        for j in 0..r.height_px {
            let y = r.y + (f64::from(j) * r.downsample) as i64;
            let reach = ((0.618 * half).powi(2) - (y as f64 - half).powi(2)).max(0.0).sqrt();
            for i in 0..r.width_px {
                let x = r.x + (f64::from(i) * r.downsample) as i64;
                if (x as f64 - half).abs() > reach {
                    out.extend([243, 241, 242]);
                    continue;
                }
                let noise = ((x as u32).wrapping_mul(0x9E37_79B1) ^ (y as u32).wrapping_mul(0x85EB_CA77)).wrapping_mul(0xC2B2_AE3D) >> 27;
                let [r, g, b] =
                    [[110, 70, 150], [225, 140, 185], [170, 90, 160], [200, 110, 140]][((x / 1900 * 7 + y / 1700 * 5) % 4) as usize];
                out.extend([r + noise as u8 / 2, g + noise as u8, b]);
            }
        }
        Ok(RgbImage::from_raw(r.width_px, r.height_px, out).expect("its size"))
    }
}

/// Sixteen numbers of a cell's colour, from every fourth pixel.
struct Colours {
    /// Milliseconds a window takes, for runs that are to be killed.
    rest_ms: u64,
}

impl Encoder for Colours {
    fn id(&self) -> &str {
        "colours"
    }
    fn sha256(&self) -> &str {
        "00"
    }
    fn channels(&self) -> usize {
        CHANNELS
    }
    fn stride_px(&self) -> u32 {
        STRIDE as u32
    }
    fn embed(&self, windows: &[RgbImage]) -> Result<Vec<Planes>> {
        std::thread::sleep(std::time::Duration::from_millis(self.rest_ms * windows.len() as u64));
        let one = |w: &RgbImage| {
            let (rows, columns) = (w.height() as usize / STRIDE, w.width() as usize / STRIDE);
            let mut out = Planes::zeros(CHANNELS, rows, columns);
            for cell in 0..rows * columns {
                let mut sum = [0u32; 3];
                for i in 0..16 {
                    let (x, y) = (cell % columns * STRIDE + i % 4 * 4, cell / columns * STRIDE + i / 4 * 4);
                    let p = w.get_pixel(x as u32, y as u32).0;
                    (0..3).for_each(|c| sum[c] += u32::from(p[c]));
                }
                for k in 0..CHANNELS {
                    out.data[k * rows * columns + cell] =
                        sum[k % 3] as f32 / 500.0 * (1.0 + k as f32 / 20.0) - sum[(k + 1) % 3] as f32 / 900.0;
                }
            }
            out
        };
        Ok(windows.iter().map(one).collect())
    }
}

/// What a child is told through the environment.
fn told(name: &str) -> Option<String> {
    std::env::var(format!("HISTOLOOM_SCALE_{name}")).ok()
}

/// The number behind a name in a file of /proc.
fn proc_number(file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap();
    let line = text.lines().find(|l| l.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
#[ignore = "a child of the other tests"]
fn child() {
    let Some(side) = told("SIDE") else { return };
    let given = told("PARAMETERS").unwrap_or_default();
    let encoder = Colours { rest_ms: told("REST_MS").map_or(0, |v| v.parse().unwrap()) };
    let map = semantic_map::run(&Drawn::new(side.parse().unwrap()), &encoder, &params::parse(&given).unwrap(), &Job::new()).unwrap();
    let mapped_kb = proc_number("/proc/self/status", "VmHWM:");
    if let Some(dir) = told("OUT") {
        export::write_map(Path::new(&dir), &map).unwrap();
    }
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let ticks: u64 = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2).map(|v| v.parse::<u64>().unwrap()).sum();
    println!("\nUSED {mapped_kb} {} {ticks} {}", proc_number("/proc/self/status", "VmHWM:"), map.labels.len());
}

fn command(side_px: u64, parameters: &str, out: &Path) -> Command {
    let mut c = Command::new(std::env::current_exe().unwrap());
    c.args(["child", "--exact", "--ignored", "--nocapture"]).env("HISTOLOOM_SCALE_SIDE", side_px.to_string());
    c.env("HISTOLOOM_SCALE_PARAMETERS", parameters).env("HISTOLOOM_SCALE_OUT", out).stdout(Stdio::piped()).stderr(Stdio::piped());
    c
}

/// Peak memory of the map alone and with its files, in kB; processor time in ticks; cells.
fn mapped(side_px: u64) -> [u64; 4] {
    let dir = tempfile::tempdir().unwrap();
    let out = command(side_px, r#"{"k": 8, "threads": 2}"#, dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    let line =
        said.lines().find_map(|l| l.strip_prefix("USED ")).unwrap_or_else(|| panic!("{said}\n{}", String::from_utf8_lossy(&out.stderr)));
    let numbers: Vec<u64> = line.split_whitespace().map(|v| v.parse().unwrap()).collect();
    println!("{side_px} px a side: {} MB for the map, {} MB with its files, {} ticks", numbers[0] >> 10, numbers[1] >> 10, numbers[2]);
    numbers.try_into().unwrap()
}

/// What 256 MB leave to each cell of a slide of 100 000 px a side (9.8 million, beside 30 MB that do not grow): masks, colours, labels,
/// what was seen of artefacts, and nothing that grows like the rows.
fn grows_by_little(small: &[u64; 4], large: &[u64; 4]) {
    let bytes = (large[0].saturating_sub(small[0]) << 10) / (large[3] - small[3]);
    assert!(bytes <= 22, "{bytes} bytes a cell: {small:?} {large:?}");
}

#[test]
fn memory_grows_by_some_bytes_a_cell_only() {
    // far enough apart that the few MB by which peaks of a run differ from time to time weigh little
    let (small, large) = (mapped(12_500), mapped(50_000));
    grows_by_little(&small, &large);
    assert!(large[1] < MEMORY_KB, "{large:?}");
}

/// Minutes: `./x deep`.
#[test]
#[ignore = "minutes; part of ./x deep"]
fn a_slide_of_a_hundred_thousand_pixels_a_side_is_mapped_in_bounded_memory_and_linear_time() {
    let all = [25_000, 50_000, 100_000].map(mapped);
    grows_by_little(&all[0], &all[2]);
    assert!(all[2][1] < MEMORY_KB, "{:?}", all[2]);
    let slope = (all[2][2] as f64 / all[1][2] as f64).ln() / 4f64.ln();
    println!("time grows with the area to the power of {slope:.3} (50 to 100 thousand pixels)");
    assert!(slope < 1.05, "{slope}");
}

/// All files of a folder and their bytes, by name.
fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()) {
        if entry.is_dir() {
            out.extend(files(&entry));
        } else {
            out.push((entry.strip_prefix(dir).unwrap().display().to_string(), std::fs::read(&entry).unwrap()));
        }
    }
    out.sort();
    out
}

#[test]
fn a_run_killed_at_any_time_goes_on_and_ends_with_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let run = |parameters: &str, out: &str| assert!(command(10_000, parameters, &at(out)).status().unwrap().success());
    run(r#"{"k": 5}"#, "whole");
    let cached = format!(r#"{{"k": 5, "cache_dir": "{}", "threads": 1}}"#, at("cache").display());
    // a growing time each, so that the kills fall everywhere from the first window to the last file
    let (mut killed, mut wait_ms) = (0, 30);
    loop {
        let mut child = command(10_000, &cached, &at("resumed")).env("HISTOLOOM_SCALE_REST_MS", "4").spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(wait_ms));
        if child.try_wait().unwrap().is_some_and(|status| status.success()) {
            break;
        }
        let _ = child.kill();
        child.wait().unwrap();
        killed += 1;
        wait_ms += wait_ms / 5;
    }
    assert!(killed > 3, "killed {killed} times");
    let (whole, resumed) = (files(&at("whole")), files(&at("resumed")));
    assert!(whole.len() > 15 && whole.iter().all(|file| resumed.contains(file)), "after {killed} kills");
}
