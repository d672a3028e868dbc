"""What is marked as fine for the tools that look for weaknesses says why."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
MARKER = re.compile(r"#\s*(?:noqa:[^#\n]*\bS\d{3}|nosec)\b[^#\n]*")
WITH_REASON = re.compile(r"#\s*(?:noqa: [A-Z]+\d+(?:, [A-Z]+\d+)*|nosec B\d{3}) - \w[^#\n]{2,}")


def markers() -> list[tuple[str, str]]:
    """Every marker in the Python files of the project, with its place."""
    files = [path for folder in ROOT.iterdir() if folder.name[0] != "." for path in [folder, *folder.rglob("*.py")]]
    return [
        (f"{path.relative_to(ROOT)}:{number}", found[0].strip())
        for path in files
        if path.suffix == ".py" and "node_modules" not in path.parts and path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if (found := MARKER.search(line)) and '"' not in found[0] and "`" not in found[0]
    ]


def test_every_marker_says_why() -> None:
    found = markers()
    assert len(found) > 40
    assert [f"{place} {marker}" for place, marker in found if not WITH_REASON.fullmatch(marker)] == []
