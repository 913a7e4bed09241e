"""The dock widget in a real napari, as pip installed both: each message, a map, cancelling, a tile, and a picture of the window.

    python3 test_napari.py SLIDE OUT_DIR

Needs a display with OpenGL (`xvfb-run -a` has one) and openslide-python. Prints a line; OUT_DIR gets window.png, doctor.png and the files of a run.
"""
import os
import sys
import tempfile
import time
import traceback
import webbrowser
from pathlib import Path

import dask.array
import napari
import numpy as np
import openslide
from napari.layers import Image, Labels, Shapes
from qtpy.QtWidgets import QApplication, QLabel

import histoloom
from histoloom import _napari

SIDE = 1000  # px of the slide that the layer shows
raised: list = []  # in slots, where Qt would only print them


def pump(seconds: float, until=lambda: False) -> None:
    """Lets the window live until something holds, for that long at most."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not until():
        QApplication.processEvents()
        time.sleep(0.01)


def finished(panel) -> str:
    """What the panel says when its job has ended."""
    pump(300, panel.run.isEnabled)
    assert panel.run.isEnabled(), f"no end: {panel.said.text()}"
    return panel.said.text()


def clicked(panel, button) -> str:
    button.click()
    return finished(panel)


def check_messages(viewer, panel) -> None:
    """One for each reason, and what to do about it."""
    def tried(layer, mpp=0.0) -> str:
        viewer.add_layer(layer)
        panel.mpp.setValue(mpp)
        said = clicked(panel, panel.run)
        viewer.layers.clear()
        return said

    white = np.full((600, 600, 3), 255, np.uint8)
    um = {"units": ("micrometer", "micrometer")}
    assert "no image layer" in clicked(panel, panel.run)
    assert "no map yet" in clicked(panel, panel.synthesise)
    assert "no RGB image" in tried(Image(white[..., 0], name="grey"))
    assert "3 dimensions" in tried(Image(np.stack([white, white]), rgb=True))
    assert "square" in tried(Image(white, rgb=True, scale=(0.5, 0.25), **um))
    assert "does not tell how large" in tried(Image(white, rgb=True, scale=(0.5, 0.5)))  # half a pixel is no length
    assert "micrometres a pixel" in tried(Image(white, rgb=True, scale=(0.5, 0.5), units=("mm", "mm")))  # 500 of them
    assert "no tissue" in tried(Image(white, rgb=True), mpp=0.5)
    panel._context = None
    with tempfile.TemporaryDirectory() as empty:
        os.environ["HISTOLOOM_MODELS"] = empty
        assert "HISTOLOOM_MODELS" in tried(Image(white, rgb=True, scale=(0.5, 0.5), **um))
        del os.environ["HISTOLOOM_MODELS"]
    os.environ["HISTOLOOM_LIBRARY"] = "/nowhere/libhistoloom.so"
    panel._context = None
    assert "HISTOLOOM_LIBRARY" in tried(Image(white, rgb=True, scale=(0.5, 0.5), **um)) and _napari.parameters("cluster") == {}
    del os.environ["HISTOLOOM_LIBRARY"]


def check_doctor() -> None:
    """Library and version, devices and why not, models, atlas, calibration, ops, and what is missing with its remedy."""
    adapters = [
        {"device": "gpu:0", "name": "Fast GPU", "chosen_by_auto": True, "why_not": None},
        {"device": "gpu:1", "name": "llvmpipe", "chosen_by_auto": False, "why_not": "a software renderer"},
    ]
    found = {
        "build": {"version": "1.2.3", "abi": "1.7"}, "library": {"path": "/opt/lib/libhistoloom.so"}, "device": {"name": "Fast GPU"},
        "devices": {"adapters": adapters}, "weights": [{"network": "encoder", "ok": True}, {"network": "denoiser", "ok": False}],
        "atlas": {"ok": True, "sha256": "0123456789abcdef", "types": 16}, "flags": {"calibration": {"sha256": "fedcba9876543210"}},
        "ops": {"ops": [{"name": "blur", "version": 3}]}, "missing": ["denoiser: no such file; install the archive anew"],
    }
    said = _napari.diagnosis(found, "/elsewhere.so")
    for promised in (
        "Histoloom 1.2.3, ABI 1.7, /opt/lib/libhistoloom.so", "device: Fast GPU", "llvmpipe: a software renderer", "encoder, denoiser MISSING",
        "16 types of tissue (01234567...)", "flags: fedcba98...", "blur 3", "missing: denoiser: no such file; install the archive anew",
    ):
        assert promised in said, (promised, said)
    nothing = {**found, "library": {"path": None}, "device": None, "weights": [], "atlas": None, "ops": None, "missing": []}
    said = _napari.diagnosis({**nothing, "flags": {"calibration": {"missing": "no such file"}}}, "/elsewhere.so")
    for promised in ("/elsewhere.so", "device: none", "none could be tried", "none that can be used", "flagged: no such file", "missing: nothing"):
        assert promised in said, (promised, said)
    assert "{" not in said


def check_legend() -> None:
    """Classes of annotations that have no cells stand there in grey, with the reason."""
    said = _napari.legend([{"name": "Fat", "color": [1, 2, 255], "share": 1.0}], [{"name": "A<b", "reason": "too small"}, {"name": "C", "reason": None}])
    assert "#0102ff" in said and "A&lt;b: no cells, too small<" in said and "C: no cells<" in said, said


def report(button) -> Path:
    """The page that a button hands to the browser."""
    pages: list = []
    webbrowser.open = lambda url: pages.append(url) or True
    button.click()
    [page] = pages
    assert page.startswith("file:///") and page.endswith("/report.html"), page
    return Path(page[len("file://") :])


def check_place(image, labels, cell: float) -> None:
    """The map's edges lie on the image's, whatever turns and shears it."""
    for corner in np.array([(0, 0), (0, labels.data.shape[1]), labels.data.shape]):
        assert np.allclose(labels.data_to_world(corner - 0.5), image.data_to_world(corner * cell - 0.5)), corner


def check_map(viewer, panel, image, levels) -> None:
    """The layer is the library's own map, in its place and colours."""
    labels = viewer.layers[f"tissue map of {image.name}"]
    own = histoloom.cluster(levels, 0.499, k=3, seed=1, device="cpu")
    told = own.summary["map"]
    assert isinstance(labels, Labels) and (labels.data == own.labels).all()
    check_place(image, labels, told["cell_px"])
    turned = Image(levels[0], rgb=True, scale=(2, 2), translate=(7, -3), rotate=30, shear=[0.2], affine=[[1, 0.1, 5], [0, 1, 6], [0, 0, 1]])
    check_place(turned, Labels(own.labels, **_napari.placement(turned, told["cell_px"])), told["cell_px"])
    for c in told["classes"]:
        assert np.allclose(labels.colormap.map(c["id"]), np.array([*c["color"], 255]) / 255), c
        assert bytes(c["color"]).hex() in panel.legend.text() and c["name"] in panel.legend.text()
        row, column = np.argwhere(labels.data == c["id"])[0]
        assert c["name"] in str(labels.get_status(labels.data_to_world((row, column)), world=True)), "the name under the mouse"
    assert labels.colormap.map(0)[3] == 0, "no colour where there is no class"


