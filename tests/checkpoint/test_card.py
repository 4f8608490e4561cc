import pytest

from quartet.checkpoint.card import license_of


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("license: apache-2.0", "Apache-2.0"),
        ("tags:\n- translation\nlicense: 'cc-by-nc-4.0'  # see below\nother: x", "CC-BY-NC-4.0"),
        ("license: [mit, cc-by-4.0]", "MIT, CC-BY-4.0"),
        ("license:\n- apache-2.0\n- openrail\nlanguage: fr", "Apache-2.0, openrail"),
        ("license: other\nlicense_name: my-licence", "my-licence"),
        ("license: other", "other"),
        ("license:\nlanguage:\n- en", None),
        ("model:\n  license: mit", None),
    ],
)
def test_license_in_the_front_matter(tmp_path, head, expected):
    for end in ("\n", "\r\n"):
        (tmp_path / "README.md").write_bytes(f"---\n{head}\n---\n# license: wrong\n".replace("\n", end).encode())
        assert license_of(tmp_path) == expected


@pytest.mark.parametrize("card", ["", "license: mit", "# Title\n---\nlicense: mit\n---\n", "---\nlicense: mit\n"])
def test_no_front_matter_no_license(tmp_path, card):
    (tmp_path / "README.md").write_text(card)
    assert license_of(tmp_path) is None


def test_no_card_no_license(tmp_path):
    assert license_of(tmp_path) is None
