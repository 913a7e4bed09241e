"""How well classes found without labels agree with labels, for the shipped encoders beside plain colour.

    python evaluate_encoder.py --shared ../../../shared [--encoders colour,lite0,default] [--sets nct_crc,pcam,osteosarcoma,bcss]

In: labelled tiles and two slides with tumour masks, read in place. Out: markdown tables. Nothing is fitted to a label here but the naming
of clusters, which is done on one half of the tiles (one slide) and judged on the other.

    tiles       a tile is the mean of its tissue cells' embeddings, each cell seen as it is and turned, as `histoloom cluster` does, and
                glass left out as there; or (`shares`) how much of it each of 100 classes takes, found by k-means in the cells of all tiles,
                smoothed over 5 x 5 as in a map (a bag of visual words: Csurka et al., ECCV workshop 2004; square roots, so that distances are
                Hellinger's: Arandjelovic and Zisserman, CVPR 2012). Then k-means with six seedings, median over 5 seeds. AMI: adjusted mutual information, chance-adjusted,
                so that rare classes and the number of clusters do not flatter (Vinh et al., JMLR 11, 2010; arithmetic mean). One-to-one:
                share of tiles whose cluster goes with their class in the best assignment. Majority: clusters named on a random half,
                judged on the other.
    slides      cells of both BCSS slides, smoothed over 5 x 5 cells, clustered together; the clusters that together cover the tumour mask
                of one slide best (intersection over union) are scored on the other. Glass is left out.
    baseline    `colour`: mean and standard deviation of R, G, B and of the amounts of haematoxylin, eosin and residual (Ruifrok and
                Johnston 2001) in a tile's tissue (a cell's 5 x 5 neighbourhood), each scaled to unit variance.
    stain       ARI (Hubert and Arabie 1985) between the clusters of the tiles and of the same tiles in another stain (data.vary).

PCam is sampled up to 0.485 um/px, where 96 px are 12 cells; osteosarcoma stays at its 1 um/px: coarser slides are worked at as they are.
"""
import argparse
import csv

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score, confusion_matrix

import encoders
from data import at_mpp, glass_cells, vary

Image.MAX_IMAGE_PIXELS = None
SEEDS = range(5)
MPP = 0.5
# folder, column of the label, side in px
SETS = {"nct_crc": ("nct_crc", "class", 224), "osteosarcoma": ("osteosarcoma_tcia", "class", 1024), "pcam": ("pcam", "tumor_in_center", 192)}
SLIDES = ("bcss_1008", "bcss_1015")
SLIDE_K = 16
# classes whose shares describe a tile: as many as a map can have; cells that they are fitted on
WORDS, WORD_CELLS = 100, 60000


def tiles(shared, name):
    """(pictures, the same in other stains, labels), in the order of file names."""
    folder, column, side = SETS[name]
    with open(f"{shared}/tiles/{folder}/labels.csv", newline="") as f:
        rows = sorted(csv.DictReader(f), key=lambda r: r["file"])
    images = (Image.open(f"{shared}/tiles/{folder}/images/{r['file']}").convert("RGB") for r in rows)
    pictures = [np.asarray(i.resize((side, side), Image.BICUBIC) if i.width != side else i) for i in images]
    stained = [vary(p, np.random.default_rng([1, i])) for i, p in enumerate(pictures)]
    return pictures, stained, np.unique([r[column] for r in rows], return_inverse=True)[1]


def clusters(x, k, seed):
    return KMeans(k, n_init=6, random_state=seed).fit_predict(x)


def one_to_one(found, labels):
    m = confusion_matrix(labels, found)
    return m[linear_sum_assignment(-m)].sum() / len(labels)


def majority(found, labels, seed, splits=10):
    """Accuracy on one half of the tiles with the names that the other half gave."""
    rng, scores = np.random.default_rng(seed), []
    for _ in range(splits):
        half = rng.permutation(len(labels)) % 2 == 0
        for naming, judged in ((half, ~half), (~half, half)):
            common = np.bincount(labels[naming]).argmax()
            name = [np.bincount(labels[naming & (found == c)]).argmax() if (naming & (found == c)).any() else common for c in range(found.max() + 1)]
            scores.append((np.array(name)[found[judged]] == labels[judged]).mean())
    return np.mean(scores)


