"""Glossaries through DeepL's own client, and what is kept of them where."""

import csv
import io
import time
from contextlib import closing

import httpx
import pytest

from quartet import Translator
from quartet.errors import OptionError
from quartet.serve.glossaries import Dictionary, Glossaries, NoGlossaryError, TooManyError

QUESTION = "Where is the train station?"
TERMS = {"train station": "Centrale", "Artist": "Maître"}
NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def plain():
    with Translator("demo", threads=1, precision="fp32") as translator:
        return translator.translate(QUESTION, "fr", "en").text


@pytest.fixture
def client(server):
    deepl = pytest.importorskip("deepl")
    with closing(deepl.DeepLClient("mine", server_url=server)) as found:
        yield found
        for glossary in found.list_multilingual_glossaries():
            found.delete_multilingual_glossary(glossary)


@pytest.fixture
def ask(server):
    with httpx.Client(base_url=server, timeout=60, headers={"Authorization": "DeepL-Auth-Key raw"}) as found:
        yield found


def test_a_glossary_of_two_languages(client, plain):
    made = client.create_glossary("Trains", "EN", "FR", TERMS)
    assert (made.name, made.ready, made.source_lang, made.target_lang, made.entry_count) == (
        "Trains",
        True,
        "EN",
        "FR",
        2,
    )
    assert client.get_glossary(made.glossary_id).creation_time == made.creation_time
    assert [one.glossary_id for one in client.list_glossaries()] == [made.glossary_id]
    assert client.get_glossary_entries(made) == TERMS
    found = client.translate_text(QUESTION, source_lang="EN", target_lang="FR", glossary=made).text
    assert "Centrale" in found
    assert "Centrale" not in plain
    assert client.translate_text(QUESTION, source_lang="EN", target_lang="FR").text == plain
    client.delete_glossary(made)
    assert client.list_glossaries() == []


def test_a_glossary_of_a_csv_file_and_for_a_variant(client):
    rows = io.StringIO()
    csv.writer(rows).writerow(["Wo", 'Where, "pal",', "de", "en"])
    made = client.create_glossary_from_csv("Q", "DE", "EN-GB", rows.getvalue())
    assert client.get_glossary_entries(made) == {"Wo": 'Where, "pal",'}
    client.translate_text("Wo ist es?", source_lang="DE", target_lang="EN-US", glossary=made)


def test_a_glossary_of_several_languages(client, plain):
    import deepl
    from deepl.api_data import MultilingualGlossaryDictionaryEntries

    some = [MultilingualGlossaryDictionaryEntries(*pair, TERMS) for pair in (("EN", "FR"), ("EN", "DE"))]
    made = client.create_multilingual_glossary("Trains", some)
    assert [(one.source_lang, one.target_lang, one.entry_count) for one in made.dictionaries] == [
        ("EN", "FR", 2),
        ("EN", "DE", 2),
    ]
    assert client.list_glossaries() == [], "version 2 knows none of several languages"
    assert "Centrale" in client.translate_text(QUESTION, source_lang="EN", target_lang="FR", glossary=made).text

    more = MultilingualGlossaryDictionaryEntries("EN", "FR", {"bread": "miche", "Artist": "Barbouilleur"})
    changed = client.update_multilingual_glossary_dictionary(made, more)
    assert changed.dictionaries[0].entry_count == 3
    entries = client.get_multilingual_glossary_entries(made, "EN", "FR").dictionaries[0].entries
    assert entries == "train station\tCentrale\nArtist\tBarbouilleur\nbread\tmiche"
    replaced = client.replace_multilingual_glossary_dictionary(made, more)
    assert (replaced.source_lang, replaced.entry_count) == ("EN", 2)
    assert client.translate_text(QUESTION, source_lang="EN", target_lang="FR", glossary=made).text == plain
    assert client.update_multilingual_glossary_name(made, "Bread").name == "Bread"
    client.delete_multilingual_glossary_dictionary(made, source_lang="EN", target_lang="DE")
    found = client.get_multilingual_glossary(made.glossary_id)
    assert (found.name, len(found.dictionaries), found.creation_time) == ("Bread", 1, made.creation_time)
    with pytest.raises(deepl.GlossaryNotFoundException):
        client.delete_multilingual_glossary_dictionary(made, source_lang="EN", target_lang="DE")