def check_region(viewer, panel, image, levels) -> None:
    """Areas of a Shapes layer, wherever and however it lies, become a region of the slide; lines do not."""
    panel.region.setCurrentIndex(panel.region.findText("whole slide"))
    shapes = Shapes(name="region", scale=(2, 2), translate=(30, 20), units=image.units)
    viewer.add_layer(shapes)
    panel.region.setCurrentIndex(panel.region.findText("region"))
    assert "no area" in clicked(panel, panel.run)
    corners = np.array([(98, 203), (98, 697), (899, 697), (899, 203)])  # rows and columns of the image's pixels, from its corner

    def drawn(points):
        return np.array([shapes.world_to_data(image.data_to_world(point - 0.5)) for point in points])

    shapes.add(drawn(corners[:2]), shape_type="line")
    shapes.add(drawn(corners), shape_type="rectangle")
    assert np.allclose(_napari.areas_of(shapes, image), [corners[:, ::-1]])
    shapes.add(drawn(np.array([(0, 0), (0, 90), (60, 90), (60, 0)])), shape_type="ellipse")
    ellipse = np.array(_napari.areas_of(shapes, image)[1])
    assert np.allclose((((ellipse - (45, 30)) / (45, 30)) ** 2).sum(1), 1), ellipse
    shapes.data = shapes.data[:2]
    said = clicked(panel, panel.run)
    made = viewer.layers[-1]
    own = histoloom.cluster(levels, 0.499, k=3, seed=1, device="cpu", roi=[corners[:, ::-1].tolist()])
    assert isinstance(made, Labels) and (made.data == own.labels).all() and "3 classes" in said, said
    cell = own.summary["map"]["cell_px"]
    inside = np.argwhere(made.data) * cell
    assert len(inside) and (inside >= corners[0] - cell).all() and (inside < corners[2]).all()
    viewer.layers.remove(made)
    viewer.layers.remove(shapes)
    assert panel.region.currentText() == "whole slide" and panel.region.count() == 1


