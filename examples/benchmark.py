"""How fast minidl trains on this machine, and how fast PyTorch does.

    python examples/benchmark.py --quick
    python examples/benchmark.py --against torch --json speed.json --picture speed.png
    python examples/benchmark.py --against torch dezero --only cnn --rounds 15
    python examples/benchmark.py --against torch --scaling --picture scaling.png

Every contestant runs in a process of its own, a fresh one for each network, and the processes take
turns: each works for `--turn` seconds while the others wait, `--rounds` times. So all of them meet
the same disturbances, and a ratio (minidl's time / the peer's; below 1 minidl is faster) is taken
within a round: of minidl's median step and that of the peer's fastest layout. Printed are its
median and quartiles over the rounds, and the ratio of the least times. Other work on the machine
slows libraries differently: where the two disagree, or the load (programs at work when it began)
is not near 0, run again when the machine is idle. PyTorch runs in its default layout and in
channels-last. All take the same steps, with the same batches of noise: the documents' networks,
losses, optimisers.

GFLOP/s count useful operations, 2 a multiply-add, in the layers' products alone; "of peak" is their
share of the fastest matrix product in the run so far. Memory is the peak of the process that ran
that network alone, and how far it grew after the imports. (Kernels that are compiled in the same
run count as memory. Run twice.) Without `--quick` or `--only` a run takes minutes. What stands for
PyTorch are the networks and steps of minidl/gpu_check/peer.py.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import itertools
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np

# --------------------------------------------------------------------------- what is timed
PEERS = {"torch": ["torch", "torch channels-last"], "dezero": ["dezero"],
         "minidl": ["minidl again"]}             # minidl against itself shows what noise there is
IMAGES = {"cnn": (1, 28, 28), "cnn-rgb": (3, 32, 32), "gan": (1, 28, 28), "vae": (1, 28, 28)}
LATENT = 20                                       # of the VAE
NETWORKS = [("cnn", "train", 64), ("cnn", "train", 128), ("cnn", "infer", 128),
            ("gan", "train", 64), ("vae", "train", 64), ("cnn-rgb", "train", 128)]

# The documents' convolutions: input channels, size of the padded image, output channels, kernel,
# stride. A transposed convolution stands as the one that it is the adjoint of: what is the input
# gradient here is its forward pass.
CONVS = {
    "cnn conv 1": (1, 28, 32, 3, 1), "cnn conv 2": (32, 13, 64, 3, 1),
    "cnn conv 3": (64, 5, 64, 3, 1), "cnn-rgb conv 1": (3, 32, 32, 3, 1),
    "cnn-rgb conv 2": (32, 15, 64, 3, 1), "gan D conv 1": (1, 31, 64, 5, 2),
    "gan D conv 2": (64, 17, 128, 5, 2), "gan G tconv 1": (256, 11, 512, 5, 1),
    "gan G tconv 2": (128, 17, 256, 5, 2), "gan G tconv 3": (1, 31, 128, 5, 2),
    "vae conv 1": (1, 30, 32, 3, 1), "vae conv 2": (32, 30, 64, 3, 1),
    "vae tconv 1": (64, 15, 64, 3, 2), "vae tconv 2": (32, 29, 64, 3, 2),
    "vae tconv 3": (1, 30, 32, 3, 1),
}
SIDES = ("forward", "input gradient", "weight gradient")
LAYERS = [("max pool", (64, 32, 26, 26)), ("max pool", (64, 64, 11, 11)),
          ("batch norm", (64, 256, 7, 7)), ("batch norm", (64, 128, 14, 14))]
SWEEPS = {"batch": (32, 64, 128, 256, 512), "channels": (8, 16, 32, 64), "side": (14, 28, 56, 112)}
USUAL = {"batch": 64, "channels": 16, "side": 28}


def case(group: str, name: str, kind: str, /, **of) -> dict:
    """One thing to time; `kind` names the method of a contestant that makes it, from `of`."""
    return {"group": group, "name": name, "kind": kind, "of": of}


def cases(quick: bool, scaling: bool) -> list[dict]:
    """What is timed; each network is a group, and so are all single operations, and a sweep."""
    n = 1024 if quick else 2048
    found = [case("product", f"{whose} product {n}", "product", whose=whose, n=n)
             for whose in ("numpy", "own")]        # the first two: `measure` comes back to them
    for name, mode, batch in [NETWORKS[0], NETWORKS[2]] if quick else NETWORKS:
        label = f"{name} {mode} {batch}"
        options = {"latent": LATENT} if name == "vae" else {}
        found.append(case(label, label, "network", name=name, mode=mode, batch=batch,
                          options=options))
    for name in ["cnn conv 2"] if quick else CONVS:
        found += [case("operations", f"{name} {side}", "conv", shape=CONVS[name], side=side)
                  for side in SIDES]
    for kind, shape in LAYERS[1:3] if quick else LAYERS:
        label = f"{kind} {'x'.join(map(str, shape[1:]))}"
        found += [case("operations", label + more, "layer", kind=kind, shape=shape, back=bool(more))
                  for more in ("", " and back")]
    found += [case("operations", f"Adam {name}", "adam", name=name, options=options)
              for name, options in [("cnn", {}), ("vae", {"latent": LATENT})][:1 if quick else 2]]
    for axis, values in SWEEPS.items() if scaling else ():
        for value in values[:3] if quick else values:
            of = {**USUAL, axis: value}
            found.append(case(f"against {axis}", f"{axis} {value}", "network", name="scaled",
                              mode="train", batch=of.pop("batch"), options=of))
    return found


def batches(shape: tuple[int, ...], n: int, tanh: bool = False) -> itertools.cycle:
    """Eight batches of noise, again and again: images (n, *shape) in [0, 1], in [-1, 1] if `tanh`,
    and class numbers (n,)."""
    rng = np.random.default_rng(0)
    made = [(rng.random((n, *shape), np.float32), rng.integers(0, 10, n)) for _ in range(8)]
    return itertools.cycle([(2 * x - 1 if tanh else x, t) for x, t in made])


def noise(*shape: int) -> np.ndarray:
    """Normal float32 numbers."""
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def scaled(nn, channels: int, side: int):
    """The network of the sweeps: (N,3,side,side) -> (N,10). The same text for both libraries."""
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(channels, 2 * channels, 3, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Linear(2 * channels * (side // 2) ** 2, 10))


# --------------------------------------------------------------------------- arithmetic
def products(layers: list[int], weights=False, inputs=False, first=False) -> int:
    """Multiply-adds of a pass through layers that make so many each: forward, and as many again for
    the gradients of weights, and of inputs, of the first layer's input only if `first`."""
    skipped = layers[0] if inputs and not first else 0
    return sum(layers) * (1 + weights + inputs) - skipped


