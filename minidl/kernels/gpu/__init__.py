"""The kernels for CUDA, and how they are launched."""
