"""Histoloom from Python: maps of a slide and synthetic tiles as numpy arrays, over the C ABI. ctypes and numpy only.

    import histoloom

    tissue = histoloom.cluster(pixels, mpp=0.5, k=8)           # an array [h, w, 3], levels of one, or a function that reads
    for rgb, labels, told in histoloom.synthesise(tissue, n=4): ...

The same in steps, for programs that follow the progress or make several maps:

    with histoloom.Context() as context:
        slide = context.open(pixels, mpp=0.5)
        tissue = context.cluster(slide, k=8, seed=1)
        tissue.labels                                  # [rows, columns] u8, 0 = background
        tissue.overlay_region(0, 0, 4.0, 512, 512)     # [512, 512, 4] u8, RGBA, for a viewport
        tiles = context.synth(tissue, n=4, seed=1)
        rgb, labels, told = tiles.tile(0)

Jobs run on threads of the library; `cluster`, `synth` and `run` wait for them and can be interrupted (Ctrl-C cancels the job), `start` does not
wait. Failures raise `Error`, whose `code` is a `Code` (HL_E_* of histoloom.h) and whose text says what to try. Tiles are synthetic: say so
wherever you write them.
"""
from __future__ import annotations

import ctypes
import enum
import itertools
import json
import os
import sys
import threading
import uuid
import weakref
from ctypes import POINTER, byref, c_char_p, c_double, c_int32, c_int64, c_uint8, c_uint32, c_uint64, c_void_p, sizeof
from collections.abc import Sequence
from typing import Any, Callable, Optional, Protocol, Tuple, Union

import numpy as np
from numpy.typing import NDArray

__all__ = ["Code", "Context", "Error", "Job", "Reader", "Result", "Slide", "Tile", "cluster", "load", "synthesise"]

ABI = 1 << 16
RGBA8 = 1
FOREVER = 0xFFFFFFFF
QUEUED, RUNNING, DONE, FAILED, CANCELLED = range(5)

Picture = NDArray[np.uint8]
Tile = Tuple[Picture, Picture, "dict[str, Any]"]  # synthetic pixels [h, w, 3], their labels [h, w], and flags, scores and provenance


class Reader(Protocol):
    """Reads a region: (x, y, downsample, width, height) -> [height, width, 3 or 4] u8. x and y in level-0 pixels, downsample level-0 pixels
    a pixel, at least 1. Called on threads of the library."""

    def __call__(self, x: int, y: int, downsample: float, width: int, height: int) -> Picture: ...


class Code(enum.IntEnum):
    """Why a call or a job failed: HL_E_* of histoloom.h, which tells what each means."""

    ARGUMENT, ABI, UNSUPPORTED, HANDLE, UTF8, PARAMETER, LIMIT, BUFFER = range(-1, -9, -1)
    STATE, CANCELLED, TIMEOUT, BUSY, SLIDE, HOST, WEIGHTS, DEVICE = range(-9, -17, -1)
    OP, OP_LIMIT, FILE, MEMORY, PANIC, POISONED, INTERNAL = range(-17, -24, -1)


class Error(Exception):
    """A call or a job that failed: `code`, a `Code` where this module knows it, and `text`, which says what to try."""

    def __init__(self, code: int, text: str) -> None:
        self.code = Code(code) if code in [*Code] else code
        self.text = text
        super().__init__(f"{f'HL_E_{self.code.name}' if isinstance(self.code, Code) else code}: {text}")

    def __reduce__(self) -> Tuple[Any, ...]:
        return type(self), (int(self.code), self.text)


class _Region(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32), ("pixel_format", c_uint32), ("x_px", c_int64), ("y_px", c_int64), ("downsample", c_double),
        ("width_px", c_uint32), ("height_px", c_uint32), ("stride_bytes", c_uint32), ("z", c_int32), ("t", c_int32), ("reserved", c_uint32),
        ("token", c_uint64),
    ]


class _Progress(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32), ("state", c_int32), ("error", c_int32), ("reserved", c_uint32), ("fraction", c_double),
        ("items_per_s", c_double), ("eta_s", c_double), ("done", c_uint64), ("total", c_uint64), ("stage", ctypes.c_char * 40),
    ]


_READ = ctypes.CFUNCTYPE(c_int64, c_void_p, POINTER(_Region), POINTER(c_uint8), c_uint64)
_LOG = ctypes.CFUNCTYPE(None, c_void_p, c_int32, c_char_p)
_PROGRESS = ctypes.CFUNCTYPE(c_int32, c_void_p, c_uint64, POINTER(_Progress))


