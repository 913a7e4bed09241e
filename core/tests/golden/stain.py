"""Writes stain.json from the reference models/reference/stain.py: python stain.py > stain.json"""
import json
import os
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../models/reference"))
import stain

SIDE = 64
y, x = np.mgrid[:SIDE, :SIDE]
nucleus = (abs(x % 16 - 8) ** 2 + abs(y % 16 - 8) ** 2 < 20)[..., None]
shade = ((x * 7 + y * 13) % 32)[..., None]
rgb = np.where(nucleus, np.array([70, 40, 110]) + shade, np.array([220, 150, 190]) - shade).astype(np.uint8)
cases = []
for mpp in (0.25, 0.5, 1.0):
    hae, eos, nuclei = stain.cells(rgb, mpp).mean((1, 2))
    cases.append(dict(side=SIDE, mpp=mpp, haematoxylin=round(float(hae), 5), eosin=round(float(eos), 5), nuclei=round(float(nuclei), 5)))
print(json.dumps(cases))
