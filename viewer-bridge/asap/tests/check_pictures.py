"""Holds what `histoloom-viewer --script DIR` left against what a viewer must show.

    python3 check_pictures.py DIR
    python3 check_pictures.py DIR MAP    what `plugin-test` left, and the map that lies beside its slide

The overlay has every colour of the legend, lies on the map's cells, and its edge on the edge of the tissue, each within 2 px of the window,
at two zooms; the gallery has its tiles; a part of the slide is mapped where it was seen or drawn; reports are pages; each kind of trouble has its
own message. Needs numpy and Pillow. Prints a line of JSON.
"""
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

MARGIN_PX = 2
REACH_PX = 10  # shifts that are looked at
ROUNDING = 2  # of 255, at half the opacity
SEEN = 3  # a shift by so many px must be seen
LEAST = 0.05  # of the view is tissue, and as much is glass
SCALE_BAR_PX = (60, 180)  # corner of the view that the bar covers: height, width


def picture(folder: Path, shot: dict) -> np.ndarray:
    x, y, width, height = shot["view_px"]
    return np.asarray(Image.open(folder / shot["file"]).convert("RGB"))[y : y + height, x : x + width].astype(int)


def labels_seen(labels: np.ndarray, cell: float, shot: dict, shape: tuple) -> np.ndarray:
    """The map's label in the middle of each pixel of the view, 0 = none."""
    x, y, width, height = shot["slide_px"]
    rows = np.floor((y + (np.arange(shape[0]) + 0.5) * height / shape[0]) / cell).astype(int)
    columns = np.floor((x + (np.arange(shape[1]) + 0.5) * width / shape[1]) / cell).astype(int)
    inside = ((rows >= 0) & (rows < labels.shape[0]))[:, None] & ((columns >= 0) & (columns < labels.shape[1]))[None]
    return np.where(inside, labels[rows.clip(0, labels.shape[0] - 1)][:, columns.clip(0, labels.shape[1] - 1)], 0)


def shifted(a: np.ndarray, dy: int, dx: int, reach: int) -> np.ndarray:
    """What remains of `a`, moved, where every shift up to `reach` has pixels."""
    return a[reach + dy : a.shape[0] - reach + dy, reach + dx : a.shape[1] - reach + dx]


def uniform(a: np.ndarray) -> np.ndarray:
    """Where all pixels within the margin are alike."""
    middle = shifted(a, 0, 0, MARGIN_PX)
    around = range(-MARGIN_PX, MARGIN_PX + 1)
    return np.pad(np.all([shifted(a, dy, dx, MARGIN_PX) == middle for dy in around for dx in around], axis=0), MARGIN_PX)


def off_tissue(overlay: np.ndarray, tissue: np.ndarray) -> tuple:
    """By how many pixels (y, x) the overlay has to be moved to lie best on the tissue."""
    for what, there in (("overlay", overlay), ("tissue", tissue)):
        assert LEAST < there.mean() < 1 - LEAST, f"{what} covers {there.mean():.3f} of the view: no edge to look at"
    around = range(-REACH_PX, REACH_PX + 1)
    still = shifted(overlay, 0, 0, REACH_PX)
    fits = {(dy, dx): (shifted(tissue, dy, dx, REACH_PX) == still).mean() for dy in around for dx in around}
    best = max(fits, key=fits.get)
    for dy, dx in ((SEEN, 0), (-SEEN, 0), (0, SEEN), (0, -SEEN)):
        assert fits.get((best[0] + dy, best[1] + dx), -1) < fits[best], f"moved by {dy, dx} px from {best} it lies as well"
    return best


def zoom(folder: Path, said: dict, name: str, labels: np.ndarray) -> dict:
    shots = {shot["file"]: shot for shot in said["shots"]}
    slide, over = (picture(folder, shots[f"{name}_{what}.png"]) for what in ("slide", "overlay"))
    label = labels_seen(labels, said["cell_px"], shots[f"{name}_overlay.png"], over.shape[:2])
    judged = uniform(label)
    judged[-SCALE_BAR_PX[0] :, : SCALE_BAR_PX[1]] = False
    found = {}
    for c in said["legend"]:
        rgb = [int(c["color"][i : i + 2], 16) for i in (1, 3, 5)]
        here = (over == rgb).all(axis=2)
        found[c["name"]] = int(here.sum())
        wrong = judged & (here != (label == c["id"]))
        assert not wrong.any(), f"{name}: {wrong.sum()} pixels of {c['name']} lie elsewhere than its cells, the first at {np.argwhere(wrong)[0]}"
    changed = (over != slide).any(axis=2)
    assert not (judged & (label == 0) & changed).any(), f"{name}: the overlay covers glass"
    both = picture(folder, shots[f"{name}.png"])
    assert (abs(2 * both - slide - over) <= 2 * ROUNDING).all(), f"{name}: at 50 % the overlay is not half of what it is"
    tissue = (slide.max(axis=2) - slide.min(axis=2) > 16) | (slide.mean(axis=2) < 215)
    off = off_tissue(changed, tissue)
    assert max(map(abs, off)) <= MARGIN_PX, f"{name}: the overlay lies {off} px beside the tissue"
    downsample = shots[f"{name}_slide.png"]["slide_px"][2] / slide.shape[1]
    return {"downsample": downsample, "off_tissue_px": off, "colours": found, "judged": round(float(judged.mean()), 3)}


