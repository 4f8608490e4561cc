"""Test sets: what is read from where, and what is refused."""

import hashlib

import pytest

from quartet.bench.data import open_test_set, parse_pair
from quartet.errors import LanguageError, OptionError


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_the_bundled_sentences_are_those_that_the_demo_model_never_saw():
    found = open_test_set([], "en", "fra_Latn")
    assert len(found.sources) == len(set(found.sources)) > 600
    assert all(int(hashlib.md5(text.encode()).hexdigest(), 16) % 1000 < 6 for text in found.sources)
    turned = open_test_set([], "French", "English", sentences=3)
    assert turned.sources == found.references[:3]
    assert turned.references == found.sources[:3]
    assert turned.digest != found.digest


def test_a_tsv_and_two_files_say_the_same(tmp_path):
    tsv = write(tmp_path / "my.tsv", "\ufeffOne.\tUn.", "Two\u2028lines.\tDeux.")
    files = [write(tmp_path / "a", "One.", "Two\u2028lines."), write(tmp_path / "b", "Un.\r", "Deux.\r")]
    for paths in ([tsv], files):
        found = open_test_set(paths, "en", "fr")
        assert found.sources == ("One.", "Two\u2028lines.")
        assert found.references == ("Un.", "Deux.")


@pytest.mark.parametrize(
    ("english", "french"),
    [
        ("devtest/eng_Latn.devtest", "devtest/fra_Latn.devtest"),
        ("dev/eng_Latn.dev", "dev/fra_Latn.dev"),
        ("eng_Latn.dev", "fra_Latn.dev"),
        ("newstest2019-src.eng.txt", "newstest2019-ref.fra.txt"),
        ("en.txt", "fr.txt"),
    ],
)
def test_folders_of_corpora(tmp_path, english, french):
    write(tmp_path / english, "One.")
    write(tmp_path / french, "Un.")
    write(tmp_path / "README.txt", "not a language")
    found = open_test_set([tmp_path], "en", "fr")
    assert (found.sources, found.references) == (("One.",), ("Un.",))
    with pytest.raises(OptionError, match="has no German; it has"):
        open_test_set([tmp_path], "en", "de")


def test_what_is_refused(tmp_path):
    one, two = write(tmp_path / "one", "One."), write(tmp_path / "two", "Un.", "Deux.")
    empty = write(tmp_path / "empty.tsv", "One.\tUn.", "Two.\t ")
    broken = write(tmp_path / "broken.tsv", "One.\tUn.", "Two.")
    (tmp_path / "latin").write_bytes("Un.\né\n".encode("latin-1"))
    (tmp_path / "nothing").touch()
    (tmp_path / "folder").mkdir()
    for paths, message in (
        ([one, two], "has 1 lines, .*two has 2"),
        ([empty], "line 2: the reference is empty"),
        ([broken], "line 2: 1 columns"),
        ([tmp_path / "latin"], "line 2: byte 0xe9 is not UTF-8"),
        ([tmp_path / "nothing"], "no sentences"),
        ([tmp_path / "folder"], "no file for a language"),
        ([tmp_path / "missing"], "No such file"),
        ([one, two, one], "3 files"),
    ):
        with pytest.raises(OptionError, match=message) as caught:
            open_test_set(paths, "en", "fr")
        assert "\n" not in str(caught.value)
    with pytest.raises(OptionError, match="English and French, not English and German"):
        open_test_set([], "en", "de")
    with pytest.raises(OptionError, match="--sentences is 0"):
        open_test_set([], "en", "fr", sentences=0)


def test_pairs():
    assert parse_pair("en-fr") == ("en", "fr")
    assert parse_pair("eng_Latn-fra_Latn") == ("eng_Latn", "fra_Latn")
    assert parse_pair("zh-Hant:en") == ("zh-Hant", "en")
    for bad in ("en", "en-", "en-fr-de", "en-xx", "en-eng_Latn"):
        with pytest.raises(LanguageError, match=f"--pair {bad}: "):
            parse_pair(bad)
