"""DeepL's interface by its requests; its own clients are in `test_clients.py`."""

import time

import httpx
import pytest

from quartet import Translator
from quartet.serve.deepl_languages import tag_of

GOOD = "Good morning."
TWO_LINES = "I like\nyour house."


@pytest.fixture(scope="module")
def demo():
    with Translator("demo", threads=1, precision="fp32") as translator:
        yield translator


@pytest.fixture(scope="module")
def ask(server):
    with httpx.Client(base_url=server, timeout=60) as client:
        yield client


def texts_of(answer):
    assert answer.status_code == 200, answer.text
    return [one["text"] for one in answer.json()["translations"]]


@pytest.mark.parametrize("way", ["json", "data"])
def test_texts_come_as_json_and_as_a_form(ask, demo, way):
    answer = ask.post("/v2/translate", **{way: {"text": [GOOD, "Thank you."], "target_lang": "FR"}})
    wanted = [demo.translate(text, "fr", "en").text for text in (GOOD, "Thank you.")]
    assert answer.json() == {
        "translations": [
            {"detected_source_language": "EN", "text": text, "billed_characters": len(source)}
            for text, source in zip(wanted, (GOOD, "Thank you."), strict=True)
        ]
    }


@pytest.mark.parametrize("name", ["text", "text[]"])
def test_one_text_is_enough(ask, demo, name):
    answer = ask.post("/v2/translate", data={name: GOOD, "target_lang": "de", "source_lang": "EN"})
    assert texts_of(answer) == [demo.translate(GOOD, "de", "en").text]


@pytest.mark.parametrize("target", ["EN-US", "en-gb", "EN"])
def test_variants_of_a_language_mean_what_the_model_has(ask, demo, target):
    answer = ask.post("/v2/translate", json={"text": ["Guten Morgen."], "target_lang": target})
    assert texts_of(answer) == [demo.translate("Guten Morgen.", "en", "de").text]


@pytest.mark.parametrize(
    ("given", "options"),
    [("0", {"split": "none"}), ("1", {}), ("nonewlines", {"wrapped": True}), (0, {"split": "none"})],
)
def test_sentences_are_split_as_asked(ask, demo, given, options):
    asked = {"text": [TWO_LINES], "source_lang": "EN", "target_lang": "FR", "split_sentences": given}
    assert texts_of(ask.post("/v2/translate", json=asked)) == [demo.translate(TWO_LINES, "fr", "en", **options).text]


def test_what_changes_nothing_here_is_accepted(ask, demo):
    asked = {"text": [GOOD], "target_lang": "FR", "formality": "prefer_less", "context": "A letter."}
    more = {"tag_handling": "html", "preserve_formatting": True, "model_type": "quality_optimized"}
    answer = ask.post("/v2/translate", json=asked | more)
    assert texts_of(answer) == [demo.translate(GOOD, "fr", "en").text]


def test_tags_and_line_breaks_survive(ask):
    (found,) = texts_of(
        ask.post("/v2/translate", json={"text": ["<p>Good morning.</p>\n<p>Thank you.</p>"], "target_lang": "FR"})
    )
    assert [found.count(part) for part in ("<p>", "</p>", "\n")] == [2, 2, 1]


def test_languages(ask):
    sources = ask.get("/v2/languages").json()
    assert {one["language"] for one in sources} == {"DE", "EN", "ES", "FR"}
    targets = ask.get("/v2/languages", params={"type": "target"}).json()
    assert {one["language"] for one in targets} == {"DE", "EN-GB", "EN-US", "ES", "FR"}
    assert all(one["supports_formality"] is False and one["name"] for one in targets)


def test_languages_by_what_they_are_for(ask):
    found = {one["lang"]: one for one in ask.get("/v3/languages", params={"resource": "translate_text"}).json()}
    assert (found["en"]["usable_as_source"], found["en"]["usable_as_target"]) == (True, False)
    assert (found["en-GB"]["usable_as_source"], found["en-GB"]["usable_as_target"]) == (False, True)
    assert (found["fr"]["usable_as_source"], found["fr"]["usable_as_target"]) == (True, True)
    assert found["de"]["name"] == "German"
    assert ask.get("/v3/languages", params={"resource": "voice"}).json() == []
    unknown = ask.get("/v3/languages", params={"resource": "songs"})
    assert (unknown.status_code, "'songs'; it is one of translate_text" in unknown.json()["message"]) == (400, True)
    assert "resource" in ask.get("/v3/languages").json()["message"]


@pytest.mark.parametrize(("code", "spelled"), [("ZH-HANS", "zh-Hans"), ("PT-BR", "pt-BR"), ("FIL", "fil")])
def test_languages_are_spelled_as_bcp_47_has_them(code, spelled):
    assert tag_of(code) == spelled


def test_characters_are_counted(ask):
    def used():
        return ask.get("/v2/usage").json()["character_count"]

    before = used()
    ask.post("/v2/translate", json={"text": [GOOD, "😀"], "target_lang": "FR"})
    assert used() == before + len(GOOD) + 1


