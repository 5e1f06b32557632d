#!/usr/bin/env python3
"""Makes images.lua: small picture files and what Pillow makes of them.

usage: python3 spec/golden/images.py > spec/golden/images.lua     (Pillow 10 or later, NumPy)
"""
import io

import numpy as np
import PIL
from PIL import Image

H, W = 9, 12


def hexlines(data):
    text = bytes(data).hex()
    return "[[\n" + "\n".join(text[i : i + 92] for i in range(0, len(text), 92)) + "]]"


def encoded(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


i, j = np.mgrid[0:H, 0:W]
rgb = np.stack([i * 25, j * 20, (i * j * 3) % 256], axis=2).astype(np.uint8)
colour = Image.fromarray(rgb)
grey = colour.convert("L")
alpha = Image.fromarray(np.dstack([rgb, (i * 20).astype(np.uint8)]))

files = {
    "a PNG": encoded(colour, "PNG"),
    "a grey PNG": encoded(grey, "PNG"),
    "a palette PNG": encoded(colour.quantize(16), "PNG"),
    "a PNG with an alpha channel": encoded(alpha, "PNG"),
    "a JPEG": encoded(colour, "JPEG", quality=90),
    "a grey JPEG": encoded(grey, "JPEG", quality=90),
    "a progressive JPEG with halved chroma": encoded(
        colour, "JPEG", quality=60, progressive=True, subsampling="4:2:0"
    ),
}
sixteen = Image.fromarray((np.asarray(grey).astype(np.uint16) * 257))

print("-- Made by images.py with Pillow %s; not to be edited." % PIL.__version__)
print("return {\n  decode = {")
for name, data in files.items():
    pixels = Image.open(io.BytesIO(data)).convert("RGB")
    print('    ["%s"] = {\n      file = %s,\n      rgb = %s,\n    },' % (
        name, hexlines(data), hexlines(pixels.tobytes())))
pixels = grey.convert("RGB")  # 16 bits are the 8 bits twice
print('    ["a grey PNG of 16 bits"] = {\n      file = %s,\n      rgb = %s,\n    },' % (
    hexlines(encoded(sixteen, "PNG")), hexlines(pixels.tobytes())))
print("  },\n  cmyk = %s," % hexlines(encoded(colour.convert("CMYK"), "JPEG")))
print("  height = %d, width = %d,\n  rgb = %s,\n  resize = {" % (H, W, hexlines(rgb.tobytes())))
for h, w in [(1, 1), (4, 5), (9, 30), (20, 12), (20, 31), (3, 12), (9, 7)]:
    small = colour.resize((w, h), Image.BILINEAR)
    print("    { height = %d, width = %d, rgb = %s }," % (h, w, hexlines(small.tobytes())))
print("  },\n}")
