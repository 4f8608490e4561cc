"""Keys with limits of their own, read again when their file changes, and buckets of requests."""

import os
import string
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet.cli import main
from quartet.errors import OptionError
from quartet.serve.limits import Buckets, Key, Keys, hashed, new_key, read_keys
from quartet.serve.state import State

BODY = {"q": "Good morning.", "source": "en", "target": "fr"}
WORDS = st.text(string.ascii_letters + string.digits + "-_#=:", min_size=1).filter(
    lambda word: not word.startswith(("#", "sha256:"))
)


def keys_in(tmp_path: Path, text: str) -> dict[str, Key]:
    (tmp_path / "keys").write_text(text, "utf-8")
    return read_keys(tmp_path / "keys")


def test_a_line_is_a_key_or_its_hash_and_its_own_limits(tmp_path):
    text = (
        f"# ours\n\n  plain  \nsha256:{hashed('other').upper()} name=alice req-limit=60 char-limit=5000 # until May\n"
        "third batch-limit=-1\n"
    )
    assert keys_in(tmp_path, text) == {
        hashed("plain"): Key(hashed("plain")),
        hashed("other"): Key(hashed("other"), "alice", req_limit=60, char_limit=5000),
        hashed("third"): Key(hashed("third"), batch_limit=-1),
    }


@given(WORDS, st.integers(-1, 10**9))
def test_any_key_is_found_with_its_limit(tmp_path_factory, key, limit):
    found = keys_in(tmp_path_factory.mktemp("keys"), f"{key} req-limit={limit}\r\n")
    assert found == {hashed(key): Key(hashed(key), req_limit=limit)}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("sha256:12", "line 2 of .* sha256:12 is no SHA-256; expected sha256: and 64 hexadecimal digits"),
        ("key req-limit=many", "line 2 of .*: req-limit is 'many'; expected an integer from -1"),
        ("key req-limit=-2", "req-limit is -2; expected an integer from -1"),
        ("key req-limit", "req-limit is ''; expected an integer"),
        ("key limit=3", "limit=3 is not understood; expected name=NAME or req-limit=N, char-limit=N, batch-limit=N"),
        ("key name=", "name= is not understood"),
    ],
)
def test_what_is_wrong_in_the_file_is_named_with_its_line(tmp_path, line, said):
    with pytest.raises(OptionError, match=said) as error:
        keys_in(tmp_path, f"good\n{line}\n")
    assert "\n" not in str(error.value)


def test_the_file_is_read_again_when_it_changes_and_a_wrong_one_changes_nothing(tmp_path, caplog):
    now, file = [0.0], tmp_path / "keys"
    file.write_text("first\n", "utf-8")
    keys = Keys(file, lambda: now[0])

    def changed(text: str | None) -> tuple[bool, bool]:
        if text is None:
            file.unlink()
        else:
            file.write_text(text, "utf-8")
            os.utime(file, ns=(0, int(now[0] * 1e9)))
        now[0] += 2.0
        return keys.find("first") is not None, keys.find("second") is not None

    assert changed("first\nsecond\n") == (True, True)
    assert changed("second\n") == (False, True)
    assert changed("first nonsense\n") == (False, True)
    assert "nonsense is not understood" in caplog.text
    assert changed(None) == (False, True)
    assert "cannot be read" in caplog.text
    assert changed("first\n") == (True, False)
    assert "second" not in caplog.text


def test_a_new_key_opens_what_its_line_stands_for(tmp_path, capsys):
    assert main(["serve", "--new-key"]) == 0
    (key, line) = (printed.partition("  #")[0] for printed in capsys.readouterr().out.splitlines())
    assert keys_in(tmp_path, line) == {hashed(key): Key(hashed(key))}
    assert new_key() != new_key()
    assert len(key) >= 43  # 256 bits


def test_a_key_has_limits_of_its_own(serve, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("wide char-limit=-1\nnarrow char-limit=5 batch-limit=1\nslow req-limit=1\nplain\n", "utf-8")
    address = serve(api_keys=keys, char_limit=20, req_limit=100)

    def ask(key: str, **body: object) -> int:
        return httpx.post(f"{address}/translate", json=BODY | {"api_key": key} | body, timeout=60).status_code

    long = "I like your house and your garden."
    assert [ask(key, q=long) for key in ("wide", "narrow", "plain")] == [200, 400, 400]
    assert [ask(key, q=["Hello", "Hello"]) for key in ("narrow", "plain")] == [400, 200]
    assert [ask("slow"), ask("slow"), ask("plain")] == [200, 429, 200]
    assert ask("unknown") == 403


def test_a_bucket_is_shared_by_all_workers_and_fills_evenly(tmp_path):
    now = [100.0]
    one, other = (Buckets(State(tmp_path), lambda: now[0]) for _ in range(2))
    assert [buckets.take("alice", 2) for buckets in (one, other)] == [0.0, 0.0]
    assert one.take("alice", 2) == other.take("alice", 2) == pytest.approx(30.0)
    assert other.take("bob", 2) == 0.0
    now[0] += 30.0
    assert other.take("alice", 2) == 0.0
    assert one.take("alice", 2) > 0.0


def test_without_a_limit_nothing_is_counted_and_with_zero_nobody_may(tmp_path):
    buckets = Buckets(State(tmp_path), lambda: 0.0)
    assert all(buckets.take("alice", -1, 1000) == 0.0 for _ in range(3))
    assert buckets.take("alice", 0) == 60.0


@given(st.integers(1, 50), st.lists(st.tuples(st.integers(1, 80), st.floats(0, 30)), max_size=20))
def test_nobody_gets_more_than_a_full_bucket_and_what_came_back(tmp_path_factory, per_minute, asked):
    now = [0.0]
    buckets = Buckets(State(tmp_path_factory.mktemp("buckets")), lambda: now[0])
    granted = 0
    for count, pause in asked:
        now[0] += pause
        wait = buckets.take("alice", per_minute, count)
        granted += min(count, per_minute) if wait == 0.0 else 0
        assert granted <= per_minute * (1 + now[0] / 60) + 1e-6
        assert 0.0 <= wait <= 60.0 + 1e-6


def test_buckets_that_are_full_again_are_forgotten(tmp_path):
    now, state = [0.0], State(tmp_path)
    buckets = Buckets(state, lambda: now[0])
    buckets.take("alice", 5)
    now[0] = 61.0
    buckets.take("bob", 5)
    state.expire()
    with state.changing() as database:
        assert database.execute("SELECT client FROM buckets").fetchall() == [("bob",)]
