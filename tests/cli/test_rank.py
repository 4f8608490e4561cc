"""`quartet rank`: from test data to tables, what is measured once, what is refused, and what is left out."""

import csv
import json
import shutil
import subprocess
import sys
from contextlib import nullcontext

import pytest

from quartet.bench import cache
from quartet.bench import hardware as machine


@pytest.fixture
def data(tmp_path, session_home):
    """Three sentences that no test before has measured."""
    shutil.rmtree(session_home / "rank", ignore_errors=True)
    path = tmp_path / "my.tsv"
    path.write_text("Good morning.\tBonjour.\nThank you.\tMerci.\nI am hungry.\tJ'ai faim.\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def reported(tmp_path_factory, demo_checkpoint):
    """A report on the demo model in both directions, and what the command printed."""
    from quartet import cli

    folder = tmp_path_factory.mktemp("rank") / "report"
    command = ["rank", "--pair", "en-fr", "fr-en", "--models", "demo", "--precision", "fp32", "int8"]
    assert cli.main([*command, "--sentences", "40", "--threads", "1", "--report", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def ranking(reported):
    return json.loads((reported / "ranking.json").read_text("utf-8"))


def test_every_model_has_a_row_for_every_pair(ranking):
    rows = {(row["pair"], row["precision"]): row for row in ranking["rows"]}
    assert rows.keys() == {(pair, precision) for pair in ("en-fr", "fr-en") for precision in ("fp32", "int8")}
    for row in rows.values():
        assert row["rank"] in (1, 2)
        assert len(row["hypotheses"]) == 40
        assert row["quality"]["chrf"] > 40
        assert (row["loss"] is None) == (row["precision"] == "fp32")
        cost = row["cost"]
        assert all(cost[name] > 0 for name in cost)
        assert cost["peak"] > cost["private"]
    assert rows["en-fr", "int8"]["cost"]["disk"] < rows["en-fr", "fp32"]["cost"]["disk"] / 2
    assert rows["en-fr", "fp32"]["versions"].keys() == {"quartet-onnx", "onnxruntime", "numpy"}
    assert [choice["pair"] for choice in ranking["choices"]] == ["en-fr", "fr-en"]


def test_scores_are_those_of_sacrebleu_on_the_written_texts(reported, ranking):
    for row in ranking["rows"]:
        command = [sys.executable, "-m", "sacrebleu", f"texts/{row['pair']}.references.txt", "-m", "bleu", "chrf"]
        command += [
            "-i",
            f"texts/{row['pair']}.demo.quartet.{row['precision']}.txt",
            "--chrf-word-order",
            "2",
            "-w",
            "9",
        ]
        done = subprocess.run(command, cwd=reported, capture_output=True, text=True, check=True)
        bleu, chrf = json.loads(done.stdout)
        assert row["quality"]["bleu"] == pytest.approx(bleu["score"], abs=1e-8)
        assert row["quality"]["chrf"] == pytest.approx(chrf["score"], abs=1e-8)
        text = next(text for text in ranking["texts"] if text["pair"] == row["pair"])
        assert text["signatures"] == {"BLEU": bleu["signature"], "chrF++": chrf["signature"]}


def test_tables_say_the_same(reported, ranking):
    with (reported / "ranking.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["chrF++"]) for row in rows] == [row["quality"]["chrf"] for row in ranking["rows"]]
    page = (reported / "ranking.md").read_text("utf-8")
    for row in ranking["rows"]:
        assert f"| {row['quality']['bleu']:.1f} |" in page
    for choice in ranking["choices"]:
        assert f"**Take {choice['name']}**: {choice['why']}." in page
    assert ranking["texts"][0]["signatures"]["BLEU"] in page


def test_what_was_measured_is_not_measured_again(run, data, model, monkeypatch):
    command = ["rank", "--models", model, "--data", data, "--threads", 1, "--timed", 2]
    first = run(*command)
    assert first.code == 0, first.err

    def never(*arguments):
        raise AssertionError("measured again")

    with monkeypatch.context() as patch:
        patch.setattr("quartet.bench.ranking.measure", never)
        assert run(*command).out == first.out
        data.write_text("Good morning.\tBonjour.\n", encoding="utf-8")
        with pytest.raises(AssertionError, match="measured again"):
            run(*command)


def test_progress_is_that_of_the_whole_ranking(run, data, model, checkpoint, monkeypatch):
    told = []
    monkeypatch.setattr("quartet.cli.rank.bar_of_steps", lambda: nullcontext(lambda *now: told.append(now)))
    command = ["rank", "--models", model, checkpoint, "--data", data, "--threads", 1, "--timed", 3]
    assert run(*command, "--precision", "fp32").code == 0
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, pytest.approx(1))
    assert {what.split(":")[0] for what, _ in told} == {"1 of 2", "2 of 2"}


def test_an_interrupted_ranking_goes_on(run, data, checkpoint, monkeypatch):
    from quartet.bench import ranking

    real, begun = ranking.measure, []

    def until_ctrl_c(entry, *rest):
        begun.append(entry.name)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return real(entry, *rest)

    monkeypatch.setattr(ranking, "measure", until_ctrl_c)
    command = ["rank", "--models", checkpoint, "--precision", "fp32", "int8", "--data", data, "--threads", 1]
    result = run(*command, "--timed", 2)
    assert (result.code, result.err.splitlines()[-1]) == (130, "quartet: interrupted")
    assert run(*command, "--timed", 2).code == 0
    assert begun == ["checkpoint fp32", "checkpoint int8", "checkpoint int8"]


def test_a_damaged_entry_of_the_cache_is_told_and_made_anew(run, data, model, session_home):
    command = ["rank", "--models", model, "--data", data, "--threads", 1, "--timed", 3]
    run(*command)
    newest = max((session_home / "rank").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    whole = json.loads(newest.read_text("utf-8"))["hypotheses"]
    newest.write_text('{"hypotheses": [')
    result = run(*command)
    assert result.code == 0
    assert result.err == f"{newest} is damaged: what it held is measured again\n"
    assert json.loads(newest.read_text("utf-8"))["hypotheses"] == whole


def test_limits_choose(run, data, model):
    command = ["rank", "--models", model, "--data", data, "--threads", 1, "--timed", 2]
    assert "the only row with at most 4000 MB" in run(*command, "--max-ram", "4GB").out
    assert "No choice: none of 1 rows has at most 1 MB and at least 2 tokens/s; nearest is" in (
        run(*command, "--max-ram", "1MB", "--min-speed", 2).out
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--pair", "en-xx"], "--pair en-xx: two languages are expected"),
        (["--pair", "en-de"], "the sentences that come with quartet are English and French, not English and German"),
        (["--models", "demoo"], "no model 'demoo' (did you mean demo?)"),
        (["--precision", "int3"], "int3"),
        (["--peers", "nobody"], "no peer 'nobody'; it is one of ctranslate2, quartet, transformers, or a file"),
        (["--peers", "ctranslate2-int3"], "no variant 'int3' of ctranslate2"),
        (["--max-ram", "much"], "--max-ram is 'much'; expected a size, as 500MB or 1.5GB"),
        (["--min-speed", "0"], "--min-speed is 0"),
        (["--batch-size", "0"], "--batch-size is 0"),
        (["--sentences", "0"], "--sentences is 0"),
        (["--data", "missing.tsv"], "missing.tsv: No such file"),
    ],
)
def test_what_makes_no_sense_is_one_line(run, options, message):
    result = run("rank", *options)
    assert result.code == 2
    assert message in result.err
    assert result.err.count("\n") == 1


def test_several_pairs_need_a_folder(run, data):
    result = run("rank", "--pair", "en-fr", "fr-en", "--data", data)
    assert (result.code, result.err) == (2, "quartet: 2 pairs need a folder as --data, with a file for each language\n")


def test_a_pair_that_the_model_lacks(run, tmp_path, model):
    (tmp_path / "de.tsv").write_text("Hello.\tHallo.\n")
    result = run("rank", "--pair", "en-de", "--models", model, "--data", tmp_path / "de.tsv", "--threads", 1)
    assert result.code == 1
    assert result.err.splitlines()[-1].startswith(
        "quartet: nothing could be ranked: model, en-de: the model has no German"
    )


def test_a_model_that_is_too_large_is_left_out_before_it_is_loaded(run, data, model, monkeypatch):
    monkeypatch.setattr(machine, "available_memory", lambda: 20_000_000)
    command = ["rank", "--models", model, "facebook/nllb-200-3.3B", "--data", data, "--threads", 1, "--timed", 4]
    result = run(*command, "--precision", "int8")
    assert result.code == 1
    assert "facebook/nllb-200-3.3B int8: needs about 3,830 MB of memory, 20 MB are free\n" in result.err
    assert "left out: model int4: needs about 15" in result.err


def test_without_models_the_demo_is_ranked(run, monkeypatch):
    from quartet.cli import rank

    assert rank.known_models([("en", "fr")])[0] == "demo"
    assert "downloaded" not in run("rank", "--sentences", 10, "--precision", "int8", "--threads", 1).err


PEER = """
PACKAGES = ("numpy",)
VARIANTS = {"plain": 1.0}
SPEAKS = "text"
def load(folder, threads, variant):
    def generate(job):
        assert job.languages == ["eng_Latn", "fra_Latn"]
        return 0.5, [[text.upper()] for (text,) in job.sources]
    return 0.25, generate
"""


def test_a_peer_of_ones_own_that_reads_text(run, data, checkpoint, tmp_path):
    (tmp_path / "shout.py").write_text(PEER)
    command = ["rank", "--models", checkpoint, "--peers", tmp_path / "shout.py", "--data", data, "--threads", 1]
    found = json.loads(run(*command, "--precision", "int8", "--timed", 2, "--json").out)
    row = next(row for row in found["rows"] if row["engine"] == "shout")
    assert row["hypotheses"] == ["GOOD MORNING.", "THANK YOU.", "I AM HUNGRY."]
    assert (row["precision"], row["cost"]["load"], row["cost"]["sentences"]) == ("plain", 0.25, 2 / 0.5)
    assert row["cost"]["batch_tokens"] > 6


def test_keys_tell_settings_apart(data, model):
    from quartet.bench.data import open_test_set
    from quartet.bench.measure import Settings

    test_set = open_test_set([data], "en", "fr")
    files = [model / "quartet.json"]
    keys = {cache.key_of("quartet", files, test_set, Settings(threads)) for threads in (1, 2)}
    keys.add(cache.key_of("quartet", files, open_test_set([data], "en", "fr", 2), Settings(1)))
    assert len(keys) == 3