class _Host(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32), ("abi", c_uint32), ("user", c_void_p), ("max_concurrent_reads", c_uint32), ("reserved", c_uint32),
        ("read_region", _READ), ("log", _LOG), ("progress", _PROGRESS),
    ]


class _Config(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32), ("threads", c_uint32), ("models_dir", c_char_p), ("device", c_char_p), ("host", POINTER(_Host)),
    ]


class _SlideDesc(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32), ("pixel_format", c_uint32), ("width_px", c_uint64), ("height_px", c_uint64),
        ("downsamples", POINTER(c_double)), ("levels", c_uint32), ("background_rgb", c_uint32), ("mpp_x", c_double), ("mpp_y", c_double),
        ("origin_x_px", c_int64), ("origin_y_px", c_int64), ("name", c_char_p), ("id", c_char_p), ("token", c_uint64),
    ]


_SIZES = {1: _Host, 2: _Config, 3: _SlideDesc, 4: _Region, 5: _Progress}


def load(library: Optional[str] = None) -> ctypes.CDLL:
    """Loads the library: the path given, HISTOLOOM_LIBRARY, the one installed with this package, the one in the archive this package lies in, or
    the one the system finds. Its layout is checked."""
    name = {"win32": "histoloom.dll", "darwin": "libhistoloom.dylib"}.get(sys.platform, "libhistoloom.so")
    here = os.path.dirname(os.path.abspath(__file__))
    places = [os.path.normpath(os.path.join(here, p, name)) for p in (".", "../../../../lib")]
    named = library or os.environ.get("HISTOLOOM_LIBRARY")
    path = named or next(filter(os.path.exists, places), name)
    try:
        lib = ctypes.CDLL(path)
    except OSError as e:
        looked = "" if named else f" (looked for {', for '.join(places)}, and where the system keeps libraries)"
        hint = "install this package from the unpacked archive of a release, or name the file with library= or HISTOLOOM_LIBRARY"
        raise Error(Code.FILE, f"the library cannot be loaded: {e}{looked}; {hint}") from e
    lib.hl_abi_version.restype = lib.hl_sizeof.restype = c_uint32
    abi = lib.hl_abi_version()
    if abi >> 16 != ABI >> 16 or abi < ABI:
        said = f"{path} has ABI {abi >> 16}.{abi & 0xFFFF}, this module needs {ABI >> 16}.{ABI & 0xFFFF}; use parts of one release"
        raise Error(Code.ABI, said)
    for id_, struct in _SIZES.items():
        if lib.hl_sizeof(c_uint32(id_)) < sizeof(struct):
            raise Error(Code.ABI, f"{path} knows a smaller {struct.__name__}; use parts of one release")
    return lib


def _check(lib: ctypes.CDLL, code: int) -> None:
    if code != 0:
        raise Error(code, _text(lib, lib.hl_last_error))


def _buffer(lib: ctypes.CDLL, call: Callable[[Any, Any, Any], int]) -> NDArray[np.uint8]:
    """Asks for the size, then for the bytes; again where they grew in between."""
    while True:
        needed = c_uint64()
        _check(lib, call(None, c_uint64(0), byref(needed)))
        out = np.empty(needed.value, np.uint8)
        if not len(out):
            return out
        code = call(out.ctypes.data_as(POINTER(c_uint8)), c_uint64(len(out)), byref(needed))
        if code != Code.BUFFER:
            _check(lib, code)
            return np.resize(out, needed.value)


