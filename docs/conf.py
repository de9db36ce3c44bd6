"""Sphinx configuration of the documentation; build it with ``make docs``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

import vri_pyro  # noqa: E402

project = "vri_pyro"
author = "The vri_pyro developers"
copyright = author
version = release = vri_pyro.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "aliases",
    "docstrings",
    "package",
    "registry",
    "repository_links",
]
exclude_patterns = ["_build", "_ext", "inventories"]
nitpicky = True

# Pages
# The tutorials are notebooks, which the build executes. The test suite runs the code blocks of all other pages.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_execution_in_temp = True
nb_merge_streams = True
nb_output_stderr = "remove"
os.environ |= {"TTY_COMPATIBLE": "0", "COLUMNS": "90"}  # no progress bars in the output of commands
myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "colon_fence"]
myst_heading_anchors = 3

# API reference
add_module_names = False
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88

# Links to other projects. Each has a small inventory here, so that a build needs no network;
# VRI_DOCS_ONLINE=1 uses the full inventories instead.
_PROJECTS = {
    "python": "https://docs.python.org/3/",
    "numpy": "https://numpy.org/doc/stable/",
    "pandas": "https://pandas.pydata.org/docs/",
    "sklearn": "https://scikit-learn.org/stable/",
    "cleanlab": "https://docs.cleanlab.ai/stable/",
    "torch": "https://docs.pytorch.org/docs/stable/",
    "pyro": "https://docs.pyro.ai/en/stable/",
    "xarray": "https://docs.xarray.dev/en/stable/",
    "arviz": "https://python.arviz.org/projects/base/en/latest/",
    "rich": "https://rich.readthedocs.io/en/stable/",
    "matplotlib": "https://matplotlib.org/stable/",
    "jsonargparse": "https://jsonargparse.readthedocs.io/en/stable/",
}
_online = os.environ.get("VRI_DOCS_ONLINE") == "1"
intersphinx_mapping = {
    name: (url, None if _online else str(HERE / "inventories" / f"{name}.inv")) for name, url in _PROJECTS.items()
}

# Types print under the module that defines them; these are the names under which they are documented.
reference_aliases = {
    "DataArray": "xarray.DataArray",
    "DataTree": "xarray.DataTree",
    "Datalab": "cleanlab.datalab.datalab.Datalab",
    "Path": "pathlib.Path",
    "Tensor": "torch.Tensor",
    "jsonargparse._core.ArgumentParser": "jsonargparse.ArgumentParser",
    "jsonargparse._formatters.DefaultHelpFormatter": "jsonargparse.DefaultHelpFormatter",
    "jsonargparse._namespace.Namespace": "jsonargparse.Namespace",
    "np.ndarray": "numpy.ndarray",
    "numpy._typing._dtype_like.DTypeLike": "numpy.typing.DTypeLike",
    "numpy.random._generator.Generator": "numpy.random.Generator",
    "numpy.random.mtrand.RandomState": "numpy.random.RandomState",
    "pyro.distributions.distribution.Distribution": "pyro.distributions.Distribution",
    "pyro.distributions.torch_distribution.TorchDistribution": "pyro.distributions.TorchDistribution",
    "pyro.infer.SVI": "pyro.infer.svi.SVI",
    "pyro.infer.ELBO": "pyro.infer.elbo.ELBO",
    "pyro.poutine.trace_struct.Trace": "pyro.poutine.Trace",
    "pyro.primitives.plate": "pyro.plate",
    "torch._C.Generator": "torch.Generator",
    "torch.nn.modules.container.Sequential": "torch.nn.Sequential",
    "torch.nn.modules.module.Module": "torch.nn.Module",
    "torch.optim.optimizer.Optimizer": "torch.optim.Optimizer",
    "torch.utils.data.dataset.Dataset": "torch.utils.data.Dataset",
}
# A name of two classes, such as Split in a named tuple, whose annotations are not resolved.
suppress_warnings = ["ref.python"]
nitpick_ignore: list[tuple[str, str]] = [
    # cleanlab does not document the base class of its checks
    ("py:class", "cleanlab.datalab.internal.issue_manager.issue_manager.IssueManager"),
    *(("py:class", parameter) for parameter in ("G", "Output", "P", "R", "T")),  # type parameters
    # Of packages without an inventory here
    ("py:class", "pandas.DataFrame"),
    ("py:class", "Datalab"),
    *(("py:class", name) for name in ("io.BytesIO", "PIL.Image.Image", "nn.Module", "rich.text.Text")),
    *(("py:class", f"rich.console.{name}") for name in ("ConsoleRenderable", "RichCast", "ConsoleOptions")),
    *(("py:meth", f"rich.console.Console.{name}") for name in ("render_str", "render")),
    ("py:class", "rich.segment.Segment"),
    ("py:class", "torch.utils._python_dispatch.TorchDispatchMode"),
    ("py:class", "torch.overrides.TorchFunctionMode"),
    ("py:exc", "zipfile.BadZipFile"),
    ("py:func", "csv.writer"),
    ("py:class", "cleanlab.datalab.internal.issue_manager.issue_manager.IssueManager"),
]

# Appearance
highlight_language = "text"  # of commands, which name no language
html_theme = "furo"
html_title = f"vri_pyro {version}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_show_sphinx = False
pygments_style = "friendly"
