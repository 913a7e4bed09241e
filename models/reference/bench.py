"""Times the shipped networks in PyTorch, onnxruntime and OpenVINO (where they are installed) beside our runner, in one run, on the same
weights and shapes; and our k-means beside faiss.

    python bench.py --runner target/debug/examples/bench [--threads 2] [--rounds 15] [--networks [--only TEXT]] [--published --command target/debug/histoloom]

--growth times `cluster` instead on slides of 5120 to 20480 px a side (needs openslide and Pillow, 2 GB of memory, minutes).
--published times HTD-LDM instead, at full width with made-up weights (1.1 GB twice in the folder for temporary files, minutes).

The runner is asked for one call after the other and answers {"name": ..., "ms": ...}. Where torch (for the ViT, timm) is missing, only ours is printed.
Calls are interleaved; medians and ratios are reported, with the machine they were measured on.
"""
import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

MADE = []  # what --json writes: every row of every table
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
WEIGHTS = os.path.join(HERE, "..", "weights")


def peers(threads, folder, only):
    """{name: {peer: callable}} on the same shapes as the runner's, or {} without torch."""
    try:
        import torch
        from safetensors.torch import load_file
    except ImportError:
        return {}
    import autoencoder
    import condition
    import denoiser
    import efficientnet_lite0

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    trunk = efficientnet_lite0.load(f"{WEIGHTS}/efficientnet_lite0.safetensors")
    (enc, dec), net = autoencoder.load(), denoiser.Denoiser().eval()
    net.load_state_dict({k: v.float() for k, v in load_file(f"{WEIGHTS}/he_denoiser.safetensors").items()})
    rgb, z, c = torch.rand(1, 3, 320, 320) * 255, torch.randn(2, 16, 32, 32), torch.randn(2, condition.CHANNELS, 32, 32)
    t = torch.full((2,), 0.5)
    picture = torch.rand(1, 3, 256, 256)
    parts = {
        "encoder, one 320 px window": (trunk, (rgb,)),
        "encoder, eight 320 px windows": (trunk, (rgb.repeat(8, 1, 1, 1),)),
        "encoder, two 576 px windows": (trunk, (torch.rand(2, 3, 576, 576) * 255,)),
        "denoising step with guidance, 32 x 32 latents": (net, (z, c, t, 0 * t)),
        "encode, 256 px": (enc, (picture,)),
        "decode, 256 px": (dec, (z[:1],)),
    }
    try:
        import timm
    except ImportError:
        pass
    else:
        vit, tiles = timm.create_model("vit_small_patch16_224", num_classes=0).eval(), torch.randn(8, 3, 224, 224)
        vit.forward = vit.forward_features
        parts |= {"ViT-S/16, one 224 px tile": (vit, (tiles[:1],)), "ViT-S/16, eight 224 px tiles": (vit, (tiles,))}
    made = {name: runtimes(net, args, threads, f"{folder}/{n}.onnx") for n, (name, (net, args)) in enumerate(parts.items()) if only in name}
    # the refiner is the same network with other numbers in it
    made["tile of 256 px: 6 steps with guidance, 2 of the refiner, decode"] = {"PyTorch": lambda: (
        [net(z, c, t, 0 * t) for _ in range(6)], [net(z[:1], c[:1], t[:1], 0 * t[:1]) for _ in range(2)], dec(z[:1]))}
    return made


def runtimes(net, args, threads, path):
    """{peer: callable} of one network: PyTorch, and whatever else is installed and agrees with it."""
    import torch

    made, right = {"PyTorch": lambda: net(*args)}, net(*args)
    for peer, load in (("onnxruntime", onnxruntime), ("OpenVINO", openvino), ("ncnn", ncnn)):
        try:
            run = load(net, args, path, threads)
        except ImportError:
            continue
        except Exception as e:  # whatever its converter lacks
            print(f"not in {peer}: {type(e).__name__}: {str(e)[:200]}", file=sys.stderr)
            continue
        off = float((torch.from_numpy(run()) - right).norm() / right.norm())
        assert off < 1e-4, f"{peer} is off by {off}"
        made[peer] = run
    return made


def exported(net, args, path):
    """The network as an ONNX file, made once, and its inputs as arrays."""
    import torch

    if not os.path.exists(path):
        torch.onnx.export(net, args, path, dynamo=True, external_data=False, optimize=True, verbose=False)
    return path, [a.numpy() for a in args]


def onnxruntime(net, args, path, threads):
    import onnxruntime as ort

    path, values = exported(net, args, path)
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {i.name: v for i, v in zip(session.get_inputs(), values)}
    return lambda: session.run(None, feed)[0]