def _plain(value: Any) -> Any:
    """What JSON has no word for and parameters may be: paths, numpy's numbers and arrays."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"{value!r} cannot be a parameter: numbers, texts, lists, dicts, paths and arrays can")


def _parsed(text: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(text)
    return told


def _text(lib: ctypes.CDLL, function: Any, *before: Any) -> str:
    out = _buffer(lib, lambda dst, cap, needed: function(*before, dst, cap, needed))
    return out.tobytes().split(b"\0")[0].decode()


def _schema(lib: ctypes.CDLL, kind: str) -> dict[str, Any]:
    return _parsed(_text(lib, lib.hl_params_schema_json, c_char_p(kind.encode())))


def _shrunk(part: Picture, width: int, height: int) -> Picture:
    """Means over the pixels that fall into one, [height, width, c]; the nearest where it is enlarged."""
    if part.shape[:2] == (height, width):
        return part

    def along(axis: int, size: int, values: NDArray[Any]) -> NDArray[Any]:
        if size >= values.shape[axis]:
            near: NDArray[Any] = np.take(values, (2 * np.arange(size) + 1) * values.shape[axis] // (2 * size), axis)
            return near
        step, rest = divmod(values.shape[axis], size)
        if rest == 0:  # the usual case, many times faster
            each = [values[i::step] if axis == 0 else values[:, i::step] for i in range(step)]
            whole: NDArray[Any] = sum(each[1:], each[0].astype(np.float32))
            return whole / np.float32(step)
        first = np.arange(size) * values.shape[axis] // size
        count = np.diff(np.append(first, values.shape[axis])).astype(np.float32)
        sums: NDArray[Any] = np.add.reduceat(values, first, axis, dtype=np.float32)
        means: NDArray[Any] = sums / count.reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        return means

    shrunk: Picture = np.rint(along(1, width, along(0, height, part))).astype(np.uint8)
    return shrunk


def _reader(levels: Sequence[Picture]) -> Reader:
    """Reads from arrays of falling size, numpy's or lazy ones."""
    scales = [(levels[0].shape[0] / level.shape[0], levels[0].shape[1] / level.shape[1]) for level in levels]

    def span(start: int, pixels: int, downsample: float, scale: float, side: int) -> slice:
        first = min(max(int(np.floor(start / scale + 0.5)), 0), side - 1)
        return slice(first, min(max(int(np.floor((start + pixels * downsample) / scale + 0.5)), first + 1), side))

    def read(x: int, y: int, downsample: float, width: int, height: int) -> Picture:
        i = max(i for i, s in enumerate(scales) if max(s) <= downsample * 1.001 or i == 0)
        rows, columns = levels[i].shape[:2]
        down, right = scales[i]
        part = levels[i][span(y, height, downsample, down, rows), span(x, width, downsample, right, columns)]
        return _shrunk(np.asarray(part), width, height)

    return read


