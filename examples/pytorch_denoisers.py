"""Training steps and sampled transitions a second of GTA's networks in PyTorch, to set beside `gta bench training sampling`.

    pip install torch==2.11.0 numpy && python examples/pytorch_denoisers.py [THREADS [ROUNDS [WHAT ...]]]

WHAT is any of `prototype` (an MLP-Mixer 256 wide as a plain module, batch 128), `compact` (the same in the sizes of gta's default)
and `paper` (the published MixerUnet, 16 channels, batch 256, the published training step: conditions dropped, loss masked, norm
clipped, AdamW, average of the weights every tenth step). Sampling is from windows noised to mu 0.5: the mixers by
DPM-Solver++(2M) with 10 and 20 evaluations under guidance of weight 2 at all noise levels; `paper` by stochastic Heun with 128 steps as published, where the unconditional network is evaluated in each
first half-step although its weight is zero (191 evaluations; a part of the steps is timed). A window is 32 rows of 24 numbers,
31 transitions. Prints one JSON line a figure: the median over rounds, the least and the most.
"""

import copy
import json
import math
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

ROWS, DIM, HORIZON = 32, 24, 31


class Mixer(nn.Module):
    """MLP-Mixer, 256 wide, 4 blocks, tokens of 4 rows; modulated by noise level and condition."""

    def __init__(self, width=256, depth=4, rows=4, token_hidden=16, channel_hidden=512, embedding=128):
        super().__init__()
        self.tokens, token = ROWS // rows, rows * DIM
        self.register_buffer("frequencies", torch.logspace(math.log10(0.5), math.log10(30), 32))
        two = lambda a, b, c: nn.Sequential(nn.Linear(a, b), nn.SiLU(), nn.Linear(b, c))
        self.noise, self.condition = two(65, embedding, embedding), two(1, embedding, embedding)
        self.null = nn.Parameter(torch.zeros(embedding))
        self.read, self.position = nn.Linear(token, width), nn.Parameter(0.02 * torch.randn(self.tokens, width))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulations = nn.ModuleList(nn.Linear(embedding, 6 * width) for _ in range(depth))
        self.mix = nn.ModuleList(two(self.tokens, token_hidden, self.tokens) for _ in range(depth))
        self.channels = nn.ModuleList(two(width, channel_hidden, width) for _ in range(depth))
        self.last, self.write = nn.Linear(embedding, 2 * width), nn.Linear(width, token)
        for layer in [*self.modulations, self.last, self.write]:
            nn.init.zeros_(layer.weight), nn.init.zeros_(layer.bias)

    def forward(self, x, noise, condition, keep):
        angles = noise[:, None] * self.frequencies
        noise = self.noise(torch.cat([noise[:, None], angles.sin(), angles.cos()], 1))
        embedding = F.silu(noise + torch.where(keep[:, None], self.condition(condition[:, None]), self.null))
        h = self.read(x.reshape(len(x), self.tokens, -1)) + self.position
        for modulation, mix, channels in zip(self.modulations, self.mix, self.channels):
            m = modulation(embedding)[:, None].chunk(6, -1)
            h = h + (1 + m[2]) * mix((self.norm(h) * (1 + m[1]) + m[0]).transpose(1, 2)).transpose(1, 2)
            h = h + (1 + m[5]) * channels(self.norm(h) * (1 + m[4]) + m[3])
        shift, scale = self.last(embedding)[:, None].chunk(2, -1)
        return self.write(self.norm(h) * (1 + scale) + shift).reshape(x.shape)


class MixerBlock(nn.Module):
    def __init__(self, rows, inputs, outputs, dim):
        super().__init__()
        feed = lambda width, hidden: nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.shift = nn.Sequential(nn.Mish(), nn.Linear(2 * dim, outputs))
        self.row_norm, self.row = nn.LayerNorm(inputs * DIM), feed(inputs * DIM, 4 * inputs)
        self.column_norm, self.column = nn.LayerNorm(rows), feed(rows, 4 * rows)
        same = inputs == outputs
        self.project, self.skip = (nn.Identity() if same else nn.Conv2d(inputs, outputs, 1) for _ in range(2))

    def forward(self, x, embedding):
        batch, channels, rows, columns = x.shape
        by_row = self.row(self.row_norm(x.transpose(1, 2).reshape(batch, rows, -1)))
        by_column = self.column(self.column_norm(x.transpose(2, 3)))
        mixed = by_row.view(batch, rows, channels, columns).transpose(1, 2) + by_column.transpose(2, 3)
        return self.project(mixed) + self.shift(embedding)[:, :, None, None] + self.skip(x)


