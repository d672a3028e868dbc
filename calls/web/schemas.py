"""What the API's documentation says of errors."""

from typing import Any

from drf_spectacular.utils import OpenApiResponse

ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["detail", "code"],
    "properties": {
        "detail": {"type": "string", "description": "What is wrong, for people."},
        "code": {"type": "string", "description": "What is wrong, for programs."},
        "errors": {
            "type": "object",
            "description": "What is wrong with single fields.",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
    },
}
MEANINGS = {
    400: "The request is wrong; the answer says where. Nothing was stored.",
    401: "No token, or a wrong one.",
    403: "The token's owner lacks the right.",
    404: "There is no such thing.",
    405: "This address does not know the method.",
    409: "The request contradicts what is already there. Nothing was changed.",
    411: "The server cannot tell where the body ends; send a Content-Length.",
    413: "The body is over the limit.",
    415: "The body is not JSON.",
    429: "Too many requests; Retry-After says when to come back.",
    503: "The database did not answer; Retry-After says when to send it again.",
}


def errors(*codes: int) -> dict[Any, Any]:
    """Return the documented answers of these status codes."""
    return {(code, "application/json"): OpenApiResponse(ERROR, description=MEANINGS[code]) for code in codes}
