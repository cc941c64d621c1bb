"""What of PyTorch's optimisers the documents do not name; found in ``minidl.optim`` too."""
