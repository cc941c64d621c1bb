"""Further methods of Tensor, and further functions of ``minidl.functional``."""
