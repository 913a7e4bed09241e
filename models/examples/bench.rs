//! Times the shipped networks and a ViT-S/16 of made-up weights on one device: `bench [--device cpu] [--threads N] [--rounds N]`; with
//! `--only TEXT` those with it in their names; with `--serve` it tells their names as a JSON list and then runs whatever is named on a line of
//! standard input, a quarter of a second unseen and then once; with `--rows FILE --channels C --k K` k-means on the rows of that file instead, with
//! `--published DIR` an imported network, with `--numbers FILE` no times but what the networks are given and make of it. One JSON object a
//! line: wall and processor milliseconds. `reference/bench.py` runs it beside PyTorch on the same weights.
#![allow(clippy::print_stdout, reason = "a command-line tool")]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use histoloom_core::{Encoder, Error, Job, Planes, Result, cluster, rng};
use histoloom_models::{Engine, import, vit};
use image::RgbImage;
use safetensors::tensor::{Dtype, TensorView};

/// Wall and processor milliseconds, each the median of the rounds.
struct Timing {
    wall_ms: f64,
    cpu_ms: f64,
}

/// Processor seconds of all threads of this process so far (Linux; elsewhere 0).
fn cpu_s() -> f64 {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return 0.0 };
    let ns = |task: std::fs::DirEntry| -> Option<f64> {
        std::fs::read_to_string(task.path().join("schedstat")).ok()?.split(' ').next()?.parse().ok()
    };
    tasks.flatten().filter_map(ns).sum::<f64>() * 1e-9
}

/// Highest resident memory so far in MB (Linux; elsewhere 0).
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).and_then(|l| l.split_whitespace().next());
    line.and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// How long a work goes on unseen before it is timed: after a rest a machine is slower for a while, a virtual one by half.
const WARM_MS: u128 = 250;

fn time(rounds: usize, f: &mut dyn FnMut() -> Result<()>) -> Result<Timing> {
    let began = Instant::now();
    while began.elapsed().as_millis() < WARM_MS {
        f()?;
    }
    let (mut wall, mut cpu) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (start, used) = (Instant::now(), cpu_s());
        f()?;
        wall.push(start.elapsed().as_secs_f64() * 1e3);
        cpu.push((cpu_s() - used) * 1e3);
    }
    Ok(Timing { wall_ms: median(wall), cpu_ms: median(cpu) })
}

/// The value after `--name`, or `default`.
fn option(name: &str, default: &str) -> String {
    let mut arguments = std::env::args().skip_while(|a| a != name).skip(1);
    arguments.next().unwrap_or_else(|| default.into())
}

/// A ViT-S/16 as a user would give one.
fn vit_small(engine: &Engine) -> Result<Arc<dyn Encoder>> {
    let config = vit::Config {
        width: 384,
        depth: 12,
        heads: 6,
        patch_px: 16,
        class_token: true,
        registers: 0,
        placed: 1,
        side: 14,
        mlp: vit::Mlp::Gelu,
        hidden: 1536,
        qkv_bias: true,
        layer_scale: false,
    };
    let value = |i: usize| ((i * 7919 % 2003) as f32 / 1001.0 - 1.0) * 0.05;
    let bytes = |shape: &[usize]| (0..shape.iter().product()).flat_map(|i| value(i).to_le_bytes()).collect::<Vec<u8>>();
    let made: Vec<_> = config.tensors().into_iter().map(|(name, shape)| (name, bytes(&shape), shape)).collect();
    let internal = |e: String| Error::internal(e);
    let views: std::result::Result<Vec<_>, _> =
        made.iter().map(|(name, bytes, shape)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?))).collect();
    let views = views.map_err(|e: safetensors::SafeTensorError| internal(e.to_string()))?;
    let dir = tempfile::tempdir().map_err(|e| internal(e.to_string()))?;
    let file = dir.path().join("vit_small.safetensors");
    safetensors::serialize_to_file(views, None, &file).map_err(|e| internal(e.to_string()))?;
    import::run(&file, &dir.path().join("out"), &Job::new())?;
    engine.encoder_from(&dir.path().join("out"))
}