class Slide:
    """A slide lent to the library: as long as this object lives, or a job on it, or until `close`. It keeps the reader alive."""

    def __init__(self, context: Context, reader: Reader, token: int) -> None:
        self._context, self._reader, self._token, self._handle = context, reader, token, 0

    def __enter__(self) -> Slide:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Cancels the jobs on it. The reader is not called any more afterwards."""
        handle, self._handle = self._handle, 0
        self._context._lib.hl_slide_release(c_uint64(handle))
        self._context._failures.pop(self._token, None)

    __del__ = close


class Job:
    """A job: queued, running or ended."""

    def __init__(self, context: Context, handle: int, slide: Optional[Slide]) -> None:
        self._context, self._lib, self._handle, self._slide = context, context._lib, c_uint64(handle), slide

    def poll(self) -> dict[str, Any]:
        """state (0 queued, 1 running, 2 done, 3 failed, 4 cancelled), stage, fraction, items_per_s, eta_s, done, total."""
        p = _Progress(struct_size=sizeof(_Progress))
        _check(self._lib, self._lib.hl_job_poll(self._handle, byref(p)))
        told = {name: getattr(p, name) for name in ("state", "fraction", "items_per_s", "eta_s", "done", "total")}
        return {**told, "stage": p.stage.decode()}

    def wait(self, seconds: Optional[float] = None) -> bool:
        """Whether it has ended within that time. Waits in short pieces, so that Ctrl-C is heard."""
        left = float("inf") if seconds is None else seconds
        while True:
            piece = min(left, 0.2)
            code = self._lib.hl_job_wait(self._handle, c_uint32(int(1000 * max(piece, 0))))
            if code != Code.TIMEOUT:
                _check(self._lib, code)
                return True
            left -= piece
            if left <= 0:
                return False

    def cancel(self) -> None:
        """It stops within a step; `result` then raises."""
        _check(self._lib, self._lib.hl_job_cancel(self._handle))

    def partial(self) -> Optional[Picture]:
        """The newest picture [h, w, 4], or none yet."""
        w, h = c_uint32(), c_uint32()
        out = _buffer(self._lib, lambda d, c, n: self._lib.hl_job_partial(self._handle, d, c, n, byref(w), byref(h)))
        return out.reshape(h.value, w.value, 4) if len(out) else None

    @property
    def params(self) -> dict[str, Any]:
        """Its parameters with all defaults: what a notebook should keep."""
        return _parsed(_text(self._lib, self._lib.hl_job_params_json, self._handle))

    def result(self) -> Result:
        """Waits for the end; raises what the job failed with, caused by what its reader raised. An interrupt cancels it."""
        try:
            self.wait()
        except BaseException:
            self._lib.hl_job_cancel(self._handle)
            raise
        out = c_uint64()
        code = self._lib.hl_job_result(self._handle, byref(out))
        if code != 0:
            why = _text(self._lib, self._lib.hl_job_error, self._handle) or _text(self._lib, self._lib.hl_last_error)
            cause = self._context._failures.pop(self._slide._token, None) if self._slide is not None else None
            raise Error(code, why + (f" ({cause})" if cause else "")) from cause
        return Result(self._context, out.value)

    def __del__(self) -> None:
        self._lib.hl_job_release(self._handle)


class Result:
    """What a job made. It outlives its job, not its context."""

    def __init__(self, context: Context, handle: int) -> None:
        self._context, self._lib, self._handle = context, context._lib, c_uint64(handle)

    def _json(self, function: Any) -> dict[str, Any]:
        return _parsed(_text(self._lib, function, self._handle))

    @property
    def summary(self) -> dict[str, Any]:
        """Map, classes, tiles with flags, device, notes, files, parameters."""
        return self._json(self._lib.hl_result_json)

    @property
    def provenance(self) -> dict[str, Any]:
        """How the map was made."""
        return self._json(self._lib.hl_result_provenance_json)

    @property
    def geojson(self) -> dict[str, Any]:
        """Polygons in level-0 pixels, as QuPath imports them."""
        return self._json(self._lib.hl_result_geojson)

    def csv(self, table: str = "classes") -> str:
        """The table "classes" or "k"."""
        return _text(self._lib, self._lib.hl_result_csv, self._handle, c_char_p(table.encode()))

    def _picture(self, channels: int, function: Any, *before: Any) -> Picture:
        w, h = c_uint32(), c_uint32()
        out = _buffer(self._lib, lambda d, c, n: function(self._handle, *before, d, c, n, byref(w), byref(h)))
        return out.reshape((h.value, w.value, channels) if channels > 1 else (h.value, w.value))

    @property
    def labels(self) -> Picture:
        """[rows, columns], one label a cell; `summary["map"]["cell_px"]` is a cell's side in level-0 pixels."""
        return self._picture(1, self._lib.hl_result_labels)

    @property
    def overlay(self) -> Picture:
        """[rows, columns, 4], legend colours."""
        return self._picture(4, self._lib.hl_result_overlay)

    def _part(self, channels: int, function: Any, x: int, y: int, downsample: float, width: int, height: int) -> Picture:
        r = _Region(sizeof(_Region), RGBA8, x, y, downsample, width, height)
        out = _buffer(self._lib, lambda d, c, n: function(self._handle, byref(r), d, c, n))
        return out.reshape((height, width, channels) if channels > 1 else (height, width))

    def labels_region(self, x: int, y: int, downsample: float, width: int, height: int) -> Picture:
        """[height, width] labels of a region at any zoom; x and y in level-0 pixels."""
        return self._part(1, self._lib.hl_result_labels_region, x, y, downsample, width, height)

    def overlay_region(self, x: int, y: int, downsample: float, width: int, height: int) -> Picture:
        """[height, width, 4] legend colours of a region at any zoom."""
        return self._part(4, self._lib.hl_result_overlay_region, x, y, downsample, width, height)

    @property
    def kept(self) -> int:
        """How many tiles it keeps."""
        kept: int = int(self.summary.get("kept", 0))
        return kept

    def tile(self, index: int) -> Tile:
        """Synthetic pixels [h, w, 3], their labels [h, w], and flags, scores and provenance."""
        i = c_uint32(index)
        told = json.loads(_text(self._lib, self._lib.hl_result_tile_json, self._handle, i))
        return self._picture(3, self._lib.hl_result_tile_rgb, i), self._picture(1, self._lib.hl_result_tile_labels, i), told

    def __del__(self) -> None:
        self._lib.hl_result_release(self._handle)


_inside = threading.local()  # whether this thread is in a callback
_never_freed: list[Any] = []


def _release(lib: ctypes.CDLL, handle: int, alive: Any) -> None:
    if getattr(_inside, "callback", False):
        _never_freed.append(alive)  # there the release does not wait for the callbacks that run
    lib.hl_context_release(c_uint64(handle))


