"""Slides of our own making: tiled baseline TIFF (TIFF 6.0, section 15), uncompressed, as OpenSlide reads it."""
import struct

import numpy as np

TILE = 256


def write_tiff(path, levels):
    """Levels of RGB [h, w, 3] u8, the largest first; less than 4 GB in all."""
    with open(path, "wb") as f:
        f.write(struct.pack("<2sHI", b"II", 42, 0))
        link = 4  # where the offset of the next directory stands
        for number, rgb in enumerate(levels):
            h, w, _ = rgb.shape
            rows, columns = -(-h // TILE), -(-w // TILE)
            n, size, data = rows * columns, TILE * TILE * 3, f.tell()
            for r in range(rows):
                band = np.full((TILE, columns * TILE, 3), 255, np.uint8)
                part = rgb[r * TILE : (r + 1) * TILE]
                band[: len(part), :w] = part
                f.write(np.ascontiguousarray(band.reshape(TILE, columns, TILE, 3).swapaxes(0, 1)).tobytes())
            lists = f.tell()  # offsets, then lengths, then the three depths
            f.write((data + size * np.arange(n)).astype("<u4").tobytes() + np.full(n, size, "<u4").tobytes() + struct.pack("<3H", 8, 8, 8))
            tags = [(254, 4, 1, int(number > 0)), (256, 4, 1, w), (257, 4, 1, h), (258, 3, 3, lists + 8 * n), (259, 3, 1, 1), (262, 3, 1, 2),
                    (277, 3, 1, 3), (284, 3, 1, 1), (322, 4, 1, TILE), (323, 4, 1, TILE),
                    (324, 4, n, lists if n > 1 else data), (325, 4, n, lists + 4 * n if n > 1 else size)]
            f.write(b"\0" * (f.tell() % 2))
            directory = f.tell()
            f.write(struct.pack("<H", len(tags)))
            for tag, kind, count, value in tags:
                f.write(struct.pack("<HHI", tag, kind, count) + (struct.pack("<HH", value, 0) if (kind, count) == (3, 1) else struct.pack("<I", value)))
            end = f.tell()
            f.write(struct.pack("<I", 0))
            f.seek(link)
            f.write(struct.pack("<I", directory))
            f.seek(0, 2)
            link = end
