"""The crop field: how a semantic map and one or two raw crops a class become the denoiser's condition (reference for core/src/condition).

Every class present in the window gets crops of real tissue of that class, encoded to latents, mirror-tiled and laid inside the
class's region. Map entries only point to crops, so any number of classes works and their order means nothing.
"""
import numpy as np

LATENT = 16


def mirror(n, size, phase):
    """Indices of n positions into a crop of `size`, reflected at its edges, starting at `phase`."""
    m = (np.arange(n) + phase) % (2 * size)
    return np.where(m < size, m, 2 * size - 1 - m)


def lay(field, where, crop, phase):
    """Paints the mirror-tiled crop [16, s, s] into field [16, h, w] wherever `where` [h, w] holds."""
    s = crop.shape[1]
    rows, cols = mirror(where.shape[0], s, phase[0]), mirror(where.shape[1], s, phase[1])
    np.copyto(field, crop[:, rows][:, :, cols], where=where[None])


def boundary(labels):
    """Latent cells with a 4-neighbour of another label."""
    b = np.zeros(labels.shape, bool)
    d = labels[1:] != labels[:-1]
    b[1:] |= d
    b[:-1] |= d
    d = labels[:, 1:] != labels[:, :-1]
    b[:, 1:] |= d
    b[:, :-1] |= d
    return b


def build(labels, crops):
    """labels [h, w] at latent resolution, 0 = glass; crops {label: [(crop, phase), (crop, phase)]} -> condition [35, h, w] f32."""
    h, w = labels.shape
    c = np.zeros((2 * LATENT + 3, h, w), np.float32)
    for label, pair in crops.items():
        where = labels == label
        for i, (crop, phase) in enumerate(pair):
            lay(c[i * LATENT : (i + 1) * LATENT], where, crop, phase)
        c[2 * LATENT][where] = 1
    c[2 * LATENT + 1] = labels == 0
    c[2 * LATENT + 2] = boundary(labels)
    return c
