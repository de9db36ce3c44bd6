"""``vri-pyro check`` and ``vri-pyro certify``: lists of labels, answers, certificates, and bad input."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vri_pyro.certification import checks_needed, recomputed
from vri_pyro.certification.ledger import read_scores
from vri_pyro.data import Split
from vri_pyro.training.run_folder import RunFolder

from .conftest import Command, trained_in


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny run on the digits, 40% of whose labels are wrong; not to be changed."""
    ranks = ("check", "run", "--budget", "1", "--purpose", "mend", "--device", "cpu")
    run = trained_in(tmp_path_factory.mktemp("trained"), ranks)
    for name in ("checks.csv", "check_1.csv"):
        (run / name).rename(run.parent / name)
    return run


@pytest.fixture
def run(trained: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run in the working directory, whose ranking is known."""
    shutil.copytree(trained, here / "run")
    (here / "run" / "checks_scores.npz").unlink()
    known = read_scores(RunFolder(trained), Split.load(trained / "split.npz"))
    monkeypatch.setattr("vri_pyro.label_issues.evidence_of", lambda *_: None)
    monkeypatch.setattr("vri_pyro.label_issues.rank", lambda *_, **__: None)
    monkeypatch.setattr("vri_pyro.certification.ledger.scored", lambda *_: known)
    return here / "run"


@pytest.fixture
def answer(run: Path) -> Callable[..., Path]:
    """A function that fills in the true classes of a list, as a person would."""
    split = Split.load(run / "split.npz")
    assert split.true_labels is not None
    truth = dict(zip(split.noisy_indices.tolist(), split.true_labels.tolist(), strict=True))

    def fill(path: Path, output: str = "answers.csv", first: int | None = None) -> Path:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        with Path(output).open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            for number, row in enumerate(rows):
                told = first is None or number < first
                writer.writerow(row | {"verified": str(truth[int(row["index"])]) if told else ""})
        return Path(output)

    return fill


def true_rate(run: Path) -> float:
    """Return the share of wrong labels of a run."""
    return Split.load(run / "split.npz").realised_rate


def test_from_a_run_to_a_certificate(run: Path, answer: Callable[..., Path], vri_pyro: Command) -> None:
    done = vri_pyro("certify", "run", "--at_most", "0.5", "--expected", "0.4")
    assert done.status == 0, done.stderr
    assert "random checks in all show that at most 50.00% of the" in done.stdout
    assert not (run / "certificate.json").exists()  # a plan only

    done = vri_pyro("check", "run", "--budget", "150")
    assert done.status == 0, done.stderr
    with (run / "check_1.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["index", "path", "given", "probability", "verified"]  # no suggestion that sways
    assert len({row["index"] for row in rows}) == 150
    noisy = len(Split.load(run / "split.npz").noisy_indices)
    assert [float(row["probability"]) for row in rows] == pytest.approx([1 / (noisy - drawn) for drawn in range(150)])
    assert "150 new answers" in vri_pyro("check", "run", "--answers", str(answer(run / "check_1.csv"))).stdout

    done = vri_pyro("certify", "run", "--accept_above", "0.9", "--at_most", "0.6")
    assert done.status == 0, done.stderr
    assert "whatever the model is" in done.stdout
    assert "it is shown that at most 60.00% are wrong" in done.stdout
    content = json.loads((run / "certificate.json").read_text())
    rate = content["rate"]
    assert rate["low"] <= true_rate(run) <= rate["high"]
    assert rate["high"] - rate["low"] < 0.2
    again = recomputed({name: content[name] for name in content if name != "classes_by_number"})
    assert {"classes_by_number": content["classes_by_number"]} | json.loads(json.dumps(again.as_dict())) == content
    anytime = vri_pyro("certify", "run", "--anytime", "true", "--output", "any.json")
    assert anytime.status == 0, anytime.stderr
    wider = json.loads(Path("any.json").read_text())["rate"]
    assert wider["high"] - wider["low"] > rate["high"] - rate["low"]


def test_no_label_is_proposed_twice_and_all_answers_count(
    run: Path, answer: Callable[..., Path], vri_pyro: Command
) -> None:
    for number, purpose in enumerate(("mend", "measure", "teach", "measure"), start=1):
        done = vri_pyro("check", "run", "--budget", "40", "--purpose", purpose)
        assert done.status == 0, done.stderr
        if purpose != "teach":  # a list that nobody hands in
            file = answer(run / f"check_{number}.csv", first=35 if number == 4 else None)
            assert vri_pyro("check", "run", "--answers", str(file)).status == 0
    with (run / "checks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["index"] for row in rows}) == len(rows) == 160
    scores = [float(row["score"]) for row in rows if row["purpose"] == "mend"]
    assert scores == sorted(scores, reverse=True)
    done = vri_pyro("certify", "run")
    assert done.status == 0, done.stderr
    content = json.loads((run / "certificate.json").read_text())
    assert content["rate"]["drawn"] == 75
    assert content["rate"]["low"] <= true_rate(run) <= content["rate"]["high"]
    assert content["plain_sampling_exact"] is None  # not one plain sample


def test_list_for_label_studio_has_no_suggestions_unless_it_mends(run: Path, vri_pyro: Command) -> None:
    for purpose, predictions in (("measure", False), ("mend", True)):
        options = ("--purpose", purpose, "--format", "label-studio", "--output", f"{purpose}.json", "--budget", "3")
        assert vri_pyro("check", "run", *options).status == 0
        tasks = json.loads(Path(f"{purpose}.json").read_text())
        assert ["predictions" in task for task in tasks] == [predictions] * 3
    for task in tasks:
        task["annotations"] = [{"result": [{"type": "choices", "value": {"choices": ["3"]}}]}]
    Path("export.json").write_text(json.dumps(tasks))
    assert "3 new answers, 3 in all" in vri_pyro("check", "run", "--answers", "export.json").stdout


def test_random_sample_is_certified_and_the_top_of_the_ranking_is_refused(run: Path, vri_pyro: Command) -> None:
    split = Split.load(run / "split.npz")
    assert split.true_labels is not None
    random = np.random.default_rng(0).permutation(len(split.noisy_indices))[:80]

    def table(name: str, positions: np.ndarray) -> str:
        lines = (f"{split.noisy_indices[one]},{split.true_labels[one]}\n" for one in positions.tolist())
        Path(name).write_text("index,label\n" + "".join(lines))
        return name

    done = vri_pyro("certify", "run", "--random_sample", table("random.csv", np.sort(random)))
    assert done.status == 0, done.stderr
    rate = json.loads((run / "certificate.json").read_text())["rate"]
    assert rate["low"] <= true_rate(run) <= rate["high"]
    (run / "certificate.json").unlink()

    assert vri_pyro("check", "run", "--purpose", "mend", "--budget", "80", "--output", "top.csv").status == 0
    with Path("top.csv").open(newline="") as file:
        top = np.searchsorted(split.noisy_indices, [int(row["index"]) for row in csv.DictReader(file)])
    done = vri_pyro("certify", "run", "--random_sample", table("chosen.csv", top))
    assert done.status == 2
    assert "the sample is not random: its labels are from the top of the ranking (p = " in done.stderr
    clean = f"index,label\n{split.clean_indices[0]},1\n"
    Path("clean.csv").write_text(clean)
    assert "is not one of the" in vri_pyro("certify", "run", "--random_sample", "clean.csv").stderr
    assert not (run / "certificate.json").exists()


def test_rows_of_a_random_sample_without_an_answer_are_unanswered_draws(run: Path, vri_pyro: Command) -> None:
    split = Split.load(run / "split.npz")
    assert split.true_labels is not None
    sample = np.random.default_rng(0).permutation(len(split.noisy_indices))[:80].tolist()
    wrong = {one: bool(split.true_labels[one] != split.given_labels[one]) for one in sample}
    hard = [one for one in sample if wrong[one]]
    lines = [f"{split.noisy_indices[one]},{'' if wrong[one] else split.true_labels[one]}\n" for one in sample]
    Path("sample.csv").write_text("index,label\n" + "".join(lines) + ",\n")
    done = vri_pyro("certify", "run", "--random_sample", "sample.csv")
    assert done.status == 0, done.stderr  # tested with all rows: the answers alone are from the bottom of the ranking
    assert f"{len(hard)} drawn labels have no answer: right in the lower bound, wrong in the upper one" in done.stdout
    assert "rows that do not belong to the sample are to be left out of the file" in done.stdout
    assert "only tested against the run's scores" in done.stdout
    rate = json.loads((run / "certificate.json").read_text())["rate"]
    assert (rate["drawn"], rate["wrong"], rate["unanswered"]) == (80 - len(hard), 0, len(hard))
    assert rate["low"] <= true_rate(run) <= rate["high"]

    tasks = []
    for one in sample:
        skipped = {"was_cancelled": True, "result": []}
        chosen = {"result": [{"type": "choices", "value": {"choices": [str(split.true_labels[one])]}}]}
        annotations = [skipped if wrong[one] else chosen] if one != hard[0] else []
        tasks.append({"data": {"index": int(split.noisy_indices[one])}, "annotations": annotations})
    Path("export.json").write_text(json.dumps(tasks))
    assert vri_pyro("certify", "run", "--random_sample", "export.json").status == 0
    assert json.loads((run / "certificate.json").read_text())["rate"] == rate


def test_missing_answers_are_counted(run: Path, answer: Callable[..., Path], vri_pyro: Command) -> None:
    assert vri_pyro("check", "run", "--budget", "1").stdout.startswith("1 label to check")
    assert vri_pyro("check", "run", "--budget", "29", "--output", "list.csv").status == 0
    done = vri_pyro("check", "run", "--answers", str(answer(Path("list.csv"), first=20)))
    assert "20 new answers, 20 in all" in done.stdout
    assert "10 drawn labels have no answer yet" in done.stdout
    assert vri_pyro("check", "run", "--budget", "5").status == 0
    done = vri_pyro("certify", "run")
    assert "from 20 checks" in done.stdout
    assert "10 drawn labels have no answer: right in the lower bound, wrong in the upper one" in done.stdout
    assert "left out: 5 drawn labels of later rounds" in done.stdout
    assert "drawn in 2 rounds: if a later one was drawn because of earlier answers, only --anytime true" in done.stdout
    tasks = json.dumps([{"data": {"index": int(row)}, "annotations": [{"was_cancelled": True}]} for row in ("0", "1")])
    Path("skipped.json").write_text(tasks)
    assert "has no answers; fill in" in vri_pyro("check", "run", "--answers", "skipped.json").stderr


def test_statement_that_is_not_shown_is_explained_and_certified(
    run: Path, answer: Callable[..., Path], vri_pyro: Command
) -> None:
    done = vri_pyro("certify", "run", "--at_most", "0.01")  # nothing is checked, and the scores say more
    assert done.status == 0
    assert "by the run's estimate, the share of wrong labels is" in done.stdout
    assert vri_pyro("check", "run", "--budget", "60").status == 0
    assert vri_pyro("check", "run", "--answers", str(answer(run / "check_1.csv"))).status == 0

    done = vri_pyro("certify", "run", "--at_most", "0.1")
    assert done.status == 0, done.stderr
    assert "it is not shown that at most 10.00% are wrong" in done.stdout
    assert "the estimated share of wrong labels is" in done.stdout
    assert "no number of checks shows at most 10.00% unless fewer are wrong" in done.stdout
    assert f"certificate: {run / 'certificate.json'}" in done.stdout
    (run / "certificate.json").unlink()

    done = vri_pyro("certify", "run", "--at_most", "0.001")
    assert done.status == 0
    assert "of the 1340 labels are known to be wrong already (" in done.stdout
    assert "so that no number of checks can show it" in done.stdout
    assert "--budget" not in done.stdout
    assert json.loads((run / "certificate.json").read_text())["statement"]["shown"] is False


def test_plan_after_answers_counts_the_draws_and_is_valid_at_any_time(
    run: Path, answer: Callable[..., Path], vri_pyro: Command
) -> None:
    assert vri_pyro("check", "run", "--budget", "60").status == 0
    planned = vri_pyro("certify", "run", "--at_most", "0.5", "--expected", "0.4").stdout
    assert "(60 are drawn)" in planned  # no answers yet: the number of checks is still fixed beforehand
    assert "--anytime" not in planned
    assert vri_pyro("check", "run", "--answers", str(answer(run / "check_1.csv", first=58))).status == 0
    done = vri_pyro("certify", "run", "--at_most", "0.45", "--expected", "0.4")
    assert done.status == 0, done.stderr
    assert "hand in the answers of 2 drawn labels first" in done.stdout
    needed, budget = (
        int(found[1])
        for pattern in (r"about (\d+) random checks in all", r"draw (\d+) more with: .* --budget \1 .*\(60 are drawn\)")
        if (found := re.search(pattern, done.stdout))
    )
    assert needed == checks_needed(0.45, 0.4, 1340, anytime=True)
    assert budget == needed - 60
    assert "vri-pyro certify run --at_most 0.45 --anytime true" in done.stdout
    assert vri_pyro("check", "run", "--budget", "900", "--purpose", "mend").status == 0
    done = vri_pyro("certify", "run", "--at_most", "0.4", "--expected", "0.395")
    assert "--budget 380 --purpose measure" in done.stdout  # no more labels are left to draw
    assert vri_pyro("check", "run", "--budget", "380").status == 0


def test_damaged_record_of_checks_is_noticed(run: Path, answer: Callable[..., Path], vri_pyro: Command) -> None:
    assert vri_pyro("check", "run", "--budget", "20").status == 0
    assert vri_pyro("check", "run", "--answers", str(answer(run / "check_1.csv"))).status == 0
    table, scores = run / "checks.csv", run / "checks_scores.npz"
    text, arrays = table.read_text(), scores.read_bytes()
    lines = text.splitlines(keepends=True)
    for damaged, message in (
        ("", "is damaged (it is empty)"),
        (lines[0], "is truncated: it has 0 labels but 20 were drawn"),
        ("".join(lines[:11]), "is truncated: it has 10 labels but 20 were drawn"),
        ("".join(lines)[:-20], "line 21 is damaged"),
        (text.replace(",", ";"), "its columns are separated by semicolons, so save it with commas"),
        (None, "does not exist but checks_scores.npz says that 20 labels were drawn"),
    ):
        table.unlink() if damaged is None else table.write_text(damaged)
        for command in (("check", "run"), ("certify", "run")):
            done = vri_pyro(*command)
            assert done.status == 2
            assert message in done.stderr
            assert len(done.stderr.splitlines()) == 1
    table.write_text(text)
    for content in (None, arrays[:1000]):
        scores.unlink() if content is None else scores.write_bytes(content)
        done = vri_pyro("certify", "run")
        assert ("does not exist" if content is None else "is damaged") in done.stderr
        assert "restore it from a copy, or delete it together with checks.csv to begin anew" in done.stderr
    scores.write_bytes(arrays)
    whole = dict(np.load(scores))
    assert whole.pop("drawn") == 20
    np.savez(scores, **whole)  # as an older version wrote it
    assert vri_pyro("certify", "run").status == 0
    table.write_text(lines[0])
    assert "is truncated: it has 0 labels" in vri_pyro("certify", "run").stderr


def test_bad_input_is_one_sentence_and_changes_nothing(
    run: Path, answer: Callable[..., Path], vri_pyro: Command
) -> None:
    assert "has no checks; draw labels with" in vri_pyro("certify", "run").stderr
    assert "has no checks; draw labels first" in vri_pyro("check", "run", "--answers", "nowhere.csv").stderr
    assert vri_pyro("check", "run", "--budget", "20").status == 0
    assert "none of the labels drawn at random (20) has an answer yet" in vri_pyro("certify", "run").stderr
    good = answer(run / "check_1.csv", "good.csv")
    assert vri_pyro("check", "run", "--answers", str(good)).status == 0
    assert vri_pyro("check", "run", "--budget", "5", "--output", "more.csv").status == 0
    with good.open(newline="") as file:
        first, second = list(csv.DictReader(file))[:2]
    split = Split.load(run / "split.npz")
    with (run / "checks.csv").open(newline="") as file:
        drawn = {row["index"] for row in csv.DictReader(file)}
    never = next(index for index in split.noisy_indices.tolist() if str(index) not in drawn)
    another = (int(first["verified"]) + 1) % 10
    files = {
        "never.csv": f"index,verified\n{never},1\n",
        "another.csv": f"index,verified\n{first['index']},{another}\n",
        "twice.csv": f"index,verified\n{second['index']},{second['verified']}\n{second['index']},(none)\n",
        "unknown.csv": f"index,verified\n{first['index']},eleven\n",
        "semicolons.csv": f"index;verified\n{first['index']};1\n",
        "changed.csv": f"index,given,verified\n{first['index']},{(int(first['given']) + 1) % 10},1\n",
    }
    for name, text in files.items():
        Path(name).write_text(text)
    kept = {path: path.read_bytes() for path in (run / "checks.csv", run / "checks_scores.npz")}
    names = {path.name for path in run.iterdir()}
    for arguments, message in (
        (("check", "run", "--answers", "never.csv"), f"example {never} has an answer but was never drawn"),
        (
            ("check", "run", "--answers", "another.csv"),
            f"was answered before with '{first['verified']}' and is '{another}' in the new answers; to change the "
            "answer, edit its column verified in run/checks.csv",
        ),
        (("check", "run", "--answers", "twice.csv"), "has the label '(none)' but another one in line 2"),
        (("check", "run", "--answers", "unknown.csv"), "there is no class 'eleven'"),
        (("check", "run", "--answers", "changed.csv"), "in the run; use corrections of this run"),
        (("check", "run", "--answers", "nowhere.csv"), "does not exist"),
        (("check", "run", "--answers", "run"), "run is a folder; expected a .csv table"),
        (("check", "run", "--answers", "semicolons.csv"), "its columns are separated by semicolons"),
        (("check", "run", "--answers", str(good), "--budget", "5", "--output", str(good)), "good.csv already exists"),
        (("check", "run", "--answers", str(good), "--output", "new.csv"), "output is set but no labels are drawn"),
        (("check", "run", "--output", "more.csv"), "more.csv already exists, and may have answers; choose another"),
        (("check", "run", "--budget", "100000"), "budget is 100000 but"),
        (("check", "run", "--budget", "0"), "budget is 0; expected a value >= 1"),
        (("check", "run", "--uniform", "0"), "uniform is 0.0; expected a value in (0, 1]"),
        (("check", "run", "--uniform", "1.5"), "uniform is 1.5; expected a value in (0, 1]"),
        (("check", "run", "--url_prefix", "x"), "url_prefix is set but the format is csv"),
        (("certify", "run", "--at_most", "1.2"), "at_most is 1.2; expected a value in (0, 1)"),
        (("certify", "run", "--at_most", "1"), "at_most is 1.0; expected a value in (0, 1)"),
        (("certify", "run", "--at_most", "0.1", "--expected", "0.2"), "expected is 0.2 but at_most is 0.1"),
        (("certify", "run", "--output", "never.csv"), "never.csv already exists and is not a certificate"),
        (("certify", "run", "--confidence", "1"), "confidence is 1.0; expected a value in (0.5, 1)"),
        (("certify", "run", "--accept_above", "2"), "accept_above is 2.0"),
        (("certify", "run", "--expected", "0.1"), "expected is set without at_most"),
        (("certify", "."), "is not a run folder"),
    ):
        done = vri_pyro(*arguments)
        assert done.status == 2, arguments
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1
    text = (run / "checks.csv").read_text()
    number = text.splitlines()[1].split(",")
    for edited, message in (
        (",".join([*number[:7], "0", *number[8:]]), "probability is 0, not above 0 and at most 1"),
        (",".join([*number[:7], "1.5", *number[8:]]), "probability is 1.5, not above 0 and at most 1"),
        (",".join([*number[:7], "0.5", *number[8:]]), "has other sampling probabilities than the draws had"),
        (",".join([*number[:4], "7" if number[4] != "7" else "8", *number[5:]]), "which is not the label of example"),
    ):
        (run / "checks.csv").write_text(text.replace(text.splitlines()[1], edited))
        done = vri_pyro("certify", "run")
        assert done.status == 2
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1
    (run / "checks.csv").write_text(text)
    assert {path: path.read_bytes() for path in kept} == kept
    assert {path.name for path in run.iterdir()} == names
