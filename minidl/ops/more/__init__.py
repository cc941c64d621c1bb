"""Further ops and functions of PyTorch; found in ``minidl.ops`` and ``minidl.functional`` too."""
