//! A checkpoint written by PyTorch becomes weight files that run as in PyTorch; what is no such checkpoint is refused with what to do,
//! and leaves nothing behind. `htd_tiny.ckpt` is made by `reference/goldens_htd.py`.

use std::path::Path;

use histoloom_core::Job;

use super::{Goldens, data, safetensors_of};
use crate::import::Network;
use crate::self_test::relative_error;
use crate::{Engine, import, weights};

fn tiny() -> std::path::PathBuf {
    data("htd_tiny.ckpt")
}

/// Imports into a new folder; the error must leave no trace.
pub(super) fn refusal(file: &Path) -> String {
    let dir = tempfile::tempdir().unwrap();
    let why = import::run(file, &dir.path().join("out"), &Job::new()).expect_err("must be refused").to_string();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "{why}: something was left behind");
    why
}

#[test]
fn a_checkpoint_of_pytorch_is_imported_and_its_averaged_weights_give_pytorchs_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let (out, job) = (dir.path().join("deep/c16"), Job::new());
    let made = import::run(&tiny(), &out, &job).unwrap();
    let expected = Network::Published { classes: 2, background: false, condition_channels: 8, weights: "ema" };
    assert_eq!((&made.network, made.parameters), (&expected, 956_905));
    assert_eq!((made.files.len(), job.progress().done, job.progress().total), (4, 410, 410));
    assert!(made.files.iter().all(|f| f.is_file()));
    let manifest = weights::manifest(&out).unwrap();
    for m in &manifest.models {
        assert_eq!((m.licence.as_str(), &m.more["source_sha256"]), (import::LICENCE, &made.source_sha256.clone().into()));
        weights::Weights::load(&out, &m.id).unwrap();
    }
    let g = Goldens::named("htd_goldens.safetensors");
    let net = Engine::open("cpu", Path::new("/not/needed"), 2).unwrap().paper(&out).unwrap();
    let reduced = net.denoiser.reduce(&g.planes("tiny_condition")).unwrap();
    let eps = net.denoiser.eps(&g.planes("tiny_x"), &reduced, 500).unwrap();
    let errors = [relative_error(&reduced, &g.planes("tiny_reduced")), relative_error(&eps, &g.planes("tiny_eps"))];
    assert!(errors.iter().all(|e| *e < 1e-4), "{errors:?}");
    let decoded = net.codec.decode(&g.planes("tiny_z")).unwrap();
    let want = &g.planes("tiny_decoded")[0];
    for (x, y, p) in decoded[0].enumerate_pixels() {
        for c in 0..3 {
            let exact = (want.at(c, y as usize, x as usize) * 0.5 + 0.5).clamp(0.0, 1.0) * 255.0;
            assert!((f32::from(p[c]) - exact).abs() <= 0.51, "({x}, {y}) channel {c}: {} for {exact}", p[c]);
        }
    }
}

#[test]
fn an_existing_folder_is_taken_when_empty_and_kept_when_it_holds_something() {
    let dir = tempfile::tempdir().unwrap();
    import::run(&tiny(), dir.path(), &Job::new()).unwrap();
    let before = std::fs::read(dir.path().join("manifest.json")).unwrap();
    let why = import::run(&tiny(), dir.path(), &Job::new()).unwrap_err().to_string();
    assert!(why.contains("holds something else") && why.contains("new or empty"), "{why}");
    assert_eq!(std::fs::read(dir.path().join("manifest.json")).unwrap(), before);
}

#[test]
fn a_cancelled_import_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let job = Job::new();
    job.cancel();
    let ended = import::run(&tiny(), &dir.path().join("out"), &job);
    assert!(matches!(ended, Err(histoloom_core::Error::Cancelled)));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// The tiny checkpoint as a safetensors file of f32, changed by `change`.