def test_documents_are_sent_asked_about_and_fetched(ask, demo):
    sent = {"data": {"target_lang": "FR", "source_lang": "EN"}, "files": {"file": ("notes.txt", b"Thank you.\n\nYes.")}}
    document = ask.post("/v2/document", **sent).json()
    address, key = f"/v2/document/{document['document_id']}", {"document_key": document["document_key"]}
    states = set()
    while "done" not in states:
        states.add(ask.post(address, data=key).json()["status"])
        time.sleep(0.02)
    assert states <= {"translating", "done"}
    assert ask.post(address, json=key).json()["billed_characters"] == len("Thank you.\n\nYes.")
    found = ask.post(f"{address}/result", json=key)
    assert found.text == f"{demo.translate('Thank you.', 'fr', 'en').text}\n\n{demo.translate('Yes.', 'fr', 'en').text}"
    assert "notes_FR.txt" in found.headers["content-disposition"]
    assert ask.post(f"{address}/result", json={"document_key": "wrong"}).status_code == 404
    assert ask.post("/v2/document/wrong", json=key).status_code == 404


def test_documents_that_cannot_be_translated(ask):
    def send(name, content, **params):
        return ask.post("/v2/document", data={"target_lang": "FR"} | params, files={"file": (name, content)})

    assert send("a.exe", b"a").status_code == 400
    assert send("a.txt", b"a", glossary_id="g").status_code == 400
    assert ask.post("/v2/document", data={"target_lang": "FR"}).status_code == 400
    document = send("a.txt", b"Hello\xff").json()
    address, key = f"/v2/document/{document['document_id']}", {"document_key": document["document_key"]}
    while (answer := ask.post(address, json=key).json())["status"] == "translating":
        time.sleep(0.02)
    assert (answer["status"], "UTF-8" in answer["error_message"]) == ("error", True)
    assert ask.post(f"{address}/result", json=key).status_code == 400


def test_there_is_room_for_so_many_documents(ask, monkeypatch):
    from quartet.serve import deepl_documents

    sent = {"data": {"target_lang": "FR"}, "files": {"file": ("a.txt", b"a")}}
    with monkeypatch.context() as full:
        full.setattr(deepl_documents, "MOST_AT_WORK", 0)
        answer = ask.post("/v2/document", **sent)
    assert (answer.status_code, int(answer.headers["retry-after"]) > 0) == (503, True)
    assert ask.post("/v2/document", **sent).status_code == 200


@pytest.mark.parametrize(
    ("path", "sent", "status", "part"),
    [
        ("/v2/translate", {"target_lang": "FR"}, 400, "text is missing"),
        ("/v2/translate", {"text": [], "target_lang": "FR"}, 400, "text is missing"),
        ("/v2/translate", {"text": [1], "target_lang": "FR"}, 400, "list of strings"),
        ("/v2/translate", {"text": {"a": 1}, "target_lang": "FR"}, 400, "list of strings"),
        ("/v2/translate", {"text": ["a"]}, 400, "target_lang"),
        ("/v2/translate", {"text": ["a"], "target_lang": "XX"}, 400, "XX"),
        ("/v2/translate", {"text": ["a"], "target_lang": ["FR"]}, 400, "target_lang"),
        ("/v2/translate", {"text": ["a"], "target_lang": "FR", "source_lang": "XX"}, 400, "XX"),
        ("/v2/translate", {"text": ["a"], "target_lang": "FR", "formality": "more"}, 400, "formality is 'more'"),
        ("/v2/translate", {"text": ["a"], "target_lang": "FR", "split_sentences": "2"}, 400, "split_sentences is '2'"),
        ("/v2/translate", {"text": ["a"], "target_lang": "FR", "tag_handling": "rtf"}, 400, "tag_handling is 'rtf'"),
        ("/v2/translate", {"text": ["a"], "target_lang": "FR", "glossary_id": "g"}, 400, "source_lang"),
        ("/v2/translate", {"text": ["a"], "target_lang": "FR", "style_id": "g"}, 400, "style_id is not"),
        ("/v2/languages", {"type": "both"}, 400, "type is 'both'"),
        ("/v2/nothing", {}, 404, "Not Found"),
        ("/v3/style_rules", {}, 404, "Not Found"),
    ],
)
def test_what_is_wrong_is_said_in_deepls_shape(ask, path, sent, status, part):
    answer = ask.post(path, json=sent)
    assert answer.status_code == status
    assert set(answer.json()) == {"message"}
    assert part in answer.json()["message"]


def test_limits_and_keys(serve, tmp_path):
    keys = tmp_path / "keys.txt"
    keys.write_text("secret\n")
    address = serve(api_keys=keys, char_limit=20, batch_limit=2, req_limit=3)
    with httpx.Client(base_url=address, timeout=60) as client:

        def status(texts, headers):
            sent = {"text": texts, "target_lang": "FR"}
            answer = client.post("/v2/translate", json=sent, headers=headers)
            return answer.status_code, answer.json().get("message", "")

        right = {"Authorization": "DeepL-Auth-Key secret"}
        assert status([GOOD], {})[0] == 403
        assert status([GOOD], {"Authorization": "DeepL-Auth-Key wrong"})[0] == 403
        assert status([GOOD], {"Authorization": "Bearer secret"})[0] == 403
        assert status(["a" * 21], right)[0] == 413
        assert status(["a"] * 3, right)[0] == 429
        assert client.get("/v2/usage").status_code == 403
        assert client.get("/v3/languages", params={"resource": "translate_text"}).status_code == 403
        assert client.get("/v2/usage", headers=right).json()["character_count"] == 0
        assert client.get("/v2/usage", params={"auth_key": "secret"}).status_code == 200
