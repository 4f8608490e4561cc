"""`training/demo.py` from sentence pairs to a checkpoint that transformers and quartet load, in a tiny setting."""

import gzip
import hashlib
import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from quartet import Translator
from quartet.conversion.convert import convert_folder

SCRIPT = Path(__file__).parents[1] / "training" / "demo.py"
TINY = ["--width", 32, "--heads", 2, "--feed-forward", 64, "--encoder-layers", 2, "--decoder-layers", 1]

pytest.importorskip("torch", reason="needs the oracle extra")
pytest.importorskip("transformers", reason="needs the oracle extra")
pytest.importorskip("sentencepiece", reason="needs the oracle extra")


def run(*arguments: object) -> str:
    done = subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def held_out(text: str) -> bool:
    return int(hashlib.md5(text.encode()).hexdigest(), 16) % 1000 < 9


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few hundred pairs of counted things, in three languages."""
    folder = tmp_path_factory.mktemp("pairs")
    things = {
        "en": ["cats", "dogs", "houses", "trees", "birds"],
        "fr": ["chats", "chiens", "maisons", "arbres", "oiseaux"],
        "es": ["gatos", "perros", "casas", "árboles", "pájaros"],
        "de": ["Katzen", "Hunde", "Häuser", "Bäume", "Vögel"],
    }
    frames = {
        "en": "I see {} {} here.",
        "fr": "Je vois {} {} ici.",
        "es": "Veo {} {} aquí.",
        "de": "Ich sehe {} {} hier.",
    }
    for lang in ("fr", "es", "de"):
        lines = [
            f"{frames['en'].format(n, things['en'][i])}\t{frames[lang].format(n, things[lang][i])}\n"
            for n in range(2, 400)
            for i in range(5)
        ]
        with gzip.open(folder / f"en-{lang}.tsv.gz", "wt", encoding="utf-8") as out:
            out.writelines(lines)
            if lang == "fr":  # an English sentence with the French of one that is held out
                english = next(line.split("\t")[0] for line in lines if held_out(line.split("\t")[0]))
                french = next(line.split("\t")[1] for line in lines if line.startswith(english))
                out.write(f"What I see here is this.\t{french}")
    return folder


@pytest.fixture(scope="module")
def prepared(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("work")
    (work / "teacher.tsv").write_text("I see 2 cats here.\tVoici deux chats.\n", encoding="utf-8")
    run("prepare", "--pairs", pairs, "--teacher", work / "teacher.tsv", "--work", work)
    return work


def part(work: Path, name: str) -> list[dict[str, list[str]]]:
    with gzip.open(work / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def test_what_is_held_out_shares_nothing_with_the_training(prepared: Path) -> None:
    training, test, validation = (part(prepared, name) for name in ("train", "test", "validation"))
    assert all(len(groups) > 2 for groups in (test, validation))
    assert len(training) > 1900
    assert all(held_out(group["en"][0]) for group in test + validation)
    kept = {text for group in training for texts in group.values() for text in texts}
    assert not kept & {text for group in test + validation for texts in group.values() for text in texts}
    assert "What I see here is this." not in kept  # its only translation is one of a held-out sentence
    assert "Voici deux chats." in kept


def test_the_training_computes_what_the_model_does() -> None:
    import torch

    demo = runpy.run_path(str(SCRIPT))
    torch.manual_seed(0)
    model = demo["new_model"](demo["Size"](32, 2, 64, 2, 2), 0.1, 100).eval()
    source = torch.tensor([[9, 20, 21, 22, 2], [9, 30, 2, 1, 1]])
    target = torch.tensor([[2, 8, 40, 41], [2, 8, 50, 1]])
    with torch.no_grad():
        expected = model(source, (source != 1).long(), target, (target != 1).long()).logits
        found = demo["logits_of"](model, source, target)
    said = target != 1
    torch.testing.assert_close(found[said], expected[said])


def test_from_pairs_to_a_checkpoint(prepared: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    options = ["--work", prepared, "--out", tmp_path / "out", "--most-ids", 2000, "--every", 10, "--warmup", 5, *TINY]
    run("train", "--steps", 20, *options)
    run("train", "--steps", 30, "--resume", tmp_path / "out", *options)
    log = [line.split("\t") for line in (tmp_path / "out" / "log.tsv").read_text().splitlines()]
    assert [line[0] for line in log] == ["10", "20", "30"]
    assert float(log[-1][4]) < float(log[0][4])
    run("export", "--work", prepared, "--weights", tmp_path / "out", "--checkpoint", tmp_path / "model", *TINY)

    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model", src_lang="eng_Latn")
    model = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    inputs = tokenizer("I see 3 birds here.", return_tensors="pt")
    language = tokenizer.convert_tokens_to_ids("spa_Latn")
    expected = model.generate(**inputs, forced_bos_token_id=language, num_beams=1, max_new_tokens=8)[0].tolist()
    convert_folder(tmp_path / "model", tmp_path / "quartet", precision="fp32")
    with Translator(tmp_path / "quartet", threads=1) as translator:
        found = translator.generate([inputs["input_ids"][0].tolist()], [[2, language]], max_new_tokens=7)[0]
    np.testing.assert_array_equal(found, [token for token in expected[2:] if token != 2])
