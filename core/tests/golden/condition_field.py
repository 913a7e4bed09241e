"""Writes condition_field.json from the reference models/reference/condition.py: python condition_field.py > condition_field.json

The crop of class k, slot j holds the values 10000 k + 1000 j + 100 (channel % 8) + 10 row + column, so that every value of the
field tells where it came from. Texture channel i of a class holds 10 class + i (so 20 class + 2 i is given, in units of 2), measure i
holds class + i.
"""
import json
import os
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../models/reference"))
import condition

LABELS = ["11112222", "11112222", "11022223", "10022233", "00022333", "00223333", "02222333", "22222333"]
CROPS = [[1, 0, 4, [0, 0]], [1, 1, 3, [5, 2]], [2, 0, 3, [1, 4]], [2, 1, 4, [7, 3]]]  # class, slot, side, phase; class 3 has none, but a texture, as 1 has, and measures, as 2 has


def crop(label, slot, side):
    c, y, x = np.mgrid[: condition.LATENT, :side, :side]
    return (10000 * label + 1000 * slot + 100 * (c % 8) + 10 * y + x).astype(np.float32)


labels = np.array([[int(c) for c in row] for row in LABELS], np.uint8)
pairs = {}
for label, slot, side, phase in CROPS:
    pairs.setdefault(label, []).append((crop(label, slot, side), phase))
textures = {k: condition.TEXTURE_UNIT * (10 * k + np.arange(condition.LATENT)) for k in (1, 3)}
measures = {k: k + np.arange(3) for k in (2, 3)}
planes = condition.build(labels, pairs, textures, measures).astype(int)
print("{")
print(f'"labels": {json.dumps(LABELS)},')
print(f'"crops": {json.dumps(CROPS)},')
print('"planes": [')
print(",\n".join(json.dumps(p.ravel().tolist(), separators=(",", ":")) for p in planes))
print("]}")
