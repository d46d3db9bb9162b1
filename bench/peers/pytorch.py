"""PyTorch as a system: a LoRA or full training step, a chain of small ops, or a first product. Eager, on the CPU.

    pytorch.py '{"kind": "step", "size": "S", "method": "lora", "threads": 1, "check": 5}'

Speaks the protocol of bench/peers/system.ts. The model and its start values are those of test/golden/common-model.ts;
linear weights are drawn as [in, out] and kept as [out, in].
"""

import json
import os
import resource
import sys
import time

SPEC = json.loads(sys.argv[-1])
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, str(SPEC["threads"]))

import torch
from torch import nn
from torch.nn import functional as F

torch.set_num_threads(SPEC["threads"])


def peak_memory():
    """The most resident memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


IMPORTED = peak_memory()

SIZES = {
    "S": dict(d=64, layers=2, heads=4, length=64, batch=8, vocab=256),
    "M": dict(d=128, layers=4, heads=4, length=128, batch=8, vocab=512),
    "L": dict(d=384, layers=6, heads=6, length=256, batch=4, vocab=4096),
}
RANK, SCALE, CHAIN = 8, 2.0, 100


class LoraLinear(nn.Module):
    def __init__(self, base, a, b):
        super().__init__()
        self.base = base
        self.a = nn.Parameter(a.t().contiguous())
        self.b = nn.Parameter(b.t().contiguous())

    def forward(self, x):
        return self.base(x) + F.linear(F.linear(x, self.a), self.b) * SCALE


class Block(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.heads = heads
        self.ln1, self.ln2 = nn.LayerNorm(d), nn.LayerNorm(d)
        for name in "qkvo":
            setattr(self, name, nn.Linear(d, d, bias=False))
        self.fc1, self.fc2 = nn.Linear(d, 4 * d, bias=False), nn.Linear(4 * d, d, bias=False)

    def forward(self, h):
        batch, length, d = h.shape
        split = lambda x: x.view(batch, length, self.heads, d // self.heads).transpose(1, 2)
        n = self.ln1(h)
        mixed = F.scaled_dot_product_attention(
            split(self.q(n)), split(self.k(n)), split(self.v(n)), is_causal=True
        )
        h = h + self.o(mixed.transpose(1, 2).reshape(batch, length, d))
        return h + self.fc2(F.gelu(self.fc1(self.ln2(h)), approximate="tanh"))


class Model(nn.Module):
    def __init__(self, d, layers, heads, length, vocab, **_):
        super().__init__()
        self.tok, self.pos = nn.Embedding(vocab, d), nn.Parameter(torch.empty(length, d))
        self.blocks = nn.ModuleList([Block(d, heads) for _ in range(layers)])
        self.lnf, self.head = nn.LayerNorm(d), nn.Linear(d, vocab, bias=False)

    def forward(self, x, y):
        h = self.tok(x) + self.pos
        for block in self.blocks:
            h = block(h)
        return F.cross_entropy(self.head(self.lnf(h)).flatten(0, 1), y.flatten())


def build(size, method):
    """The model with its start values, and its batch."""
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
    sys.path.insert(0, os.path.join(root, "test/fixtures"))
    import numpy
    from generator import Generator

    draws = Generator(12345)
    normal = lambda rows, columns, scale: torch.from_numpy(
        (draws.normal(rows * columns) * scale).astype(numpy.float32).reshape(rows, columns)
    )
    cfg = SIZES[size]
    model = Model(**cfg)
    with torch.no_grad():
        model.tok.weight.copy_(normal(*model.tok.weight.shape, 0.02))
        model.pos.copy_(normal(*model.pos.shape, 0.02))
        products = lambda block: [getattr(block, name) for name in ("q", "k", "v", "o", "fc1", "fc2")]
        linears = [linear for block in model.blocks for linear in products(block)] + [model.head]
        for linear in linears:
            outputs, inputs = linear.weight.shape
            linear.weight.copy_(normal(inputs, outputs, 0.02).t())
    if method == "lora":
        for parameter in model.parameters():
            parameter.requires_grad_(False)
    for block in model.blocks:
        for name in ("q", "k", "v", "o", "fc1", "fc2"):
            linear = getattr(block, name)
            outputs, inputs = linear.weight.shape
            a = normal(inputs, RANK, inputs**-0.5)
            if method == "lora":
                setattr(block, name, LoraLinear(linear, a, torch.zeros(RANK, outputs)))
    count = cfg["batch"] * cfg["length"]
    shape = (cfg["batch"], cfg["length"])
    x, y = [torch.from_numpy(draws.integers(count, cfg["vocab"])).view(shape) for _ in range(2)]
    return model, x, y


def training(size, method):
    model, x, y = build(size, method)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)

    def step():
        optimizer.zero_grad()
        loss = model(x, y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def chain():
    x = torch.ones(1, requires_grad=True)

    def run():
        y = x
        for _ in range(CHAIN):
            y = y + 1.0
        y.sum().backward()
        x.grad = None

    return run


def say(value):
    print(json.dumps(value), flush=True)


def main():
    ready = {"version": f"{torch.__version__}, threads {torch.get_num_threads()}", "importMB": IMPORTED}
    if SPEC["kind"] == "start":
        a = torch.ones(64, 64)
        assert (a @ a)[0, 0].item() == 64
        say(ready)
        return
    if SPEC["kind"] == "op":
        run = chain()
    else:
        run = training(SPEC["size"], SPEC["method"])
        ready["losses"] = [run() for _ in range(SPEC["check"])]
    say(ready)
    for line in sys.stdin:
        verb, *rest = line.split()
        if verb == "memory":
            say({"peakMB": peak_memory()})
        if verb != "run":
            continue
        times = []
        for _ in range(int(rest[0])):
            start = time.perf_counter()
            run()
            times.append(1000 * (time.perf_counter() - start))
        say({"times": times})


try:
    main()
except Exception as error:
    say({"error": f"{type(error).__name__}: {error}"})