def agreement(x, labels, k):
    """Medians over seeds of (AMI, one-to-one or nan, majority)."""
    rows = []
    for seed in SEEDS:
        c = clusters(x, k, seed)
        rows.append((adjusted_mutual_info_score(labels, c), one_to_one(c, labels) if k == labels.max() + 1 else np.nan, majority(c, labels, seed)))
    return np.median(rows, axis=0)


def above(x, other, labels, ks, draws=200):
    """How much higher the AMI of x is than that of `other`, mean over ks and seeds, with the 95 % interval over tiles drawn anew (percentile
    bootstrap, Efron 1979; the clusters stay)."""
    fits = [[clusters(rows, k, s) for k in ks for s in SEEDS] for rows in (x, other)]
    mean = lambda found, i: np.mean([adjusted_mutual_info_score(labels[i], c[i]) for c in found])
    more = lambda i: mean(fits[0], i) - mean(fits[1], i)
    rng, n = np.random.default_rng(0), len(labels)
    return more(np.arange(n)), *np.percentile([more(rng.integers(0, n, n)) for _ in range(draws)], [2.5, 97.5])


def seeds_agree(x, k):
    """Mean ARI between the fits of 5 seeds."""
    fits = [clusters(x, k, s) for s in SEEDS]
    return np.mean([adjusted_rand_score(a, b) for i, a in enumerate(fits) for b in fits[:i]])


def stains_agree(x, other, k):
    """ARI between the clusters of the tiles and those of the tiles in another stain, each assigned to the former's centroids."""
    model = KMeans(k, n_init=6, random_state=0).fit(x)
    return adjusted_rand_score(model.labels_, model.predict(other))


def smoothed(planes, tissue):
    """Means over 5 x 5 tissue cells: [tissue cells, c]."""
    mean = lambda p: ndimage.uniform_filter(p.astype(np.float32), 5, mode="constant")
    share = np.maximum(mean(tissue), 1e-6)
    return np.stack([(mean(p * tissue) / share)[tissue] for p in planes], 1)