def training_flops(*players: list[int]) -> int:
    """Floating point operations of a training step for one image, from each layer's multiply-adds:
    of one network, or of a GAN's generator and discriminator."""
    if len(players) == 1:
        return 2 * products(players[0], weights=True, inputs=True)
    G, D = players
    d_turn = products(G) + 2 * products(D, weights=True, inputs=True)          # real and fake
    g_turn = (products(G, weights=True, inputs=True)
              + products(D, inputs=True, first=True))                          # D is frozen
    return 2 * (d_turn + g_turn)


def conv_flops(n: int, shape: tuple[int, ...]) -> int:
    """Floating point operations of each side of a convolution of `n` images; shape as in CONVS."""
    C, H, O, K, S = shape
    OH = (H - K) // S + 1
    return 2 * n * O * OH * OH * C * K * K


def spread(values) -> dict:
    """Median and quartiles."""
    low, median, high = np.percentile(values, [25, 50, 75])
    return {"median": float(median), "low": float(low), "high": float(high)}


def ratio(ours: list[float], *peers: list[float]) -> dict:
    """Spread, over the rounds, of our time / the shortest of the peers' in the same round."""
    rounds = [a / min(b) for a, *b in zip(ours, *peers)]
    return {**spread(rounds), "rounds": rounds}