def test_several_glossaries_of_which_the_first_counts(client):
    first = client.create_glossary("1", "EN", "FR", {"train station": "Centrale"})
    second = client.create_glossary("2", "EN", "FR", {"train station": "Halte"})
    for glossaries, expected in (([first, second], "Centrale"), ([second, first], "Halte")):
        asked = {"source_lang": "EN", "target_lang": "FR", "glossary_ids": [one.glossary_id for one in glossaries]}
        assert expected in client.translate_text(QUESTION, **asked).text


def test_a_document_with_a_glossary(client):
    made = client.create_glossary("Trains", "EN", "FR", TERMS)
    result = io.BytesIO()
    options = {"source_lang": "EN", "target_lang": "FR", "glossary": made}
    handle = client.translate_document_upload(QUESTION, filename="a.txt", **options)
    while not client.translate_document_get_status(handle).done:
        time.sleep(0.02)
    client.translate_document_download(handle, result)
    assert "Centrale" in result.getvalue().decode()


def test_pairs_of_languages(client):
    found = {(one.source_lang, one.target_lang) for one in client.get_glossary_languages()}
    assert found == {
        (one, other) for one in ("de", "en", "es", "fr") for other in ("de", "en", "es", "fr") if one != other
    }


def test_what_is_not_there(client):
    import deepl

    for work in (client.get_glossary, client.get_glossary_entries, client.delete_glossary):
        for name in (NOBODY, "nothing", "..%2f..%2fkeys"):
            with pytest.raises(deepl.DeepLException, match=r"no such glossary|Not Found|not found"):
                work(name)
    with pytest.raises(deepl.DeepLException, match="no such glossary"):
        client.translate_text(QUESTION, source_lang="EN", target_lang="FR", glossary=NOBODY)
    made = client.create_glossary("Trains", "EN", "FR", TERMS)
    with pytest.raises(deepl.DeepLException, match="no dictionary from EN to DE"):
        client.translate_text(QUESTION, source_lang="EN", target_lang="DE", glossary=made.glossary_id)


def test_another_key_sees_nothing(client, server):
    import deepl

    made = client.create_glossary("Trains", "EN", "FR", TERMS)
    with closing(deepl.DeepLClient("other", server_url=server)) as other:
        assert other.list_multilingual_glossaries() == []
        for work in (other.get_glossary, other.delete_glossary):
            with pytest.raises(deepl.GlossaryNotFoundException):
                work(made.glossary_id)
    assert client.get_glossary(made.glossary_id).name == "Trains"


GOOD = {"name": "a", "source_lang": "en", "target_lang": "fr", "entries": "a\tb", "entries_format": "tsv"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "missing name"),
        ({"name": "x" * 2000}, "name has 2000 characters"),
        ({"source_lang": "xx"}, "does not translate from XX to FR"),
        ({"target_lang": "en"}, "does not translate from EN to EN"),
        ({"entries": ""}, "missing entries"),
        ({"entries": "\n\n"}, "there are none"),
        ({"entries": "a"}, "entries, line 1: 'a'; expected a term, a tab"),
        ({"entries": "a\tb\na\tc"}, "line 2: 'a' becomes something else in line 1"),
        ({"entries": ["a"]}, "a string is expected"),
        ({"entries_format": "xlsx"}, "it is tsv or csv"),
    ],
)
def test_what_is_wrong_is_told(ask, change, message):
    answer = ask.post("/v2/glossaries", json=GOOD | change)
    assert answer.status_code == 400
    assert message in answer.json()["message"]
    assert ask.get("/v2/glossaries").json() == {"glossaries": []}


