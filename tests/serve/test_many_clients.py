"""32 clients at once, with short and long texts: each gets what it would have got alone, or a 503 and no more."""

import random
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from demo_model import DEMO
from quartet import Translator
from quartet.conversion.convert import convert_folder
from quartet.quantize.recipes import QuantizationOptions

CLIENTS, REQUESTS = 32, 2  # of each client
SENTENCES = [
    "Good morning.",
    "Where is the train station?",
    "It costs 12 euros.",
    "I like your house, and your garden too.",
    "The meeting was moved to Thursday because the room is being painted.",
    "Thank you!",
    "Can you help me? I have lost my passport.",
    "The museum opens at nine o'clock and closes at five.",
    "My brother works in a hospital near the river.",
    "Yes.",
    "We would like two coffees, a glass of water and the bill, please.",
    "She has lived in Berlin for ten years.",
]


def texts(seed):
    """Of a client: one sentence, or many of them."""
    chance = random.Random(seed)
    return [" ".join(chance.choices(SENTENCES, k=chance.choice((1, 1, 2, 6)))) for _ in range(REQUESTS)]


def asked(client, number, text):
    """A request, by one of the interfaces, and how its answer is read."""
    target = ("fr", "de", "es")[(client + number) % 3]
    interface = (client + number) % 4
    if interface == 0:
        sent = {"json": {"q": text, "source": "en", "target": target}}
        return target, "/translate", sent, lambda answer: answer.json()["translatedText"]
    if interface == 1:
        sent = {"json": {"text": ["Yes.", text], "source_lang": "EN", "target_lang": target.upper()}}
        return target, "/v2/translate", sent, lambda answer: answer.json()["translations"][1]["text"]
    if interface == 2:
        sent = {"json": {"source_lang": "en", "target_lang": target, "text_list": [text]}}
        return target, "/imme", sent, lambda answer: answer.json()["translations"][0]["text"]
    sent = {"json": {"q": text, "source": "en", "target": target, "stream": True}}
    return target, "/translate", sent, lambda answer: last_event(answer)["translatedText"]


def last_event(answer):
    *_, last = (line for line in answer.text.splitlines() if line)
    return httpx.Response(200, content=last.removeprefix("data: ")).json()


def talk(connections, client):
    """All that a client asked for: language, text, status, translation."""
    for number, text in enumerate(texts(client)):
        target, path, sent, read = asked(client, number, text)
        answer = connections.post(path, **sent)
        if answer.status_code == 503:
            assert int(answer.headers["retry-after"]) >= 1
        yield target, text, answer.status_code, read(answer) if answer.status_code == 200 else None


def all_at_once(address):
    limits = httpx.Limits(max_connections=CLIENTS)
    with ThreadPoolExecutor(CLIENTS) as pool, httpx.Client(base_url=address, timeout=300, limits=limits) as connections:
        found = pool.map(lambda client: list(talk(connections, client)), range(CLIENTS))
        return [one for answers in found for one in answers]


@pytest.fixture(scope="module")
def alone():
    with Translator("demo", threads=1, precision="fp32") as demo:
        known = {}

        def translate(text, target):
            if (text, target) not in known:
                known[text, target] = demo.translate(text, target, "en").text
            return known[text, target]

        yield translate


def test_each_gets_what_it_would_have_got_alone(server, alone):
    found = all_at_once(server)
    assert len(found) == CLIENTS * REQUESTS
    assert {status for _, _, status, _ in found} == {200}
    assert [one for target, text, _, one in found] == [alone(text, target) for target, text, _, _ in found]


def test_beyond_what_may_wait_there_is_a_503_and_nothing_else_goes_wrong(serve, alone):
    found = all_at_once(serve(max_queue=150))
    assert {status for _, _, status, _ in found} == {200, 503}
    answered = [(target, text, one) for target, text, status, one in found if status == 200]
    assert [one for _, _, one in answered] == [alone(text, target) for target, text, _ in answered]


def test_in_int4_each_gets_what_few_or_many_rows_give(serve, tmp_path):
    """Eight rows and more are computed with other kernels: of a tie either may come, and nothing else does."""
    convert_folder(DEMO, tmp_path / "demo", precision="int4", options=QuantizationOptions(method="rtn"))
    with Translator(tmp_path / "demo", threads=1) as demo:
        few = [demo.translate(text, "es", "en").text for text in SENTENCES]
        many = [demo.translate_batch([text] * 8, "es", "en")[0].text for text in SENTENCES]
    either = {text: {one, other} for text, one, other in zip(SENTENCES, few, many, strict=True)}
    assert sum(len(texts) == 1 for texts in either.values()) > len(SENTENCES) // 2
    address = serve(models=(str(tmp_path / "demo"),), precision=None)

    with ThreadPoolExecutor(CLIENTS) as pool, httpx.Client(base_url=address, timeout=300) as connections:

        def ask(number):
            sent = {"q": SENTENCES[number % len(SENTENCES)], "source": "en", "target": "es"}
            return sent["q"], connections.post("/translate", json=sent).json()["translatedText"]

        found = list(pool.map(ask, range(2 * CLIENTS)))
    assert [(text, one) for text, one in found if one not in either[text]] == []