def main(path: str, out: str) -> None:
    sys.excepthook = lambda *e: (raised.append(e), traceback.print_exception(*e))
    pixels = np.asarray(openslide.OpenSlide(path).read_region((600, 900), 0, (SIDE, SIDE)).convert("RGB"))
    levels = [dask.array.from_array(pixels, chunks=(256, 256, 3)), pixels[::4, ::4]]
    viewer = napari.Viewer()
    _, panel = viewer.window.add_plugin_dock_widget("histoloom", "Tissue map and tiles")
    panel.device.setCurrentText("cpu")
    check_doctor()
    check_legend()
    assert not panel.map_report.isVisible() and not panel.tiles_report.isVisible()
    assert {"Number of classes", "Micrometres per pixel", "Tile side (px)"} <= {label.text() for label in panel.findChildren(QLabel)}
    assert "Number of tiles" in panel.n.toolTip()
    assert panel.k.text() == "auto" and panel.mpp.text() == "not known"
    check_messages(viewer, panel)

    um = {"units": ("micrometer", "micrometer")}
    image = viewer.add_image(levels, rgb=True, multiscale=True, name="slide", scale=(0.499, 0.499), translate=(100, 50), **um)
    assert panel.layer.currentData() is image and panel.mpp.value() == 0.499 and not panel.mpp.isEnabled()
    panel.k.setValue(3)
    panel.run.click()
    assert panel.cancel.isEnabled() and not panel.run.isEnabled()
    pump(60, lambda: panel.progress.value() > 0)
    panel.cancel.click()
    assert "Cancelled" in finished(panel) and len(viewer.layers) == 1, panel.said.text()

    started = time.monotonic()
    panel.run.click()
    turns = []
    pump(300, lambda: turns.append(time.monotonic()) or panel.run.isEnabled())
    waited = np.diff(turns)[:-1].max()  # the last turn shows the map
    print(f"map in {turns[-1] - started:.1f} s, in which the window waited {waited:.2f} s at most")
    assert len(turns) > 20 and waited < 2, "jobs do not hold up the window"
    assert "3 classes" in finished(panel), panel.said.text()
    page = report(panel.map_report)
    assert page.is_file() and tempfile.gettempdir() in str(page), page
    check_map(viewer, panel, image, levels)
    check_region(viewer, panel, image, levels)

    # more than fits into memory goes to files
    panel.n.setValue(64)
    panel.size_px.setValue(4096)
    panel.synthesise.click()
    assert panel.cancel.isEnabled(), panel.said.text()
    panel.cancel.click()
    assert "Cancelled" in finished(panel), panel.said.text()

    panel.folder.setText(out)
    panel.n.setValue(1)
    panel.size_px.setValue(128)
    panel.steps.setValue(2)
    said = clicked(panel, panel.synthesise)
    assert "1 synthetic tile" in said, said
    assert report(panel.tiles_report) == Path(out, "tiles-1/report.html") and Path(out, "tiles-1/manifest.json").is_file()
    tiles, labels = viewer.layers["SYNTHETIC tiles"], viewer.layers["labels of SYNTHETIC tiles"]
    assert tiles.data.shape == (1, 128, 128, 3) and labels.data.shape == (1, 128, 128) and tiles.metadata["synthetic"]
    assert set(np.unique(labels.data)) <= {0, 1, 2, 3} and np.allclose(tiles.extent.world, labels.extent.world)
    assert tiles.extent.world[0, -1] > image.extent.world[1, -1], "beside the slide"
    assert panel.gallery.count() == 1 and "flagged" in panel.gallery.item(0).text() and "cells)" in panel.flags.text(), panel.flags.text()
    assert panel.layer.count() == 1, "synthetic tiles are no slides"
    viewer.window.resize(1500, 950)
    viewer.reset_view()
    pump(1)
    viewer.screenshot(os.path.join(out, "window.png"), canvas_only=False, flash=False)
    panel.gallery.itemClicked.emit(panel.gallery.item(0))
    camera = getattr(viewer, "scene", viewer).camera
    assert np.allclose(camera.center[-2:], tiles.extent.world.mean(axis=0)[-2:])

    panel.doctor.click()
    pump(60, lambda: "ABI" in panel.said.text())
    told = panel.said.text()
    assert "ABI 1." in told and "missing: nothing" in told and "libhistoloom" in told and "calibration of the flags: none" not in told, told
    pump(1)
    viewer.screenshot(os.path.join(out, "doctor.png"), canvas_only=False, flash=False)
    # a window that is closed while a job runs ends it
    panel.run.click()
    job = panel._job
    viewer.close()
    pump(1)
    assert job.wait(30) and job.poll()["state"] == histoloom.CANCELLED, job.poll()
    assert not raised, raised
    print(f"napari {napari.__version__}: all checks passed")


if __name__ == "__main__":
    main(*sys.argv[1:])