class Attention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm = nn.InstanceNorm2d(channels, affine=True)
        self.qkv, self.out = nn.Conv2d(channels, 384, 1, bias=False), nn.Conv2d(128, channels, 1)

    def forward(self, x):
        batch, _, rows, columns = x.shape
        q, k, v = self.qkv(self.norm(x)).view(batch, 3, 4, 32, rows * columns).unbind(1)
        context = torch.einsum("bhdn,bhen->bhde", k.softmax(-1), v)
        return x + self.out(torch.einsum("bhde,bhdn->bhen", context, q).reshape(batch, 128, rows, columns))


class MixerUnet(nn.Module):
    """The published network: 29.6 million weights with 16 channels."""

    def __init__(self, dim=16):
        super().__init__()
        self.dim, channels = dim, [dim, 2 * dim, 4 * dim, 8 * dim]
        self.register_buffer("frequencies", 2 * math.pi * torch.randn(8))
        two = lambda a, b: nn.Sequential(nn.Linear(a, b), nn.Mish(), nn.Linear(b, dim))
        self.noise, self.condition = two(17, 4 * dim), two(1, 2 * dim)
        level = lambda rows, a, b, change: nn.ModuleList(
            [MixerBlock(rows, a, b, dim), MixerBlock(rows, b, b, dim), Attention(b), change])
        halve = lambda c: nn.Conv2d(c, c, 3, (2, 1), 1)
        double = lambda c: nn.ConvTranspose2d(c, c, (4, 3), (2, 1), (1, 1))
        pairs = list(zip([1, *channels], channels))
        self.downs = nn.ModuleList(level(ROWS >> i, a, b, halve(b) if i < 3 else nn.Identity())
                                   for i, (a, b) in enumerate(pairs))
        self.middle = nn.ModuleList([MixerBlock(ROWS >> 3, channels[3], channels[3], dim), Attention(channels[3]),
                                     MixerBlock(ROWS >> 3, channels[3], channels[3], dim)])
        self.ups = nn.ModuleList(level(ROWS >> 3 - i, 2 * channels[3 - i], channels[2 - i], double(channels[2 - i]))
                                 for i in range(3))
        self.last = nn.Sequential(nn.Conv2d(dim, dim, 3, padding=1), nn.GroupNorm(8, dim), nn.Mish(), nn.Conv2d(dim, 1, 1))

    def forward(self, x, noise, condition, keep):
        angles = noise[:, None] * self.frequencies
        noise = self.noise(torch.cat([noise[:, None], angles.sin(), angles.cos()], 1))
        embedding = torch.cat([self.condition(condition[:, None]) * keep[:, None], noise], 1)
        x, skips = x[:, None], []
        for first, second, attention, halve in self.downs:
            x = attention(second(first(x, embedding), embedding))
            skips.append(x)
            x = halve(x)
        first, attention, second = self.middle
        x = second(attention(first(x, embedding)), embedding)
        for (first, second, attention, double), skip in zip(self.ups, reversed(skips)):
            x = double(attention(second(first(torch.cat([x, skip], 1), embedding), embedding)))
        return self.last(x)[:, 0]


def denoise(net, x, sigma, condition, keep):
    level = torch.as_tensor(sigma, dtype=torch.float32).expand(len(x))
    wide = level[:, None, None]
    scale = (wide**2 + 1).rsqrt()
    return x * scale**2 + net(x * scale, level.log() / 4, condition, keep) * wide * scale


