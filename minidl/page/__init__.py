"""A recorded step as one HTML file, in which every number can be opened: ``trace.save("run.html")``.

The file has all it needs: the trace, the modules of js/, style.css, the formulas as MathML. It makes
no request, and its policy (Content-Security-Policy) allows none.
"""

from .write import page, save_page

__all__ = ["page", "save_page"]
