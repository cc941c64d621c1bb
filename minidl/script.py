"""``from minidl import script``: the public place of ``training/script.py``."""

from .training.script import *  # noqa: F403
from .training.script import __all__  # noqa: F401
