//! A vision transformer's file becomes an encoder whichever library named its tensors; what is no such file is refused by tensor, and
//! leaves nothing behind.

use std::collections::BTreeMap;
use std::path::Path;

use histoloom_core::rng::Stream;
use histoloom_core::{Encoder as _, Job};

use super::imports::refusal;
use super::vit::{folder, goldens, net};
use super::{Tensor, cpu, data, safetensors_of};
use crate::cpu::CpuOps;
use crate::import::{self, Network};
use crate::vit::{Config, Found, Mlp, VitNet};
use crate::{Engine, weights};

/// A folder with a file of these tensors in it.
fn file_of(tensors: &[Tensor]) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("model.safetensors");
    std::fs::write(&file, safetensors_of(tensors)).unwrap();
    (dir, file)
}

/// Embeddings after an import of these tensors.
fn embedded(tensors: &[Tensor], variant: &str) -> Vec<histoloom_core::Planes> {
    let (dir, file) = file_of(tensors);
    import::run(&file, &dir.path().join("out"), &Job::new()).unwrap();
    net(CpuOps::default(), cpu(2), dir.path()).embed_raw(&goldens().pictures(&format!("{variant}_pictures"))).unwrap()
}

#[test]
fn an_import_says_in_its_manifest_what_the_encoder_is_and_the_engine_keeps_the_last_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("uni.small.safetensors");
    std::fs::write(&file, safetensors_of(&goldens().tensors("vit_gated."))).unwrap();
    let (out, job) = (dir.path().join("deep/out"), Job::new());
    let made = import::run(&file, &out, &job).unwrap();
    assert_eq!((made.files.len(), job.progress().done, job.progress().total), (2, 33, 33));
    let Network::Encoder(e) = &made.network else { panic!("{made:?}") };
    assert_eq!((e.id.as_str(), e.width, e.depth, e.heads), ("uni.small", 128, 2, 2));
    assert_eq!((e.patch_px, e.size_px, e.mlp, e.registers, e.class_token, e.tokens), (16, 64, "swiglu", 4, true, "dense"));
    let m = weights::manifest(&out).unwrap().models.remove(0);
    assert_eq!((m.id.as_str(), m.file.as_str(), m.kind.as_str()), ("uni.small", "encoder.safetensors", "encoder"));
    assert_eq!((m.licence.as_str(), &m.more["source_sha256"]), (import::LICENCE, &made.source_sha256.clone().into()));
    let facts = [("mpp", "0.5"), ("size_px", "64"), ("patch_px", "16"), ("tokens", "\"dense\""), ("registers", "4"), ("heads", "2")];
    for (key, value) in facts {
        assert_eq!(m.more[key].to_string(), value, "{key}");
    }
    assert_eq!(m.more["normalisation"]["mean"].as_array().map(Vec::len), Some(3));
    let told = serde_json::to_value(&made).unwrap();
    assert_eq!((told["kind"].as_str(), told["width"].as_u64()), (Some("encoder"), Some(128)), "{told}");

    let engine = Engine::open("cpu", Path::new("/not/needed"), 1).unwrap();
    let encoder = engine.encoder_from(&out).unwrap();
    assert!(std::sync::Arc::ptr_eq(&encoder, &engine.encoder_from(&out).unwrap()), "kept");
    assert_eq!((encoder.id(), encoder.channels(), encoder.stride_px()), ("uni.small", 64, 16));
    let other = folder(&goldens(), "plain");
    assert_ne!(engine.encoder_from(&other.path().join("out")).unwrap().sha256(), encoder.sha256());
    assert!(engine.encoder_from(dir.path()).err().unwrap().to_string().contains("manifest.json"));
}

/// The tensors of a network of timm's, named as by the transformers library, queries, keys and values apart.
fn transformers_names(tensors: Vec<Tensor>) -> Vec<Tensor> {
    let names = [
        ("cls_token", "embeddings.cls_token"),
        ("reg_token", "embeddings.register_tokens"),
        ("pos_embed", "embeddings.position_embeddings"),
        ("patch_embed.proj", "embeddings.patch_embeddings.projection"),
        ("blocks.", "encoder.layer."),
        ("attn.proj", "attention.output.dense"),
        ("ls1.gamma", "layer_scale1.lambda1"),
        ("ls2.gamma", "layer_scale2.lambda1"),
    ];
    let mut out: Vec<Tensor> = vec![("embeddings.mask_token".into(), vec![1, 4], vec![0.0; 4])];
    for (name, shape, values) in tensors {
        let name = names.iter().fold(name, |n, (a, b)| n.replace(a, b));
        let name = if name.starts_with("norm.") { name.replace("norm.", "layernorm.") } else { name };
        if name.contains("attn.qkv") {
            let third = [&[shape[0] / 3], &shape[1..]].concat();
            for (part, values) in ["query", "key", "value"].iter().zip(values.chunks_exact(values.len() / 3)) {
                out.push((name.replace("attn.qkv", &format!("attention.attention.{part}")), third.clone(), values.to_vec()));
            }
        } else {
            out.push((name, shape, values));
        }
    }
    out
}

