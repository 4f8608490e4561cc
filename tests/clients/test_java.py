"""The Java of docs/run-anywhere.md compiles against the signatures of the library's API that `java/` declares."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "run-anywhere.md"


def test_the_java_of_the_page_compiles(tmp_path):
    compiler = shutil.which("javac")
    if compiler is None:
        pytest.skip("needs a Java compiler: apt-get install default-jdk-headless")
    (code,) = re.findall(r"^```java\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    (tmp_path / "Quartet.java").write_text(code, "utf-8")
    command = [compiler, "-d", tmp_path / "out", "-sourcepath", HERE / "java", tmp_path / "Quartet.java"]
    printed = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert (printed.returncode, printed.stderr) == (0, "")
    assert (tmp_path / "out" / "Quartet.class").is_file()