class Training:
    def __init__(self, net, batch, average_every):
        self.net, self.batch, self.average_every, self.steps = net, batch, average_every, 0
        self.average = copy.deepcopy(net)
        self.optimiser = torch.optim.AdamW(net.parameters(), lr=3e-4, betas=(0.9, 0.99))
        self.data = torch.randn(100_000, DIM)

    def step(self):
        starts = torch.randint(0, len(self.data) - ROWS, (self.batch,))
        x0 = torch.stack([self.data[i:i + ROWS] for i in starts.tolist()])
        mask = torch.ones_like(x0)
        mask[:, -1, 17:] = 0
        sigma = (torch.randn(self.batch) * 1.2 - 1.2).exp()
        keep = torch.rand(self.batch) >= 0.25
        noised = x0 + torch.randn_like(x0) * sigma[:, None, None]
        error = (denoise(self.net, noised, sigma, torch.randn(self.batch), keep) - x0) ** 2 * mask
        loss = (error.mean((1, 2)) * (sigma**2 + 1) / sigma**2).mean()
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimiser.step()
        loss.item()
        self.steps += 1
        if self.steps % self.average_every == 0:
            with torch.no_grad():
                for mean, new in zip(self.average.parameters(), self.net.parameters()):
                    mean.lerp_(new, 0.005)


def levels(start, steps):
    root = [start ** (1 / 7) + i / (steps - 1) * (0.002 ** (1 / 7) - start ** (1 / 7)) for i in range(steps)]
    return [r**7 for r in root] + [0.0]


@torch.no_grad()
def dpm(net, windows, steps, weight):
    sigmas = levels(2.43, steps)
    condition, keep = torch.randn(2 * len(windows)), torch.arange(2 * len(windows)) < len(windows)
    x, last = windows + sigmas[0] * torch.randn_like(windows), None
    for sigma, following in zip(sigmas, sigmas[1:]):
        with_it, without = denoise(net, torch.cat([x, x]), sigma, condition, keep).chunk(2)
        clean = without + (1 + weight) * (with_it - without)
        if following == 0:
            return clean
        h = math.log(sigma / following)
        target = clean if last is None else clean + 0.5 * h / last[1] * (clean - last[0])
        x, last = x * math.exp(-h) - target * math.expm1(-h), (clean, h)


@torch.no_grad()
def heun(net, windows, steps):
    """`steps` of the 64 steps that mu 0.5 leaves of 128, each three evaluations as published."""
    sigmas = levels(80.0, 128)[64:]
    x = windows + sigmas[0] * torch.randn_like(windows)
    condition, every = torch.randn(len(windows)), torch.ones(len(windows), dtype=torch.bool)
    for sigma, following in list(zip(sigmas, sigmas[1:]))[:steps]:
        raised = sigma * math.sqrt(2)
        x = x + 1.003 * torch.randn_like(x) * math.sqrt(raised**2 - sigma**2)
        with_it, without = denoise(net, x, raised, condition, every), denoise(net, x, raised, condition, ~every)
        slope = (x - without - 1.0 * (with_it - without)) / raised
        euler = x + (following - raised) * slope
        second = (euler - denoise(net, euler, following, condition, every)) / following
        x = x + (following - raised) * 0.5 * (slope + second)


def timed(name, unit, work, rounds, warm_up=1):
    """`work` does something, and says how much of `unit`."""
    for _ in range(warm_up):
        work()
    rates = []
    for _ in range(rounds):
        start = time.perf_counter()
        rates.append(work() / (time.perf_counter() - start))
    print(json.dumps({"name": name, "value": round(statistics.median(rates), 3), "unit": unit,
                      "least": round(min(rates), 3), "most": round(max(rates), 3)}), flush=True)


def many(step, count):
    def work():
        for _ in range(count):
            step()
        return count
    return work


def main():
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    what = sys.argv[3:] or ["prototype", "compact", "paper"]
    for name, sizes in (("prototype", {}), ("compact", {"width": 192, "channel_hidden": 384, "embedding": 64})):
        if name not in what:
            continue
        training = Training(Mixer(**sizes), 128, 1)
        timed(f"pytorch.{name}.training", "steps/s", many(training.step, 40), rounds)
        windows = torch.randn(256, ROWS, DIM)
        for steps in (10, 20):
            sample = lambda: dpm(training.net, windows, steps, 2.0) is not None and len(windows) * HORIZON
            timed(f"pytorch.{name}.sampling.dpm{steps}", "transitions/s", sample, rounds)
    if "paper" in what:
        training = Training(MixerUnet(), 256, 10)
        timed("pytorch.paper.training", "steps/s", many(training.step, 2), rounds)
        windows = torch.randn(64, ROWS, DIM)
        part = lambda: heun(training.net, windows, 2) or len(windows) * HORIZON * 2 / 64
        timed("pytorch.paper.sampling", "transitions/s", part, rounds)


if __name__ == "__main__":
    main()
