#!/usr/bin/env python3
"""Writes resnet18.lua beside this file: what PyTorch computes for ten training steps of ResNet18.

The model is that of models/resnet.lua with the 7x7/2 stem on 32x32 images, in float64. No weights are
stored: weights and images come from a formula of integers (numbers() below) that the spec repeats.
Stored are the losses of two runs of ten SGD steps and, for every parameter, the gradient of the first
step of the first as its norm, four elements, and its products with four pseudo-random vectors of
variance 1: the mean square of a gradient error's products with such vectors estimates the square of
its L2 norm.

Why two runs: in single precision a step has about one activation so near 0 that rounding decides
whether ReLU lets it through, and BatchNorm magnifies rounding where a channel hardly varies over the
batch. So the run for single precision has a larger batch and a smaller learning rate. (PyTorch's own
float32 is 1e-4 away from its float64 after ten steps of batch 32 with learning rate 1e-5.)

    python3 spec/golden/make_resnet18.py            (PyTorch 1.13 made the file in the tree)
"""

import os

import numpy as np
import torch
import torch.nn.functional as F

CLASSES, STEPS = 10, 10
RUNS = {"double": {"batch": 8, "learning_rate": 1e-4}, "single": {"batch": 32, "learning_rate": 2e-6}}
MOMENTUM, EPSILON = 0.9, 1e-5
PROJECTIONS, SAMPLES = 4, 4


def seed_of(name):
    seed = 7
    for byte in name.encode():
        seed = (seed * 31 + byte) % 2147483647
    return seed


def integers(name, count):
    """Pseudo-random integers below 2^31. Every product stays below 2^63."""
    i = np.arange(1, count + 1, dtype=np.int64)
    h = (i * 1103515245 + seed_of(name)) % 2147483647
    for _ in range(3):
        h = (h * h + i * 40503 + 12345) % 2147483647
    return h


def numbers(name, shape):
    """Uniform in [-1, 1), in row-major order."""
    u = integers(name, int(np.prod(shape))).astype(np.float64) * 2.0**-30 - 1.0
    return torch.from_numpy(u.reshape(shape))


def conv_parameter(path, height, width, channels, filters):
    """A filter as convlua stores it, {height, width, in, out}; uniform as Glorot & Bengio 2010."""
    fans = height * width * channels + height * width * filters
    return numbers(path, (height, width, channels, filters)) * (6.0 / fans) ** 0.5


def make_parameters():
    p = {}

    def conv_bn(path, size, channels, filters):
        p[path + ".conv.filter"] = conv_parameter(path + ".conv.filter", size, size, channels, filters)
        p[path + ".norm.scale"] = 1 + 0.25 * numbers(path + ".norm.scale", (filters,))
        p[path + ".norm.offset"] = 0.25 * numbers(path + ".norm.offset", (filters,))

    conv_bn("stem", 7, 3, 64)
    channels = 64
    for stage in range(1, 5):
        features = 64 << (stage - 1)
        for i in (1, 2):
            path = "stages.%d.%d" % (stage, i)
            conv_bn(path + ".early_conv", 3, channels, features)
            conv_bn(path + ".last_conv", 3, features, features)
            if stage > 1 and i == 1:
                conv_bn(path + ".projection", 1, channels, features)
            channels = features
    p["classifier.weight"] = conv_parameter("classifier.weight", 1, 1, 512, CLASSES)[0, 0]
    p["classifier.bias"] = 0.25 * numbers("classifier.bias", (CLASSES,))
    return {name: value.clone().requires_grad_() for name, value in p.items()}


def same(x, size, stride, value=0.0):
    """TensorFlow's padding: as little as possible, the odd pixel at the end."""
    pads = []
    for n in (x.shape[3], x.shape[2]):
        total = max((-(-n // stride) - 1) * stride + size - n, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads, value=value)


def forward(p, x):
    def conv_bn(path, x, stride=1):
        w = p[path + ".conv.filter"].permute(3, 2, 0, 1)
        y = F.conv2d(same(x, w.shape[2], stride), w, stride=stride)
        return F.batch_norm(
            y, None, None, p[path + ".norm.scale"], p[path + ".norm.offset"], training=True, eps=EPSILON
        )

    x = F.relu(conv_bn("stem", x.permute(0, 3, 1, 2), 2))
    x = F.max_pool2d(same(x, 3, 2, -float("inf")), 3, 2)
    for stage in range(1, 5):
        for i in (1, 2):
            path = "stages.%d.%d" % (stage, i)
            stride = 2 if stage > 1 and i == 1 else 1
            shortcut = conv_bn(path + ".projection", x, stride) if stride == 2 else x
            y = F.relu(conv_bn(path + ".early_conv", x, stride))
            x = F.relu(conv_bn(path + ".last_conv", y) + shortcut)
    return x.mean((2, 3)) @ p["classifier.weight"] + p["classifier.bias"]


def checksum(name, gradient):
    g = gradient.reshape(-1)
    places = (integers(name + " places", SAMPLES) % g.numel()).tolist()
    return {
        "norm": [float(g.norm())],
        "samples": [float(g[i]) for i in places],
        "projections": [
            float(g @ numbers("%s projection %d" % (name, k + 1), g.shape)) * 3**0.5
            for k in range(PROJECTIONS)
        ],
    }


def lua_list(values):
    return "{ " + ", ".join(repr(v) for v in values) + " }"


def train(batch, learning_rate):
    """The losses of all steps, and the gradients of the first."""
    p = make_parameters()
    velocity = {name: torch.zeros_like(w) for name, w in p.items()}
    losses, first = [], None
    for step in range(1, STEPS + 1):
        x = numbers("images %d" % step, (batch, 32, 32, 3))
        labels = torch.from_numpy(integers("labels %d" % step, batch) % CLASSES)
        loss = F.cross_entropy(forward(p, x), labels)
        gradients = dict(zip(p, torch.autograd.grad(loss, list(p.values()))))
        losses.append(float(loss))
        first = first or gradients
        with torch.no_grad():
            for name, w in p.items():
                velocity[name].mul_(MOMENTUM).add_(gradients[name], alpha=-learning_rate)
                w += velocity[name]
    return losses, first


def main():
    torch.set_num_threads(1)
    runs = {name: train(**settings) for name, settings in RUNS.items()}
    checksums = {name: checksum(name, g) for name, g in runs["double"][1].items()}

    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "resnet18.lua")
    with open(path, "w") as out:
        out.write("-- Made by make_resnet18.py with PyTorch %s.\n" % torch.__version__)
        out.write("return {\n")
        for name, (losses, _) in runs.items():
            out.write("  %s = {\n" % name)
            for key, value in dict(RUNS[name], momentum=MOMENTUM).items():
                out.write("    %s = %r,\n" % (key, value))
            out.write("    losses = {\n")
            out.writelines("      %r,\n" % loss for loss in losses)
            out.write("    },\n  },\n")
        out.write("  gradients = {\n")
        for name in sorted(checksums):
            out.write('    ["%s"] = {\n' % name)
            for key, values in checksums[name].items():
                out.write("      %s = %s,\n" % (key, lua_list(values)))
            out.write("    },\n")
        out.write("  },\n}\n")


main()