def colour_cells(rgb):
    """Means of RGB and stain amounts and of their squares a cell of 16 px: [12, h/16, w/16]."""
    p = np.concatenate([rgb.astype(np.float32), 100 * encoders.amounts(rgb)], -1)
    h, w, c = p.shape
    mean = lambda v: v.reshape(h // 16, 16, w // 16, 16, c).mean((1, 3)).transpose(2, 0, 1)
    return np.concatenate([mean(p), mean(p * p)])


def cell_rows(encoder, rgb, tissue):
    """Rows [n, c] of the tissue cells, smoothed."""
    if encoder == "colour":
        x = smoothed(colour_cells(rgb), tissue)
        return np.concatenate([x[:, :6], np.sqrt(np.maximum(x[:, 6:] - x[:, :6] ** 2, 0))], 1)
    return smoothed(encoders.ENCODERS[encoder](encoders.lite0(rgb)), tissue)


def shares(encoder, pictures, stained):
    """Square roots of the shares of WORDS classes in each tile, [tiles, WORDS], and the same of the stained tiles in the same classes."""
    tissue = [encoders.tissue(p) for p in pictures]
    rows = [[cell_rows(encoder, p, t) for p, t in zip(of, tissue)] for of in (pictures, stained)]
    scale = np.concatenate(rows[0]).std(0) if encoder == "colour" else 1
    cells = np.concatenate(rows[0]) / scale
    some = np.random.default_rng(0).permutation(len(cells))[:WORD_CELLS]
    words = KMeans(WORDS, n_init=1, random_state=0).fit(cells[some])
    share = lambda x: np.bincount(words.predict(x / scale), minlength=WORDS) / len(x)
    return [np.sqrt(np.stack([share(x) for x in of])) for of in rows]


def slide_rows(shared, name, encoder):
    """(rows [n, c], tumour [n]) of the tissue cells."""
    import openslide

    s = openslide.OpenSlide(f"{shared}/slides/{name}_pyramid.tif")
    rgb = at_mpp(np.asarray(s.read_region((0, 0), 0, s.dimensions).convert("RGB")), 0.25, MPP)
    tissue = ~glass_cells(rgb)
    mask = np.asarray(Image.open(f"{shared}/slides/{name}_tumor_mask.png").convert("L").resize(tissue.shape[::-1], Image.BOX))[tissue] > 127
    return cell_rows(encoder, rgb, tissue), mask


def iou(a, b):
    return (a & b).sum() / max((a | b).sum(), 1)


def best_set(found, mask, k):
    """The clusters, richest in tumour first, up to the number that covers the mask best."""
    order = sorted(range(k), key=lambda c: -mask[found == c].mean() if (found == c).any() else 1)
    return max((order[:n] for n in range(1, k + 1)), key=lambda s: iou(np.isin(found, s), mask))


def tumour(shared, encoder):
    """Means over seeds of the IoU on each slide, and what calling all tissue tumour gives."""
    rows = [slide_rows(shared, s, encoder) for s in SLIDES]
    x = np.concatenate([r for r, _ in rows])
    x = encoders.unit(x) if encoder == "colour" else x
    part, scores = np.repeat([0, 1], [len(m) for _, m in rows]), []
    for seed in SEEDS:
        found = clusters(x, SLIDE_K, seed)
        scores.append([iou(np.isin(found[part == i], best_set(found[part != i], rows[1 - i][1], SLIDE_K)), rows[i][1]) for i in (0, 1)])
    return np.mean(scores, axis=0), [m.mean() for _, m in rows]


def tile_tables(a, names):
    for name in names:
        pictures, stained, labels = tiles(a.shared, name)
        classes = labels.max() + 1
        ks = [classes, 2 * classes, 3 * classes]
        print(f"\n{name}: {len(labels)} tiles of {classes} classes, {pictures[0].shape[0]} px\n")
        print("| encoder | k | AMI | one-to-one | majority | ARI, seeds | ARI, stains |\n|---|---|---|---|---|---|---|")
        means = lambda encoder: [encoders.of_tiles(encoder, of, pictures) for of in (pictures, stained)]
        found = {f"{e}{what}": of(e) for e in a.encoders for what, of in (("", means), (", shares", lambda e: shares(e, pictures, stained)))}
        for encoder, (x, other) in found.items():
            for k in ks:
                ami, match, named = agreement(x, labels, k)
                match = "-" if np.isnan(match) else f"{match:.2f}"
                seeds, stains = seeds_agree(x, k), stains_agree(x, other, k)
                print(f"| {encoder} | {k} | {ami:.3f} | {match} | {named:.2f} | {seeds:.2f} | {stains:.2f} |", flush=True)
        for plain in (e for e in found if e.startswith("colour")):
            print(f"\n| AMI above that of {plain}, mean over k | more | 95 % from | to |\n|---|---|---|---|")
            for encoder in (e for e in found if not e.startswith("colour")):
                more, low, high = above(found[encoder][0], found[plain][0], labels, ks)
                print(f"| {encoder} | {more:+.3f} | {low:+.3f} | {high:+.3f} |", flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--shared", required=True)
    p.add_argument("--encoders", default=",".join(encoders.ENCODERS))
    p.add_argument("--sets", default=",".join([*SETS, "bcss"]))
    p.add_argument("--threads", type=int, default=1)
    a = p.parse_args()
    a.encoders = a.encoders.split(",")
    torch.set_num_threads(a.threads)
    torch.set_grad_enabled(False)
    sets = a.sets.split(",")
    tile_tables(a, [s for s in SETS if s in sets])
    if "bcss" in sets:
        print(f"\nTumour masks of BCSS, k = {SLIDE_K}, IoU\n\n| encoder | named on 1015, scored on 1008 | named on 1008, scored on 1015 |\n|---|---|---|")
        for encoder in a.encoders:
            scores, whole = tumour(a.shared, encoder)
            print(f"| {encoder} | {scores[0]:.3f} | {scores[1]:.3f} |", flush=True)
        print(f"| all tissue | {whole[0]:.3f} | {whole[1]:.3f} |")


if __name__ == "__main__":
    main()
