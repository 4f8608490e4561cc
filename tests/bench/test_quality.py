"""Scores are sacrebleu's, ranks are shared where nothing tells models apart, and faults are found."""

import json
import subprocess
import sys

import numpy as np
import pytest

from quartet.bench import quality
from quartet.bench.faults import find_faults
from quartet.bench.quality import difference, is_better, judge, shared_ranks, signatures
from quartet.errors import OptionError

REFERENCES = [f"Le train numéro {i} part à {i % 12} heures du quai {i % 7}." for i in range(60)]
GOOD = [text.replace("part", "va") if i % 3 else text for i, text in enumerate(REFERENCES)]
OTHER = [text.replace("quai", "port") if i % 3 else text for i, text in enumerate(REFERENCES)]
BAD = [f"La voiture {i} arrive." for i in range(60)]


def test_scores_are_those_of_the_command(tmp_path):
    (tmp_path / "references").write_text("\n".join(REFERENCES) + "\n")
    (tmp_path / "hypotheses").write_text("\n".join(GOOD) + "\n")
    command = [sys.executable, "-m", "sacrebleu", "references", "-i", "hypotheses", "-m", "bleu", "chrf"]
    command += ["--chrf-word-order", "2", "-w", "6"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    said = {entry["name"]: entry for entry in json.loads(done.stdout)}
    found = judge(GOOD, REFERENCES, "fr").quality
    assert found.bleu == pytest.approx(said["BLEU"]["score"], abs=1e-6)
    assert found.chrf == pytest.approx(said["chrF2++"]["score"], abs=1e-6)
    assert found.low < found.chrf < found.high
    assert said["BLEU"]["signature"] == signatures("fr")["BLEU"]
    assert said["chrF2++"]["signature"] == signatures("fr")["chrF++"]


def test_a_rank_is_shared_by_those_that_cannot_be_told_apart():
    good, other, bad = (judge(texts, REFERENCES, "fr") for texts in (GOOD, OTHER, BAD))
    slightly = judge([*GOOD[:-1], GOOD[-1].replace("heures", "heure")], REFERENCES, "fr")
    assert is_better(good, bad)
    assert not is_better(bad, good)
    assert not is_better(good, good)
    assert shared_ranks([bad, good, slightly]) == [3, 1, 1]
    assert shared_ranks([bad, judge(REFERENCES, REFERENCES, "fr"), other]) == [3, 1, 2]
    assert shared_ranks([]) == []
    change, low, high = difference(bad, good)
    assert low < change < high < 0


def test_draws_are_reproducible_and_their_spread_is_that_of_the_mean():
    assert np.array_equal(judge(GOOD, REFERENCES, "fr").draws, judge(GOOD, REFERENCES, "fr").draws)
    assert judge(GOOD * 4, REFERENCES * 4, "fr").draws.std() == pytest.approx(
        judge(GOOD, REFERENCES, "fr").draws.std() / 2, rel=0.3
    )


def test_sp_bleu_only_where_its_tokeniser_is(monkeypatch, tmp_path):
    monkeypatch.setenv("SACREBLEU", str(tmp_path))
    assert judge(GOOD, REFERENCES, "fr").quality.spbleu is None
    assert "spBLEU" not in signatures("fr")


def test_languages_without_spaces_are_cut_into_characters():
    assert "tok:zh" in signatures("zho_Hans")["BLEU"]
    assert "tok:char" in signatures("ja")["BLEU"]
    assert "tok:13a" in signatures("de")["BLEU"]


def test_comet_is_asked_for_by_name_and_used_where_it_is(monkeypatch):
    monkeypatch.setitem(sys.modules, "comet", None)
    with pytest.raises(OptionError, match="pip install unbabel-comet"):
        quality.comet_scores(["a"], ["b"], ["c"])


def test_faults():
    references = [
        "Il fait très froid dehors ce matin.",
        "Non, non, non, non !",
        "Merci.",
        "Le mot « привет » est russe.",
    ]
    right = ["Il fait vraiment froid dehors ce matin.", "Non, non, non, non !", "Merci bien.", references[3]]
    assert find_faults(right, references, "fr").count == 0
    wrong = [
        "Il fait froid froid froid froid.",
        "",
        "Спасибо большое.",
        "The word for hello is a Russian word, he said.",
    ]
    found = find_faults(wrong, references, "fra_Latn")
    assert (found.loops, found.empty, found.script, found.language) == ((0,), (1,), (2,), (3,))
    assert found.count == 4
    assert find_faults(["aaaaaaaaaaaa"], ["Oui."], "fr").loops == (0,)
    assert find_faults(["这是一个测试"], ["这是测试"], "zh").count == 0
    assert find_faults(["Спасибо"], ["Danke"], "de").script == (0,)