#[test]
fn files_of_timm_dinov2_and_transformers_give_the_same_embeddings() {
    let g = goldens();
    let timm = embedded(&g.tensors("vit_registers."), "registers");
    assert_eq!(embedded(&transformers_names(g.tensors("vit_registers.")), "registers"), timm, "transformers");
    let prefixed = |t: Tensor| (format!("module.backbone.{}", t.0), t.1, t.2);
    let mut training: Vec<Tensor> = g.tensors("vit_registers.").into_iter().map(prefixed).collect();
    training.push(("module.head.mlp.0.weight".into(), vec![2], vec![0.0; 2]));
    assert_eq!(embedded(&training, "registers"), timm, "a wrapped model with a head");
    // timm's SwiGLU with its halves apart
    let gated = g.tensors("vit_gated.");
    let apart = gated.iter().flat_map(|(name, shape, values)| {
        if !name.contains("mlp.fc1.") {
            return vec![(name.clone(), shape.clone(), values.clone())];
        }
        let half = [&[shape[0] / 2], &shape[1..]].concat();
        let names = ["mlp.fc1_g.", "mlp.fc1_x."].map(|n| name.replace("mlp.fc1.", n));
        names.into_iter().zip(values.chunks_exact(values.len() / 2)).map(|(n, v)| (n, half.clone(), v.to_vec())).collect()
    });
    assert_eq!(embedded(&apart.collect::<Vec<_>>(), "gated"), embedded(&gated, "gated"), "SwiGLU in two parts");
    // chunks of blocks, numbered through
    let chunked = |t: Tensor| (t.0.replace("blocks.0.", "blocks.0.0.").replace("blocks.1.", "blocks.1.1."), t.1, t.2);
    let dinov2 = g.tensors("vit_dinov2.");
    assert_eq!(embedded(&dinov2.iter().cloned().map(chunked).collect::<Vec<_>>(), "dinov2"), embedded(&dinov2, "dinov2"), "chunks");
}