@pytest.mark.parametrize("dictionaries", [None, [], ["a"], "a", [GOOD, GOOD], [GOOD, {}]])
def test_dictionaries_that_are_none(ask, dictionaries):
    assert ask.post("/v3/glossaries", json={"name": "a", "dictionaries": dictionaries}).status_code == 400


def test_a_form_as_deepl_node_sends_it(ask):
    form = {f"dictionaries[{number}].{name}": value for number in (0, 1) for name, value in GOOD.items()}
    made = ask.post("/v3/glossaries", data=form | {"name": "a", "dictionaries[1].target_lang": "de"})
    assert made.status_code == 201
    assert [one["target_lang"] for one in made.json()["dictionaries"]] == ["fr", "de"]
    address = f"/v3/glossaries/{made.json()['glossary_id']}"
    more = {name: value for name, value in form.items() if name.startswith("dictionaries[0]")}
    changed = ask.patch(address, data=more | {"dictionaries[0].entries": "c\td"})
    assert [one["entry_count"] for one in changed.json()["dictionaries"]] == [2, 1]
    assert ask.get(f"{address}/entries").json()["dictionaries"][0]["entries"] == "a\tb\nc\td"
    assert ask.delete(address).status_code == 204


def test_a_server_with_keys_wants_them(server_with_keys):
    assert httpx.get(f"{server_with_keys}/v2/glossaries").status_code == 403
    known = {"Authorization": "DeepL-Auth-Key secret"}
    assert httpx.get(f"{server_with_keys}/v3/glossaries", headers=known).json() == {"glossaries": []}


# ---- where they are kept --------------------------------------------------------------------------------------------

SOME = (Dictionary("en", "fr", {"a": "b"}),)


def test_a_folder_outlives_the_server_and_is_shared(tmp_path):
    folder = tmp_path / "kept" / "glossaries"
    one, other = Glossaries(folder), Glossaries(folder)
    made = one.create("key", "name", SOME)
    assert other.get("key", made.id) == made
    other.change("key", made.with_dictionary(Dictionary("en", "fr", {"a": "c"})))
    assert one.get("key", made.id).dictionaries[0].terms == {"a": "c"}
    assert Glossaries(folder).all("key") == other.all("key") != []
    assert "key" not in str([*folder.rglob("*")]).replace(str(tmp_path), ""), "keys are hashed"
    assert not [*folder.rglob("*.part")]


def test_files_that_are_no_glossaries_are_passed_over(tmp_path, caplog):
    store = Glossaries(tmp_path)
    made, good = store.create("key", "name", SOME), store.create("key", "good", SOME)
    (path,) = tmp_path.rglob(f"{made.id}.json")
    for content in (b"", b"{", b"[]", b'{"id": 1}', b"\xff", path.read_bytes().replace(b'"b"', b'""')):
        path.write_bytes(content)
        with pytest.raises(NoGlossaryError):
            store.get("key", made.id)
        assert store.all("key") == [good]
    assert "cannot be read" in caplog.text


def test_there_is_an_end_to_what_is_kept(tmp_path, monkeypatch):
    store = Glossaries(tmp_path)
    monkeypatch.setattr("quartet.serve.glossaries.MOST_GLOSSARIES", 2)
    made = [store.create("key", "name", SOME) for _ in range(2)]
    with pytest.raises(TooManyError, match="2 glossaries"):
        store.create("key", "name", SOME)
    store.create("other", "name", SOME)
    monkeypatch.setattr("quartet.serve.glossaries.MOST_BYTES", 1000)
    large = made[0].with_dictionary(Dictionary("en", "de", {str(number): "b" for number in range(100)}))
    with pytest.raises(TooManyError, match="at most 1000"):
        store.change("key", large)
    assert store.get("key", made[0].id) == made[0]
    store.delete("key", made[0].id)
    with pytest.raises(NoGlossaryError):
        store.change("key", made[0])


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OptionError, match=r"--glossaries .*file"):
        Glossaries(tmp_path / "file")
