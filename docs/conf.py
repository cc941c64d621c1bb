"""The docs site: Markdown pages by MyST, the look by furo, the examples by sphinx-gallery. The
chapters of the tour are run, for the HTML pages of their steps."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the site shows this tree's minidl, installed or not

import minidl  # noqa: E402

project = "minidl"
author = copyright = "The minidl authors"
version = release = minidl.__version__

extensions = ["myst_parser", "sphinx_gallery.gen_gallery", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath", "amsmath", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"minidl {version}"


def films(block, block_vars, gallery_conf) -> str:
    """A film that a block of an example made is on its page as a GIF, below the block's figures."""
    from sphinx_gallery.scrapers import figure_rst

    from minidl.plots import Film

    made = [v for v in block_vars["example_globals"].values() if isinstance(v, Film)]
    shown = block_vars.setdefault("films", [])
    paths = []
    for film in made:
        if not any(film is one for one in shown):
            paths.append(str(Path(next(block_vars["image_path_iterator"])).with_suffix(".gif")))
            film.save(paths[-1])
            shown.append(film)
    return figure_rst(paths, gallery_conf["src_dir"]) if paths else ""


# The gallery lists every script of examples/. It runs only those called plot_*.py: they take
# seconds and leave a picture on the page; the others train, and are shown without being run.
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"plot_[^/\\]*\.py",
    "ignore_pattern": r"__init__\.py",
    "image_scrapers": ("matplotlib", films),
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
    "min_reported_time": 1,
}
suppress_warnings = ["config.cache"]
default_role = "code"  # `this` in an example's docstring is code, as it is in Markdown


def _underline_title(app, docname: str, source: list[str]) -> None:
    """An example's docstring begins with a plain sentence; on its page that is the title."""
    if docname.startswith("gallery/"):
        source[0] = re.sub(
            r"(\.\. _sphx_glr_gallery_\S+:\n+)(.+?)\.?\n(?=\n)",
            lambda found: f"{found[1]}{found[2]}\n{'=' * len(found[2])}\n",
            source[0],
            count=1,
        )


def _save_steps(app, exception) -> None:
    """Each chapter of the tour saves the page of its step: here it is put beside the chapter."""
    if exception is not None or app.builder.name != "html":
        return
    from sphinx.errors import ExtensionError

    spec = importlib.util.spec_from_file_location("run_examples", ROOT / ".ci" / "examples.py")
    examples = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(examples)
    for chapter in sorted((ROOT / "docs" / "tour").glob("*.md")):
        # At the bottom of a thread's stack stands the chapter alone: the page names no other file.
        with examples.empty_folder() as folder, ThreadPoolExecutor(1) as thread:
            _, worked = examples.page(
                chapter, lambda code, names: thread.submit(exec, code, names).result())
            if not worked:
                raise ExtensionError(f"a block of {chapter.name} does not run")
            for made in folder.glob("*.html"):
                shutil.copy(made, Path(app.outdir) / "tour")


def setup(app) -> None:
    app.connect("source-read", _underline_title)
    app.connect("build-finished", _save_steps)
