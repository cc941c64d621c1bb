"""``python -m minidl``: the command line, in a clone that was never installed too."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
