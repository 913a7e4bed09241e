"""The crop field: how a semantic map and one or two raw crops a class become the denoiser's condition (reference for core/src/condition).

Every class present in the window gets crops of real tissue of that class, encoded to latents, mirror-tiled and laid inside the
class's region. Map entries only point to crops, so any number of classes works and their order means nothing. Beside the pixels stand
what the texture encoder says of the crops, and, where somebody asks for them, amounts of stain and nuclei (stain.py).
"""
import numpy as np

LATENT = 16
# channels: crop field A, crop field B, texture 16, measures 3, then the masks known (has crops), textured, measured, glass, boundary
TEXTURE, MEASURES, KNOWN, CHANNELS = 2 * LATENT, 3 * LATENT, 3 * LATENT + 3, 3 * LATENT + 8
TEXTURE_UNIT = 2.0


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


def build(labels, crops, textures={}, measures={}):
    """labels [h, w] at latent resolution, 0 = glass; crops {label: [(crop, phase), (crop, phase)]}, textures {label: [16]}, in units of
    TEXTURE_UNIT, measures {label: [3]} -> condition [56, h, w] f32. Any of the three may be missing for any label."""
    h, w = labels.shape
    c = np.zeros((CHANNELS, h, w), np.float32)
    for label in np.union1d(list(crops), np.union1d(list(textures), list(measures))):
        where = labels == label
        for i, (crop, phase) in enumerate(crops.get(label, [])):
            lay(c[i * LATENT : (i + 1) * LATENT], where, crop, phase)
        for at, mask, vectors, unit in ((TEXTURE, KNOWN + 1, textures, TEXTURE_UNIT), (MEASURES, KNOWN + 2, measures, 1.0)):
            if label in vectors:
                c[at : at + len(vectors[label]), where] = np.asarray(vectors[label], np.float32)[:, None] / unit
                c[mask][where] = 1
        c[KNOWN][where] = label in crops
    c[KNOWN + 3] = labels == 0
    c[KNOWN + 4] = boundary(labels)
    return c
