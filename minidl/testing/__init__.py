"""Tools to verify a derivative, the engine's or one of your own.

    from minidl.testing import check_gradients, check_vjp
    check_gradients(lambda x, w: F.conv2d(x, w), x, w, order=2)

``gradients`` holds the checker, ``strategies`` what Hypothesis draws arrays, shapes and convolution
geometries with, ``domains`` where the arguments of each op of the library are drawn from. The last
two need the package hypothesis; import them by name. ``pytest_plugin`` writes pictures of failures
(``python -m pytest --gradient-pictures DIR``). The engine imports nothing from here.
"""

from .gradcheck import Checked, GradientError, KinkError, check_gradients, check_vjp

__all__ = ["Checked", "GradientError", "KinkError", "check_gradients", "check_vjp"]
