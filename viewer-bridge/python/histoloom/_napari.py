"""The dock widget of napari: a tissue map of an image layer as a Labels layer, and synthetic tiles of the map. napari.yaml names it.

In: 2-D RGB u8 image layers, one array or a pyramid, numpy or dask. Out: layers, files with a report in a folder a run, and what went wrong as text
in the widget. Jobs run on threads of the library; a timer asks how far they are, so the window never waits.
"""
from __future__ import annotations

import html
import itertools
import os
import tempfile
import webbrowser
from functools import partial
from pathlib import Path
from typing import Any, Callable, Mapping, Optional, Sequence

import napari
import numpy as np
import pandas as pd
from napari.layers import Image, Shapes
from napari.qt.threading import thread_worker
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import (
    QComboBox, QDoubleSpinBox, QFileDialog, QFormLayout, QHBoxLayout, QLabel, QLineEdit, QListWidget, QListWidgetItem, QProgressBar, QPushButton,
    QScrollArea, QSpinBox, QVBoxLayout, QWidget,
)

import histoloom
from histoloom import RUNNING, Code, Picture

MPP_RANGE = 0.05, 16.0  # of the parameter `mpp`
THUMBNAIL_PX = 64


class Trouble(Exception):
    """Why something cannot be done, for the user: what, which, what to try."""


def slide_of(layer: Optional[Image]) -> Any:
    """The pixels of a layer that can be mapped, an array or levels of one. Raises Trouble."""
    if layer is None:
        raise Trouble("There is no image layer. Open a slide first: File > Open, or drop it on the window.")
    if layer.ndim != 2:
        raise Trouble(f'"{layer.name}" has {layer.ndim} dimensions, a slide has two. Take one plane of it as a layer of its own.')
    if not layer.rgb or layer.dtype != np.uint8:
        raise Trouble(f'"{layer.name}" is no RGB image of 8 bits a channel. Histoloom is made for haematoxylin and eosin in bright field.')
    return layer.data


def mpp_of(layer: Image) -> float:
    """Micrometres a pixel as the layer's scale and units tell them; 0 where its units are no lengths. Raises Trouble."""
    try:
        y, x = (float((step * unit).to("micrometer").magnitude) for step, unit in zip(layer.scale, layer.units))
    except Exception:  # pint's errors: not a length
        return 0.0
    if abs(x - y) > 0.01 * max(x, y):
        raise Trouble(f'"{layer.name}" has pixels of {x:g} x {y:g} micrometres; they must be square. Resample it, or correct the layer\'s scale.')
    return (x + y) / 2


def placement(layer: Image, factor: float) -> dict[str, Any]:
    """Lays a layer over the image whose pixels are `factor` times as wide, edge on edge. Coordinates of napari are those of pixels' centres."""
    shear = np.array([[1.0, layer.shear[0]], [0.0, 1.0]])
    centre = layer.rotate @ shear @ (layer.scale * (factor - 1) / 2)
    return {
        "scale": layer.scale * factor, "translate": layer.translate + centre, "rotate": layer.rotate, "shear": layer.shear,
        "affine": layer.affine.affine_matrix, "units": layer.units,
    }


def areas_of(shapes: Shapes, image: Image) -> list[list[list[float]]]:
    """Polygons, rectangles and ellipses as the parameter `roi`: [x, y] in pixels of the image, from its corner. Raises Trouble."""
    if shapes.ndim != 2:
        raise Trouble(f'"{shapes.name}" has {shapes.ndim} dimensions, a slide has two. Draw the region in a Shapes layer of two.')
    out = []
    for kind, corners in zip(shapes.shape_type, shapes.data):
        if kind in ("line", "path"):
            continue
        if kind == "ellipse":  # the corners are those of the rectangle around it
            turn = np.linspace(0, 2 * np.pi, 64, endpoint=False)[:, None]
            corners = corners.mean(0) + np.cos(turn) * (corners[1] - corners[0]) / 2 + np.sin(turn) * (corners[2] - corners[1]) / 2
        at = [image.world_to_data(shapes.data_to_world(corner)) for corner in corners]
        out.append([[float(x) + 0.5, float(y) + 0.5] for y, x in at])
    if not out:
        raise Trouble(f'"{shapes.name}" has no area. Draw a polygon, a rectangle or an ellipse in it, or choose the whole slide.')
    return out