def exponent(x: list[float], y: list[float]) -> float:
    """The p of the power law y = c x^p nearest in least squares of the logarithms."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def peak_memory() -> int | None:
    """The most memory that this process has held, in bytes; None where the system does not tell."""
    if Path("/proc/self/status").exists():       # getrusage's would count the parent's, too
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


# --------------------------------------------------------------------------- contestants
# A method for a kind of case returns a step to be timed and its floating point operations, if they
# are counted. minidl has PyTorch's names, so what stands in Contestant is the same text for both.
class Contestant:
    """What minidl and PyTorch do alike; they differ in `F`, `nn`, `optim` and the methods below."""

    def layer(self, kind: str, shape: list[int], back: bool):
        """Max pooling by 2 or batch norm, forward, or forward and backward."""
        x, w, b = (self.tensor(noise(*s)) for s in (shape, shape[1:2], shape[1:2]))
        for t in (x, w, b):
            t.requires_grad_(back)
        def forward():
            if kind == "max pool":
                return self.F.max_pool2d(x, 2)
            return self.F.batch_norm(x, None, None, w, b, training=True)
        g = self.tensor(noise(*forward().shape))
        def both():
            x.grad = w.grad = b.grad = None
            forward().backward(g)
        return (both if back else forward), None

    def adam(self, name: str, options: dict):
        """One step for all parameters of a network."""
        parameters = list(self.build(name, options).parameters())
        for p in parameters:
            p.grad = self.weight(noise(*p.shape))
        return self.optim.Adam(parameters, lr=1e-3, **self.fused).step, None

    def product(self, whose: str, n: int):
        """A matrix product of n x n."""
        a, b = noise(n, n), noise(n, n)
        if whose == "own":
            a, b = self.tensor(a), self.tensor(b)
        elif type(self) is not MiniDL:
            return None, None                    # once is enough
        return (lambda: a @ b), 2 * n**3

    def conv(self, shape: list[int], side: str):
        """One side of a convolution of 64 images."""
        C, H, O, K, S = shape
        OH = (H - K) // S + 1
        x, g = (self.tensor(noise(*s)) for s in ((64, C, H, H), (64, O, OH, OH)))
        w = self.weight(noise(O, C, K, K))
        return self.conv_side(side, x, w, g, H, K, S), conv_flops(64, shape)


class MiniDL(Contestant):
    fused: dict = {}

    def __init__(self, variant: str, threads: int):
        import minidl.training
        from minidl import set_num_threads
        set_num_threads(threads)
        minidl.kernels.problem()                 # loads Numba, where it is: an import, too
        minidl.manual_seed(0)
        self.minidl, self.F = minidl, minidl.functional
        self.nn, self.optim = minidl.nn, minidl.optim

    def tensor(self, array):
        """Images as layers make them: channels last in memory."""
        if array.ndim == 4:
            array = np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        return self.minidl.from_numpy(array)

    def weight(self, array):
        return self.minidl.from_numpy(array)

    def build(self, name: str, options: dict):
        if name == "scaled":
            return scaled(self.nn, **options)
        return self.minidl.models.MODELS[name].build(**options)

    def network(self, name: str, mode: str, batch: int, options: dict):
        """Training by minidl.training's own steps, or a forward pass in evaluation mode."""
        recipe, training = self.minidl.models.MODELS.get(name, None), self.minidl.training
        model = self.build(name, options)
        image = recipe.image if recipe else (3, options["side"], options["side"])
        gan = name == "gan"
        feed = batches(image, batch, tanh=gan)
        parts = ([(model.generator, model.latent), (model.discriminator, image)] if gan
                 else [(model, image)])
        players = [[row.multiply_adds for row in self.nn.summary(part, shape).rows
                    if row.multiply_adds] for part, shape in parts]
        if mode == "infer":
            model.eval()
            def infer():
                with self.minidl.no_grad():
                    return model(self.minidl.from_numpy(next(feed)[0]))
            return infer, 2 * batch * products(players[0])
        new, lr = (recipe.optimizer, recipe.lr) if recipe else (self.optim.Adam, 1e-3)
        optimizers = [new(part.parameters(), lr) for part, _ in parts]
        steps = (training.GANSteps(model, *optimizers) if gan
                 else training.VAESteps(model, *optimizers) if name == "vae"
                 else training.ClassifierSteps(model, *optimizers, one_hot=name == "cnn-rgb"))
        def train():
            return steps.step(*map(self.minidl.from_numpy, next(feed)))
        return train, batch * training_flops(*players)

    def conv_side(self, side, x, w, g, H, K, S):
        from minidl.ops import conv
        where = (S, S), (0, 0), (1, 1)           # stride, padding, dilation
        return {"forward": lambda: conv.conv2d(x, w, None, *where),
                "input gradient": lambda: conv.conv2d_input_grad(g, w, None, (H, H), *where),
                "weight gradient": lambda: conv.conv2d_weight_grad(x, g, (K, K), *where)}[side]


