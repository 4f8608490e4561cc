"""LibreTranslate's interface, by what its clients send."""

import json
import re
import shlex
from pathlib import Path

import httpx
import pytest

from quartet import Translator
from quartet.serve.libretranslate import is_cue
from quartet.text.languages import find

GOOD = "Good morning."


@pytest.fixture(scope="module")
def translated():
    """What the library says, from English."""
    with Translator("demo", threads=1, precision="fp32") as demo:
        yield lambda text, target="fr": demo.translate(text, target, "en").text


@pytest.fixture(scope="module")
def ask(server):
    with httpx.Client(base_url=server, timeout=60) as client:
        yield client


FORM = {"Content-Type": "application/x-www-form-urlencoded"}  # what curl says of all that it sends with -d
SENT = {
    "JSON": lambda params: {"json": params},
    "a form": lambda params: {"data": params},
    "the address": lambda params: {"params": params},
    "a form with parts": lambda params: {"files": {name: (None, value) for name, value in params.items()}},
    "both": lambda params: {"params": {"source": "en"}, "data": {k: v for k, v in params.items() if k != "source"}},
}


@pytest.mark.parametrize("way", SENT)
def test_parameters_come_in_every_way_that_clients_send_them(ask, translated, way):
    answer = ask.post("/translate", **SENT[way]({"q": GOOD, "source": "en", "target": "fr"}))
    assert (answer.status_code, answer.json()) == (200, {"translatedText": translated(GOOD)})


def test_a_list_is_answered_by_lists_each_item_with_its_own_language(ask, translated):
    answer = ask.post("/translate", json={"q": [GOOD, "Guten Morgen.", "42"], "source": "auto", "target": "fr"}).json()
    assert answer["translatedText"][0] == translated(GOOD)
    assert answer["translatedText"][2] == "42"
    assert [one["language"] for one in answer["detectedLanguage"][:2]] == ["en", "de"]
    assert len(answer["detectedLanguage"]) == 3


def test_what_is_in_the_target_language_comes_back(ask):
    answer = ask.post("/translate", json={"q": "Bonjour, comment allez-vous ?", "source": "auto", "target": "fr"})
    assert answer.json()["translatedText"] == "Bonjour, comment allez-vous ?"


def test_alternatives_are_others(ask):
    answer = ask.post("/translate", json={"q": GOOD, "source": "en", "target": "de", "alternatives": 3}).json()
    assert 1 <= len(answer["alternatives"]) <= 3
    assert answer["translatedText"] not in answer["alternatives"]
    assert "alternatives" not in ask.post("/translate", json={"q": GOOD, "source": "en", "target": "de"}).json()


def test_languages_are_listed_also_where_a_body_is_sent(ask):
    found = ask.request("GET", "/languages", json={"api_key": ""}).json()
    assert {one["code"] for one in found} == {"en", "fr", "es", "de"}
    assert all(one["code"] in one["targets"] and len(one["targets"]) == 4 for one in found)
    assert {"code", "name", "targets"} == set(found[0])


def test_languages_are_detected(ask):
    found = ask.post("/detect", data={"q": "Wo ist der Bahnhof, bitte?"}).json()
    assert found[0]["language"] == "de"
    assert 50 < found[0]["confidence"] <= 100
    assert ask.post("/detect", json={"q": "12345"}).json() == [{"confidence": 0.0, "language": "en"}]


@pytest.mark.parametrize(
    ("path", "sent", "status", "part"),
    [
        ("/translate", {"json": {"source": "en", "target": "fr"}}, 400, "missing q parameter"),
        ("/translate", {"json": {"q": "a", "target": "fr"}}, 400, "missing source parameter"),
        (
            "/translate",
            {"json": {"q": "a", "source": "xx", "target": "fr"}},
            400,
            "xx is not supported; there is de, en",
        ),
        (
            "/translate",
            {"content": '{"q": "a"}', "headers": FORM},
            400,
            "add the header Content-Type: application/json",
        ),
        ("/translate", {"json": {"q": "a", "source": "en", "target": "xx"}}, 400, "xx is not supported"),
        ("/translate", {"json": {"q": "a", "source": "en", "target": "fr", "format": "pdf"}}, 400, "pdf format"),
        ("/translate", {"json": {"q": [1], "source": "en", "target": "fr"}}, 400, "strings"),
        ("/translate", {"json": {"q": {}, "source": "en", "target": "fr"}}, 400, "q is an object"),
        ("/translate", {"json": {"q": "a", "source": "en", "target": "fr", "alternatives": "x"}}, 400, "whole number"),
        ("/translate", {"json": [1]}, 400, "an object is expected"),
        ("/translate", {"content": b"{", "headers": {"content-type": "application/json"}}, 400, "not JSON"),
        ("/translate_file", {"data": {"source": "en", "target": "fr"}}, 400, "missing file parameter"),
        (
            "/translate_file",
            {"data": {"source": "en", "target": "fr"}, "files": {"file": ("a.exe", b"a")}},
            400,
            ".srt",
        ),
        (
            "/translate_file",
            {"data": {"source": "en", "target": "fr"}, "files": {"file": ("a.txt", b"\xff")}},
            400,
            "UTF",
        ),
        ("/suggest", {"data": {"q": "a", "s": "b", "source": "en", "target": "fr"}}, 403, "disabled"),
        ("/nowhere", {}, 404, "Not Found"),
        ("/languages", {}, 405, "Not Allowed"),
    ],
)
def test_what_is_wrong_is_said_in_json(ask, path, sent, status, part):
    answer = ask.post(path, **sent)
    assert answer.status_code == status
    assert part in answer.json()["error"]