def colormap(classes: list[dict[str, Any]]) -> DirectLabelColormap:
    """The library's colours; no colour for the background and for labels that the map does not have."""
    colors: dict[Optional[int], Any] = {c["id"]: np.array([*c["color"], 255]) / 255 for c in classes}
    return DirectLabelColormap(color_dict={None: np.zeros(4), 0: np.zeros(4), **colors})


def features(classes: list[dict[str, Any]]) -> pd.DataFrame:
    """One row a label; napari shows it for the label under the mouse."""
    rows = [(0, "background", np.nan), *((c["id"], c["name"], c["share"]) for c in classes)]
    return pd.DataFrame(rows, columns=["index", "class", "share of the tissue"])


def legend(classes: list[dict[str, Any]], without_cells: Sequence[dict[str, Any]] = ()) -> str:
    """Colour, name and share of each class, and in grey those that were annotated and have no cells, as rich text."""
    rows = (
        f'<tr><td bgcolor="#{bytes(c["color"]).hex()}">&nbsp;&nbsp;&nbsp;&nbsp;</td><td>&nbsp;{html.escape(c["name"])}</td>'
        f'<td align="right">&nbsp;{100 * c["share"]:.1f} %</td></tr>' for c in classes
    )
    grey = (
        f'<tr><td bgcolor="#d9d9d9"></td><td colspan="2"><font color="gray">&nbsp;{html.escape(c["name"])}: no cells'
        f'{html.escape(f", {why}" if (why := c["reason"]) else "")}</font></td></tr>' for c in without_cells
    )
    return f"<table>{''.join(itertools.chain(rows, grey))}</table>"


def parameters(kind: str) -> dict[str, Any]:
    """What the library tells of each parameter of a job kind; nothing where it cannot be loaded, which is told once it is needed."""
    try:
        told: dict[str, Any] = histoloom._schema(histoloom.load(), kind)["properties"]
    except histoloom.Error:
        return {}
    return told


def flags_in_words(told: dict[str, Any]) -> str:
    """Each reason once, with the number of cells it holds for."""
    cells: dict[str, int] = {}
    for flag in told["flags"]:
        cells[flag["reason"]] = cells.get(flag["reason"], 0) + (flag["cell"] is not None)
    if not cells:
        return "not flagged, which does not mean verified"
    return "flagged. " + " ".join(reason + (f" ({n} cell{'s'[: n > 1]})" if n else "") for reason, n in cells.items())


def diagnosis(told: dict[str, Any], loaded: str) -> str:
    """What the user of `Doctor` wants to know, a line each: `told` by the library that was loaded from a file."""
    build, device, atlas = told["build"], told["device"], told.get("atlas")
    file = (told.get("library") or {}).get("path") or loaded
    lines = ["missing: " + ("; ".join(told["missing"]) or "nothing")]
    lines += [f"Histoloom {build['version']}, ABI {build['abi']}, {file}", f"device: {device['name'] if device else 'none'}"]
    lines += [f"not used: {a['device']} {a['name']}: {a['why_not']}" for a in told["devices"]["adapters"] if a["why_not"]]
    lines += ["models: " + (", ".join(w["network"] + ("" if w["ok"] else " MISSING") for w in told["weights"]) or "none could be tried")]
    lines += ["atlas: " + (f"{atlas['types']} types of tissue ({atlas['sha256'][:8]}...)" if atlas and atlas["ok"] else "none that can be used")]
    calibration = (told["flags"] or {}).get("calibration") or {}
    sha256, why = calibration.get("sha256"), calibration.get("missing")
    lines += ["calibration of the flags: " + (f"{sha256[:8]}..." if sha256 else f"none, so every tile is flagged{f': {why}' if why else ''}")]
    lines += ["image operations: " + (", ".join(f"{op['name']} {op['version']}" for op in (told["ops"] or {}).get("ops", [])) or "none")]
    return "\n".join(lines)


