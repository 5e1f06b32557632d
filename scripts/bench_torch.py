"""The same steps in PyTorch, for scripts/bench.lua --vs-torch: prints one JSON object of seconds.

usage: bench_torch.py PART STEM BATCH THREADS LAYOUT SECONDS
PART: resnet18 or lenet; LAYOUT: default or channels_last
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


def main():
    part, stem, batch, threads, layout, seconds = sys.argv[1:7]
    torch.set_num_threads(int(threads))
    torch.manual_seed(1)
    model = lenet() if part == "lenet" else resnet18(stem)
    x = torch.randn(int(batch), 3, 32, 32)
    y = torch.randint(0, 10, (int(batch),))
    if layout == "channels_last":
        model = model.to(memory_format=torch.channels_last)
        x = x.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    step()
    step()
    times, start = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - start < float(seconds):
        begin = time.perf_counter()
        step()
        times.append(time.perf_counter() - begin)
    print(json.dumps({"min": min(times), "median": statistics.median(times), "max": max(times),
                      "count": len(times), "version": torch.__version__}))


main()
