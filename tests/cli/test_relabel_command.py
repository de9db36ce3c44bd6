"""``vri-pyro relabel``, and the loop of fit, issues and relabel."""

from __future__ import annotations

import csv
import json
import shlex
from pathlib import Path

import numpy as np

from vri_pyro.data import Split
from vri_pyro.runs.run import Run

from .conftest import Command

ISSUES = ("issues", "run", "--device", "cpu")


def corrected_table(path: Path, labels: dict[int, str]) -> None:
    """Add the column ``corrected`` to a table of label issues."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "corrected"])
        writer.writeheader()
        writer.writerows(row | {"corrected": labels.get(int(row["index"]), "")} for row in rows)


def words_of_next_command(shown: str) -> list[str]:
    """Return the words of the command that ``relabel`` proposes."""
    (line,) = (line for line in shown.splitlines() if line.startswith("train the next run with:"))
    return shlex.split(line.partition(": ")[2])


def test_corrected_labels_are_trusted_in_the_next_runs(here: Path, vri_pyro: Command) -> None:
    assert vri_pyro("fit", "--config", "tiny.yaml").status == 0
    assert vri_pyro(*ISSUES, "--limit", "5").status == 0
    first = Split.load(Path("run/split.npz"))
    assert first.true_labels is not None
    wrong = np.flatnonzero(first.true_labels != first.given_labels)[:2]
    right = np.flatnonzero(first.true_labels == first.given_labels)[:1]
    truth = dict(zip(first.noisy_indices.tolist(), first.true_labels.tolist(), strict=True))
    reviewed = first.noisy_indices[np.concatenate([wrong, right])].tolist()
    table = Path("corrections.csv")
    table.write_text("index,label\n" + "".join(f"{index},{truth[index]}\n" for index in reviewed))

    done = vri_pyro("relabel", "run", "--corrections", str(table), "--output", "next.npz")
    assert done.status == 0, done.stderr
    assert "2 labels changed, 1 confirmed, 0 examples removed" in done.stdout
    for told in ("clean examples: 33 (+3)", "validation examples: 30 (+0)", "noisy examples: 1337 (-3)"):
        assert told in done.stdout
    command = words_of_next_command(done.stdout)
    assert command[0] == "vri-pyro"
    assert command[-2:] == ["--output", "run_round2"]
    assert vri_pyro(*command[1:]).status == 0
    run = Run("run_round2")
    assert set(reviewed) < set(run.split.clean_indices.tolist())
    assert run.examples.y[reviewed].tolist() == [truth[index] for index in reviewed]

    # The next round: the table of the new run, in which a label is wrong on purpose and an example is of no class.
    assert vri_pyro("issues", "run_round2", "--device", "cpu").status == 0
    changed, removed = run.split.noisy_indices[:2].tolist()
    corrected_table(Path("run_round2/label_issues.csv"), {changed: str((truth[changed] + 1) % 10), removed: "(none)"})
    options = ("--corrections", "run_round2/label_issues.csv", "--output", "third.npz")
    assert vri_pyro("relabel", "run_round2", *options).status == 0
    third = Split.load(Path("third.npz"))
    assert set(third.corrected_indices.tolist()) == {*reviewed, changed, removed}
    assert (
        vri_pyro(
            "fit", "--config", "run_round2/config.yaml", "--split.file", "third.npz", "--output", "run_round3"
        ).status
        == 0
    )
    assert Run("run_round3").examples.y[changed] == (truth[changed] + 1) % 10

    # An annotator's export, of labels that are trusted already.
    assert vri_pyro(*ISSUES, "--format", "label-studio", "--limit", "1", "--output", "tasks.json").status == 0
    assert {path.name for path in here.glob("tasks*")} == {
        *("tasks.json", "tasks_config.xml", "tasks_images", "tasks_transition.csv")
    }
    tasks = json.loads(Path("tasks.json").read_text())
    tasks[0]["data"]["index"] = reviewed[0]
    tasks[0]["annotations"] = [{"result": [{"type": "choices", "value": {"choices": [str(truth[reviewed[0]])]}}]}]
    Path("export.json").write_text(json.dumps(tasks))
    done = vri_pyro("relabel", "run_round2", "--corrections", "export.json", "--output", "fourth.npz")
    assert "0 labels changed, 1 confirmed, 0 examples removed; 1 of them were trusted already" in done.stdout


def test_bad_input_is_one_sentence_and_writes_nothing(here: Path, vri_pyro: Command) -> None:
    assert vri_pyro("fit", "--config", "tiny.yaml").status == 0
    Path("good.csv").write_text("index,label\n3,1\n")
    Path("bad.csv").write_text("index,label\n3,one\n")
    Path("there.npz").write_text("mine")
    before = {path.name for path in here.iterdir()}
    for arguments, message in (
        (
            ("--corrections", "bad.csv", "--output", "new.npz"),
            "line 2: there is no class 'one'; the nearest is '(none)'",
        ),
        (("--corrections", "nowhere.csv", "--output", "new.npz"), "nowhere.csv does not exist; expected a .csv"),
        (("--corrections", "good.csv", "--output", "there.npz"), "there.npz already exists; choose another --output"),
        (("--corrections", "good.csv", "--output", "new.csv"), "output is new.csv; expected the name of an .npz file"),
        (("--corrections", "good.csv"), "output"),
    ):
        done = vri_pyro("relabel", "run", *arguments)
        assert done.status == 2
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1
    use = "use `vri-pyro relabel RUN --corrections FILE --output FILE.npz`"
    assert vri_pyro("relabel").stderr == f"error: arguments are missing; {use}\n"
    assert Path("there.npz").read_text() == "mine"
    assert {path.name for path in here.iterdir()} == before
    assert "is not a run folder" in vri_pyro("relabel", ".", "--corrections", "good.csv", "--output", "new.npz").stderr
    for arguments, message in (
        (("--limit", "0"), "limit is 0; expected a value >= 1"),
        (("--url_prefix", "x"), "url_prefix is set but the format is csv; it is used by label-studio only"),
    ):
        assert message in vri_pyro(*ISSUES, *arguments).stderr


def test_vectors_have_no_images_for_fiftyone(here: Path, vri_pyro: Command) -> None:
    x, y = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32), np.arange(200) % 3
    np.savez("mine.npz", x_train=x[20:], y_train=y[20:], x_test=x[:20], y_test=y[:20])
    data = ("--data", "NpzFile", "--data.path", "mine.npz", "--data.verified", "true")
    assert vri_pyro("fit", "--config", "tiny.yaml", *data).status == 0
    done = vri_pyro(*ISSUES, "--format", "fiftyone")
    assert (done.status, done.stderr) == (
        2,
        "error: the format fiftyone is for images but the examples are vectors; use another format\n",
    )
    assert vri_pyro(*ISSUES, "--format", "label-studio").status == 0
    assert Path("run/label_issues_label_studio_config.xml").is_file()


def test_selection_is_switched_off_in_the_next_run(here: Path, vri_pyro: Command) -> None:
    config = Path(__file__).parents[2] / "experiments" / "configs" / "vri_no_clean_plus.yaml"
    none = ("--split.clean_per_class", "0", "--split.validation_per_class", "0", "--epochs", "1")
    assert vri_pyro("fit", "--config", "tiny.yaml", "--config", str(config), *none).status == 0
    Path("all.csv").write_text("index,label\n" + "".join(f"{index},{index % 10}\n" for index in range(30)))
    done = vri_pyro("relabel", "run", "--corrections", "all.csv", "--output", "next.npz")
    command = words_of_next_command(done.stdout)
    assert command[-2:] == ["--selection", "null"]
    assert vri_pyro(*command[1:]).status == 0