class Torch(Contestant):
    """The networks and steps of minidl.gpu_check.peer."""

    def __init__(self, variant: str, threads: int):
        import torch
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        from minidl.gpu_check import peer
        self.peer = peer
        self.torch, self.F, self.nn = torch, torch.nn.functional, torch.nn
        self.optim = torch.optim
        self.format = (torch.channels_last if "channels-last" in variant
                       else torch.contiguous_format)
        self.fused = {"fused": True} if "fused" in variant else {}

    def tensor(self, array):
        t = self.torch.from_numpy(array)
        return t.to(memory_format=self.format) if t.ndim == 4 else t

    weight = tensor

    def build(self, name: str, options: dict):
        model = (scaled(self.nn, **options) if name == "scaled"
                 else self.peer.NETWORKS[name](**options))
        return model.to(memory_format=self.format)

    def network(self, name: str, mode: str, batch: int, options: dict):
        image = IMAGES.get(name) or (3, options["side"], options["side"])
        model, feed = self.build(name, options), batches(image, batch, tanh=name == "gan")
        if mode == "infer":
            model.eval()
            def infer():
                with self.torch.inference_mode():
                    return model(self.tensor(next(feed)[0]))
            return infer, None
        eps = {"eps": 1e-8} if name == "scaled" else {}
        step = self.peer.training_step(name, model, **eps, **self.fused)
        return (lambda: step(*map(self.tensor, next(feed)))), None

    def conv_side(self, side, x, w, g, H, K, S):
        if side == "forward":
            return lambda: self.F.conv2d(x, w, None, S)
        wanted = [side == "input gradient", side == "weight gradient", False]
        return lambda: self.torch.ops.aten.convolution_backward(
            g, x, w, None, [S, S], [0, 0], [1, 1], False, [0, 0], 1, wanted)


class DeZero(Contestant):
    """DeZero 0.0.13, as far as it goes: the training and inference of `cnn`."""

    def __init__(self, variant: str, threads: int):
        if not hasattr(np, "int"):
            setattr(np, "int", int)              # noqa: B010  a name of NumPy 1, asked for below
        import dezero
        self.dezero = dezero

    def network(self, name: str, mode: str, batch: int, options: dict):
        if name != "cnn":
            return None, None
        dezero, F, L = self.dezero, self.dezero.functions, self.dezero.layers
        class CNN(dezero.Model):
            def __init__(self):
                super().__init__()
                self.c1, self.c2, self.c3 = L.Conv2d(32, 3), L.Conv2d(64, 3), L.Conv2d(64, 3)
                self.d1, self.d2 = L.Linear(64), L.Linear(10)
            def forward(self, x):
                x = F.pooling(F.relu(self.c1(x)), 2, 2)
                x = F.pooling(F.relu(self.c2(x)), 2, 2)
                return self.d2(F.relu(self.d1(F.flatten(F.relu(self.c3(x))))))
        model, feed = CNN(), batches(IMAGES[name], batch)
        optimizer = dezero.optimizers.Adam(eps=1e-7).setup(model)
        def infer():
            with dezero.no_grad(), dezero.test_mode():
                return model(next(feed)[0])
        def train():
            x, t = next(feed)
            y = model(x)
            loss = F.softmax_cross_entropy(y, t)
            model.cleargrads()
            loss.backward()
            optimizer.update()
            return loss, (y.data.argmax(1) == t).mean()
        return (train if mode == "train" else infer), None

    def nothing(self, **of):
        return None, None

    product = conv = layer = adam = nothing


# --------------------------------------------------------------------------- a process each
# The parent writes a line of JSON, the worker answers with one, and then waits for the next.
#   {"do": "make", "case": ...}   {"seconds": one step, warm; "flops": of a step or null}, or {}
#                                 if it has no such thing
#   {"do": "run", "steps": k}     {"seconds": [k times]}
#   {"do": "memory"}              {"start": bytes after imports, "peak": bytes}
#   Whatever goes wrong           {"error": "a sentence"}
class Problem(Exception):
    """A sentence for the user."""