#[test]
fn a_config_json_beside_the_file_says_heads_and_normalisation() {
    let (dir, file) = file_of(&goldens().tensors("vit_plain."));
    let beside = |text: &str| std::fs::write(dir.path().join("config.json"), text).unwrap();
    let run = |out: &str| import::run(&file, &dir.path().join(out), &Job::new());
    let of = |out: &str| match run(out).unwrap().network {
        Network::Encoder(e) => (e.heads, e.normalisation.mean),
        other => panic!("{other:?}"),
    };
    let plain = of("a");
    assert_eq!(plain, (2, [0.485, 0.456, 0.406]));
    beside(r#"{"model_args": {"num_heads": 4}, "pretrained_cfg": {"mean": [0.5, 0.25, 0.125], "std": [0.5, 0.5, 0.5]}}"#);
    assert_eq!(of("b"), (4, [0.5, 0.25, 0.125]));
    let sha = |out: &str| VitNet::load(CpuOps::default(), cpu(1), &dir.path().join(out)).unwrap().sha256().to_owned();
    assert_ne!(sha("a"), sha("b"), "other embeddings have another name");
    for (text, heads) in [("[", 2), (r#"{"num_attention_heads": 8, "mean": [1, 2], "std": [0, 0, 0], "hidden_act": "gelu"}"#, 8)] {
        beside(text);
        assert_eq!(of(&format!("out{heads}")), (heads, [0.485, 0.456, 0.406]), "{text}");
    }
    for (text, word) in [(r#"{"num_heads": 3}"#, "3 heads"), (r#"{"hidden_act": "quick_gelu"}"#, "quick_gelu")] {
        beside(text);
        assert!(run("c").unwrap_err().to_string().contains(word), "{text}");
    }
}

#[test]
fn networks_in_the_wild_are_told_by_shapes_and_have_as_many_values_as_published() {
    let vit = |width, depth, heads, patch_px, side| Config {
        width,
        depth,
        heads,
        patch_px,
        class_token: true,
        registers: 0,
        placed: 1,
        side,
        mlp: Mlp::Gelu,
        hidden: 4 * width,
        qkv_bias: true,
        layer_scale: false,
    };
    let gated = |hidden, registers, placed, c| Config { mlp: Mlp::SwiGlu, hidden, registers, placed, layer_scale: true, ..c };
    let cases = [
        ("ViT-S/16", vit(384, 12, 6, 16, 14), 21_665_664),
        ("ViT-B/16", vit(768, 12, 12, 16, 14), 85_798_656),
        ("UNI, ViT-L/16", Config { layer_scale: true, ..vit(1024, 24, 16, 16, 14) }, 303_350_784),
        ("DINOv2 g/14 without its mask token", gated(4096, 0, 1, vit(1536, 40, 24, 14, 37)), 1_136_479_232),
        ("H-optimus-0, ViT-g/14", gated(4096, 4, 0, vit(1536, 40, 24, 14, 16)), 1_134_774_272),
        ("UNI2-h", gated(4096, 8, 0, vit(1536, 24, 24, 14, 16)), 681_394_176),
        ("Virchow2, ViT-H/14", gated(3416, 4, 5, vit(1280, 32, 16, 14, 16)), 631_239_424),
    ];
    for (name, config, count) in cases {
        let listed = config.tensors();
        assert_eq!(listed.iter().map(|(_, s)| s.iter().product::<usize>()).sum::<usize>(), count, "{name}");
        let shapes: BTreeMap<String, Vec<usize>> = listed.into_iter().collect();
        assert_eq!(Config::read(&Found::of(&shapes).unwrap(), None).unwrap(), config, "{name}");
    }
}

#[test]
fn a_file_of_another_transformer_is_refused_by_tensor() {
    type Change = fn(&mut Vec<Tensor>);
    fn of<'a>(all: &'a mut [Tensor], name: &str) -> &'a mut Tensor {
        all.iter_mut().find(|t| t.0 == name).unwrap()
    }
    fn shaped(all: &mut [Tensor], name: &str, shape: &[usize]) {
        *of(all, name) = (name.into(), shape.to_vec(), vec![0.1; shape.iter().product()]);
    }
    fn renamed(all: &mut [Tensor], from: &str, to: &str) {
        all.iter_mut().for_each(|t| t.0 = t.0.replace(from, to));
    }
    fn extra(all: &mut Vec<Tensor>, name: &str) {
        all.push((name.into(), vec![1], vec![0.0]));
    }
    let cases: [(&str, Change); 23] = [
        ("`blocks.1.attn.proj.bias` (as timm names it) is missing", |a| a.retain(|t| t.0 != "blocks.1.attn.proj.bias")),
        ("`pos_embed` (as timm names it) is missing", |a| a.retain(|t| t.0 != "pos_embed")),
        ("`norm.weight` (as timm names it) is missing", |a| a.retain(|t| t.0 != "norm.weight")),
        ("`blocks.0.mlp.fc1.weight` (as timm", |a| a.retain(|t| !t.0.starts_with("blocks."))),
        ("`blocks.1.norm2.weight` has shape [64], not [128]", |a| shaped(a, "blocks.1.norm2.weight", &[64])),
        ("`blocks.0.mlp.w3.weight` (blocks.0.mlp.fc2.weight) has shape [12, 512], not", |a| {
            renamed(a, "mlp.fc2", "mlp.w3");
            shaped(a, "blocks.0.mlp.w3.weight", &[12, 512]);
        }),
        ("a block 2 but no block 1", |a| renamed(a, "blocks.1.", "blocks.2.")),
        ("not finite", |a| of(a, "blocks.1.mlp.fc1.weight").2[7] = f32::NAN),
        ("not finite", |a| of(a, "norm.bias").2[7] = f32::INFINITY),
        ("`norm_pre.weight` normalises tokens before", |a| extra(a, "norm_pre.weight")),
        ("`fc_norm.weight` shows", |a| renamed(a, "norm.weight", "fc_norm.weight")),
        ("`blocks.0.attn.q_norm.weight`, which plain", |a| extra(a, "blocks.0.attn.q_norm.weight")),
        ("`dist_token`, which plain", |a| extra(a, "dist_token")),
        ("`attn_pool.latent`, which plain", |a| extra(a, "attn_pool.latent")),
        ("`blocks.1.ls1.gamma`, which its other blocks", |a| extra(a, "blocks.1.ls1.gamma")),
        ("`blocks.x.norm1.weight`, which plain", |a| renamed(a, "blocks.0.norm1.w", "blocks.x.norm1.w")),
        ("no embedding of RGB patches", |a| shaped(a, "patch_embed.proj.weight", &[128, 4, 16, 16])),
        ("patches must be squares", |a| shaped(a, "patch_embed.proj.weight", &[128, 3, 16, 8])),
        ("not those of a square", |a| shaped(a, "pos_embed", &[1, 19, 128])),
        ("neither a GELU nor a SwiGLU", |a| shaped(a, "blocks.0.mlp.fc1.weight", &[500, 128])),
        ("are both the same one", |a| {
            extra(a, "register_tokens");
            extra(a, "reg_token");
        }),
        ("is one of 3 parts of `blocks.0.attn.qkv.weight`, of which 1", |a| {
            renamed(a, "blocks.0.attn.qkv.w", "blocks.0.attention.attention.key.w");
        }),
        ("holds 2 vision transformers", |a| extra(a, "student.backbone.patch_embed.proj.weight")),
    ];
    for (word, change) in cases {
        let mut all = goldens().tensors("vit_plain.");
        change(&mut all);
        let (_dir, file) = file_of(&all);
        let why = refusal(&file);
        assert!(why.contains(word) && why.contains(';') && why.contains("model.safetensors"), "{word}: {why}");
    }
}

#[test]
fn an_encoders_file_cut_off_or_damaged_anywhere_is_refused_or_read_and_never_crashes() {
    let whole = safetensors_of(&goldens().tensors("vit_plain."));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cut.safetensors");
    for end in (0..whole.len()).step_by(60_007).chain(0..40).chain(whole.len() - 20..whole.len()) {
        std::fs::write(&file, &whole[..end]).unwrap();
        let why = refusal(&file);
        assert!(why.contains("cut.safetensors") && why.contains(';'), "cut at {end}: {why}");
    }
    let torch = std::fs::read(data("vit_tiny.pth")).unwrap();
    let (mut stream, header) = (Stream::new(11, 0, 0), 4000);
    for i in 0..200 {
        let (mut bytes, reach) = if i % 2 == 0 { (torch.clone(), torch.len()) } else { (whole.clone(), header) };
        for _ in 0..=stream.below(3) {
            // the directory of the zip, or anywhere
            let at = if i % 4 == 0 { reach - 1 - stream.below(1500) } else { stream.below(reach) };
            bytes[at] = stream.word() as u8;
        }
        std::fs::write(&file, &bytes).unwrap();
        let out = tempfile::tempdir().unwrap();
        let made = import::run(&file, &out.path().join("out"), &Job::new());
        assert_eq!(made.is_ok(), out.path().join("out").exists());
    }
}

#[test]
fn an_imported_folder_that_was_changed_is_refused() {
    let dir = folder(&goldens(), "plain");
    let out = dir.path().join("out");
    let load = || VitNet::load(CpuOps::default(), cpu(1), &out).err().unwrap().to_string();
    let (weights, manifest) = (out.join("encoder.safetensors"), out.join("manifest.json"));
    let (good, text) = (std::fs::read(&weights).unwrap(), std::fs::read_to_string(&manifest).unwrap());
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, &bad).unwrap();
    assert!(load().contains("sha-256"), "{}", load());
    std::fs::write(&weights, &good[1..]).unwrap();
    assert!(load().contains("the manifest says"), "{}", load());
    std::fs::write(&weights, &good).unwrap();
    for (from, to, word) in [
        ("\"heads\": 2", "\"heads\": 3", "3 heads"),
        ("\"heads\": 2", "\"heads\": -1", "manifest.json"),
        ("\"heads\": 2,", "", "heads"),
        ("0.229", "0.0", "deviations"),
        ("\"kind\": \"encoder\"", "\"kind\": \"other\"", "no encoder"),
        ("encoder.safetensors", "../encoder.safetensors", "names a path"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        std::fs::write(&manifest, changed).unwrap();
        assert!(load().contains(word), "{to}: {}", load());
    }
}
