"""Help is fast, complete, and made from the same registry as the documentation."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from importlib import import_module

import pytest

from vri_pyro.cli.catalogue import KINDS, choices
from vri_pyro.cli.class_options import class_options
from vri_pyro.cli.main import COMMANDS, build_parser, main
from vri_pyro.cli.option_help import DESCRIBED, options_of


def _base(kind: str) -> type:
    """The base class of a kind, found among the ancestors of what the package exports."""
    _, package, name = KINDS[kind]
    exported = [item for item in vars(import_module(package)).values() if inspect.isclass(item)]
    (base,) = {one for item in exported for one in item.__mro__ if one.__name__ == name}
    return base


@pytest.mark.parametrize("kind", KINDS)
def test_choices_are_the_concrete_classes_that_the_folder_exports(kind: str) -> None:
    package, base = import_module(KINDS[kind].package), _base(kind)
    exported = {name: item for name, item in vars(package).items() if inspect.isclass(item)}
    expected = {name for name, item in exported.items() if issubclass(item, base) and not inspect.isabstract(item)}
    found = choices(kind)
    assert set(found) == expected - {base.__name__}
    assert len(found) >= 2
    for name, line in found.items():
        documented = (inspect.getdoc(exported[name]) or "").splitlines()[0]
        assert len(line) > 10
        assert line == re.sub(r":\w+:`~?([\w.]+)`|``", r"\1", documented)


@pytest.mark.parametrize("command", DESCRIBED)
def test_fast_help_lists_the_options_of_the_parser(command: str) -> None:
    options = (option for action in build_parser(command)._actions for option in action.option_strings)
    real = {option.removeprefix("--") for option in options}
    shown = {option.name for option in options_of(command)}
    groups = {name for name in real if any(other.startswith(f"{name}.") for other in shown)}
    extra = {name for name in real if name.endswith(".help")} | {"h", "-h", "help", "print_config", "loggers+"} | groups
    assert shown == real - extra
    assert all(option.description for option in options_of(command))


@pytest.mark.parametrize(
    "arguments", [["--help"], *([command, "--help"] for command in COMMANDS), ["fit", "--help", "Table"]]
)
def test_help_does_not_import_torch(arguments: list[str]) -> None:
    program = (
        "import sys; from vri_pyro.cli.main import main\n"
        f"try: status = main({arguments})\n"
        "except SystemExit as stop: status = stop.code\n"
        "assert status == 0\n"
        "assert 'torch' not in sys.modules"
    )
    shown = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert "usage: vri-pyro" in shown


def test_overview_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"{name}" in shown and line in " ".join(shown.split()) for name, line in COMMANDS.items())


def test_help_of_fit_names_defaults_and_choices(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "(default: EstimatedBilevel)" in shown
    assert "(default: 0.99)" in shown
    assert "--split.clean_per_class" in shown
    assert "SplitJVP" in shown


def test_help_of_a_class_is_that_of_its_own_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--method.help", "ELR"])
    assert stop.value.code == 0
    assert "--method.elr_weight" in capsys.readouterr().out


def _constructor_arguments(item: type) -> dict[str, inspect.Parameter]:
    found = dict(inspect.signature(item).parameters)
    if any(one.kind == one.VAR_KEYWORD for one in found.values()):
        own = {name: one for name, one in found.items() if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)}
        return _constructor_arguments(item.__bases__[0]) | own
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_options_of_a_class_are_the_arguments_of_its_constructor(kind: str) -> None:
    provided = 2 if kind in ("model", "prior", "guide", "guide input", "backbone") else 0
    for name in choices(kind):
        arguments = _constructor_arguments(getattr(import_module(KINDS[kind].package), name))
        options = class_options(kind, name)
        assert [option.name for option in options] == list(arguments)[provided:], name
        required = [option.name for option in options if option.default is None]
        empty = inspect.Parameter.empty
        assert required == [key for key in list(arguments)[provided:] if arguments[key].default is empty], name
        assert all(len(option.description) >= 5 for option in options), name


def test_help_of_a_source_lists_its_options_with_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--help", "ImageFolder"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "--data.path VALUE folder of the data set (required)" in shown
    assert "--data.size VALUE side of the square to which images are scaled and cropped, in pixels (default: " in shown


def test_help_of_a_name_of_two_kinds_lists_both(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--help", "Mixup"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "--method.alpha" in shown
    assert "--augmentation.alpha" in shown
    assert "CLEAN_WEIGHT" not in shown


def test_help_of_an_unknown_class_suggests_a_known_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "--help", "Imagefoldr"]) == 2
    assert capsys.readouterr().err == "error: there is no class 'Imagefoldr'; did you mean ImageFolder?\n"
    assert main(["noise", "--help", "Gibberish"]) == 2
    expected = "error: there is no class 'Gibberish'; `vri-pyro noise --help` lists the classes\n"
    assert capsys.readouterr().err == expected
