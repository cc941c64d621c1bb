"""``import minidl.nn.functional as F``: PyTorch's place for ``minidl.functional``."""

from ..functional import *  # noqa: F403
from ..functional import __all__  # noqa: F401
