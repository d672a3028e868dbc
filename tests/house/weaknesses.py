"""What bandit finds in the code that is shipped, but for what is marked as fine: `python -m tests.house.weaknesses`.

ruff's S rules are bandit's by other numbers (S608 is B608). So one marker, `# noqa: S608 - why`, serves both.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHIPPED = ("calls", "phonegoggles", "deploy", "create_test_data.py", "dev.py", "manage.py")
# Importing subprocess or pickle harms nobody; each use of them is a finding of its own (B602 to B607, B301).
LEFT_OUT = {"B403", "B404"}
MARK = re.compile(r"#\s*noqa:\s*(S\d{3}(?:\s*,\s*[A-Z]+\d+)*)")


def findings() -> list[dict[str, object]]:
    """Return what bandit finds, as it reports it."""
    command = [sys.executable, "-m", "bandit", "--quiet", "--recursive", "--format", "json", *SHIPPED]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    if report["errors"]:
        raise SystemExit(f"bandit could not read everything: {report['errors']}")
    return list(report["results"])


def unexplained() -> Iterator[str]:
    """Yield what is neither marked at its place nor excepted for its file in pyproject.toml."""
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    for found in findings():
        path, number = str(found["filename"]).removeprefix("./"), str(found["test_id"])
        rule = number.replace("B", "S")
        excepted = any(rule in rules for files, rules in ruff["per-file-ignores"].items() if fnmatch(path, files))
        if number in LEFT_OUT or excepted or rule in _marks((ROOT / path).read_text(), found["line_range"]):
            continue
        yield f"{path}:{found['line_number']}: {rule} {found['issue_text']}"


def _marks(text: str, lines: object) -> set[str]:
    """Return the rules that are marked on these lines, or where the text or call that begins there ends."""
    assert isinstance(lines, list)
    written = text.splitlines()
    first, last = min(lines), max(lines)
    while last < len(written) and not MARK.search(written[last - 1]) and '"""' not in written[last - 1]:
        if last - max(lines) >= 2:
            break
        last += 1
    marked = " ".join(found[1] for line in written[first - 1 : last] if (found := MARK.search(line)))
    return set(re.findall(r"S\d{3}", marked))


if __name__ == "__main__":
    left = list(unexplained())
    print(*left, sep="\n")
    print(f"bandit: {len(left)} findings that nobody has explained")
    sys.exit(bool(left))
