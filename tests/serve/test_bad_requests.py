"""What no client should send: broken HTTP, broken JSON, broken forms, on every route. None of it is a fault of ours."""

import io
import json
import random
import re
import socket
import zipfile
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quartet.serve import web

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
TYPES = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "")
HIDDEN = ("/", "/docs", "/spec", "/openapi.json", "/page/page.js", "/none", "/v1/none", "/v2/none")  # from the page
GOOD = {"q": "Good morning.", "source": "en", "target": "fr"}
HALF = "\ud800"  # of a character, as JSON can name it
LISTS = {"/imme": "text_list", "/v2/translate": "text"}


@pytest.fixture(scope="module")
def client(speech_server):
    """A client of a server that has all routes."""
    with httpx.Client(base_url=speech_server, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def operations(client):
    """All routes as the page names them: path, method, the names of what the body has."""
    paths = client.get("/openapi.json").json()["paths"]
    return [
        (path.replace("{name}", "x"), method, body_of(one)) for path in paths for method, one in paths[path].items()
    ]


def body_of(operation):
    content = operation.get("requestBody", {"content": {}})["content"]
    return {name: schema for kind in content.values() for name, schema in kind["schema"]["properties"].items()}


def raw(address, content):
    """All that comes for some bytes, until the server closes the connection."""
    where = urlsplit(str(address))
    with socket.create_connection((where.hostname, where.port), timeout=120) as connection:
        connection.sendall(content)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def request(*lines, body=b"", close=True):
    ends = ["Connection: close"] if close else []
    return "\r\n".join([*lines, "Host: here", f"Content-Length: {len(body)}", *ends, "", ""]).encode("latin-1") + body


def is_told(answer):
    """Whether an answer is no fault of the server, and says what is wrong as its interface does."""
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400 and answer.request.method != "HEAD":
        body, path = answer.json(), answer.request.url.path
        error = body["error"]["message"] if path.startswith("/v1/") else next(iter(body.values()))
        assert error
        assert len(error) < 1000
    return True


@pytest.mark.parametrize("method", METHODS)
def test_random_bytes_on_every_route_and_method(client, operations, method):
    chance = random.Random(method)
    for path in sorted({*HIDDEN, *(path for path, *_ in operations)}):
        for kind in TYPES:
            content = chance.randbytes(chance.randrange(300))
            content = chance.choice([content, b"--x\r\n" + content + b"\r\n--x--", b'{"q": "' + content + b'"}'])
            assert is_told(client.request(method, path, content=content, headers={"Content-Type": kind}))
            address = f"{path}?{content.hex()}=%ff%00"
            assert is_told(client.request(method, address, headers={"Authorization": f"Bearer 0{content.hex()}"}))


def test_every_get_is_a_head(client, operations):
    """Monitors ask by HEAD."""
    for path in [*HIDDEN, *(path for path, method, _ in operations if method == "get")]:
        got, asked = client.get(path), client.head(path)
        assert (asked.status_code, asked.headers["content-type"]) == (got.status_code, got.headers["content-type"])
        assert asked.content == b""


VALUES = (
    *(None, True, 0, -1, 10**400, 1e308, float("nan"), float("-inf"), "", " ", "a" * 300, "\0", HALF, "\U0001f600"),
    *([], [[]], [None], [HALF], [""] * 1000, {}, {HALF: HALF}, {"q": {"q": {}}}, json.loads("[" * 200 + "]" * 200)),
)


@pytest.mark.parametrize("number", range(len(VALUES)))
def test_any_value_of_any_parameter(client, operations, number):
    for path, method, body in operations:
        good = {
            name: schema.get("examples", ["en"])[0] for name, schema in body.items() if name in ("source", "target")
        }
        good |= {"q": "a"} if "q" in body else {LISTS[path]: ["a"], "target_lang": "fr"} if path in LISTS else {}
        for name in body:
            sent = json.dumps(good | {name: VALUES[number]})
            kind = {"Content-Type": "application/json"}
            assert is_told(client.request(method, path, content=sent, headers=kind)), (path, name)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=20,
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(path=st.sampled_from(["/translate", "/detect", "/imme", "/v2/translate", "/v2/languages"]), data=st.data())
def test_any_json(client, path, data):
    names = st.sampled_from(["q", "source", "target", "format", "text", "target_lang", "text_list", "type", "api_key"])
    body = data.draw(st.dictionaries(names, ANYTHING) | ANYTHING)
    assert is_told(client.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"}))


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "{",
            "nul",
            "'q'",
            '{"q": 01}',
            "\ufeff",
            "\0",
            '{"q": "\\ud80"}',
            '{"q": "a\nb"}',
            '{"q":' + "9" * 5000 + "}",
        ),
        *(
            "[" * 100_000,
            "[" * 5000 + "]" * 5000,
            '{"q":' * 5000 + "1" + "}" * 5000,
            '{"q": "a"' + ', "b": 1' * 9999 + "}",
        ),
    ],
    ids=lambda text: text[:12],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_what_is_hardly_json(client, text, encoding):
    content = text.encode(encoding, "replace")
    answer = client.post("/translate", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert is_told(answer)


@pytest.mark.parametrize("path", ["/translate", "/imme", "/v2/translate"])
def test_half_a_character_is_a_sign_for_one_that_is_unknown(client, path):
    """Programs that cut texts by 16 bits send them; browsers put the same sign there."""
    body = {"q": HALF, "source": "auto", "target": "fr", "text_list": [HALF], "text": [HALF], "target_lang": "fr"}
    answer = client.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.status_code == 200
    assert "\ufffd" in answer.text


def test_json_that_would_take_much_memory_is_refused(client):
    content = b'{"q": [' + b"{}," * (web.MOST_TEXT // 3) + b"{}]}"
    answer = client.post("/translate", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert is_told(answer)


def test_many_texts_and_none(client):
    many = client.post("/translate", json=GOOD | {"q": ["7."] * 1000}).json()["translatedText"]
    assert many == [many[0]] * 1000
    assert client.post("/translate", json=GOOD | {"q": []}).json() == {"translatedText": []}
    assert client.post("/translate", json=GOOD | {"q": [""] * 9999}).json()["translatedText"] == [""] * 9999


# ---- forms ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["q", "source", "target", "format", "alternatives"])
def test_a_file_where_a_string_is_wanted(client, name):
    answer = client.post("/translate", data=GOOD, files={name: ("secret.txt", b"a")})
    # what came as a string besides is in a list with the file
    assert answer.status_code == 400
    assert is_told(answer)
    only = client.post(
        "/translate", data={key: GOOD[key] for key in GOOD if key != name}, files={name: ("s.txt", b"a")}
    )
    assert only.status_code == 400
    assert f"{name} is a file" in only.json()["error"]


@pytest.mark.parametrize("path", ["/translate_file", "/v2/document", "/v1/audio/transcriptions", "/asr"])
def test_a_string_where_a_file_is_wanted(client, path):
    name = "audio_file" if path == "/asr" else "file"
    answer = client.post(path, data=GOOD | {"target_lang": "fr"}, files={name: (None, b"Good morning.")})
    assert answer.status_code == 400
    assert f"missing {name}" in answer.text


def part(head, content=b"a"):
    return b"--x\r\n" + head + b"\r\n\r\n" + content + b"\r\n"


FIELD = b'Content-Disposition: form-data; name="q"'
FILE = b'Content-Disposition: form-data; name="file"; filename="a.txt"'


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (part(FIELD) * 10_000, "Too many fields"),
        (part(FILE) * 10_000, "Too many files"),
        (part(FIELD + b"\r\nX: " + b"a" * 100_000), ""),
        (part(FIELD + b"\r\nX: a" * 10_000), ""),
        (part(FIELD, b"a" * 1_100_000), "maximum size"),
        (part(b"Content-Disposition: form-data"), "name"),
        (part(b"Content-Disposition: nonsense"), "name"),
        (part(b'Content-Disposition: form-data; name="\0\xff\r\n'), ""),
        (part(FIELD + b"\r\nContent-Type: multipart/mixed; boundary=y", b"--y\r\n\r\na\r\n--y--"), ""),
        (part(FIELD)[:-2], ""),
        (b"--x--", ""),
    ],
)
def test_broken_forms(client, content, why):
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = client.post("/translate_file", content=content + b"--x--\r\n", headers=form)
    assert answer.status_code == 400
    assert is_told(answer)
    assert why in answer.json()["error"]
    assert "400" not in answer.json()["error"]


@pytest.mark.parametrize("charset", ["utf-16", "cp037", "koi8-r", "nonsense", "\xff"])
def test_the_charset_of_a_form_is_utf8(client, charset):
    """Others may take long to decode, or give what is no text."""
    kind = f"multipart/form-data; boundary=x; charset={charset}".encode("latin-1")
    answer = client.post("/translate", content=part(FIELD) + b"--x--\r\n", headers={"Content-Type": kind})
    assert answer.status_code == 400
    assert "charset is" in answer.json()["error"]


@pytest.mark.parametrize(
    "name",
    [
        *(
            "a\r\nX-Evil: 1.txt",
            'a"; x="b.txt',
            "../../../etc/passwd.txt",
            "C:\\a\\b.txt",
            "a\0b.txt",
            "-rf.txt",
            ".txt",
        ),
        *("\u202etxt.exe.txt", "日本語.txt", "a" * 200 + ".txt", "%0d%0aX-Evil: 1.txt", "a;b.txt", "con.txt", "~.txt"),
    ],
)
def test_names_of_files_are_harmless(client, name):
    answer = client.post("/translate_file", data=GOOD, files={"file": (name, b"Good morning.")})
    assert is_told(answer)
    if answer.status_code == 200:
        found = client.get(answer.json()["translatedFileUrl"])
        assert found.text == "Bonjour."
        assert "x-evil" not in found.headers
        assert re.fullmatch(
            r"""attachment; filename(="[^"\\/]+"|\*=utf-8''[\w.%-]+)""", found.headers["content-disposition"]
        )


def packed(depth):
    """An archive in an archive, and so on."""
    content = b"Good morning."
    for _ in range(depth):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("a.txt", content)
        content = packed.getvalue()
    return content


CONTENTS = {
    "nothing": b"",
    "NUL": b"\0" * 1000,
    "no UTF-8": b"\xff\xfe",
    "UTF-16": "1\n00:00:00,000 --> 00:00:01,000\nGood\n".encode("utf-16"),
    "half a character": b"\xed\xa0\x80",
    "line ends": "a\rb\r\nc\x0bd\x0ce\x1cf\x85g\u2028h\n\r".encode(),
    "tabs": b"\t" * 1000 + b"\n" * 1000,
    "archive": packed(3),
    "cut archive": packed(2)[:-30],
    "playlist": b"#EXTM3U\nfile:///etc/passwd\nhttp://127.0.0.1/\n",
    "head of a recording": b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\1\0\1\0\x80>\0\0\0}\0\0\2\0\x10\0data\xff",
    "times": b"1\n99:99:99,999 --> 00:00:00,000\n\n\n2\n-->\n\nWEBVTT\n\n--> -->\n",
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_files_that_are_something_else(client, content):
    for suffix in ("txt", "srt", "vtt", "tsv", "zip", "", "a" * 300):
        for path in ("/translate_file", "/v2/document"):
            files = {"file": (f"a.{suffix}", content)}
            assert is_told(client.post(path, data=GOOD | {"target_lang": "fr"}, files=files))
    assert is_told(client.post("/v1/audio/transcriptions", files={"file": ("a.wav", content)}))
    for encode in ("true", "false"):
        form = {"audio_file": ("a.wav", content)}
        assert is_told(client.post("/detect-language", params={"encode": encode}, files=form))


# ---- HTTP -----------------------------------------------------------------------------------------------------------

POST = ("POST /translate HTTP/1.1", "Content-Type: application/json")
BODY = json.dumps(GOOD).encode()


@pytest.mark.parametrize(
    "sent",
    [
        request("POST /translate HTTP/1.0", POST[1], body=BODY),
        request("POST /%74ranslate HTTP/1.1", POST[1], body=BODY),
        request(*POST, "Expect: 100-continue", body=BODY),
        request(*POST, "X-Forwarded-For: \xff, , nonsense", "Accept: \xff", "Cookie: a=\xff;;;=", body=BODY),
        request(*POST, "Range: bytes=9-1", "If-Modified-Since: x", "Accept-Encoding: q=9", body=BODY),
        request(*POST, "Authorization: Bearer \xff" + "a" * 30_000, body=BODY),
        request(*POST, "Host: [", body=BODY).replace(b"Host: here\r\n", b""),
        b"\r\n".join([*map(str.encode, POST), b"Host: here\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"])
        + b"\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY),
    ],
)
def test_odd_but_right(client, sent):
    answer = raw(client.base_url, sent)
    assert b" 200 OK\r\n" in answer
    assert b"Bonjour." in answer


def test_requests_that_do_not_wait_for_answers(client):
    sent = request(*POST, body=BODY, close=False) * 9 + request("GET /health HTTP/1.1")
    assert raw(client.base_url, sent).count(b"HTTP/1.1 200 OK\r\n") == 10


@pytest.mark.parametrize(
    "sent",
    [
        *(b"\0\xff\r\n\r\n", b"GET\r\n\r\n", b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n"),
        request(*POST, "Content-Length: 3", body=BODY),
        request(*POST, "Transfer-Encoding: gzip, chunked", body=BODY),
        request(*POST, "A b: c", body=BODY),
        *(request(*POST).replace(b"Length: 0", b"Length: " + length) for length in (b"-1", b"9" * 30, b"x", b"1, 2")),
        request("GET / HTTP/1.1", "X: " + "a" * 1_000_000),
    ],
    ids=lambda sent: repr(sent[:30]),
)
def test_broken_http(client, sent):
    try:
        answer = raw(client.base_url, sent)
    except ConnectionResetError:  # it does not read all of a head that is too long
        answer = b"HTTP/1.1 400 "
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert client.get("/health").status_code == 200


def test_paths(client):
    assert client.post("/translate/", json=GOOD, follow_redirects=True).json() == {"translatedText": "Bonjour."}
    for path in (
        "/download_file/..%2f..%2fetc%2fpasswd",
        "/page/%00",
        "/v1/models/%2fetc",
        "/%ed%a0%80",
    ):
        answer = client.get(path)
        assert answer.status_code == 404
        assert is_told(answer)
    assert client.get(f"/v1/models/{'a' * 50_000}").status_code == 404


@pytest.mark.parametrize("sent", ["nonsense", "a" * 9000, "\xff", "1.2.3.4.5", ", ,", ""])
def test_an_address_that_is_none_is_not_taken_for_one(serve, sent):
    """Else anybody has as many as they like, of any length."""
    address = serve(trust_forwarded_for=True, req_limit=1)
    headers = [[("X-Forwarded-For", f"{sent}{number}".encode("latin-1"))] for number in range(3)]
    assert [httpx.post(f"{address}/detect", json={"q": "a"}, headers=one).status_code for one in headers] == [
        200,
        429,
        429,
    ]


def test_the_address_is_the_one_that_the_proxy_adds(serve):
    """Some proxies add a header rather than to one: what a client sends in one of its own does not count."""
    address = serve(trust_forwarded_for=True, req_limit=1)
    found = []
    for number in range(2):
        headers = [("X-Forwarded-For", f"1.1.1.{number}"), ("X-Forwarded-For", "2.2.2.2")]
        found.append(httpx.post(f"{address}/detect", json={"q": "a"}, headers=headers).status_code)
    assert found == [200, 429]
