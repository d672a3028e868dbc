"""The rules of the house that the import contracts cannot see."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from django.apps import apps
from django.db.models import signals
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.views import APIView

ROOT = Path(__file__).parents[2]
# Tables that are nothing but what `operations/` makes of facts.
LEDGER = {"Call", "CallEvent"}
WRITES = {"create", "bulk_create", "bulk_update", "get_or_create", "update_or_create", "update", "delete", "save"}


def sources(folder: str) -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted((ROOT / folder).rglob("*.py")):
        if "migrations" not in path.parts:
            yield path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"))


def test_only_operations_write_calls_and_events() -> None:
    culprits = []
    for path, tree in sources("calls"):
        if path.parts[1] in ("operations", "models"):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WRITES:
                names = {name.id for name in ast.walk(node.func) if isinstance(name, ast.Name)}
                if names & LEDGER:
                    culprits.append(f"{path}:{node.lineno}")
    assert culprits == []


def test_no_model_has_a_signal_receiver() -> None:
    ours = set(apps.get_app_config("calls").get_models())
    for signal in (signals.pre_save, signals.post_save, signals.pre_delete, signals.post_delete, signals.m2m_changed):
        for model in ours:
            receivers = [receiver for group in signal._live_receivers(model) for receiver in group]
            assert all("calls" not in getattr(receiver, "__module__", "") for receiver in receivers), (signal, model)


def test_no_import_hides_inside_a_function_of_the_app() -> None:
    allowed = {Path("calls/apps.py")}  # Django asks for it: checks are registered when the apps are ready
    hidden = [
        f"{path}:{inner.lineno}"
        for path, tree in sources("calls")
        if path not in allowed
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    ]
    assert hidden == []


def public_things(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_") and node.name != "Meta":
            yield node
        if isinstance(node, ast.ClassDef):
            yield from public_things(node.body)


def test_every_public_thing_says_what_it_does() -> None:
    silent = [
        f"{path}:{node.lineno} {node.name}"
        for path, tree in sources("calls")
        for node in public_things(tree.body)
        if not ast.get_docstring(node)
    ]
    assert silent == []


def routes(patterns: list[URLPattern | URLResolver]) -> Iterator[URLPattern]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns)
        else:
            yield pattern


def test_every_endpoint_of_the_api_declares_who_may_use_it() -> None:
    open_to_all = {"SpectacularAPIView", "SpectacularSwaggerSplitView"}
    undeclared = []
    for pattern in routes(get_resolver().url_patterns):
        view = getattr(pattern.callback, "view_class", None) or getattr(pattern.callback, "cls", None)
        if (
            view
            and issubclass(view, APIView)
            and view.__name__ not in open_to_all
            and not getattr(view, "rights", None)
        ):
            undeclared.append(view.__name__)
    assert undeclared == []


def test_migrations_are_named_by_what_they_do() -> None:
    names = [path.stem for path in (ROOT / "calls" / "migrations").glob("0*.py")]
    assert names
    assert not [name for name in names if re.search(r"_auto_|_initial$|\d{8}", name)]


def test_no_requirement_is_without_a_hash() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        text = (ROOT / name).read_text(encoding="utf-8")
        pinned = re.findall(r"^[A-Za-z0-9_.\-\[\]]+==\S+(?: ;[^\\\n]*)? *(\\?)$", text, re.MULTILINE)
        assert pinned
        assert all(pinned), name
        assert "://" not in text