fn main() -> Result<()> {
    let rounds = option("--rounds", "5").parse().unwrap_or(5);
    let threads = option("--threads", "0").parse().unwrap_or(0);
    let rows = option("--rows", "");
    if !rows.is_empty() {
        let number = |name| option(name, "16").parse().unwrap_or(16);
        return kmeans(&rows, number("--channels"), number("--k"), threads, rounds);
    }
    let engine = Engine::open(&option("--device", "cpu"), &Path::new(env!("CARGO_MANIFEST_DIR")).join("weights"), threads)?;
    let published = option("--published", "");
    if !published.is_empty() {
        return published_network(&engine, Path::new(&published), rounds);
    }
    let numbers = option("--numbers", "");
    if !numbers.is_empty() {
        return write_numbers(&engine, Path::new(&numbers));
    }
    let (encoder, codec, denoiser, refiner) = (engine.encoder()?, engine.codec()?, engine.denoiser()?, engine.refiner()?);
    println!("{} ({}), medians of {rounds}", engine.device().name, engine.device().kind);
    let windows: Vec<RgbImage> = (0..8).map(|i| picture(320, i)).collect();
    let whole: Vec<RgbImage> = (0..2).map(|i| picture(576, i)).collect(); // what a cluster job embeds, its margins included
    let (x, c) = (vec![latents(1, denoiser.channels())?; 2], vec![latents(2, denoiser.condition_channels())?; 2]);
    let tile = [picture(256, 0)];
    let small = vit_small(&engine)?;
    let tiles: Vec<RgbImage> = (0..8).map(|i| picture(224, i)).collect();
    // another condition each time, for what a condition says is kept; the tile has one for all its steps, as tiles do
    let (mut other, mut another) = (c.clone(), c.clone());
    let parts: Vec<Part<'_>> = vec![
        ("encoder, one 320 px window", Box::new(|| encoder.embed(&windows[..1]).map(drop))),
        ("encoder, eight 320 px windows", Box::new(|| encoder.embed(&windows).map(drop))),
        ("encoder, two 576 px windows", Box::new(|| encoder.embed(&whole).map(drop))),
        (
            "denoising step with guidance, 32 x 32 latents",
            Box::new(|| {
                other[0].data[0] += 1.0;
                denoiser.velocity(&x, &other, 0.5, 0.0).map(drop)
            }),
        ),
        ("encode, 256 px", Box::new(|| codec.encode(&tile).map(drop))),
        ("decode, 256 px", Box::new(|| codec.decode(&x[..1]).map(drop))),
        (
            "tile of 256 px: 6 steps with guidance, 2 of the refiner, decode",
            Box::new(|| {
                another[0].data[0] += 1.0;
                (0..6).try_for_each(|_| denoiser.velocity(&x, &another, 0.75, 0.0).map(drop))?;
                (0..2).try_for_each(|_| refiner.velocity(&x[..1], &another[..1], 0.25, 0.0).map(drop))?;
                codec.decode(&x[..1]).map(drop)
            }),
        ),
        ("ViT-S/16, one 224 px tile", Box::new(|| small.embed(&tiles[..1]).map(drop))),
        ("ViT-S/16, eight 224 px tiles", Box::new(|| small.embed(&tiles).map(drop))),
    ];
    run(parts, rounds)
}

/// Its name, and what runs it once.
type Part<'a> = (&'a str, Box<dyn FnMut() -> Result<()> + 'a>);

/// All that are asked for one after the other, or, with `--serve`, whatever standard input names.
fn run(mut parts: Vec<Part<'_>>, rounds: usize) -> Result<()> {
    let only = option("--only", "");
    parts.retain(|(name, _)| name.contains(&only));
    if !std::env::args().any(|a| a == "--serve") {
        for (name, f) in &mut parts {
            show(name, &time(rounds, f)?);
        }
        println!("peak memory {:.0} MB", peak_mb());
        return Ok(());
    }
    println!("{}", serde_json::json!(parts.iter().map(|(name, _)| name).collect::<Vec<_>>()));
    for line in std::io::stdin().lines() {
        let asked = line.map_err(|e| Error::internal(e.to_string()))?;
        if let Some((name, f)) = parts.iter_mut().find(|(name, _)| *name == asked) {
            show(name, &time(1, f)?);
        }
    }
    Ok(())
}

fn picture(side: u32, i: u32) -> RgbImage {
    RgbImage::from_fn(side, side, |x, y| image::Rgb([(x * 3 + i) as u8, y as u8, 200]))
}

fn latents(seed: u64, channels: usize) -> Result<Planes> {
    Planes::new(channels, 32, 32, rng::noise(seed, 0, 0, channels * 1024))
}