def test_a_file_keeps_its_times(ask, translated):
    cues = "1\n00:00:01,000 --> 00:00:02,500\nGood morning.\n\n2\n00:00:03,000 --> 00:00:04,000\nThank you.\n"
    sent = {"data": {"source": "en", "target": "fr"}, "files": {"file": ("../film.SRT", cues.encode())}}
    address = ask.post("/translate_file", **sent).json()["translatedFileUrl"]
    assert address.startswith("http://127.0.0.1:")
    found = ask.get(address)
    assert found.text == cues.replace(GOOD, translated(GOOD)).replace("Thank you.", translated("Thank you."))
    assert "film_fr.SRT" in found.headers["content-disposition"]
    assert ask.get("/download_file/nothing.txt").status_code == 404


def test_pages_of_other_sites_may_ask(ask):
    answer = ask.post("/detect", data={"q": GOOD}, headers={"origin": "https://example.org"})
    assert answer.headers["access-control-allow-origin"] == "*"


def test_limits_and_keys(serve, tmp_path):
    keys = tmp_path / "keys.txt"
    keys.write_text("# mine\nsecret\n")
    address = serve(api_keys=keys, char_limit=20, batch_limit=2, req_limit=4)
    with httpx.Client(base_url=address, timeout=60) as client:

        def status(text, key="secret"):
            answer = client.post("/translate", json={"q": text, "source": "en", "target": "fr", "api_key": key})
            return answer.status_code, answer.json().get("error", "")

        assert status(GOOD, None)[0] == 400
        assert status(GOOD, "wrong") == (403, "Invalid API key")
        assert status("a" * 21) == (400, "Invalid request: request (21) exceeds text limit (20)")
        assert status(["a"] * 3) == (400, "Invalid request: request (3) exceeds text limit (2)")
        refused = client.post("/translate", json={"q": GOOD, "source": "en", "target": "fr", "api_key": "secret"})
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) > 0
        assert client.get("/frontend/settings").json()["keyRequired"] is True


@pytest.mark.parametrize(
    "text",
    [
        "Write <br /> where a line ends.",
        "Good morning.<br/>Thank you.",
        "Good morning.\n<br />Thank you.",
        "Good morning.<br /> Thank you.",
        "<br />",
        "Good morning.",
    ],
)
def test_only_lines_of_subtitles_are_lines(text):
    assert not is_cue(text)
    assert is_cue("Good morning,<br />my friend.")


def test_lines_of_subtitles_come_back_as_lines_with_what_else_was_asked_for(ask, translated):
    asked = {"q": "Good morning.<br />Thank you.", "source": "auto", "target": "fr", "alternatives": 2, "stream": True}
    answer = ask.post("/translate", json=asked).json()
    assert answer["translatedText"].split("<br />")[1] == translated("Thank you.")
    assert answer["detectedLanguage"]["language"] == "en"
    assert all(text.count("<br />") == 1 and "\n" not in text for text in answer["alternatives"])
    assert answer["alternatives"]


def test_the_example_of_the_docs_is_answered_as_written_there(ask):
    page = (Path(__file__).parents[2] / "docs" / "serve.md").read_text("utf-8")
    command, written = re.search(r"    curl (.*) http://127.0.0.1:5000/translate\n\nanswers `(.*)`", page).groups()
    sent = dict(part.split("=", 1) for part in shlex.split(command) if part != "-d")
    assert ask.post("/translate", data=sent).json() == json.loads(written)


def test_codes_of_libretranslate_and_of_its_clients_are_understood():
    """Those in which Subtitle Edit's and LibreTranslate's lists differ from ISO 639-1."""
    codes = ["pt-BR", "zh-Hans", "zh-Hant", "nb", "tl", "pt-PT"]
    given = ["pb", "zh", "zt", "nb", "tl", "PT-br", "zh-hans", "pt-pt"]
    found = [find(code, codes) for code in given]
    assert found == ["pt-BR", "zh-Hans", "zh-Hant", "nb", "tl", "pt-BR", "zh-Hans", "pt-PT"]