def openvino(net, args, path, threads):
    import openvino as ov

    path, values = exported(net, args, path)
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    model = ov.Core().compile_model(path, "CPU", settings)
    return lambda: next(iter(model(values).values()))


def ncnn(net, args, path, threads):
    """In f32 with its Winograd kernels. It takes one item at a time."""
    import ncnn as nc
    import numpy as np
    import pnnx

    base = path.removesuffix(".onnx")
    pnnx.export(net, f"{base}.pt", tuple(a[:1] for a in args), fp16=False)
    loaded = nc.Net()
    loaded.opt.num_threads = threads
    for half in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(loaded.opt, half, False)
    assert loaded.load_param(f"{base}.ncnn.param") == 0 and loaded.load_model(f"{base}.ncnn.bin") == 0
    items = [[nc.Mat(np.ascontiguousarray(a[i].numpy())).clone() for a in args] for i in range(len(args[0]))]

    def one(inputs):
        extractor = loaded.create_extractor()
        for n, value in enumerate(inputs):
            extractor.input(f"in{n}", value)
        return np.array(extractor.extract("out0")[1])

    return lambda: np.stack([one(inputs) for inputs in items])


def errors(a):
    """How far our networks and PyTorch's are from PyTorch's in double precision, on what our runner was given."""
    import torch
    from safetensors.torch import load_file

    import autoencoder
    import denoiser
    import efficientnet_lite0

    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([a.runner, "--threads", str(a.threads), "--numbers", f"{folder}/numbers"], check=True, capture_output=True)
        given = load_file(f"{folder}/numbers")
    trunk = efficientnet_lite0.load(f"{WEIGHTS}/efficientnet_lite0.safetensors")
    (enc, dec), net = autoencoder.load(), denoiser.Denoiser().eval()
    net.load_state_dict({k: v.float() for k, v in load_file(f"{WEIGHTS}/he_denoiser.safetensors").items()})
    projection = load_file(f"{WEIGHTS}/encoder_projection.safetensors")
    made = {
        "embedding": lambda f: torch.einsum("oc,bchw->bohw", f(projection["projection"]), f(trunk)(pixels("window", f)) - f(projection["mean"])[:, None, None]),
        "velocity": lambda f: f(net)(f(given["x"][None]), f(given["condition"][None]), f(torch.tensor([0.5])), f(torch.tensor([0.0]))),
        "encoded": lambda f: f(enc)(pixels("tile", f) / 255),
        "decoded": lambda f: (f(dec)(f(given["x"][None])) * 255).clamp(0, 255).round().permute(0, 2, 3, 1),
    }

    def pixels(name, f):
        return f(given[name].permute(2, 0, 1)[None].float())

    print("\n| output | relative error of ours | of PyTorch's |\n|---|---|---|")
    for name, run in made.items():
        # in this order: a network stays in double precision
        single, double = run(lambda v: v.float()), run(lambda v: v.double())
        ours, theirs = (float((v.double() - double).norm() / double.norm()) for v in (given[name][None], single))
        print(f"| {name} | {ours:.1e} | {theirs:.1e} |", flush=True)
        MADE.append({"work": f"error of {name}", "ours": ours, "PyTorch": theirs})


def kmeans_rows(path, channels):
    """Writes 100 000 rows like embeddings (a mixture of 40 stretched clouds, f32) for the runner; the same rows as an array."""
    import numpy as np

    rng = np.random.default_rng(0)
    centres, turn = 3 * rng.standard_normal((40, 8)), rng.standard_normal((8, channels))
    x = (centres[rng.integers(40, size=100_000)] + rng.standard_normal((100_000, 8))) @ turn + rng.standard_normal((100_000, channels))
    x.astype("<f4").tofile(path)
    return x.astype("<f4")


