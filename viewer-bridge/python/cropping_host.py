"""A host in Python that shows a slide cropped to its tissue: lends it through OpenSlide, makes a map and two tiles, and checks what it gets.

    python3 cropping_host.py LIBRARY MODELS_DIR SLIDE OUT_DIR

Needs numpy and openslide-python (Debian: python3-numpy, python3-openslide). Prints a line of JSON.
"""
import json
import sys

import numpy as np
import openslide

import histoloom

X0, Y0, WIDTH, HEIGHT = 600, 900, 1000, 1000  # what the viewer shows of the file


def main(library: str, models: str, path: str, out: str) -> None:
    slide = openslide.OpenSlide(path)
    mpp = float(slide.properties[openslide.PROPERTY_NAME_MPP_X])
    reads = []

    def read(x: int, y: int, downsample: float, width: int, height: int) -> np.ndarray:
        """Through level 0, where the viewer's (0, 0) is the file's (X0, Y0)."""
        reads.append((x, y))
        side = round(width * downsample), round(height * downsample)
        return np.asarray(slide.read_region((X0 + x, Y0 + y), 0, side).convert("RGB").resize((width, height)))

    def broken(*_: object) -> np.ndarray:
        raise OSError("the disk is gone")

    said: list = []
    with histoloom.Context(models, library, device="cpu", log=lambda level, text: said.append(text)) as context:
        assert context.schema("cluster")["properties"]["k"], "a schema"
        view = context.open(read, mpp, size=(WIDTH, HEIGHT), origin=(X0, Y0), name="cropped")
        tissue = context.cluster(view, k=4, seed=3, out_dir=f"{out}/map")
        labels, summary = tissue.labels, tissue.summary["map"]
        assert labels.shape == (summary["rows"], summary["columns"]) and set(np.unique(labels)) == {0, 1, 2, 3, 4}, np.unique(labels)
        assert reads and all(0 <= x < WIDTH and 0 <= y < HEIGHT for x, y in reads), "asked for what it does not show"
        # one pixel a cell is the whole map; at full resolution each pixel has its cell's label
        cell = summary["cell_px"]
        assert (tissue.labels_region(0, 0, cell, labels.shape[1], labels.shape[0]) == labels).all()
        near = tissue.labels_region(320, 160, 1.0, 64, 32)
        at = lambda start, n: ((start + np.arange(n) + 0.5) / cell).astype(int)
        assert (near == labels[at(160, 32)][:, at(320, 64)]).all()
        overlay = tissue.overlay_region(0, 0, 4.0, WIDTH // 4, HEIGHT // 4)
        assert overlay.shape == (HEIGHT // 4, WIDTH // 4, 4) and 0 < (overlay[..., 3] == 255).mean() < 1

        tiles = context.synth(tissue, n=2, size_px=128, steps=3, seed=5)
        again = context.synth(tissue, n=1, size_px=128, steps=3, seed=5)
        rgb, mask, told = tiles.tile(0)
        assert tiles.kept == 2 and rgb.shape == (128, 128, 3) and mask.shape == (128, 128) and told["synthetic"]
        assert (again.tile(0)[0] == rgb).all(), "the same seed makes the same tile"

        # what a reader raises comes back, what it gives is checked, and the rest goes on
        for reader, what in ((broken, OSError), (lambda x, y, d, w, h: np.zeros((h, w), np.uint8), ValueError)):
            try:
                context.cluster(context.open(reader, mpp, size=(WIDTH, HEIGHT)))
                raise AssertionError("a broken reader made a map")
            except histoloom.Error as e:
                assert e.code == -14 and isinstance(e.__cause__, what), (e, e.__cause__)
        try:
            context.cluster(view, k=4, sedd=1)
            raise AssertionError("a misspelt parameter was taken")
        except histoloom.Error as e:
            assert "sedd" in str(e), e
        job = context.start("cluster", view, k=5)
        job.cancel()
        assert job.wait(60) and job.poll()["state"] in (2, 4)
        # an array is a slide too, and so are levels of one
        pixels = np.asarray(slide.read_region((X0, Y0), 0, (512, 512)).convert("RGB"))
        for source in (pixels, [pixels, pixels[::2, ::2]]):
            assert context.cluster(context.open(source, mpp), k=2).labels.max() == 2
        with open(f"{out}/map/map.json") as f:
            origin = json.load(f)["provenance"]["slide"].get("origin_px")
        print(json.dumps({"classes": tissue.csv().count("\n") - 1, "origin": origin, "log": len(said), "flags": len(told["flags"])}))


if __name__ == "__main__":
    main(*sys.argv[1:])