fn converted(change: impl FnOnce(&mut Vec<(String, Vec<usize>, Vec<f32>)>)) -> tempfile::NamedTempFile {
    let dir = tempfile::tempdir().unwrap();
    import::run(&tiny(), &dir.path().join("out"), &Job::new()).unwrap();
    let mut all = Vec::new();
    for (id, prefix) in [("htd_unet", "model.diffusion_model."), ("htd_vq", "first_stage_model."), ("htd_rescaler", "cond_stage_model.")] {
        let bytes = std::fs::read(dir.path().join(format!("out/{id}.safetensors"))).unwrap();
        let w = weights::Weights::load(&dir.path().join("out"), id).unwrap();
        for (name, t) in safetensors::SafeTensors::deserialize(&bytes).unwrap().iter() {
            let values = w.values(name, t.shape()).unwrap().to_vec();
            all.push((format!("{prefix}{name}"), t.shape().to_vec(), values));
        }
    }
    change(&mut all);
    let file = tempfile::Builder::new().suffix(".safetensors").tempfile().unwrap();
    std::fs::write(file.path(), safetensors_of(&all)).unwrap();
    file
}

#[test]
fn a_safetensors_file_of_plain_weights_is_imported_too() {
    let dir = tempfile::tempdir().unwrap();
    let background = |all: &mut Vec<(String, Vec<usize>, Vec<f32>)>| {
        let mapper = all.iter_mut().find(|(n, ..)| n.ends_with("channel_mapper.weight")).unwrap();
        *mapper = (mapper.0.clone(), vec![3, 9, 1, 1], vec![0.1; 27]);
    };
    let made = import::run(converted(background).path(), &dir.path().join("panda"), &Job::new()).unwrap();
    assert_eq!(made.network, Network::Published { classes: 2, background: true, condition_channels: 9, weights: "plain" });
    assert!(weights::manifest(&dir.path().join("panda")).unwrap().models.iter().all(|m| m.more["background"] == true));
}

#[test]
fn a_checkpoint_of_another_network_is_refused_by_tensor() {
    type All = Vec<(String, Vec<usize>, Vec<f32>)>;
    type Change = fn(&mut All);
    let cases: [(&str, Change); 9] = [
        ("model.diffusion_model.out.2.bias` is missing", |a| a.retain(|t| t.0 != "model.diffusion_model.out.2.bias")),
        ("cond_stage_model.channel_mapper.weight` is missing", |a| a.retain(|t| !t.0.starts_with("cond_stage"))),
        ("`control_model.x` shows a ControlNet", |a| a.push(("control_model.x".into(), vec![1], vec![0.0]))),
        ("input_blocks.7.1.norm.weight`, which the published", |a| {
            a.push(("model.diffusion_model.input_blocks.7.1.norm.weight".into(), vec![1], vec![0.0]));
        }),
        ("`betas` is not the published", |a| a.push(("betas".into(), vec![1000], vec![0.01; 1000]))),
        ("`scale_factor` is not 1", |a| a.push(("scale_factor".into(), vec![], vec![0.18]))),
        ("time_embed.2.weight` has shape [128, 64]", |a| {
            let t = a.iter_mut().find(|t| t.0.ends_with("time_embed.2.weight")).unwrap();
            *t = (t.0.clone(), vec![128, 64], vec![0.0; 128 * 64]);
        }),
        ("not finite", |a| a[0].2[0] = f32::NAN),
        ("it mixes 6 planes", |a| {
            let t = a.iter_mut().find(|t| t.0.starts_with("cond_stage")).unwrap();
            *t = (t.0.clone(), vec![3, 6, 1, 1], vec![0.0; 18]);
        }),
    ];
    for (word, change) in cases {
        let why = refusal(converted(change).path());
        assert!(why.contains(word) && why.contains(';'), "{word}: {why}");
    }
    let plain = refusal(&super::shipped().join("he_autoencoder.safetensors"));
    assert!(plain.contains("channel_mapper.weight` is missing") && plain.contains("he_autoencoder.safetensors"), "{plain}");
}