def compare_kmeans(a, channels, k):
    """Ours beside faiss (where it is installed): time and the inertia reached over all rows."""
    try:
        import faiss
    except ImportError:
        return
    faiss.omp_set_num_threads(a.threads)
    with tempfile.TemporaryDirectory() as folder:
        x = kmeans_rows(f"{folder}/rows.f32", channels)

        def peer(seedings, start=None):
            km = faiss.Kmeans(channels, k, seed=1, nredo=seedings, niter=25, max_points_per_centroid=10**9)
            km.train(x, init_centroids=start)
            return float(km.index.search(x, 1)[0].sum(dtype="f8"))

        apart = x[: len(x) // k * k : len(x) // k].copy()  # as the runner takes them
        theirs = {
            "faiss, one start, 25 iterations": lambda: peer(1, apart),
            "faiss, six seedings, all rows": lambda: peer(6),
            "faiss, one seeding, all rows": lambda: peer(1),
        }

        ms, cpu_ms, inertia = {}, {}, {}
        rounds = -(-a.rounds // 5)
        for _ in range(rounds):
            argv = [a.runner, "--threads", str(a.threads), "--rounds", "1", "--rows", f"{folder}/rows.f32", "--channels", str(channels), "--k", str(k)]
            out = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
            for r in (json.loads(line) for line in out.splitlines() if line.startswith("{")):
                name = f"ours, {r['name']}"
                ms.setdefault(name, []).append(r["ms"])
                cpu_ms.setdefault(name, []).append(r["cpu_ms"])
                inertia[name] = r["inertia"]
            for name, fit in theirs.items():
                t0, used = time.perf_counter(), time.process_time()
                inertia[name] = fit()
                ms.setdefault(name, []).append(1e3 * (time.perf_counter() - t0))
                cpu_ms.setdefault(name, []).append(1e3 * (time.process_time() - used))
    best = min(inertia.values())
    print(f"\n100 000 rows of {channels}, k = {k}, {a.threads} threads, {rounds} interleaved rounds, medians")
    print("\n| k-means | ms | processor ms | inertia / best |\n|---|---|---|---|")
    for name in ms:
        row = {"ms": statistics.median(ms[name]), "processor_ms": statistics.median(cpu_ms[name]), "inertia_over_best": inertia[name] / best}
        print("| " + name + " | {ms:.0f} | {processor_ms:.0f} | {inertia_over_best:.4f} |".format(**row), flush=True)
        MADE.append({"work": f"k-means, 100 000 rows of {channels}, k = {k}", "by": name, "threads": a.threads, **row})


def published(command, folder, threads):
    """{name: {peer: callable}} of the published network at full width, its weights imported into `folder`/htd for the runner."""
    import torch

    import htd

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    torch.manual_seed(0)
    unet, vq, rescaler = htd.Unet().eval(), htd.Vq().eval(), htd.Rescaler(9)
    parts = {"model.diffusion_model.": unet, "first_stage_model.": vq, "cond_stage_model.": rescaler}
    state = {prefix + k: v for prefix, net in parts.items() for k, v in net.state_dict().items()}
    torch.save({"state_dict": state}, f"{folder}/made_up.ckpt")
    subprocess.run([command, "models", "import", f"{folder}/made_up.ckpt", "--out", f"{folder}/htd", "--quiet"], check=True)
    x, t = torch.randn(1, 6, 64, 64), torch.tensor([500])
    return {
        "HTD-LDM, one step of a 256 px tile": {"PyTorch": lambda: unet(x, t)},
        "HTD-LDM, decode 256 px": {"PyTorch": lambda: vq.decode(x[:, :3])},
    }


# Runs a command from a small process: the peak that wait4 tells begins with that of whoever forked.
# Where the last argument is a file's name, it also tells when that file appeared.
LAUNCH = """
import os, subprocess, sys, threading, time
t0, first = time.perf_counter(), []
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
def look():
    while not first and child.returncode is None:
        if os.path.exists(sys.argv[-1]):
            first.append(time.perf_counter() - t0)
        time.sleep(0.02)
threading.Thread(target=look, daemon=True).start()
_, status, used = os.wait4(child.pid, 0)
assert status == 0, sys.argv
print(time.perf_counter() - t0, used.ru_maxrss, used.ru_utime + used.ru_stime, *(first or [-1]))
"""


def whole_job(command, slide, extra):
    """Wall seconds and peak RSS (MiB) of cluster and of 4 tiles by the default preset, each in its own process."""
    with tempfile.TemporaryDirectory() as d:
        jobs = {
            "cluster": [command, "cluster", slide, "--out", f"{d}/map", "--k", "8", "--device", "cpu", "--quiet", *extra],
            "synth": [command, "synth", "--from", f"{d}/map", "--out", f"{d}/tiles", "-n", "4", "--device", "cpu", "--quiet"],
        }
        for name, argv in jobs.items():
            out = subprocess.run([sys.executable, "-c", LAUNCH, *argv], check=True, capture_output=True, text=True).stdout
            seconds, kb = out.split()[-4:-2]
            yield name, float(seconds), int(kb) / 1024


def grown(path, slide, side):
    """A pyramid of side x side px at 0.25 um/px: pieces of a real slide of 0.5 um/px, enlarged twice, side by side and mirrored."""
    import numpy as np
    import openslide
    from PIL import Image

    from tiff import write_tiff

    s = openslide.OpenSlide(slide)
    piece = s.read_region((0, 0), 0, (min(2048, s.dimensions[0]), min(2048, s.dimensions[1]))).convert("RGB")
    piece = np.asarray(piece.resize((2 * piece.width, 2 * piece.height), Image.BICUBIC))
    pair = np.concatenate([piece, piece[:, ::-1]], 1)
    block = np.concatenate([pair, pair[::-1]])
    levels = [np.tile(block, (-(-side // block.shape[0]), -(-side // block.shape[1]), 1))[:side, :side]]
    while len(levels[-1]) > 1024:
        a = levels[-1][: len(levels[-1]) // 2 * 2, : len(levels[-1]) // 2 * 2]
        levels.append(a.reshape(len(a) // 2, 2, len(a) // 2, 2, 3).mean((1, 3), dtype=np.float32).round().astype(np.uint8))
    write_tiff(path, levels)


def encoder_s(a):
    """Seconds that the encoder takes for a window when it does nothing else."""
    out = subprocess.run([a.runner, "--threads", str(a.threads), "--rounds", "15", "--only", "576"], check=True, capture_output=True, text=True).stdout
    return next(json.loads(line)["ms"] for line in out.splitlines() if line.startswith("{")) / 2e3


def windows_in(map_dir):
    """Windows of 32 x 32 cells with tissue: what was embedded, each in two orientations."""
    import numpy as np
    from PIL import Image

    labels = np.asarray(Image.open(f"{map_dir}/labels.png")) > 0
    rows, columns = (-(-side // 32) for side in labels.shape)
    padded = np.pad(labels, ((0, 32 * rows - labels.shape[0]), (0, 32 * columns - labels.shape[1])))
    return 2 * int(padded.reshape(rows, 32, columns, 32).any((1, 3)).sum())


def growth(a, slide, sides=(5120, 10240, 20480)):
    """Seconds to the first map and to the last file, processor seconds and peak RSS while the area grows fourfold; and what the windows alone
    take at the encoder's own rate, measured right before and after."""
    print("\n| slide, px | first map, s | whole, s | windows at the encoder's rate, s | whole / that | processor, s | grows with the area to the power of | peak RSS MiB |")
    print("|---|---|---|---|---|---|---|---|")
    before = None
    for side in sides:
        with tempfile.TemporaryDirectory() as d:
            grown(f"{d}/slide.tif", slide, side)
            argv = [a.command, "cluster", f"{d}/slide.tif", "--mpp", "0.25", "--out", f"{d}/map", "--k", "8", "--device", "cpu", "--quiet", "--threads", str(a.threads)]
            alone = encoder_s(a)
            out = subprocess.run([sys.executable, "-c", LAUNCH, *argv, "--preview", f"{d}/preview.png"], check=True, capture_output=True, text=True)
            whole, kb, cpu, first = (float(v) for v in out.stdout.split()[-4:])
            least = windows_in(f"{d}/map") * (alone + encoder_s(a)) / 2
        power = "-" if before is None else f"{math.log(cpu / before, 4):.2f}"
        row = {"first_map_s": first, "s": whole, "least_s": least, "processor_s": cpu, "rss_mib": kb / 1024}
        MADE.append({"work": f"cluster, {side} px a side", "by": "ours", "threads": a.threads, **row})
        print(f"| {side} x {side} | {first:.1f} | {whole:.1f} | {least:.1f} | {whole / least:.2f} | {cpu:.1f} | {power} | {kb / 1024:.0f} |", flush=True)
        before = cpu


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--runner", required=True)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--rounds", type=int, default=15)
    p.add_argument("--command", help="the histoloom command; adds whole-job rows")
    p.add_argument("--published", action="store_true")
    p.add_argument("--networks", action="store_true", help="the shipped networks alone, without k-means and whole jobs")
    p.add_argument("--only", default="", help="those with it in their names")
    p.add_argument("--growth", action="store_true", help="instead: one job on slides that grow to 20480 px a side")
    p.add_argument("--shared", help="folder with more slides, used where it is there")
    p.add_argument("--json", help="file for every row of the tables and the machine")
    a = p.parse_args()
    measure(a)
    if a.json:
        with open(a.json, "w") as f:
            json.dump({"machine": machine(), "rows": MADE}, f, indent=1)


def machine():
    """Processor and the versions of what is installed beside ours."""
    from importlib import metadata

    told = {"architecture": platform.machine(), "cores": os.cpu_count(), "system": platform.platform()}
    try:
        with open("/proc/cpuinfo") as f:
            info = dict(line.split(":", 1) for line in f if ":" in line)
        info = {k.strip(): v.strip() for k, v in info.items()}
        flags = info.get("flags", "").split()
        told |= {"processor": info.get("model name", "?"), "instructions": [w for w in ("avx2", "fma", "avx512f", "amx_bf16") if w in flags]}
    except OSError:
        pass
    for package in ("torch", "timm", "onnxruntime", "openvino", "ncnn", "faiss-cpu"):
        try:
            told[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            pass
    return told


def measure(a):
    if a.growth:
        growth(a, os.path.join(HERE, "../../viewer-bridge/data/CMU-1-Small-Region.svs"))
        return
    if a.published:
        with tempfile.TemporaryDirectory() as folder:
            compare(a, published(a.command, folder, a.threads), ["--published", f"{folder}/htd"])
        return
    with tempfile.TemporaryDirectory() as folder:
        theirs = peers(a.threads, folder, a.only)
        compare(a, theirs, [])
        if theirs:
            errors(a)
    if a.networks:
        return
    for channels, k in ((32, 16), (384, 100)):
        compare_kmeans(a, channels, k)
    print("A 320 px window of the encoder is a 256 px tile and its margins: windows a second are tiles a second.")
    if a.command:
        slides = [(os.path.join(HERE, "../../viewer-bridge/data/CMU-1-Small-Region.svs"), [])]
        more = os.path.join(a.shared or "", "slides/tcga-cr-7395-01a-01-ts1.svs")
        if os.path.exists(more):
            slides.append((more, ["--mpp", "0.5"]))
        print("\n| slide | job | s | peak RSS MiB |\n|---|---|---|---|")
        for slide, extra in slides:
            for name, seconds, rss in whole_job(a.command, slide, extra):
                MADE.append({"work": f"{name} of {os.path.basename(slide)}", "by": "ours", "s": seconds, "rss_mib": rss})
                print(f"| {os.path.basename(slide)} | {name} | {seconds:.1f} | {rss:.0f} |")


class Ours:
    """Our runner, which times whatever it is asked for."""

    def __init__(self, a, extra):
        argv = [a.runner, "--serve", "--only", a.only, "--threads", str(a.threads), *extra]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.names = next(json.loads(line) for line in self.process.stdout if line.startswith("["))

    def ms(self, name):
        print(name, file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())["ms"]

    def end(self):
        self.process.stdin.close()
        assert self.process.wait() == 0


WARM_S = 0.25  # as long as the runner does


def visited(f):
    """Milliseconds of a call, once the threads of whoever ran before have gone to sleep and it has run for a while."""
    time.sleep(0.05)
    began = time.perf_counter()
    while time.perf_counter() - began < WARM_S:
        f()
    t0 = time.perf_counter()
    f()
    return 1e3 * (time.perf_counter() - t0)


def compare(a, theirs, extra):
    """Runs all, one call of each after the other, for a machine may be slower for some seconds; prints the table."""
    ours, by = Ours(a, extra), list(dict.fromkeys(peer for runs in theirs.values() for peer in runs))
    told = machine()
    print("\n" + ", ".join(f"{k} {' '.join(v) if isinstance(v, list) else v}" for k, v in told.items()))
    print(f"{a.threads} threads, {a.rounds} rounds of one call each, medians of times and of the rounds' ratios" + ("" if theirs else "; torch is not installed: ours alone"))
    print("| work | ours ms | ours a second |" + "".join(f" {peer} ms | {peer} / ours |" for peer in by))
    print("|---|---|---|" + "---|---|" * len(by))
    for name in ours.names:
        ms, ratios = {}, {}
        for _ in range(a.rounds):
            time.sleep(0.05)
            m = ours.ms(name)
            ms.setdefault("ours", []).append(m)
            for peer, f in theirs.get(name, {}).items():
                theirs_ms = visited(f)
                ms.setdefault(peer, []).append(theirs_ms)
                ratios.setdefault(peer, []).append(theirs_ms / m)
        print(name, {k: round(min(v), 1) for k, v in ms.items()}, file=sys.stderr)
        ms, ratios = ({k: statistics.median(v) for k, v in of.items()} for of in (ms, ratios))
        MADE.extend({"work": name, "by": k, "threads": a.threads, "ms": v} | ({"over_ours": ratios[k]} if k in ratios else {}) for k, v in ms.items())
        rate = (8 if "eight" in name else 2 if "two" in name else 1) * 1e3 / ms["ours"]
        cells = "".join(f" {ms[k]:.1f} | {ratios[k]:.2f} |" if k in ms else " - | - |" for k in by)
        print(f"| {name} | {ms['ours']:.1f} | {rate:.1f} |{cells}", flush=True)
    ours.end()


if __name__ == "__main__":
    main()
