"""`/openapi.json` tells the truth; slowly, as schemathesis sees it. `/docs` shows it without help from elsewhere."""

import re
import subprocess
import sys

import httpx
import jsonschema
import pytest

JSON = "application/json"
GOOD = {"q": "Good morning.", "source": "en", "target": "fr", "document_key": "a"}
SUFFIX = {"file": "a.txt", "audio_file": "a.wav"}
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.fixture(scope="module")
def page(speech_server):
    return httpx.get(f"{speech_server}/openapi.json").json()


@pytest.fixture(scope="module")
def operations(page):
    return [(path, method, page["paths"][path][method]) for path in page["paths"] for method in page["paths"][path]]


def fits(answer, operation):
    """Whether the page knows the status, the type and the shape of an answer."""
    status, kind = str(answer.status_code), answer.headers["content-type"].partition(";")[0]
    assert status in operation["responses"], answer.text
    content = operation["responses"][status]["content"]
    assert kind in content
    if kind == JSON:
        jsonschema.validate(answer.json(), content[kind]["schema"])
    return answer.status_code


def example(schema):
    return schema["examples"][0] if "examples" in schema else schema.get("enum", [None])[0]


def sent(operation, kind, **changed):
    """A request as the page describes it."""
    schema = operation["requestBody"]["content"][kind]["schema"]
    body = {name: schema["properties"][name] for name in schema["required"]}
    values = {
        name: [example(part["items"])] if part.get("type") == "array" else example(part) for name, part in body.items()
    }
    texts = {
        name: value if value not in (None, [None]) else GOOD.get(name, "a") for name, value in values.items()
    } | changed
    files = {name: (SUFFIX[name], b"Good morning.") for name, part in body.items() if part.get("format") == "binary"}
    data = {name: value for name, value in texts.items() if name not in files}
    if kind == JSON:
        return {"json": data}
    return {"data": data, "files": files or ({"a": (None, "")} if kind.startswith("multipart") else None)}


def test_each_route_answers_as_the_page_says(speech_server, operations):
    """Right and wrong requests of all types of bodies; those for texts succeed."""
    statuses = {}
    with httpx.Client(base_url=speech_server, timeout=60) as client:
        for path, method, operation in operations:
            address = path.replace("{name}", "demo")
            kinds = operation.get("requestBody", {"content": {}})["content"]
            requests = [
                sent(operation, kind, **changed) for kind in kinds for changed in ({}, {"target": "xx", "text": 1})
            ]
            requests += [{"headers": {"Content-Type": kind}, "content": b"{"} for kind in kinds] + [{}]
            found = [fits(client.request(method, address, **request), operation) for request in requests]
            statuses[path] = {*statuses.get(path, ()), *found}
    assert all(
        {200, 400} <= statuses[path] for path in ("/translate", "/detect", "/translate_file", "/v2/translate", "/imme")
    )
    assert all(
        200 in statuses[path]
        for path in statuses
        if path.endswith(("/languages", "/usage", "/models", "/health")) and path != "/v3/languages"  # asks for more
    )


def test_it_names_everything_once(operations):
    names = [operation["operationId"] for *_, operation in operations]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"\w+", name) for name in names)
    assert all(operation["summary"].strip() for *_, operation in operations)


def test_errors_have_the_shape_of_their_interface(page):
    wrong = {path: page["paths"][path]["post"]["responses"]["400"] for path in ("/translate", "/v2/translate", "/asr")}
    names = {path: wrong[path]["content"][JSON]["schema"]["required"] for path in wrong}
    assert names == {"/translate": ["error"], "/v2/translate": ["message"], "/asr": ["detail"]}
    assert "422" not in str(page)  # FastAPI's own, which are never sent
    assert "Validation" not in str(page)


def test_keys_are_named_where_they_come(page):
    schemes = page["components"]["securitySchemes"]
    used = {
        name for path in page["paths"].values() for one in path.values() for s in one.get("security", []) for name in s
    }
    assert used == set(schemes)


def test_libretranslates_name_for_it(server):
    assert httpx.get(f"{server}/spec").json() == httpx.get(f"{server}/openapi.json").json()


def test_the_page_for_people_needs_nothing_from_elsewhere(server):
    answer = httpx.get(f"{server}/docs")
    assert answer.status_code == 200
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    for name in re.findall(r'(?:src|href)="([^"]+)"', answer.text):
        assert httpx.get(f"{server}/{name}").status_code == 200


@pytest.mark.slow
def test_schemathesis_finds_nothing(speech_server, tmp_path):
    pytest.importorskip("schemathesis", reason="needs the extra `dev`")
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{speech_server}/openapi.json", "--checks", CHECKS]
    options = [
        "--max-examples",
        "60",
        "--continue-on-failure",
        "--seed",
        "1",
        "--suppress-health-check",
        "all",
        "--no-color",
    ]
    done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    assert re.search(r"[0-9]{4} passed", done.stdout)
    assert all(f"✅ {phase}" in done.stdout for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"))
