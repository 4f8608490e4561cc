"""HTML and XML through the server's interfaces; how they are cut is in `tests/text/test_html_documents.py`."""

import time

import httpx
import pytest

from quartet import Translator

GOOD, THANKS = "Good morning.", "Thank you."
PAGE = f"""\ufeff<!doctype html>\r
<html lang="en"><head><meta charset=utf-8><title>{GOOD}</title><script>if (1 < 2) "{GOOD}"</script></head>\r
<body><p>{GOOD}<br><a href="/?a=1&b=2" title="{THANKS}">{THANKS}</a></p>\r
<p translate="no">{GOOD}</p><code>{GOOD}</code><img src=a alt='{GOOD}'><!-- {GOOD} --></body></html>
"""


@pytest.fixture(scope="module")
def french():
    with Translator("demo", threads=1, precision="fp32") as translator:
        return {text: translator.translate(text, "fr", "en").text for text in (GOOD, THANKS)}


@pytest.fixture(scope="module")
def ask(server):
    with httpx.Client(base_url=server, timeout=60) as client:
        yield client


def in_french(french):
    good, thanks = french[GOOD], french[THANKS]
    expected = PAGE.replace(f"<title>{GOOD}", f"<title>{good}").replace(f"<p>{GOOD}", f"<p>{good}")
    return expected.replace(THANKS, thanks).replace(f"alt='{GOOD}", f"alt='{good}").replace('"en"', '"fr"')


def test_libretranslate_with_html(ask, french):
    asked = {"q": [f"<p>{GOOD}</p>{THANKS}", "<hr>", THANKS], "source": "auto", "target": "fr", "format": "html"}
    answer = ask.post("/translate", json=asked).json()
    assert answer["translatedText"] == [f"<p>{french[GOOD]}</p>{french[THANKS]}", "<hr>", french[THANKS]]
    assert [one["language"] for one in answer["detectedLanguage"]] == ["en", "en", "en"]


def test_references_stay_references(ask):
    asked = {"q": "<p>A &lt;b&gt; &amp;amp; c</p>", "source": "en", "target": "fr", "format": "html"}
    found = ask.post("/translate", json=asked).json()["translatedText"]
    assert found.count("<") == 2
    assert "&lt;b&gt;" in found
    assert "&amp;" in found


def test_a_page_as_a_file(ask, french):
    files = {"file": ("index.HTML", PAGE.encode("utf-8-sig" if not PAGE.startswith("\ufeff") else "utf-8"))}
    answer = ask.post("/translate_file", data={"source": "en", "target": "fr"}, files=files)
    assert answer.status_code == 200, answer.text
    found = ask.get(answer.json()["translatedFileUrl"])
    assert found.content.decode() == in_french(french)
    assert {".html", ".htm", ".xhtml"} <= set(ask.get("/frontend/settings").json()["supportedFilesFormat"])


def test_a_page_in_an_older_encoding(ask, french):
    page = f"<meta charset=iso-8859-1><p>{GOOD}</p><code>\xe9\u20ac</code>"
    files = {"file": ("a.htm", page.encode("cp1252"))}
    address = ask.post("/translate_file", data={"source": "en", "target": "fr"}, files=files).json()[
        "translatedFileUrl"
    ]
    assert ask.get(address).content.decode() == f"<meta charset=utf-8><p>{french[GOOD]}</p><code>\xe9\u20ac</code>"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<p>caf\xe9", "a.html, line 1: byte 0xe9 is not UTF-8"),
        (b"<meta charset=klingon>", "'klingon', which is not read here"),
    ],
)
def test_pages_that_cannot_be_read(ask, content, message):
    answer = ask.post("/translate_file", data={"source": "en", "target": "fr"}, files={"file": ("a.html", content)})
    assert answer.status_code == 400
    assert message in answer.json()["error"]


def test_deepl_with_html_and_a_document(ask, french):
    asked = {"text": [f"<p>{GOOD}</p>"], "target_lang": "FR", "tag_handling": "html"}
    (found,) = ask.post("/v2/translate", json=asked).json()["translations"]
    assert found["text"] == f"<p>{french[GOOD]}</p>"
    assert (found["detected_source_language"], found["billed_characters"]) == ("EN", len(GOOD) + 7)
    sent = {"data": {"target_lang": "FR", "source_lang": "EN"}, "files": {"file": ("a.html", PAGE.encode())}}
    document = ask.post("/v2/document", **sent).json()
    address, key = f"/v2/document/{document['document_id']}", {"document_key": document["document_key"]}
    while ask.post(address, data=key).json()["status"] != "done":
        time.sleep(0.02)
    assert ask.post(f"{address}/result", json=key).content.decode() == in_french(french)


@pytest.mark.parametrize("way", ["json", "data"])
@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        (f"<d><t>{GOOD}</t><t>{THANKS}</t></d>", {}, "<d><t>{0}</t><t>{1}</t></d>"),
        (f"<d><t>{GOOD}</t><k>{THANKS}</k></d>", {"ignore_tags": "k"}, f"<d><t>{{0}}</t><k>{THANKS}</k></d>"),
        (f"<d><t>{GOOD}</t><k>{THANKS}</k></d>", {"ignore_tags": ["x", "k,y"]}, f"<d><t>{{0}}</t><k>{THANKS}</k></d>"),
        (f"{GOOD}<par>{THANKS}</par>", {"splitting_tags": ["par"], "outline_detection": "0"}, "{0}<par>{1}</par>"),
    ],
)
def test_deepl_with_xml(ask, french, way, text, options, expected):
    asked = {"text": [text], "source_lang": "EN", "target_lang": "FR", "tag_handling": "xml"} | options
    (found,) = ask.post("/v2/translate", **{way: asked}).json()["translations"]
    assert found["text"] == expected.format(french[GOOD], french[THANKS])


def test_a_long_page_of_nothing(ask):
    page = "<b>" * 20_000
    asked = {"q": page, "source": "en", "target": "fr", "format": "html"}
    assert ask.post("/translate", json=asked).json()["translatedText"] == page
