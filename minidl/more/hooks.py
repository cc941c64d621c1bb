"""The handle of a hook, of a tensor's or a module's."""

from __future__ import annotations

import itertools

_NUMBER = itertools.count()


class HookHandle:
    """What ``register_hook`` returns; ``remove()`` takes the hook away again."""

    def __init__(self, hooks: dict, hook):
        self._hooks, self._key = hooks, next(_NUMBER)
        hooks[self._key] = hook

    def remove(self) -> None:
        """Take the hook away."""
        self._hooks.pop(self._key, None)