class Context:
    """An instance of the library. `models` is the folder with weights and manifest.json, by default HISTOLOOM_MODELS or those that came with
    the library; `device` auto, cpu, gpu or gpu:N; `log` gets (level, text), level 1 error to 4 debug."""

    def __init__(
        self,
        models: Optional[Union[str, os.PathLike[str]]] = None,
        library: Optional[str] = None,
        device: str = "auto",
        threads: int = 0,
        log: Optional[Callable[[int, str], None]] = None,
        concurrent_reads: int = 1,
    ) -> None:
        self._lib = load(library)
        # the callbacks must not hold this object, or nothing would ever collect it
        slides: weakref.WeakValueDictionary[int, Slide] = weakref.WeakValueDictionary()
        failures: dict[int, BaseException] = {}  # by slide
        self._slides, self._failures, self._tokens = slides, failures, itertools.count(1)

        def read(_user: Any, region: Any, dst: Any, cap: int) -> int:
            r = region.contents
            _inside.callback = True
            try:
                part = np.asarray(slides[r.token]._reader(r.x_px, r.y_px, r.downsample, r.width_px, r.height_px))
                if part.dtype != np.uint8 or part.ndim != 3 or part.shape[:2] != (r.height_px, r.width_px) or part.shape[2] not in (3, 4):
                    raise ValueError(f"the reader gave {part.dtype} {part.shape}, [{r.height_px}, {r.width_px}, 3 or 4] u8 was asked for")
                rows = np.ctypeslib.as_array(dst, (r.height_px * r.stride_bytes,)).reshape(r.height_px, r.stride_bytes)
                pixels = rows[:, : 4 * r.width_px].reshape(r.height_px, r.width_px, 4)
                pixels[..., :3] = part[..., :3]
                pixels[..., 3] = part[..., 3] if part.shape[2] == 4 else 255
                return int(r.height_px * r.stride_bytes)
            except BaseException as e:  # nothing may leave a callback; the job fails, `run` raises it
                failures[r.token] = e
                return -1
            finally:
                _inside.callback = False

        def say(_user: Any, level: int, text: bytes) -> None:
            _inside.callback = True
            try:
                if log is not None:
                    log(level, text.decode())
            except Exception:  # a broken log must not break the job
                pass
            finally:
                _inside.callback = False

        self._callbacks = (_READ(read), _LOG(say))
        self._host = _Host(sizeof(_Host), ABI, None, concurrent_reads, 0, self._callbacks[0], self._callbacks[1], _PROGRESS())
        models = models or os.environ.get("HISTOLOOM_MODELS")
        folder = os.fspath(models).encode() if models else None
        config = _Config(sizeof(_Config), threads, folder, device.encode(), ctypes.pointer(self._host))
        out = c_uint64()
        _check(self._lib, self._lib.hl_context_create(byref(config), byref(out)))
        self._handle = out.value
        # also at the interpreter's exit; holds what the library may still call
        self._end = weakref.finalize(self, _release, self._lib, self._handle, (self._callbacks, self._host))

    def __enter__(self) -> Context:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Cancels what runs and takes back every slide, job and result; afterwards no reader is called."""
        self._end()

    def open(
        self,
        pixels: Union[Picture, Sequence[Picture], Reader],
        mpp: float = 0.0,
        size: Optional[Tuple[int, int]] = None,
        downsamples: Sequence[float] = (1.0,),
        origin: Tuple[int, int] = (0, 0),
        name: str = "slide",
        id: Optional[str] = None,
    ) -> Slide:
        """Lends a slide: an array [h, w, 3 or 4], levels of one, or a function that reads (then with `size` (width, height) and the
        `downsamples` of its levels). mpp: micrometres a level-0 pixel, 0 = unknown; never guess. origin: where (0, 0) lies in the file.
        id: the same for the same slide in every session (only its hash is written; cache and atlas know slides by it); without one each
        slide counts as new."""
        if callable(pixels):
            if size is None:
                raise ValueError("a slide that is read by a function needs its size=(width, height)")
            reader, (width, height) = pixels, size
        else:
            # napari's multi-scale data is a Sequence, arrays are none
            levels: list[Picture] = list(pixels) if isinstance(pixels, Sequence) else [pixels]
            looked_at: list[Any] = [*levels] or [None]
            for level in looked_at:
                kind = f"{level.dtype} {tuple(level.shape)}" if hasattr(level, "dtype") and hasattr(level, "shape") else type(level).__name__
                if not kind.startswith("uint8 ") or level.ndim != 3 or level.shape[2] not in (3, 4):
                    raise ValueError(f"pixels are {kind}, an array [h, w, 3 or 4] of uint8 is needed, levels of it, or a function that reads")
            reader, (height, width) = _reader(levels), levels[0].shape[:2]
            downsamples = [width / level.shape[1] for level in levels]
        token = next(self._tokens)
        scales = (c_double * len(downsamples))(*downsamples)
        d = _SlideDesc(
            sizeof(_SlideDesc), RGBA8, width, height, scales, len(downsamples), 0xFFFFFF, mpp, mpp, origin[0], origin[1], name.encode(),
            (id or uuid.uuid4().hex).encode(), token,
        )
        out = c_uint64()
        slide = self._slides[token] = Slide(self, reader, token)
        _check(self._lib, self._lib.hl_slide_open(c_uint64(self._handle), byref(d), byref(out)))
        slide._handle = out.value
        return slide

    def start(self, kind: str, slide: Optional[Slide] = None, input: Optional[Result] = None, **params: Any) -> Job:
        """Starts a job and returns at once; `schema` tells the parameters of a kind, which may be paths and numpy's numbers and arrays too."""
        out, of = c_uint64(), 0
        if slide is not None:
            if slide._handle == 0:
                raise ValueError("the slide was closed; open it again")
            of = slide._handle
            self._failures.pop(slide._token, None)
        text = json.dumps(params, default=_plain).encode()
        made_of = input._handle if input is not None else c_uint64(0)
        code = self._lib.hl_job_start(c_uint64(self._handle), c_uint64(of), c_char_p(kind.encode()), c_char_p(text), made_of, byref(out))
        _check(self._lib, code)
        return Job(self, out.value, slide)

    def run(self, kind: str, slide: Optional[Slide] = None, input: Optional[Result] = None, **params: Any) -> Result:
        """The same, waiting for the result."""
        return self.start(kind, slide, input, **params).result()

    def cluster(self, slide: Slide, **params: Any) -> Result:
        """A map of tissue classes: k, seed, mpp, roi, out_dir, ..."""
        return self.run("cluster", slide, **params)

    def synth(self, tissue: Result, **params: Any) -> Result:
        """Tiles of a map: n, seed, size_px, steps, guidance, out_dir, ..."""
        return self.run("synth", None, tissue, **params)

    def schema(self, kind: str) -> dict[str, Any]:
        """JSON schema of a kind's parameters."""
        return _schema(self._lib, kind)

    def devices(self) -> dict[str, Any]:
        """Adapters, and why one is refused."""
        return _parsed(_text(self._lib, self._lib.hl_devices_json))

    def doctor(self) -> dict[str, Any]:
        """Version, device, models and ops, and what is missing. Loads every network: seconds. Not for a reader."""
        return _parsed(_text(self._lib, self._lib.hl_doctor_json, c_uint64(self._handle)))