def serve(variant: str, threads: int) -> None:
    """The worker: be the contestant `variant` until the parent closes the pipe."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)                                # what libraries print is no answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)     # Ctrl-C: the parent stops, and closes the pipe
    library = variant.split()[0]
    step = contestant = None
    for line in sys.stdin:
        message = json.loads(line)
        try:
            if contestant is None:
                contestant = {"minidl": MiniDL, "torch": Torch, "dezero": DeZero}[library](
                    variant, threads)
                start = peak_memory()
            if message["do"] == "make":
                step, flops = getattr(contestant, message["case"]["kind"])(**message["case"]["of"])
                answer = {"seconds": timed(step, 3)[-1], "flops": flops} if step else {}
            elif message["do"] == "run":
                answer = {"seconds": timed(step, message["steps"])}
            else:
                answer = {"start": start, "peak": peak_memory()}
        except ModuleNotFoundError as error:
            missing = error.name or library
            answer = {"error": f"{missing} is not installed: python -m pip install {missing}"}
        except Exception as error:
            answer = {"error": f"{variant} does not work here: {type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


def timed(step: Callable, steps: int) -> list[float]:
    """Seconds of each of so many steps, after one that is not counted: it wakes the threads."""
    step()
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return seconds


class Worker:
    """A contestant's process, seen from the parent."""

    def __init__(self, variant: str, threads: int):
        limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
                                "VECLIB_MAXIMUM_THREADS"), str(threads))
        self.variant = variant
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--worker", variant, "--threads", str(threads)], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **limits})
        self.start = self.ask(do="memory")["start"]

    def ask(self, **message) -> dict:
        try:
            print(json.dumps(message), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        answer = json.loads(line) if line else {"error": f"{self.variant}: its process ended"}
        if "error" in answer:
            self.close()
            raise Problem(answer["error"])
        return answer

    def close(self) -> None:
        if self.process.returncode is None:
            self.process.communicate()           # closes its pipe, which ends it


# --------------------------------------------------------------------------- measuring
def alternate(workers: list[Worker], case: dict, rounds: int, turn: float) -> dict:
    """Time `case` on those workers who have it, in turns. For each of them: the steps' seconds,
    round by round, and floating point operations."""
    made = {worker: worker.ask(do="make", case=case) for worker in workers}
    made = {worker: answer for worker, answer in made.items() if answer}
    if not made:
        return {}
    steps = int(turn / max(answer["seconds"] for answer in made.values()))
    steps, seconds = min(max(steps, 3), 500), {worker: [] for worker in made}
    for k in range(rounds):
        for worker in list(made)[::-1 if k % 2 else 1]:
            seconds[worker].append(worker.ask(do="run", steps=steps)["seconds"])
    flops = next((a["flops"] for a in made.values() if a["flops"]), None)
    return {worker.variant: {"seconds": seconds[worker], "flops": flops} for worker in made}


def row(case: dict, found: dict, peers: dict[str, list[str]], peak: float) -> dict:
    """What is reported of a case; `peak` in FLOP/s is what "of_peak" is a share of."""
    contestants, medians, least, ratios = {}, {}, {}, {}
    for variant, one in found.items():
        medians[variant] = [float(np.median(turn)) for turn in one["seconds"]]
        steps = np.concatenate(one["seconds"])
        least[variant] = float(steps.min())
        median, flops = float(np.median(steps)), one["flops"]
        contestants[variant] = {
            "median_ms": 1e3 * median, "min_ms": 1e3 * least[variant],
            "images_per_s": case["of"]["batch"] / median if "batch" in case["of"] else None,
            "gflops": flops / median / 1e9 if flops else None,
            "of_peak": flops / median / peak if flops else None,
            "rounds_ms": [1e3 * m for m in medians[variant]]}
    for peer, variants in peers.items():
        if them := [v for v in variants if v in medians]:
            ratios[peer] = {**ratio(medians["minidl"], *(medians[v] for v in them)),
                            "least": least["minidl"] / min(least[v] for v in them)}
    return {"group": case["group"], "name": case["name"], "of": case["of"],
            "contestants": contestants, "ratios": ratios}


def product_rate(worker: Worker, chosen: list[dict]) -> float:
    """FLOP/s of the fastest matrix product, NumPy's or minidl's, of the next few."""
    rates = []
    for one in chosen[:2]:
        flops = worker.ask(do="make", case=one)["flops"]
        rates.append(flops / min(worker.ask(do="run", steps=4)["seconds"]))
    return max(rates)


def measure(chosen: list[dict], peers: dict[str, list[str]], args, show: Callable) -> list[dict]:
    """The rows of all cases, group by group, each group in fresh processes."""
    rows, peak, rater = [], 0.0, None
    with contextlib.ExitStack() as whole:
        for group, members in itertools.groupby(chosen, lambda c: c["group"]):
            with contextlib.ExitStack() as while_group:
                workers = []
                for variant in ["minidl", *itertools.chain(*peers.values())]:
                    workers.append(Worker(variant, args.threads))
                    while_group.callback(workers[-1].close)
                if rater is None:                # a process whose memory is not told
                    rater = Worker("minidl", args.threads)
                    whole.callback(rater.close)
                peak = max(peak, product_rate(rater, chosen))    # again: noise only slows it
                alone = group.split()[0] in IMAGES               # a network: tell its memory
                found = [row(one, alternate(workers, one, args.rounds,
                                            args.turn if alone else args.turn / 4), peers, peak)
                         for one in members]
                if alone:
                    add_memory(found[0], workers)
            show(found)
            rows += found
    return rows


def add_memory(row: dict, workers: list[Worker]) -> None:
    """Enter the workers' peak memory and how far it grew after the imports, both in MiB."""
    for worker in workers:
        if worker.variant in row["contestants"]:
            peak = worker.ask(do="memory")["peak"]
            row["contestants"][worker.variant].update(
                peak_mib=peak and peak / 2**20, grown_mib=peak and (peak - worker.start) / 2**20)


def exponents(rows: list[dict]) -> dict:
    """For each sweep and contestant, the exponent p of least time ~ value^p."""
    found: dict = {}
    for axis in SWEEPS:
        swept = [r for r in rows if r["group"] == f"against {axis}"]
        values = [float(r["name"].split()[1]) for r in swept]
        for variant in swept[0]["contestants"] if len(swept) > 1 else ():
            times = [r["contestants"][variant]["min_ms"] for r in swept]
            found.setdefault(axis, {})[variant] = exponent(values, times)
    return found


# --------------------------------------------------------------------------- output
def machine(threads: int) -> dict:
    """Processor, versions, date."""
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), name)
    elif sys.platform == "darwin":
        name = subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], text=True,
                              capture_output=True).stdout.strip() or name
    def version(package):
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"processor": name, "cores": cores, "threads": threads, "system": platform.system(),
            "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
            "python": platform.python_version(),
            **{p: version(p) for p in ("minidl", "numpy", "numba", "torch", "dezero")},
            "date": datetime.now().astimezone().isoformat(timespec="minutes")}


