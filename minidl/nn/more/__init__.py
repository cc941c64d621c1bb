"""Further layers of PyTorch; found in ``minidl.nn`` too."""
