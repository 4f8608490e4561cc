"""Translations that are sent as they grow."""

import json
import threading

import httpx
import pytest

from quartet import Translator

TEXT = "Good morning. Where is the train station?"


@pytest.fixture(scope="module")
def demo():
    with Translator("demo", threads=1, precision="fp32") as translator:
        yield translator


def events(address, **asked):
    """What was sent, in order."""
    with httpx.stream("POST", f"{address}/translate", json={"stream": True} | asked, timeout=60) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in answer.iter_lines() if line]
    assert all(line.startswith("data: ") for line in lines)
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def test_a_translation_grows(server, demo):
    sent = events(server, q=TEXT, source="en", target="fr")
    assert sent == [{"translatedText": text} for text in demo.stream(TEXT, "fr", "en")]
    assert sent[-1]["translatedText"] == demo.translate(TEXT, "fr", "en").text
    assert len(sent) > 3


def test_the_language_is_told_each_time(server):
    sent = events(server, q="Guten Morgen.", source="auto", target="fr")
    assert {one["detectedLanguage"]["language"] for one in sent} == {"de"}


@pytest.mark.parametrize("text", ["42", "Bonjour, comment allez-vous ?", "\n"])
def test_what_needs_no_model_is_one_event(server, text):
    sent = events(server, q=text, source="auto", target="fr")
    assert [one["translatedText"] for one in sent] == [text]


@pytest.mark.parametrize(("asked", "status"), [({"target": "xx"}, 400), ({"source": "xx"}, 400), ({"q": ""}, 400)])
def test_what_is_wrong_has_its_status(server, asked, status):
    sent = {"q": TEXT, "source": "en", "target": "fr", "stream": True} | asked
    answer = httpx.post(f"{server}/translate", json=sent)
    assert answer.status_code == status
    assert answer.json()["error"]


@pytest.mark.parametrize(
    "asked", [{"q": [TEXT]}, {"alternatives": 1}, {"format": "html"}, {"stream": "true"}, {"stream": False}]
)
def test_all_else_is_answered_whole(server, asked):
    sent = {"q": TEXT, "source": "en", "target": "fr", "stream": True} | asked
    assert "translatedText" in httpx.post(f"{server}/translate", json=sent, timeout=60).json()


def test_who_hangs_up_is_translated_for_no_more(serve, monkeypatch):
    shown, ended, stream = [], threading.Event(), Translator.stream

    def watched(*args, **options):
        try:
            for text in stream(*args, **options):
                shown.append(text)
                yield text
        finally:
            ended.set()

    monkeypatch.setattr(Translator, "stream", watched)
    asked = {"q": TEXT * 60, "source": "en", "target": "fr", "stream": True}
    with httpx.stream("POST", f"{serve()}/translate", json=asked, timeout=60) as answer:
        next(answer.iter_lines())
    assert ended.wait(30)
    assert shown[-1].count("gare") < 60
