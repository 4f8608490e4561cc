"""The page for people: its files as they are served, and, slowly, as it is used in headless Chromium."""

import json
import re
from html.parser import HTMLParser
from importlib import resources

import httpx
import pytest

from node_scripts import chromium, run_node
from quartet import Translator

FOLDER = resources.files("quartet.serve") / "page"
FILES = {file.name: file.read_text("utf-8") for file in FOLDER.iterdir()}
MODULES = sorted(name for name in FILES if name.endswith(".js"))
MOST_BYTES = 150_000


class Tags(HTMLParser):
    """All elements of a document: names and attributes."""

    def __init__(self, document):
        super().__init__()
        self.found = []
        self.feed(document)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


ELEMENTS = Tags(FILES["index.html"]).found
IDS = [attributes["id"] for _, attributes in ELEMENTS if "id" in attributes]
DOCS = {
    name for name in FILES if name.startswith("docs.")
}  # the page of the interfaces, which shares modules and style


@pytest.mark.parametrize("path", ["", *(f"page/{name}" for name in sorted(FILES))])
def test_each_file_comes_with_the_policy(server, path):
    answer = httpx.get(f"{server}/{path}")
    assert answer.status_code == 200
    assert answer.text == FILES[path.removeprefix("page/") or "index.html"]
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    again = httpx.get(f"{server}/{path}", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", ["nothing.js", "..%2fpage.py", "%2e%2e/page.py", "index.html/"])
def test_nothing_else_is_there(server, name):
    answer = httpx.get(f"{server}/page/{name}")
    assert answer.status_code in (307, 404)


def test_types(server):
    kinds = {name: httpx.get(f"{server}/page/{name}").headers["content-type"] for name in MODULES}
    assert set(kinds.values()) == {"text/javascript; charset=utf-8"}
    assert httpx.get(server).headers["content-type"] == "text/html; charset=utf-8"
    worker = httpx.get(f"{server}/page/worker.js").headers
    assert worker["service-worker-allowed"] == "/"


def test_it_is_small():
    assert sum(len(text.encode()) for text in FILES.values()) < MOST_BYTES


@pytest.mark.parametrize("name", sorted(FILES))
def test_nothing_comes_from_elsewhere(name):
    addresses = re.findall(r"""(?:https?:|wss?:|["'(])//[^\s"')]+""", FILES[name])
    assert [one for one in addresses if not one.startswith(("https://www.w3.org/", "http://www.w3.org/"))] == []


def test_the_document_has_no_script_or_style_of_its_own():
    assert all("src" in attributes for tag, attributes in ELEMENTS if tag == "script")
    assert "style" not in {tag for tag, _ in ELEMENTS}
    names = {name for _, attributes in ELEMENTS for name in attributes}
    assert not [name for name in names if name == "style" or name.startswith("on")]


@pytest.mark.parametrize("name", MODULES)
def test_texts_are_never_read_as_markup(name):
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", FILES[name])


@pytest.mark.parametrize("name", MODULES)
def test_what_a_module_names_is_there(name):
    imports = re.findall(r'from "\./([^"]+)"', FILES[name])
    assert set(imports) <= set(FILES)
    ids = re.findall(r'(?<![\w$])\$\("([^"]+)"\)', FILES[name])
    there = re.findall(r'id="([^"]+)"', FILES["docs.html"]) if name in DOCS else IDS
    assert set(ids) <= set(there)


def test_ids_are_unique_and_what_refers_to_them_finds_them():
    assert len(set(IDS)) == len(IDS)
    named = [attributes.get(name) for _, attributes in ELEMENTS for name in ("for", "aria-controls", "aria-labelledby")]
    symbols = [attributes["href"][1:] for tag, attributes in ELEMENTS if tag == "use"]
    assert {*filter(None, named), *symbols} <= set(IDS)


def test_the_worker_keeps_all_that_the_page_is_made_of():
    listed = set(re.findall(r'"([\w-]+\.\w+)"', FILES["worker.js"]))
    assert listed == set(FILES) - {"index.html", "worker.js"} - DOCS


def test_the_manifest_names_files_that_are_there():
    manifest = json.loads(FILES["manifest.webmanifest"])
    assert manifest["display"] == "standalone"
    assert {icon["src"] for icon in manifest["icons"]} <= set(FILES)


# ---- in a browser -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seen(server, server_with_keys, tmp_path_factory):
    """What `use_page.mjs` saw."""
    environment = {"CHROMIUM": chromium()}
    folder = tmp_path_factory.mktemp("screenshots")
    found = json.loads(run_node("serve/use_page.mjs", server, server_with_keys, folder, environment=environment))
    assert len(list(folder.glob("*.png"))) == 20
    return found


@pytest.fixture(scope="module")
def translated():
    with Translator("demo", threads=1, precision="fp32") as demo:
        yield lambda text, target="fr", source="en": demo.translate(text, target, source).text


@pytest.mark.slow
def test_typing_shows_the_translation_as_it_grows(seen, translated):
    typed = seen["types"]
    assert typed["text"] == translated("Good morning. Where is the train station?")
    assert len(set(typed["states"])) > 3
    assert (typed["count"], typed["afterwards"]) == ("41", "text")


@pytest.mark.slow
def test_the_language_is_detected_and_swapped(seen):
    found = seen["detectsAndSwaps"]
    assert found == {
        "before": True,
        "detected": "German (auto)",
        "source": "fr",
        "target": "de",
        "isSwapped": True,
    }


@pytest.mark.slow
def test_a_link_keeps_what_is_there(seen, translated):
    good = translated("Good morning.")
    assert seen["link"] == {"copied": good, "text": "Good morning.", "target": "fr", "shown": good, "then": "de"}


@pytest.mark.slow
def test_another_wording_is_taken(seen, translated):
    found = seen["otherWordings"]
    assert found["before"] == translated("Good morning.")
    assert found["after"] == found["offered"][0] != found["before"]


@pytest.mark.slow
def test_files_are_chosen_or_dropped_and_downloaded(seen, translated):
    found = seen["files"]
    assert (found["name"], "00:00:02,500\n" + translated("Good morning.") in found["content"]) == ("film_fr.srt", True)
    assert found["states"][0] == "Translated into French"
    assert found["states"][1].startswith("File format not supported")
    assert found["dropped"] == {"name": "note_fr.txt", "content": translated("Thank you.") + "\n"}
    assert found["isOpen"]


@pytest.mark.slow
def test_sound_is_written_down_and_translated(seen, translated):
    found = seen["sound"]
    assert "Heard until 00:00:02 …" in found["states"]
    assert translated("Good morning.") in found["translation"]["content"]
    assert (found["said"]["name"], "Good morning." in found["said"]["content"]) == ("talk.srt", True)
    assert (found["text"], found["shown"]) == ("Thank you.", translated("Thank you."))


@pytest.mark.slow
def test_two_people_talk(seen, translated):
    assert seen["talks"] == {
        "turns": [
            [["en", "Good morning."], ["de", translated("Good morning.", "de")]],
            [["de", "Danke."], ["en", translated("Danke.", "en", "de")]],
            [["en", "Thank you."], ["de", translated("Thank you.", "de")]],
        ],
        "afterwards": "talk-text-0",
    }


@pytest.mark.slow
def test_keys_go_everywhere(seen):
    assert seen["keyboard"] == {
        "order": ["source", "swap", "target", "text", "translation"],
        "last": "tab-talk",
        "isOpen": True,
        "first": "tab-text",
        "isBack": True,
    }


@pytest.mark.slow
def test_what_goes_wrong_is_said_in_words(seen):
    assert seen["words"] == {
        "busy": "The server is busy. Trying again in 1 s.",
        "after": "",
        "gone": "The server cannot be reached.",
    }


@pytest.mark.slow
def test_a_key_is_asked_for(seen, translated):
    assert seen["key"] == {
        "isAsked": True,
        "without": "Please contact the server operator to get an API key.",
        "shown": translated("Good morning, my friend."),
        "isGone": True,
        "long": "The text is 1 characters too long.",
        "count": "41 / 40",
    }


@pytest.mark.slow
def test_it_can_be_installed_and_opens_without_the_server(seen):
    assert seen["offline"] == {
        "notice": "The server cannot be reached. Load the page again when it runs.",
        "errors": [],
    }


@pytest.mark.slow
def test_views_are_those_that_the_server_has_models_for(seen):
    assert seen["models"] == {
        "oneWay": ["Text", "Files"],
        "left": "tab-files",
        "speech": ["Files"],
        "asksForLanguages": False,
        "formats": "Sound and films",
        "state": "Written down",
        "links": ["What was said"],
    }


@pytest.mark.slow
def test_it_is_accessible_and_asks_nobody_else(seen):
    assert seen["states"] == 8
    assert (seen["violations"], seen["errors"], seen["foreign"]) == ([], [], [])
    assert seen["looks"] == []
