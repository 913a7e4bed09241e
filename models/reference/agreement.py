"""Share of judged cells that look most like the class asked for: 1 - mean of `s2_map_disagrees` over the tiles of a folder.

    python agreement.py TILES_DIR ...      folders made by `histoloom synth`
"""
import glob
import json
import sys

for folder in sys.argv[1:]:
    scores = []
    for path in glob.glob(f"{folder}/tile_*_flags.json"):
        with open(path) as f:
            scores += [s for s in json.load(f)["scores"]["s2_map_disagrees"] if s is not None]
    agree = f"{100 * (1 - sum(scores) / len(scores)):.1f} %" if scores else "nothing judged"
    print(folder, agree, f"of {len(scores)} cells of 32 px")
