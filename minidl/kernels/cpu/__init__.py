"""The kernels for the CPU, compiled by Numba, and what they need: threads, memory, a cache."""
