//! Layers from named tensors. In: names and shapes as the published networks have them. Out: layers on a device; or, without weights
//! and without a device, the list of the tensors that a network asks for ([`Asked`]).

use std::cell::RefCell;

use histoloom_core::{Error, Planes, Result};

use super::GROUPS;
use crate::ops::{After, Before, ConvSpec, Inverted, NormSpec, Ops};
use crate::weights::Weights;

/// Where tensors come from.
pub trait Tensors {
    /// The values of a tensor that must be there with this shape.
    fn values(&self, name: &str, shape: &[usize]) -> Result<&[f32]>;
    /// The file, for messages.
    fn file(&self) -> &str;
}

impl Tensors for Weights {
    fn values(&self, name: &str, shape: &[usize]) -> Result<&[f32]> {
        Self::values(self, name, shape)
    }
    fn file(&self) -> &str {
        Self::file(self)
    }
}

/// Makes layers on a device.
pub struct Layers<'a, O: Ops> {
    /// The device.
    pub ops: &'a O,
    /// The weights.
    pub from: &'a dyn Tensors,
}

impl<O: Ops> Layers<'_, O> {
    /// Values of `name.part`.
    pub fn part(&self, name: &str, part: &str, shape: &[usize]) -> Result<&[f32]> {
        self.from.values(&format!("{name}.{part}"), shape)
    }

    /// A k x k convolution that keeps the size.
    pub fn conv(&self, name: &str, c_in: usize, c_out: usize, kernel: usize) -> Result<O::Conv> {
        self.strided(name, (c_in, c_out), kernel, 1, (kernel / 2, kernel / 2))
    }

    /// A convolution with any step and padding.
    pub fn strided(&self, name: &str, (c_in, c_out): (usize, usize), kernel: usize, stride: usize, pad: (usize, usize)) -> Result<O::Conv> {
        let weight = self.part(name, "weight", &[c_out, c_in, kernel, kernel])?;
        let bias = self.part(name, "bias", &[c_out])?;
        Ok(self.ops.conv_layer(&ConvSpec { weight, bias, c_in, c_out, kernel, stride, pad }))
    }

    /// A layer applied to each pixel, its weight having this shape.
    pub fn linear(&self, name: &str, shape: &[usize]) -> Result<O::Conv> {
        let (weight, bias) = (self.part(name, "weight", shape)?, self.part(name, "bias", shape.get(..1).unwrap_or(&[]))?);
        Ok(self.mixed(weight, bias, super::extent(shape, 1), super::extent(shape, 0)))
    }

    /// A layer applied to each pixel, from values.
    pub fn mixed(&self, weight: &[f32], bias: &[f32], c_in: usize, c_out: usize) -> O::Conv {
        self.ops.conv_layer(&ConvSpec { weight, bias, c_in, c_out, kernel: 1, stride: 1, pad: (0, 0) })
    }

    /// A group normalisation.
    pub fn norm(&self, name: &str, channels: usize, epsilon: f32) -> Result<O::Norm> {
        if channels == 0 || !channels.is_multiple_of(GROUPS) {
            return Err(Error::Weights {
                file: self.from.file().into(),
                why: format!("`{name}` normalises {channels} channels in {GROUPS} groups"),
                hint: "the published networks have widths that are multiples of 32; import one of those".into(),
            });
        }
        let (gamma, beta) = (self.part(name, "weight", &[channels])?, self.part(name, "bias", &[channels])?);
        Ok(self.ops.norm_layer(&NormSpec { gamma, beta, groups: GROUPS, epsilon }))
    }
}

/// Names and shapes of tensors, in the order asked for.
pub type Listed = Vec<(String, Vec<usize>)>;

/// Weights that are not there: each tensor asked for is listed.
#[derive(Default)]
pub struct Asked(RefCell<Listed>);

impl Asked {
    /// What `load` asks for, given this and a device that does nothing.
    pub fn by<T>(load: impl FnOnce(&Layers<'_, Nowhere>) -> Result<T>) -> Result<Listed> {
        let asked = Self::default();
        load(&Layers { ops: &Nowhere, from: &asked })?;
        Ok(asked.0.into_inner())
    }
}

impl Tensors for Asked {
    fn values(&self, name: &str, shape: &[usize]) -> Result<&[f32]> {
        self.0.borrow_mut().push((name.into(), shape.to_vec()));
        Ok(&[])
    }
    fn file(&self) -> &str {
        "the published network"
    }
}

/// A device that does nothing, for [`Asked`].
pub struct Nowhere;

impl Ops for Nowhere {
    type Map = ();
    type Conv = ();
    type Depthwise = ();
    type Norm = ();

    fn conv_layer(&self, _: &ConvSpec<'_>) {}
    fn depthwise_layer(&self, _: &ConvSpec<'_>) {}
    fn norm_layer(&self, _: &NormSpec<'_>) {}
    fn upload(&self, _: &[Planes]) {}
    fn download(&self, (): ()) -> Result<Vec<Planes>> {
        Ok(Vec::new())
    }
    fn in_batches<I: Sync, T: Send>(&self, _: &[I], _: impl Fn(&Self, &[I]) -> Result<Vec<T>> + Sync) -> Result<Vec<T>> {
        Ok(Vec::new())
    }
    fn conv(&self, (): &(), _: Before<'_, Self>, (): &(), _: After<'_, Self>) {}
    fn inverted(&self, (): &(), _: &Inverted<Self>) {}
    fn add(&self, (): &(), (): &()) {}
    fn mixed(&self, _: &[(f32, &())]) {}
    fn twice(&self, (): &()) {}
    fn guided(&self, (): &(), _: f32) {}
    fn limited(&self, (): &()) {}
    fn concat(&self, (): &(), (): &()) {}
    fn upsample2(&self, (): &()) {}
    fn pixel_shuffle2(&self, (): &()) {}
    fn attention(&self, (): &(), _: usize) {}
    fn layer_norm(&self, (): &(), (): &()) {}
    fn gated(&self, (): &()) {}
    fn prepend(&self, (): &(), (): &()) {}
    fn without(&self, (): &(), _: usize, _: usize, _: usize) {}
}
