"""Image folders with one folder per class."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

from vri_pyro.data.arrays import Arrays
from vri_pyro.data.image_files import IMAGE_SUFFIXES
from vri_pyro.data.sources.base import Source
from vri_pyro.data.sources.listing import Listed, check_there, streamed_arrays, warn_of_no_trusted_labels
from vri_pyro.utils.deprecations import accepts_old_arguments
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import checked_path

_LAYOUT = "a folder with one subfolder of images per class"
_PARTS = ("noisy", "clean", "validation", "test")


@accepts_old_arguments
@dataclass(frozen=True)
class ImageFolder(Source):
    """Images in folders, one per class, or in parts noisy/, clean/, validation/ and test/, streamed.

    Expected under ``path`` is one folder per class, ``<class>/<file>``, for images with untrusted labels, or::

        noisy/<class>/<file>         training images with untrusted labels
        clean/<class>/<file>         optional: the clean set, images with trusted labels
        validation/<class>/<file>    optional: trusted labels for the choice of the best epoch; requires clean/
        test/<class>/<file>          optional: test images

    The classes are the sorted names of all class folders; not every part needs every class. Without ``clean/``, the
    clean set is drawn from the labels of ``noisy/``, with a warning, and noise can be injected into the rest.

    Attributes:
        path: folder of the data set.
        size: side of the square to which images are scaled and cropped, in pixels.
        verified: whether the labels of ``noisy/`` are known to be correct. If true, noise can be injected into them and
            a clean set drawn from them without a warning.
    """

    path: str | Path
    size: int = 64
    verified: bool = False

    def load(self) -> Arrays:
        """List the image files, without reading any image.

        Raises:
            UserError: there is no folder of noisy images, or it contains no image.
        """
        root = checked_path("path", self.path)
        check_there(root, _LAYOUT)
        places = {part: part for part in _PARTS if (root / part).is_dir()} or {"noisy": ""}
        for place in {places.setdefault("noisy", "noisy"), *places.values()}:
            check_there(root / place, _LAYOUT)
        if places["noisy"] and (unknown := {folder.name for folder in _folders(root)} - set(_PARTS)):
            warnings.warn(
                f"{root} contains the folders {', '.join(sorted(unknown))}, which are ignored; known folders are "
                f"{', '.join(_PARTS)}",
                stacklevel=2,
            )
        classes = sorted({folder.name for place in places.values() for folder in _folders(root / place)})
        listed = {part: _listed(root, place, classes) for part, place in places.items()}
        if not listed["noisy"].paths:
            raise UserError(f"{root / places['noisy']} has no images in folders; expected {_LAYOUT}.")
        if "clean" not in places and not self.verified:
            warn_of_no_trusted_labels(f"{root}", "put trusted images into clean/")
        return streamed_arrays(root, classes, self.size, **listed, verified=self.verified)


def _folders(part: Path) -> list[Path]:
    return [folder for folder in part.iterdir() if folder.is_dir() and not folder.name.startswith(".")]


def _listed(root: Path, part: str, classes: list[str]) -> Listed:
    listed = Listed()
    for label, name in enumerate(classes):
        files = sorted((root / part / name).glob("*"))
        for file in files:
            if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith("."):
                listed.add("/".join(filter(None, (part, name, file.name))), label)
    return listed
