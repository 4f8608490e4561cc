"""Print constraints that pin every dependency of a pyproject.toml to the oldest version that it allows."""

import re
import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["project"]
extras = project["optional-dependencies"]
ours = [requirement for extra in ("speech", "rank", "serve", "test") for requirement in extras[extra]]
for requirement in [*project["dependencies"], *ours]:
    if requirement.startswith(f"{project['name']}["):
        continue  # an extra of our own, as above
    found = re.fullmatch(r"([\w.-]+)\s*>=\s*([\w.]+).*", requirement)
    if not found:
        raise SystemExit(f"{requirement!r} has no oldest version; write it as name>=version")
    print(f"{found[1]}=={found[2]}")