/// Runs each shipped network once; its inputs and outputs as a safetensors file.
fn write_numbers(engine: &Engine, file: &Path) -> Result<()> {
    let (encoder, codec, denoiser) = (engine.encoder()?, engine.codec()?, engine.denoiser()?);
    let (x, condition) = ([latents(1, denoiser.channels())?], [latents(2, denoiser.condition_channels())?]);
    let (window, tile) = ([picture(320, 0)], [picture(256, 0)]);
    let planes = [
        ("x", x[0].clone()),
        ("condition", condition[0].clone()),
        ("embedding", encoder.embed(&window)?.remove(0)),
        ("velocity", denoiser.velocity(&x, &condition, 0.5, 0.0)?.remove(0)),
        ("encoded", codec.encode(&tile)?.remove(0)),
    ];
    let [window, tile] = [window, tile].map(|[picture]| picture);
    let pictures = [("window", window), ("tile", tile), ("decoded", codec.decode(&x)?.remove(0))];
    let shape_of = |p: &Planes| vec![p.channels, p.height, p.width];
    let of_planes = planes.iter().map(|(name, p)| (*name, Dtype::F32, shape_of(p), p.data.iter().flat_map(|v| v.to_le_bytes()).collect()));
    let of_pictures =
        pictures.iter().map(|(name, p)| (*name, Dtype::U8, vec![p.height() as usize, p.width() as usize, 3], p.as_raw().clone()));
    let all: Vec<(&str, Dtype, Vec<usize>, Vec<u8>)> = of_planes.chain(of_pictures).collect();
    let views: std::result::Result<Vec<_>, _> =
        all.iter().map(|(name, kind, shape, bytes)| Ok((name, TensorView::new(*kind, shape.clone(), bytes)?))).collect();
    let internal = |e: safetensors::SafeTensorError| Error::internal(format!("{}: {e}", file.display()));
    safetensors::serialize_to_file(views.map_err(internal)?, None, file).map_err(internal)
}

/// Clusters the rows of a file of little-endian f32 as a cluster job does, and once more from rows evenly apart by 25 iterations.
fn kmeans(file: &str, channels: usize, k: usize, threads: usize, rounds: usize) -> Result<()> {
    let bytes = std::fs::read(file).map_err(|e| Error::internal(format!("{file}: {e}")))?;
    let data: Vec<f32> = bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let (rows, job) = (cluster::Rows { data: &data, channels }, Job::new());
    let step = rows.len() / k.max(1);
    let start = || cluster::Centroids { channels, data: (0..k).flat_map(|i| rows.row(i * step).iter().copied()).collect() };
    let whole = || cluster::fit(rows, k, 1, &job);
    let once = || cluster::lloyd(rows, start(), 25, &job);
    let ways: [(&str, &(dyn Fn() -> Result<cluster::Model> + Sync)); 2] = [("six seedings", &whole), ("one start, 25 iterations", &once)];
    for (name, way) in ways {
        let mut inertia = 0.0;
        let timing = histoloom_core::pool::pool(threads)?.install(|| {
            time(rounds, &mut || {
                inertia = way()?.inertia;
                Ok(())
            })
        })?;
        println!("{}", serde_json::json!({ "name": name, "ms": timing.wall_ms, "cpu_ms": timing.cpu_ms, "inertia": inertia }));
    }
    Ok(())
}

/// The passes of HTD-LDM at the size it was published for: a tile of 256 px.
fn published_network(engine: &Engine, dir: &Path, rounds: usize) -> Result<()> {
    let net = engine.paper(dir)?;
    let made_up = |seed| Planes::new(3, 64, 64, rng::noise(seed, 0, 0, 3 * 4096));
    let (x, reduced) = ([made_up(1)?], [made_up(2)?]);
    let parts: Vec<Part<'_>> = vec![
        ("HTD-LDM, one step of a 256 px tile", Box::new(|| net.denoiser.eps(&x, &reduced, 500).map(drop))),
        ("HTD-LDM, decode 256 px", Box::new(|| net.codec.decode(&x).map(drop))),
    ];
    run(parts, rounds)
}

/// One JSON object a line, as `reference/bench.py` reads them.
fn show(name: &str, t: &Timing) {
    println!("{}", serde_json::json!({ "name": name, "ms": t.wall_ms, "cpu_ms": t.cpu_ms }));
}
