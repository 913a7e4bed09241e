"""The package as pip installed it, without napari: a map and a tile as arrays, and what is said where the library or the models are missing.

    python3 test_api.py SLIDE

Needs openslide-python besides. Run it where no source of histoloom lies. Prints a line.
"""
import ctypes
import gc
import os
import pathlib
import pickle
import sys
import tempfile
import weakref

import numpy as np
import openslide

import histoloom

SAME = {"k": 3, "seed": 1, "device": "cpu"}
ADAPTER = "device", "name", "type", "api", "driver", "half_precision", "chosen_by_auto", "why_not"  # where there is none to look at


def tissue_of(context: histoloom.Context, pixels: np.ndarray) -> histoloom.Result:
    """The map of the test in a context."""
    return histoloom.cluster(pixels, 0.5, context=context, **SAME)


def failure(call, code: str) -> str:
    """What a call that must fail says."""
    try:
        call()
    except histoloom.Error as e:
        assert code in str(e), e
        return str(e)
    raise AssertionError(f"no {code}")


def documented(documents: dict) -> None:
    """The manual names the keys of every document, and no others."""
    manual = (pathlib.Path(__file__).parents[3] / "plugin-abi/docs/ABI.md").read_text()
    rows = manual.split("## Documents")[1].split("\n## ")[0].splitlines()
    told = {what.strip(): keys.split("`")[1::2] for what, keys in (row.strip("|").split("|") for row in rows if row.startswith("| ") and "`" in row)}
    for what, document in documents.items():
        assert sorted(told.pop(what)) == sorted(document), (what, sorted(document))
    assert not told, f"{told}: nobody looked"


def main(path: str) -> None:
    assert not any(name.startswith("HISTOLOOM_") for name in os.environ), "only what was installed may be found"
    pixels = np.asarray(openslide.OpenSlide(path).read_region((600, 900), 0, (600, 600)).convert("RGB"))
    tissue = histoloom.cluster(pixels, 0.5, **SAME)
    labels, told = tissue.labels, tissue.summary["map"]
    assert labels.dtype == np.uint8 and labels.shape == (told["rows"], told["columns"]) and set(np.unique(labels)) <= {0, 1, 2, 3}
    [(rgb, mask, told)] = histoloom.synthesise(tissue, n=1, size_px=128, steps=2, device="cpu")
    assert rgb.shape == (128, 128, 3) and mask.shape == (128, 128) and rgb.dtype == mask.dtype == np.uint8 and told["synthetic"]

    # a pyramid is read where it is sharp enough, and a function as the array it reads from; both give the map of the array
    with histoloom.Context(device="cpu") as context:
        levels = [pixels, pixels[::4, ::4]]
        read = lambda x, y, downsample, width, height: histoloom._reader([pixels])(x, y, downsample, width, height)
        assert (histoloom.cluster(levels, 0.5, context=context, **SAME).labels == labels).mean() > 0.99
        assert (histoloom.cluster(read, 0.5, size=(600, 600), context=context, **SAME).labels == labels).all()
        assert context.doctor()["ok"]

        # parameters may be what Python users have at hand, and a slide is gone with the last who holds it
        with tempfile.TemporaryDirectory() as out:
            job = context.start("cluster", context.open(pixels, 0.5), **{**SAME, "k": np.int64(3)}, out_dir=pathlib.Path(out) / "map")
            slide = weakref.ref(job._slide)
            assert slide() is not None and (job.result().labels == labels).all() and (pathlib.Path(out) / "map/map.json").is_file()
            del job
            gc.collect()
            assert slide() is None

        class Owner:
            """A reader that refers to what holds its context."""

            def __init__(self) -> None:
                self.context = histoloom.Context(device="cpu")
                self.slide = self.context.open(self.read, 0.5, size=(600, 600))

            def read(self, x, y, downsample, width, height):
                raise KeyError("no such tile")

        owner = Owner()
        try:
            owner.context.cluster(owner.slide)
            raise AssertionError("no HL_E_HOST")
        except histoloom.Error as e:
            assert e.code == histoloom.Code.HOST and "no such tile" in e.text and isinstance(e.__cause__, KeyError), e
            again = pickle.loads(pickle.dumps(e))
            assert (again.code, str(again)) == (e.code, str(e))
            del e
        owner = weakref.ref(owner)
        gc.collect()
        assert owner() is None, "nothing keeps it"

        for wrong in (pixels[..., 0], pixels / 255, pixels.transpose(2, 0, 1), pixels.tolist(), []):
            try:
                context.open(wrong, 0.5)
                raise AssertionError("no ValueError")
            except ValueError as e:
                assert "[h, w, 3 or 4] of uint8" in str(e), e
        same = [histoloom.cluster(pixels, 0.5, context=context, id="a", **SAME).provenance["slide"]["id_sha256"] for _ in range(2)]
        assert same[0] == same[1]

        tiles = context.synth(tissue_of(context, pixels), n=1, size_px=128, steps=2)
        summary, tile, build = tiles.summary, tiles.tile(0)[2], context.doctor()["build"]
        made, devices = tissue.summary, context.devices()
        ops = histoloom._parsed(histoloom._text(context._lib, context._lib.hl_ops_json))["ops"]
        documented({
            "`hl_result_json` of `cluster`": made, "`hl_result_json` of `synth`": summary, "`map` in them": made["map"],
            "each of its `classes`": made["map"]["classes"][0], "each of `tiles`": summary["tiles"][0], "`hl_result_tile_json`": tile,
            "each of its `flags`": tile["flags"][0], "`hl_result_provenance_json` of a map": tissue.provenance, "`hl_devices_json`": devices,
            "each of its `adapters`": (devices["adapters"] or [dict.fromkeys(ADAPTER)])[0], "`hl_doctor_json`": context.doctor(),
            "`hl_build_info_json`": build, "each of `ops` in `hl_ops_json`": ops[0],
        })

    lib = histoloom.load()
    lib.hl_error_name.restype = ctypes.c_char_p
    for code in histoloom.Code:
        assert lib.hl_error_name(ctypes.c_int32(code)).decode() == f"HL_E_{code.name}"

    assert "does not tell its resolution" in failure(lambda: histoloom.cluster(pixels, 0), "HL_E_SLIDE")
    assert "no tissue" in failure(lambda: histoloom.cluster(np.full_like(pixels, 255), 0.5), "HL_E_SLIDE")
    assert "/nowhere" in failure(lambda: histoloom.load("/nowhere/libhistoloom.so"), "HL_E_FILE")
    with tempfile.TemporaryDirectory() as empty:
        os.environ["HISTOLOOM_MODELS"] = empty
        assert "manifest.json" in failure(lambda: histoloom.cluster(pixels, 0.5), "HL_E_WEIGHTS")
    os.environ["HISTOLOOM_LIBRARY"] = "/elsewhere/libhistoloom.so"
    assert "/elsewhere" in failure(histoloom.load, "HL_E_FILE"), "the variable comes before what is installed"
    print(f"map {labels.shape}, {len(np.unique(labels))} labels, tile {rgb.shape}, {len(told['flags'])} flags")


if __name__ == "__main__":
    main(*sys.argv[1:])
