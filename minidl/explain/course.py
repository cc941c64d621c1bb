"""What a recorded run is made of beside its events: passes back, turns, and gradients cleared.

A pass is a ``backward()`` or a ``grad()``. A turn is what leads to one step of an optimiser: the
discriminator's, then the generator's. Nobody tells that gradients are cleared: whoever looks at
them between events sees that one is gone.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..device import to_host
from ..tensor import Tensor
from .networks import Networks


class Course:
    """Fills the lists `passes`, `turns` and `cleared` of a trace; see ``docs/trace.md``."""

    def __init__(self, trace, networks: Networks):
        self.trace, self.networks = trace, networks
        self.open: list[dict] = []                 # passes that go on, the innermost last
        self.has: dict[Tensor, bool] = {}          # parameters: is there a gradient, not all zero?
        self.first_op = 0                          # of the turn that goes on

    # ------------------------------------------------------------------ passes
    def pass_begins(self, line: int, outputs: Sequence[int | None], seeds: Sequence[Tensor],
                    deposits: bool) -> None:
        """A pass back, from these nodes and with these gradients of them."""
        self.look(closely=True)
        self.open.append({"begin": len(self.trace.events), "end": len(self.trace.events),
                          "line": line, "outputs": list(outputs), "deposits": bool(deposits),
                          "seeds": [self.trace.array(seed.data) for seed in seeds]})
        self.trace.passes.append(self.open[-1])

    def deposits(self) -> bool:
        """Does the pass that goes on, the innermost, leave what it finds in ``.grad``?"""
        return self.open[-1]["deposits"]

    def pass_ends(self) -> None:
        """The innermost pass is over."""
        self.open.pop()["end"] = len(self.trace.events)
        if not self.open:
            self.has = {p: _is_there(p) for p in self.has}

    # ------------------------------------------------------------------ gradients that are cleared
    def follow(self, parameter: Tensor) -> None:
        """From now on, see whether this parameter's gradient is cleared."""
        if parameter not in self.has:
            self.has[parameter] = _is_there(parameter)

    def look(self, closely: bool = False) -> None:
        """Which gradients have gone since somebody looked; `closely`: or have become zero, which
        takes a look at each number."""
        if self.open:
            return
        gone: dict[str, list[int]] = {"none": [], "zero": []}
        for p, had in self.has.items():
            if had and p.grad is None:
                gone["none"].append(self.networks.of[p])
            elif had and closely and not _is_there(p):
                gone["zero"].append(self.networks.of[p])
            if closely or p.grad is None:
                self.has[p] = _is_there(p)
        self.trace.cleared += [{"event": len(self.trace.events), "parameters": which, "to": to}
                               for to, which in gone.items() if which]

    # ------------------------------------------------------------------ turns
    def turn_ends(self, line: int, optimizer: str, moved: list[int]) -> None:
        """An optimiser has moved these parameters."""
        trace, begin = self.trace, self.trace.turns[-1]["end"] if self.trace.turns else 0
        used = {trace.nodes[node]["parameter"] for op in trace.ops[self.first_op:] if op["grad"]
                for node, needed in zip(op["inputs"], op["needs"]) if not needed}
        self.first_op = len(trace.ops)
        trace.turns.append({"name": optimizer, "optimizer": optimizer, "line": line,
                            "begin": begin, "end": len(trace.events), "moved": moved,
                            "frozen": sorted(used - {None})})

    def finish(self) -> None:
        """The recording has ended, and modules have their names."""
        self.look(closely=True)
        for turn in self.trace.turns:
            turn["name"] = self.networks.of_which(turn["moved"]) or turn["optimizer"]


def _is_there(p: Tensor) -> bool:
    """Is there a gradient, and not of zeros alone?"""
    return p.grad is not None and bool(to_host(p.grad.data).any())
