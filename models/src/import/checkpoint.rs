//! Which tensors of a checkpoint are which weights of the published networks. In: tensors by their CompVis names. Out: for each of our
//! weight files its tensors, all there and of the right shape. Fails naming the first that is not.
//!
//! | in the checkpoint | here |
//! |---|---|
//! | `model_ema.diffusion_model` + key without its dots, where there are any; else `model.diffusion_model.*` | `htd_unet` |
//! | `first_stage_model.*` but `loss.*` and `model_ema.*` | `htd_vq` |
//! | `cond_stage_model.*` | `htd_rescaler` |
//! | `betas`, `scale_factor` | checked |
//! | anything else | ignored |

use histoloom_core::condition::paper::Variant;
use histoloom_core::diffuse::ddim::betas;
use histoloom_core::{Error, Result};

use super::source::Source;
use super::tensors::Tensors;
use super::write::{Made, Network};
use crate::htd::{RESCALER, UNET, VQ, rescaler, unet, vq};

const UNET_KEYS: &str = "model.diffusion_model.";
const EMA_KEYS: &str = "model_ema.diffusion_model";
const VQ_KEYS: &str = "first_stage_model.";
const CONDITION_KEYS: &str = "cond_stage_model.";
/// Parts of a first stage that were for its training only.
const VQ_TRAINING: [&str; 2] = ["first_stage_model.loss.", "first_stage_model.model_ema."];
/// What to do with a checkpoint of another network.
const OTHER: &str = "give a checkpoint of the published networks (Camelyon16, PANDA or TCGA) as their authors publish it, \
     or a vision transformer in timm's, DINOv2's or the transformers library's names";
/// Where these networks come from, in a manifest.
const PROVENANCE: &str = "imported from a checkpoint of the published networks by `histoloom models import`";

/// What a checkpoint holds.
pub struct Checkpoint<'a> {
    /// The weight files to write.
    pub networks: Vec<Network<'a>>,
    /// Which planes its condition has.
    pub variant: Variant,
    /// Whether the UNet's weights are averages over the training.
    pub ema: bool,
}

/// Finds the networks.
pub fn read<'a>(source: &Source, all: &'a Tensors) -> Result<Checkpoint<'a>> {
    let begins = |prefix: &str| all.keys().any(|k| k.starts_with(prefix));
    if let Some(key) = all.keys().find(|k| k.starts_with("control_model.") || k.starts_with("model.control_model.")) {
        let hint = "use the variant that concatenates its condition (cond_stage_model.channel_mapper.weight)";
        return Err(source.refused(format!("`{key}` shows a ControlNet, which is not supported"), hint));
    }
    check_schedule(source, all)?;
    let ema = begins(EMA_KEYS);
    let unet_key = |name: &str| if ema { format!("{EMA_KEYS}{}", name.replace('.', "")) } else { format!("{UNET_KEYS}{name}") };
    let vq_key = |name: &str| format!("{VQ_KEYS}{name}");
    let condition_key = |name: &str| format!("{CONDITION_KEYS}{name}");
    let find = |key: String| all.get(&key).ok_or_else(|| source.refused(format!("tensor `{key}` is missing"), OTHER));
    let shape = |key: String| find(key).map(|t| t.shape.clone());

    let reduction = rescaler::Config::read(&|name| shape(condition_key(name)))?;
    let unet = unet::Config::read(&|name| shape(unet_key(name)))?;
    let vq = vq::Config::read(&|name| shape(vq_key(name)))?;
    if unet.output != vq.embed || unet.input != unet.output + reduction.output {
        let why = format!(
            "its UNet takes {} channels and gives {}, its first stage has {}, its condition {}",
            unet.input, unet.output, vq.embed, reduction.output
        );
        return Err(source.refused(why, OTHER));
    }
    let networks = vec![
        network(source, all, (UNET, "htd_unet"), unet.tensors()?, &unet_key)?,
        network(source, all, (VQ, "htd_first_stage"), vq.tensors()?, &vq_key)?,
        network(source, all, (RESCALER, "htd_rescaler"), reduction.tensors()?, &condition_key)?,
    ];
    let used: std::collections::BTreeSet<&str> = networks.iter().flat_map(|n| n.tensors.iter().flat_map(Made::keys)).collect();
    let ours = [if ema { EMA_KEYS } else { UNET_KEYS }, VQ_KEYS, CONDITION_KEYS];
    let training = |key: &&String| VQ_TRAINING.iter().any(|t| key.starts_with(t));
    let other = all.keys().filter(|k| ours.iter().any(|o| k.starts_with(o)) && !training(k)).find(|k| !used.contains(k.as_str()));
    if let Some(key) = other {
        return Err(source.refused(format!("it has a tensor `{key}`, which the published networks have not"), OTHER));
    }
    Ok(Checkpoint { networks, variant: reduction.variant()?, ema })
}

/// The tensors of one weight file.
fn network<'a>(
    source: &Source,
    all: &'a Tensors,
    (id, kind): (&'static str, &'static str),
    wanted: Vec<(String, Vec<usize>)>,
    key: &dyn Fn(&str) -> String,
) -> Result<Network<'a>> {
    let found = wanted.into_iter().map(|(name, shape)| {
        let key = key(&name);
        match all.get(&key) {
            Some(t) if t.shape == shape => Ok(Made { name, shape, parts: vec![(key, t)] }),
            Some(t) => Err(source.refused(format!("tensor `{key}` has shape {:?}, not {shape:?}", t.shape), OTHER)),
            None => Err(source.refused(format!("tensor `{key}` is missing"), OTHER)),
        }
    });
    let tensors = found.collect::<Result<_>>()?;
    Ok(Network { id: id.into(), file: format!("{id}.safetensors"), kind, provenance: PROVENANCE, tensors })
}

/// The schedule and scale that the sampler assumes, where the checkpoint tells its own.
fn check_schedule(source: &Source, all: &Tensors) -> Result<()> {
    let other = |key: &str, what: &str| -> Error { source.refused(format!("`{key}` {what}"), OTHER) };
    if let Some(t) = all.get("betas") {
        let theirs = t.values(source, "betas")?;
        let near = |(a, b): (&f32, f64)| (f64::from(*a) - b).abs() < 1e-4 * b;
        if theirs.len() != betas().count() || !theirs.iter().zip(betas()).all(near) {
            return Err(other("betas", "is not the published noise schedule (1000 steps, roots 0.0015 to 0.0205)"));
        }
    }
    if let Some(t) = all.get("scale_factor")
        && t.values(source, "scale_factor")?.iter().any(|v| (v - 1.0).abs() > 1e-6)
    {
        return Err(other("scale_factor", "is not 1, as in the published networks"));
    }
    Ok(())
}
