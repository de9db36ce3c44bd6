"""Write the small inventories of other projects' documentation, by which links to them resolve without a network.

Run ``python docs/inventories/make.py`` after adding a name; ``*.inv`` are its output. A name that a docstring or a type
refers to is missing here when ``make docs`` says "reference target not found".
"""

from __future__ import annotations

import zlib
from pathlib import Path

#: project → role → page of its documentation → names that it documents; ``$`` in a page is the name
INVENTORIES: dict[str, dict[str, dict[str, str]]] = {
    "pandas": {"class": {"reference/api/$.html": "pandas.DataFrame pandas.Series pandas.Categorical"}},
    "sklearn": {"class": {"modules/generated/$.html": "sklearn.base.BaseEstimator sklearn.base.ClassifierMixin"}},
    "cleanlab": {"class": {"cleanlab/datalab/datalab.html": "cleanlab.datalab.datalab.Datalab"}},
    "python": {
        "class": {
            "library/functions.html": (
                "bool int float str list dict tuple set frozenset bytes object type slice range complex property"
            ),
            "library/stdtypes.html": "bytes memoryview bytearray",
            "library/collections.abc.html": (
                "collections.abc.Callable collections.abc.Collection collections.abc.Container "
                "collections.abc.Generator collections.abc.Hashable collections.abc.Iterable "
                "collections.abc.Iterator collections.abc.Mapping collections.abc.MutableMapping "
                "collections.abc.MutableSequence collections.abc.Sequence collections.abc.Set "
                "collections.abc.Sized"
            ),
            "library/abc.html": "abc.ABC",
            "library/argparse.html": (
                "argparse.ArgumentError argparse.ArgumentParser argparse.Namespace argparse.RawDescriptionHelpFormatter"
            ),
            "library/ast.html": "ast.AST ast.ClassDef ast.Module",
            "library/collections.html": "collections.Counter collections.OrderedDict collections.defaultdict",
            "library/contextlib.html": "contextlib.AbstractContextManager",
            "library/enum.html": "enum.Enum",
            "library/fractions.html": "fractions.Fraction",
            "library/logging.html": "logging.Logger",
            "library/pathlib.html": "pathlib.Path",
            "library/re.html": "re.Pattern re.Match",
            "library/types.html": "types.ModuleType types.TracebackType",
            "library/typing.html": "typing.NamedTuple typing.Protocol typing.Generic typing.TypeVar",
        },
        "data": {
            "library/typing.html": (
                "typing.Any typing.Literal typing.Union typing.Optional typing.Annotated typing.ClassVar"
            ),
            "library/constants.html": "None True False NotImplemented",
            "library/sys.html": "sys.path sys.argv",
        },
        "exception": {
            "library/exceptions.html": (
                "Exception BaseException ArithmeticError AttributeError DeprecationWarning EOFError "
                "FileExistsError FileNotFoundError FutureWarning ImportError IndexError KeyError "
                "KeyboardInterrupt LookupError ModuleNotFoundError NotImplementedError OSError OverflowError "
                "PermissionError RuntimeError RuntimeWarning StopIteration TypeError UserWarning ValueError "
                "Warning ZeroDivisionError"
            ),
        },
        "function": {"library/functions.html": "len min max sum abs sorted print open isinstance issubclass repr"},
    },
    "numpy": {
        "class": {
            "reference/generated/$.html": "numpy.ndarray numpy.dtype numpy.generic numpy.number",
            "reference/arrays.scalars.html": (
                "numpy.int64 numpy.int32 numpy.uint8 numpy.float32 numpy.float64 numpy.bool_"
            ),
            "reference/random/generator.html": "numpy.random.Generator",
            "reference/random/legacy.html": "numpy.random.RandomState",
        },
        "data": {"reference/typing.html": "numpy.typing.ArrayLike numpy.typing.DTypeLike numpy.typing.NDArray"},
        "function": {"reference/generated/$.html": "numpy.savez numpy.load numpy.unique numpy.argsort"},
    },
    "torch": {
        "class": {
            "tensors.html": "torch.Tensor",
            "tensor_attributes.html": "torch.device torch.dtype torch.memory_format",
            "data.html": "torch.utils.data.Dataset torch.utils.data.DataLoader",
            "tensorboard.html": "torch.utils.tensorboard.writer.SummaryWriter",
            "optim.html": "torch.optim.Optimizer",
            "distributions.html": "torch.distributions.distribution.Distribution torch.distributions.normal.Normal",
            "generated/$.html": (
                "torch.Generator torch.nn.BatchNorm1d torch.nn.BatchNorm2d torch.nn.Conv2d "
                "torch.nn.Embedding torch.nn.Identity torch.nn.Linear torch.nn.Module torch.nn.ModuleList "
                "torch.nn.ReLU torch.nn.Sequential torch.nn.Sigmoid torch.nn.Softplus torch.nn.Tanh "
                "torch.nn.parameter.Parameter torch.optim.SGD torch.optim.Adam torch.optim.AdamW "
                "torch.optim.lr_scheduler.LRScheduler"
            ),
        },
        "method": {
            "generated/torch.nn.Module.html": (
                "torch.nn.Module.eval torch.nn.Module.train torch.nn.Module.state_dict "
                "torch.nn.Module.load_state_dict torch.nn.Module.forward"
            ),
        },
        "function": {
            "generated/$.html": (
                "torch.autograd.grad torch.compile torch.func.functional_call torch.func.jvp torch.no_grad "
                "torch.load torch.save torch.manual_seed torch.nn.functional.cross_entropy"
            ),
        },
    },
    "pyro": {
        "class": {
            "primitives.html": "pyro.plate",
            "poutine.html": "pyro.poutine.Trace",
            "distributions.html": (
                "pyro.distributions.Distribution pyro.distributions.TorchDistribution "
                "pyro.distributions.Delta pyro.distributions.TransformModule"
            ),
            "inference_algos.html": (
                "pyro.infer.svi.SVI pyro.infer.elbo.ELBO pyro.infer.trace_elbo.Trace_ELBO "
                "pyro.infer.trace_mean_field_elbo.TraceMeanField_ELBO"
            ),
            "mcmc.html": "pyro.infer.mcmc.NUTS",
            "optimization.html": "pyro.optim.optim.PyroOptim",
            "infer.autoguide.html": "pyro.infer.autoguide.AutoNormal pyro.infer.autoguide.AutoMultivariateNormal",
        },
        "function": {
            "primitives.html": "pyro.sample pyro.param pyro.module pyro.deterministic",
            "poutine.html": "pyro.poutine.replay pyro.poutine.scale pyro.poutine.mask pyro.poutine.trace",
        },
    },
    "xarray": {
        "class": {"generated/$.html": "xarray.DataArray xarray.Dataset xarray.DataTree"},
    },
    "arviz": {
        "function": {"api/generated/$.html": "arviz_base.from_dict arviz_base.convert_to_datatree"},
    },
    "matplotlib": {
        "class": {"api/_as_gen/$.html": "matplotlib.figure.Figure matplotlib.axes.Axes"},
    },
    "rich": {
        "class": {
            "reference/console.html": "rich.console.Console",
            "reference/table.html": "rich.table.Table",
        },
    },
    "jsonargparse": {
        "class": {"index.html": "jsonargparse.ArgumentParser jsonargparse.DefaultHelpFormatter jsonargparse.Namespace"},
    },
}


def inventory(project: str) -> bytes:
    """The inventory of a project, in version 2 of Sphinx's format."""
    header = (
        f"# Sphinx inventory version 2\n# Project: {project}\n# Version: \n"
        "# The remainder of this file is compressed using zlib.\n"
    )
    lines = [
        f"{name} py:{role} 1 {page.replace('$', name)}#{name} -\n"
        for role, pages in INVENTORIES[project].items()
        for page, names in pages.items()
        for name in names.split()
    ]
    return header.encode() + zlib.compress("".join(sorted(lines)).encode(), 9)


if __name__ == "__main__":
    for project in INVENTORIES:
        (Path(__file__).parent / f"{project}.inv").write_bytes(inventory(project))
