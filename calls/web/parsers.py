"""The parser of the REST API's bodies: strict, bounded, and clear about what is wrong."""

from typing import Any

from rest_framework.parsers import BaseParser

from calls.web.bodies import JSON, parse_json, read_body, unstorable
from calls.web.errors import Invalid

MAX_BYTES = 256 * 1024


class StrictJSONParser(BaseParser):
    """JSON up to 256 KiB, without what no database can keep."""

    media_type = JSON

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        """Return what the body says; raise 413 or 400."""
        body = read_body(stream, limit=MAX_BYTES)
        if not body.strip():
            return {}
        data = parse_json(body)
        errors = unstorable(data if isinstance(data, dict) else {"non_field_errors": data}, raw=body)
        if errors:
            raise Invalid(errors)
        return data
