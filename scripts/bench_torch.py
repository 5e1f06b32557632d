"""The same measurements in PyTorch, for scripts/bench.lua --vs-torch: prints one JSON object, of the
seconds that each of the part's steps takes.

usage: bench_torch.py PART WHAT BATCH THREADS LAYOUT SECONDS
PART and WHAT: gemm ROWS,SUM,COLUMNS,STORED | conv SIZE,CHANNELS,FILTERS,FILTER,STRIDE,AXES,GROUPS
    | step or inference NAME | overhead -
LAYOUT: default or channels_last
"""
import json
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, features_in, features, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(features_in, features, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(features)
        self.conv2 = nn.Conv2d(features, features, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(features)
        self.shortcut = None
        if stride != 1 or features_in != features:
            self.shortcut = nn.Sequential(
                nn.Conv2d(features_in, features, 1, stride, bias=False), nn.BatchNorm2d(features))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        return F.relu(y + (self.shortcut(x) if self.shortcut else x), inplace=True)


def resnet18(stem):
    if stem == "cifar":
        layers = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(True)]
    else:
        layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(True),
                  nn.MaxPool2d(3, 2, 1)]
    features_in = 64
    for stage, features in enumerate([64, 128, 256, 512]):
        for i in range(2):
            layers.append(Block(features_in, features, 2 if stage and i == 0 else 1))
            features_in = features
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


def lenet():
    return nn.Sequential(
        nn.Conv2d(3, 6, 5), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(),
        nn.Linear(84, 10))


def mlp():
    return nn.Sequential(
        nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))


def network(name, batch, memory_format):
    """A model and its input."""
    if name == "mlp":
        return mlp(), torch.randn(batch, 784)
    model = lenet() if name == "lenet" else resnet18(name.split("-")[1])
    x = torch.randn(batch, 3, 32, 32)
    return model.to(memory_format=memory_format), x.to(memory_format=memory_format)


def step(name, batch, memory_format):
    model, x = network(name, batch, memory_format)
    y = torch.randint(0, 10, (batch,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def run():
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return {"step": run}


def inference(name, batch, memory_format):
    model, x = network(name, batch, memory_format)
    model.eval()

    def run():
        with torch.inference_mode():
            return model(x)

    return {"inference": run}


def conv(what, batch, memory_format):
    size, channels, filters, extent, stride, axes, groups = map(int, what.split(","))
    # Along one axis channels come last in a map of one row only.
    row = axes == 1 and memory_format == torch.channels_last
    axes = 2 if row else axes
    sizes, extents = ([1, size], [1, extent]) if row else ([size] * axes, [extent] * axes)
    strides, padding = [stride] * axes, [(e - 1) // 2 for e in extents]

    def laid_out(t):
        return t.to(memory_format=memory_format) if axes == 2 else t

    x = laid_out(torch.randn(batch, channels, *sizes))
    w = laid_out(torch.randn(filters, channels // groups, *extents))

    def forward():
        return torch.ops.aten.convolution(
            x, w, None, strides, padding, [1] * axes, False, [0] * axes, groups)

    gy = laid_out(torch.randn_like(forward()))

    def backward(*wanted):
        return lambda: torch.ops.aten.convolution_backward(
            gy, x, w, None, strides, padding, [1] * axes, False, [0] * axes, groups, [*wanted, False])

    return {"forward": forward,
            "data": backward(True, False), "filter": backward(False, True)}


def gemm(what):
    """STORED: A^T or B^T, the operand that is stored transposed, or nothing."""
    m, k, n, stored = what.split(",")
    m, k, n = int(m), int(k), int(n)
    a = torch.randn(k, m).t() if stored == "A^T" else torch.randn(m, k)
    b = torch.randn(n, k).t() if stored == "B^T" else torch.randn(k, n)
    return {"gemm": lambda: a @ b}


def overhead():
    a, b = torch.randn(16, requires_grad=True), torch.randn(16)

    def add(count=1000):
        for _ in range(count):
            a + b

    return {"overhead": add}


def measure(run, seconds):
    run()
    run()
    times, start = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - start < seconds:
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return {"min": min(times), "median": statistics.median(times), "max": max(times), "count": len(times)}


def main():
    part, what, batch, threads, layout, seconds = sys.argv[1:7]
    torch.set_num_threads(int(threads))
    torch.manual_seed(1)
    memory_format = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    if part == "gemm":
        runs = gemm(what)
    elif part == "overhead":
        runs = overhead()
    else:
        runs = {"conv": conv, "step": step, "inference": inference}[part](what, int(batch), memory_format)
    found = {name: measure(run, float(seconds) / len(runs)) for name, run in runs.items()}
    print(json.dumps({**found, "version": torch.__version__}))


main()