def in_words(e: BaseException) -> str:
    """An error with what to try."""
    if not isinstance(e, histoloom.Error):
        return str(e) or repr(e)
    if e.code == Code.CANCELLED:
        return "Cancelled. Nothing was changed."
    models = ". Here: set HISTOLOOM_MODELS to the folder with manifest.json, or install histoloom from the archive anew"
    return f"{e}{models if e.code == Code.WEIGHTS else ''}"


class Panel(QWidget):  # type: ignore[misc, unused-ignore] # where no Qt binding is installed
    """Maps the chosen image layer, then synthesises tiles of the newest map."""

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._context: Optional[histoloom.Context] = None
        self._job: Optional[histoloom.Job] = None
        self._slide: Optional[histoloom.Slide] = None
        self._finish: Callable[[histoloom.Result], None] = lambda result: None
        self._map: Optional[tuple[Image, histoloom.Result]] = None
        self._tiles: tuple[Optional[Image], list[str]] = (None, [])  # the layer, and each tile's flags in words
        self._temporary = tempfile.TemporaryDirectory(prefix="histoloom-")  # of runs without a folder of the user's
        self._worker: Any = None
        self._build()
        self.destroyed.connect(partial(_end, vars(self)))
        self._timer = QTimer(self)
        self._timer.setInterval(100)
        self._timer.timeout.connect(self._poll)
        for event in (napari_viewer.layers.events.inserted, napari_viewer.layers.events.removed):
            event.connect(self._list_layers)
        self._list_layers()

    def _build(self) -> None:
        self.layer, self.region, self.device, self.mpp = QComboBox(), QComboBox(), QComboBox(), QDoubleSpinBox()
        self.layer.currentIndexChanged.connect(self._show_mpp)
        self.device.addItems(["auto", "cpu", "gpu"])
        self.mpp.setDecimals(4)
        self.mpp.setRange(0, MPP_RANGE[1])
        self.mpp.setSingleStep(0.05)
        self.mpp.setSpecialValueText("not known")
        self.k, self.seed = _spin(0, 100, 0), _spin(0, 2**31 - 1, 1)
        self.k.setSpecialValueText("auto")
        self.n, self.size_px, self.steps = _spin(1, 64, 4), _spin(128, 4096, 256, 32), _spin(1, 1000, 6)
        self.run, self.synthesise = QPushButton("Run"), QPushButton("Synthesise")
        self.cancel, self.doctor = QPushButton("Cancel"), QPushButton("Doctor")
        self.folder, choose = QLineEdit(), QPushButton("...")
        self.folder.setPlaceholderText("temporary")
        self.folder.setToolTip("Every run makes a folder in it: report, pictures, tables. Without one they go when napari is closed")
        choose.clicked.connect(lambda: self.folder.setText(QFileDialog.getExistingDirectory(self, "Folder for the files") or self.folder.text()))
        self.map_report, self.tiles_report = QPushButton("Open report"), QPushButton("Open report")
        for report, what in ((self.map_report, "map"), (self.tiles_report, "tiles")):
            report.setToolTip(f"The {what} on one page, in your browser")
            report.clicked.connect(lambda _=False, report=report: self._try(lambda: _show_page(report.property("page"))))
        self.run.clicked.connect(lambda: self._try(self._start_map))
        self.synthesise.clicked.connect(lambda: self._try(self._start_tiles))
        self.doctor.clicked.connect(self._start_doctor)
        self.cancel.clicked.connect(self._cancel)
        self.progress, self.said, self.legend, self.gallery, self.flags = QProgressBar(), QLabel(), QLabel(), QListWidget(), QLabel()
        self.progress.setRange(0, 1000)
        for text in (self.said, self.flags):
            text.setWordWrap(True)
            text.setTextFormat(Qt.TextFormat.PlainText)
            text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.gallery.setIconSize(QSize(2 * THUMBNAIL_PX, THUMBNAIL_PX))
        self.gallery.setMinimumHeight(3 * THUMBNAIL_PX)
        self.gallery.currentRowChanged.connect(self._show_flags)
        self.gallery.itemClicked.connect(self._go_to_tile)

        scroll, content = QScrollArea(), QWidget()  # what is told may be longer than a small screen is high
        scroll.setWidget(content)
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        QVBoxLayout(self).addWidget(scroll)
        form, tiles, box = QFormLayout(), QFormLayout(), QVBoxLayout(content)
        for to, kind, rows in (
            (form, "cluster", {
                "Slide": self.layer, "Region": self.region, "mpp": self.mpp, "k": self.k, "seed": self.seed, "device": self.device,
                "Folder": _row(self.folder, choose),
            }),
            (tiles, "synth", {"n": self.n, "size_px": self.size_px, "steps": self.steps}),
        ):
            known = parameters(kind)
            for name, widget in rows.items():
                to.addRow(known.get(name, {}).get("title", name), widget)
                if name in known:
                    widget.setToolTip(known[name]["description"])
        box.addLayout(form)
        box.addLayout(_row(self.run, self.cancel, self.doctor))
        for part in (self.progress, self.said, self.legend, self.map_report):
            box.addWidget(part)
        box.addLayout(tiles)
        box.addWidget(self.synthesise)
        for part in (self.gallery, self.flags, self.tiles_report):
            box.addWidget(part)
        for part in (self.map_report, self.gallery, self.flags, self.tiles_report):
            part.setVisible(False)  # until there is something to see
        box.addStretch(1)
        self._busy(False)

    # What the user chose

    def _list_layers(self, _event: Any = None) -> None:
        slide = self.layer.currentData()
        images = [a for a in self._viewer.layers if isinstance(a, Image) and "histoloom" not in a.metadata]
        self._offer(self.layer, [(a.name, a) for a in images], len(images) - 1)
        shapes = [a for a in self._viewer.layers if isinstance(a, Shapes)]
        self._offer(self.region, [("whole slide", None), *((a.name, a) for a in shapes)], 0)
        for a in [*images, *shapes]:
            a.events.name.connect(self._list_layers)  # once, however often
        if self.layer.currentData() is not slide:
            self._show_mpp()

    def _offer(self, box: QComboBox, choices: list[tuple[str, Any]], otherwise: int) -> None:
        """Fills a list; what was chosen stays so, or the choice of that number is taken."""
        chosen = box.currentData()
        box.blockSignals(True)
        box.clear()
        for name, layer in choices:
            box.addItem(name, layer)
        box.setCurrentIndex(next((i for i, (_, layer) in enumerate(choices) if layer is chosen), otherwise))
        box.blockSignals(False)

    def _show_mpp(self, _index: int = 0) -> None:
        """What the layer tells stands there and cannot be changed; what it does not is the user's to enter."""
        layer = self.layer.currentData()
        try:
            known = mpp_of(layer) if layer is not None and layer.ndim == 2 else 0.0
        except Trouble:  # told when it is run
            known = 0.0
        self.mpp.setValue(known)
        self.mpp.setEnabled(known == 0)

    def _start_map(self) -> None:
        layer = self.layer.currentData()
        pixels = slide_of(layer)
        mpp = mpp_of(layer) or self.mpp.value()
        if mpp == 0:
            raise Trouble(
                f'"{layer.name}" does not tell how large its pixels are. Enter micrometres a pixel above: 0.25 is usual for 40x, 0.5 for 20x, '
                "and the scanner's file tells it."
            )
        if not MPP_RANGE[0] <= mpp <= MPP_RANGE[1]:
            raise Trouble(f'"{layer.name}" has {mpp:g} micrometres a pixel; it must be {MPP_RANGE[0]} to {MPP_RANGE[1]}. Correct its scale or units.')
        shapes = self.region.currentData()
        region: dict[str, Any] = {} if shapes is None else {"roi": areas_of(shapes, layer)}
        self._context = self._context or histoloom.Context()
        self._slide = self._context.open(pixels, mpp, name=layer.name, id=layer.source.path)
        try:
            job = self._context.start(
                "cluster", self._slide, k=self.k.value(), seed=self.seed.value(), device=self.device.currentText(),
                out_dir=self._folder("map"), **region,
            )
        except Exception:
            self._slide.close()
            raise
        self._follow(job, lambda result: self._show_map(layer, result))

    def _start_tiles(self) -> None:
        if self._map is None or self._context is None:
            raise Trouble("There is no map yet, and tiles are made from one. Run it first.")
        layer, tissue = self._map
        job = self._context.start(
            "synth", None, tissue, n=self.n.value(), size_px=self.size_px.value(), steps=self.steps.value(), seed=self.seed.value(),
            device=self.device.currentText(), out_dir=self._folder("tiles"),
        )
        self._follow(job, lambda result: self._show_tiles(layer, result))

    def _folder(self, kind: str) -> Path:
        """A new one for a run: maps and tiles are never written over others."""
        root = Path(self.folder.text().strip() or self._temporary.name).expanduser()
        return next(path for n in itertools.count(1) if not (path := root / f"{kind}-{n}").exists())

    def _start_doctor(self) -> None:
        device = self.device.currentText()

        def look() -> str:
            context = histoloom.Context(device=device)
            return diagnosis(context.doctor(), context._lib._name)

        self.said.setText("Looking at device and models...")
        self.doctor.setEnabled(False)
        self._worker = thread_worker(look)()
        self._worker.returned.connect(self.said.setText)
        self._worker.errored.connect(lambda e: self.said.setText(in_words(e)))
        self._worker.finished.connect(lambda: self.doctor.setEnabled(True))
        self._worker.start()

    # Jobs

    def _try(self, start: Callable[[], None]) -> None:
        try:
            start()
        except Exception as e:  # whatever it is, the user is told and the panel can go on
            self.said.setText(in_words(e))

    def _follow(self, job: histoloom.Job, finish: Callable[[histoloom.Result], None]) -> None:
        self._job, self._finish = job, finish
        self.said.setText("Started.")
        self._busy(True)
        self._timer.start()

    def _busy(self, busy: bool) -> None:
        self.run.setEnabled(not busy)
        self.synthesise.setEnabled(not busy)
        self.cancel.setEnabled(busy)
        self.progress.setValue(0)
        self.progress.setVisible(busy)

    def _cancel(self) -> None:
        if self._job is not None:
            self._job.cancel()
            self.said.setText("Cancelling...")

    def _poll(self) -> None:
        job = self._job
        if job is None:
            return
        told = job.poll()
        if told["state"] <= RUNNING:
            self.progress.setValue(int(1000 * told["fraction"]))
            left = f", about {told['eta_s']:.0f} s left in this step" if told["eta_s"] > 0 else ""
            if told["stage"]:
                self.said.setText(f"{told['stage']}: {told['done']} of {told['total']}{left}")
            return
        self._timer.stop()
        self._job = None
        self._busy(False)
        self._try(lambda: self._finish(job.result()))
        if self._slide is not None:
            self._slide.close()
            self._slide = None

    # What came out

    def _show_map(self, layer: Image, result: histoloom.Result) -> None:
        summary = result.summary
        told, self._map = summary["map"], (layer, result)
        classes = told["classes"]
        self._viewer.add_labels(
            result.labels, name=f"tissue map of {layer.name}", colormap=colormap(classes), features=features(classes), opacity=0.5,
            metadata={"histoloom": summary}, **placement(layer, told["cell_px"]),
        )
        self.legend.setText(legend(classes, told.get("without_cells", ())))
        self._offer_report(self.map_report, summary)
        self.said.setText("\n".join([f"{len(classes)} classes: {summary['k']['why']}", *summary["notes"]]))

    def _show_tiles(self, layer: Image, result: histoloom.Result) -> None:
        summary, tiles = result.summary, [result.tile(i) for i in range(result.kept)]
        told = summary["map"]
        classes = told["classes"]
        # beside the slide, as large as tissue of that size on it
        (top, _), (_, right) = layer.extent.world[:, -2:]
        scale = layer.scale * told["work_mpp"] / told["mpp"]
        place = {
            "scale": [1, *scale], "translate": [0, top, right + 16 * scale[1]], "units": ["pixel", *layer.units],
            "metadata": {"histoloom": summary, "synthetic": True, "tiles": [t[2] for t in tiles]},
        }
        pixels, labels = np.stack([t[0] for t in tiles]), np.stack([t[1] for t in tiles])
        shown = self._viewer.add_image(pixels, rgb=True, name="SYNTHETIC tiles", **place)
        self._viewer.add_labels(
            labels, name="labels of SYNTHETIC tiles", colormap=colormap(classes), features=features(classes), visible=False, **place
        )
        colors = np.full((256, 3), 255, np.uint8)
        for c in classes:
            colors[c["id"]] = c["color"]
        self.gallery.clear()
        self._tiles = shown, [flags_in_words(t[2]) for t in tiles]
        for i, (rgb, of, flags) in enumerate(tiles):
            self.gallery.addItem(QListWidgetItem(_icon(np.hstack([rgb, colors[of]])), f"Tile {i + 1}: {'' if flags['flags'] else 'not '}flagged"))
        self.gallery.setCurrentRow(0)
        self.gallery.setVisible(True)
        self.flags.setVisible(True)
        self._offer_report(self.tiles_report, summary)
        made, folder = len(summary["tiles"]), summary["parameters"]["out_dir"]
        shown_of = f" are shown of {made}; all lie in {folder}" if len(tiles) < made else ", beside the slide"
        self.said.setText("\n".join([f"{len(tiles)} synthetic tile{'s'[: len(tiles) > 1]}{shown_of}", *summary["notes"]]))

    def _offer_report(self, button: QPushButton, summary: dict[str, Any]) -> None:
        button.setProperty("page", os.path.join(summary["parameters"]["out_dir"], "report.html"))
        button.setVisible(True)

    def _show_flags(self, row: int) -> None:
        self.flags.setText(f"Tile {row + 1}: {self._tiles[1][row]}" if row >= 0 else "")

    def _go_to_tile(self, _item: Any = None) -> None:
        """Moves to the tile that was clicked in the gallery."""
        shown = self._tiles[0]
        if shown is not None and shown in self._viewer.layers:
            self._viewer.dims.set_current_step(0, self.gallery.currentRow())
            getattr(self._viewer, "scene", self._viewer).camera.center = shown.extent.world.mean(axis=0)  # `scene` since napari 0.9


def _end(panel: Mapping[str, Any], *_: Any) -> None:
    """Cancels the job of a panel that Qt has deleted, whose methods are not called any more."""
    if panel["_job"] is not None:
        panel["_job"].cancel()


def _show_page(page: str) -> None:
    if not Path(page).is_file():
        raise Trouble(f"{page} is not there any more. Run it again.")
    if not webbrowser.open(Path(page).resolve().as_uri()):
        raise Trouble(f"No browser could be opened. The report is {page}.")


def _spin(least: int, most: int, value: int, step: int = 1) -> QSpinBox:
    spin = QSpinBox()
    spin.setRange(least, most)
    spin.setSingleStep(step)
    spin.setValue(value)
    return spin


def _row(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget)
    return row


def _icon(rgb: Picture) -> QIcon:
    rgb = np.ascontiguousarray(rgb)
    height, width = rgb.shape[:2]
    image = QImage(rgb.data, width, height, 3 * width, QImage.Format.Format_RGB888)
    picture = QPixmap.fromImage(image).scaledToHeight(THUMBNAIL_PX, Qt.TransformationMode.SmoothTransformation)
    icon = QIcon(picture)
    icon.addPixmap(picture, QIcon.Mode.Selected)  # else Qt tints the stain
    return icon