def cluster(
    pixels: Union[Picture, Sequence[Picture], Reader],
    mpp: float,
    size: Optional[Tuple[int, int]] = None,
    context: Optional[Context] = None,
    *,
    downsamples: Sequence[float] = (1.0,),
    origin: Tuple[int, int] = (0, 0),
    name: str = "slide",
    id: Optional[str] = None,
    **params: Any,
) -> Result:
    """A map of the tissue classes of a slide, in a context of its own or the one given. pixels: [h, w, 3 or 4] u8, levels of it, or a function that
    reads, then with size=(width, height). mpp: micrometres a level-0 pixel, 0.05 to 16; never guess. downsamples, origin, name and id are those of
    `Context.open`; give an `id` that stays the same where a `cache_dir` is to know the slide again. params: k (number of classes, 8; 0 chooses),
    seed, device, roi, out_dir, ... (`Context.schema("cluster")`). Raises Error."""
    context = context or Context()
    with context.open(pixels, mpp, size, downsamples, origin, name, id) as slide:
        return context.cluster(slide, **params)


def synthesise(tissue: Result, n: int = 4, **params: Any) -> list[Tile]:
    """Synthetic tiles of a map: pixels [h, w, 3], labels [h, w] in the classes of the map, and a dict with flags, scores and provenance.
    A tile without flags is not flagged, never verified. params: seed, size_px (a multiple of 32, 128 to 4096), steps, guidance, out_dir, ...
    (`Context.schema("synth")`). More than 256 MiB of tiles need a folder, out_dir. Raises Error."""
    made = tissue._context.synth(tissue, n=n, **params)
    return [made.tile(i) for i in range(made.kept)]