HEAD = ("{:32}{:27}" + "{:>11}" * 2 + "{:>10}{:>9}{:>8}{:>9}{:>9}").format(
    "", "", "median ms", "least ms", "images/s", "GFLOP/s", "of peak", "peak MiB", "grown")


def table(rows: list[dict]) -> None:
    """A line a contestant, then one a peer: the ratio."""
    def cell(value, form, width):
        return format("" if value is None else format(value, form), f">{width}")
    print()
    for r in rows:
        name = r["name"]
        for variant, c in r["contestants"].items():
            print(f"{name:32}{variant:27}" + cell(c["median_ms"], ".3f", 11)
                  + cell(c["min_ms"], ".3f", 11) + cell(c["images_per_s"], ",.0f", 10)
                  + cell(c["gflops"], ".1f", 9) + cell(c["of_peak"], ".0%", 8)
                  + cell(c.get("peak_mib"), ".0f", 9) + cell(c.get("grown_mib"), ".0f", 9))
            name = ""
        for peer, q in r["ratios"].items():
            print(f"{'':32}minidl / {peer:18}{q['median']:11.2f}   quartiles {q['low']:.2f} .. "
                  f"{q['high']:.2f} of {len(q['rounds'])} rounds; of least times {q['least']:.2f}")
    sys.stdout.flush()


