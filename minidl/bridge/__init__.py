"""A network of PyTorch as a network of minidl: ``minidl.from_torch(module)``.

Nothing here is imported before `from_torch` is called for the first time, and PyTorch is asked for
only then. In reading order:

conversion       the tree of modules, their parameters and buffers, made anew under the same names
torch_layers     which layer of PyTorch is which layer here, and which options are read
torch_functions  which function of PyTorch is which function here
compositions     functions of PyTorch that minidl has no op for, made of ops
following        a ``forward`` followed by torch.fx
symbolic         what torch.fx noted, made a program
program          the program run with minidl's tensors, each step at its own line of the source
"""