def in_view(folder: Path, said: dict) -> None:
    """The map by the atlas covers what the window showed and no more; the dialog came with the atlas and what was typed before."""
    assert said["k_shown"] == 5 and said["atlas_shown"].endswith("he_atlas.json"), (said["k_shown"], said["atlas_shown"])
    labels = np.asarray(Image.open(folder / "in_view_labels.png").convert("L"))
    x, y, width, height = said["in_view_px"]
    inside(labels, [(x, y), (x + width, y), (x + width, y + height), (x, y + height)], said["cell_px"])
    names = [c["name"] for c in said["in_view_classes"]]
    assert any("Tumour" in name for name in names), f"not the atlas's names: {names}"
    exported = folder / "tiles \u00e9"
    manifest = json.loads((exported / "manifest.json").read_text())
    tiles = manifest["tiles"] + manifest["flagged"]
    assert len(tiles) == 2 and all((exported / tile["image"]).is_file() for tile in tiles), tiles


def inside(labels: np.ndarray, ring: list, cell: float) -> None:
    """Cells with a class lie inside the outline, which is convex and clockwise, within a cell, and reach over half of it each way."""
    rows, columns = np.nonzero(labels)
    x, y = (columns + 0.5) * cell, (rows + 0.5) * cell
    for (x0, y0), (x1, y1) in zip(ring, ring[1:] + ring[:1]):
        beside = ((x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)) / np.hypot(x1 - x0, y1 - y0)
        assert beside.min() > -cell, f"a class {-beside.min():.0f} px beyond the outline"
    corners = np.array(ring)
    for what, at, side in (("columns", x, corners[:, 0]), ("rows", y, corners[:, 1])):
        assert np.ptp(at) > np.ptp(side) / 2, f"{what} without a class"


def asap(folder: Path, map_beside: Path) -> None:
    """ASAP's window with the plugin: colours of the legend, on the cells of the file that lies beside the slide, and on the tissue."""
    said = json.loads((folder / "asap.json").read_text())
    labels = np.asarray(Image.open(map_beside))
    cell = round(said["width_px"] / labels.shape[1])  # whole cells, the last beyond the edge
    found = zoom(folder, {**said, "cell_px": cell}, "asap", labels)
    assert all(found["colours"].values()), f"a colour of the legend is not on the slide: {found['colours']}"
    print(json.dumps(found))


def main(folder: Path) -> None:
    said = json.loads((folder / "script.json").read_text())
    labels = np.asarray(Image.open(folder / "labels.png").convert("L"))
    zooms = {name: zoom(folder, said, name, labels) for name in ("far", "near")}
    assert all(zooms["far"]["colours"].values()), f"a colour of the legend is not on the slide: {zooms['far']['colours']}"
    assert zooms["far"]["downsample"] > 2 * zooms["near"]["downsample"], "two zooms"
    messages = list(said["messages"].values())
    assert len(set(messages)) == len(messages) == 4, messages
    assert "holds tiles already" in said["messages"]["a second export"], messages
    in_view(folder, said)
    inside(np.asarray(Image.open(folder / "drawn_labels.png").convert("L")), said["drawn_px"], said["cell_px"])
    assert len(said["reports"]) == 2 and all(page.endswith("/report.html") for page in said["reports"]), said["reports"]
    for name, promised in (("map_report", [c["name"] for c in said["legend"]]), ("tiles_report", ["SYNTHETIC"])):
        page = (folder / f"{name}.html").read_text()
        assert all(text in page for text in promised), f"{name} without {promised}"
    assert said["messages"]["cluster"].startswith("No slide") and said["messages"]["synthesise"].startswith("No map"), messages
    assert not said["left_by_cancel"], "a cancelled job left an overlay"
    x, y, width, height = said["gallery_px"]
    gallery = np.asarray(Image.open(folder / "gallery.png").convert("RGB"))[y : y + height, x : x + width].astype(int)
    stained = (gallery.max(axis=2) - gallery.min(axis=2) > 30).mean()
    assert said["gallery"] == 2 and stained > 0.05, f"{said['gallery']} tiles, {stained:.3f} of the gallery in colour"
    print(json.dumps({"zooms": zooms, "gallery": said["gallery"], "times": said["times"], "overlay_cost": said["overlay_cost"]}))


if __name__ == "__main__":
    asap(*map(Path, sys.argv[1:])) if len(sys.argv) > 2 else main(Path(sys.argv[1]))
