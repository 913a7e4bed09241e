"""What a tile costs and how near it comes to real tissue, over samplers' steps, guidance and the refiner: the ledger behind the presets.

    python ledger.py --command target/debug/histoloom SLIDE [SLIDE ...] [-n 64] [--json FILE]

Each setting is a preset file for `histoloom eval --no-ablations` with maps of the slides; distances (Frechet, see core/src/eval) are means over
the slides and compare within the table only. Passes are calls of the network for one tile. Needs the standard library alone.
"""
import argparse
import json
import os
import subprocess
import tempfile

#            name: steps, interval of guidance in t (1 = noise), refiner for the last two steps
SETTINGS = {
    "20 steps": (20, (0.0, 1.0), False),
    "20 steps, guidance below t = 0.8": (20, (0.0, 0.8), False),
    "20 steps, guidance from t = 0.3 on": (20, (0.3, 1.0), False),
    "10 steps": (10, (0.0, 1.0), False),
    "10 steps, guidance from t = 0.3 on": (10, (0.3, 1.0), False),
    "6 steps": (6, (0.0, 1.0), False),
    "4 steps": (4, (0.0, 1.0), False),
    "10 steps to t = 1/2, refiner": (10, (0.0, 1.0), True),
    "default: 6 steps to t = 1/2, refiner": (6, (0.0, 1.0), True),
    "fast: 3 steps to t = 1/2, refiner": (3, (0.0, 1.0), True),
    "2 steps to t = 1/2, refiner": (2, (0.0, 1.0), True),
}


def preset(steps, interval, refine):
    low, high = interval
    return f'steps = {steps}\nsampler = "dpmpp2m"\nguidance = 3.0\ninterval = [{low}, {high}]\nrefine = {str(refine).lower()}\n'


def passes(steps, interval, refine):
    """Calls of the network a tile, of the refiner's too: two a step where guidance is on, and once where it is not."""
    if refine:
        return 2 * steps + 2
    # times fall evenly from 1; a step is guided by the time that it begins at
    return sum(2 if interval[0] <= 1 - i / steps <= interval[1] else 1 for i in range(steps))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("slides", nargs="+")
    p.add_argument("--command", required=True)
    p.add_argument("-n", type=int, default=64)
    p.add_argument("--threads", type=int, default=0)
    p.add_argument("--json")
    a = p.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as d:
        for i, slide in enumerate(a.slides):
            run(a, "cluster", slide, "--out", f"{d}/map{i}", "--seed", "1")
        print("| setting | network passes | ms a tile | FD " + " | FD ".join(os.path.basename(s) for s in a.slides) + " | mean | of the best |")
        print("|---" * (5 + len(a.slides)) + "|")
        for k, (name, setting) in enumerate(SETTINGS.items()):
            with open(f"{d}/preset.toml", "w") as f:
                f.write(preset(*setting))
            found = [
                json.loads(run(a, "eval", slide, "--from", f"{d}/map{i}", "--out", f"{d}/eval{k}.{i}", "--no-ablations", "-n", str(a.n), "--preset", f"{d}/preset.toml", "--json"))["report"]
                for i, slide in enumerate(a.slides)
            ]
            fd = [r["lines"][0]["frechet"] for r in found]
            rows.append({"setting": name, "passes": passes(*setting), "ms": sum(r["ms_a_tile"] for r in found) / len(found), "fd": fd, "floor": [r["real_floor"] for r in found]})
        best = min(sum(r["fd"]) for r in rows)
        for r in rows:
            r["of_best"] = sum(r["fd"]) / best
            each = " | ".join(f"{v:.2f}" for v in r["fd"])
            print(f"| {r['setting']} | {r['passes']} | {r['ms']:.0f} | {each} | {sum(r['fd']) / len(r['fd']):.2f} | {r['of_best']:.3f} |")
        print("\nreal against real: " + ", ".join(f"{v:.2f}" for v in rows[0]["floor"]))
    if a.json:
        with open(a.json, "w") as f:
            json.dump(rows, f, indent=1)


def run(a, *argv):
    argv = [a.command, *argv, "--device", "cpu", "--threads", str(a.threads)]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