def picture(rows: list[dict], path: str) -> None:
    """Bars of the ratios, and a curve a contestant for each sweep."""
    from matplotlib.figure import Figure
    bars = [(r["name"], peer, q) for r in rows if "against" not in r["group"]
            for peer, q in r["ratios"].items()]
    sweeps = exponents(rows)
    figure = Figure(figsize=(11, 1.2 + 0.22 * len(bars) + 3.2 * bool(sweeps)), layout="constrained")
    grid = figure.add_gridspec(2, max(len(sweeps), 1), height_ratios=(
        max(0.22 * len(bars), 0.01), 3.2 if sweeps else 0.01))
    if bars:
        axes = figure.add_subplot(grid[0, :])
        middle, low, high = (np.array([q[key] for *_, q in bars])
                             for key in ("median", "low", "high"))
        axes.barh(range(len(bars)), middle, xerr=(middle - low, high - middle), ecolor="#374151",
                  color=["#1f6fb4" if m < 1 else "#f0821e" for m in middle])
        axes.axvline(1.0, color="black", linewidth=1)
        axes.set_yticks(range(len(bars)), [f"{name}, {peer}" for name, peer, _ in bars])
        axes.invert_yaxis()
        axes.margins(y=0.01)
        axes.set(xlabel="minidl's time / the peer's (left of 1: minidl is faster), with quartiles")
    for column, (axis, powers) in enumerate(sweeps.items()):
        axes = figure.add_subplot(grid[1, column])
        swept = [r for r in rows if r["group"] == f"against {axis}"]
        values = [float(r["name"].split()[1]) for r in swept]
        for variant, power in powers.items():
            axes.loglog(values, [r["contestants"][variant]["min_ms"] for r in swept], "o-",
                        label=f"{variant}: power {power:.2f}")
        axes.set(xlabel=axis, ylabel="training step, least ms")
        axes.set_xticks(values, [f"{v:g}" for v in values])
        axes.set_xticks([], minor=True)
        axes.legend(fontsize=7)
    figure.savefig(path, dpi=130)


def arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", nargs="+", choices=PEERS, default=[], metavar="PEER",
                        help="torch, dezero; minidl shows the noise")
    parser.add_argument("--fused", action="store_true", help="torch's fused Adam runs as well")
    parser.add_argument("--scaling", action="store_true", help="time against batch, channels, side")
    parser.add_argument("--only", metavar="WORD", help="cases with WORD in their name or group")
    parser.add_argument("--quick", action="store_true", help="a few cases and steps: seconds")
    parser.add_argument("--rounds", type=int, help="turns of each contestant (7; quick: 3)")
    parser.add_argument("--turn", type=float, help="seconds of a turn (0.3; quick: 0.1), a quarter "
                                                   "of it for single operations")
    parser.add_argument("--threads", type=int, default=2, help="of each contestant (2)")
    parser.add_argument("--json", metavar="FILE", help="write all numbers there")
    parser.add_argument("--picture", metavar="FILE", help="write a picture there")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args(words)
    args.rounds = args.rounds or (3 if args.quick else 7)
    args.turn = args.turn or (0.1 if args.quick else 0.3)
    if args.picture and not (args.against or args.scaling):
        parser.error("--picture shows ratios or scaling: add --against or --scaling")
    return args


def main(words: list[str] | None = None) -> int:
    args = arguments(words)
    if args.worker:
        serve(args.worker, args.threads)
        return 0
    peers = {peer: list(PEERS[peer]) for peer in args.against}
    if args.fused and "torch" in peers:
        peers["torch"].append("torch channels-last fused")
    chosen = [c for c in cases(args.quick, args.scaling)
              if c["group"] == "product" or not args.only or args.only in c["group"] + c["name"]]
    header = machine(args.threads)
    print(*(f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
            for key, value in header.items() if value is not None), sep=", ")
    print(HEAD)
    try:
        rows = measure(chosen, peers, args, table)
    except Problem as problem:
        print(f"benchmark: {problem}", file=sys.stderr)
        return 2
    record = {"machine": header, "rows": rows, "exponents": exponents(rows)}
    for axis, powers in record["exponents"].items():
        print(f"\nstep time against {axis}: "
              + ", ".join(f"{variant} ~ {axis}^{p:.2f}" for variant, p in powers.items()))
    if args.json:
        Path(args.json).write_text(json.dumps(record, indent=1), encoding="utf-8")
    if args.picture:
        picture(rows, args.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
