"""Why a number is what it is: explanations of single elements, and traces of whole steps.

``keeping`` keeps what is asked about, ``source`` finds the user's line, ``maps`` reads an op's
declaration, ``cells``, ``gradient_cells`` and ``fields`` make explanations of it; ``record`` fills
a ``trace``, ``check`` proves it, ``walk`` prints it. Each is loaded when it is first asked for.
"""

from importlib import import_module

__all__ = ["trace"]


def __getattr__(name: str):
    if name in ("cells", "fields", "gradient_cells", "keeping", "trace", "whence"):
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
