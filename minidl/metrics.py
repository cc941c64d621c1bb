"""``from minidl.metrics import accuracy``: the public place of ``training/metrics.py``."""

from .training.metrics import *  # noqa: F403
from .training.metrics import __all__  # noqa: F401
