"""How every error looks: JSON with `detail`, `code` and, for single fields, `errors`."""

import logging
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions, status
from rest_framework.response import Response

logger = logging.getLogger(__name__)

# Paths under which even errors from outside the views must be JSON.
API_PATHS = ("/api/", "/process-events", "/call-history", "/ws/")
# How long a caller should wait when the database cannot be reached, in seconds.
RETRY_AFTER_SECONDS = 5


class BodyTooLarge(exceptions.APIException):
    """The body is over the limit (RFC 9110, section 15.5.14)."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "The body is too large."
    default_code = "too_large"


class Conflict(exceptions.APIException):
    """What was asked contradicts what is already there (RFC 9110, section 15.5.10)."""

    status_code = status.HTTP_409_CONFLICT
    default_detail = "This contradicts what is already there."
    default_code = "conflict"


class Gone(exceptions.APIException):
    """What was asked for can no longer be had (RFC 9110, section 15.5.11)."""

    status_code = status.HTTP_410_GONE
    default_detail = "This can no longer be had."
    default_code = "gone"


class Unavailable(exceptions.APIException):
    """There is no room at present (RFC 9110, section 15.6.4)."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = "There is no room at present. Try again later."
    default_code = "unavailable"
    wait = RETRY_AFTER_SECONDS


class BadRequest(exceptions.APIException):
    """The request makes no sense as a whole."""

    status_code = status.HTTP_400_BAD_REQUEST
    default_detail = "The request could not be understood."
    default_code = "invalid"


class Invalid(exceptions.APIException):
    """Single fields are wrong; `errors` says which and why."""

    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "invalid"

    def __init__(self, errors: dict[str, list[str]], detail: str = "") -> None:
        self.errors = errors
        super().__init__(detail or "Invalid: " + ", ".join(errors) + ".")


def body_of(detail: str, code: str, errors: dict[str, list[str]] | None = None) -> dict[str, Any]:
    """Return the body of an error."""
    body: dict[str, Any] = {"detail": detail, "code": code}
    if errors:
        body["errors"] = errors
    return body


def answer_exception(exc: Exception, context: dict[str, Any]) -> Response:
    """Turn whatever a view raised into an answer in JSON, while debugging too; the log says the rest."""
    if isinstance(exc, Http404):
        exc = exceptions.NotFound()
    elif isinstance(exc, PermissionDenied):
        exc = exceptions.PermissionDenied()
    elif isinstance(exc, OperationalError):
        # The database is away or overloaded. Nothing was stored, so the caller may simply try again.
        logger.error("The database did not answer: %s", type(exc).__name__, exc_info=exc)
        return Response(
            body_of(
                "The database did not answer. Send it again: what was stored all the same is not stored twice.",
                "unavailable",
            ),
            status=status.HTTP_503_SERVICE_UNAVAILABLE,
            headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
        )
    if isinstance(exc, OSError):
        # The disk is full, or the store of recordings is away.
        logger.error("The storage of files did not answer: %s", type(exc).__name__, exc_info=exc)
        return Response(
            body_of("The storage of files did not answer. Try again later.", "unavailable"),
            status=status.HTTP_503_SERVICE_UNAVAILABLE,
            headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
        )
    if not isinstance(exc, exceptions.APIException):
        logger.error("A view failed: %s", type(exc).__name__, exc_info=exc)
        return Response(body_of("Something went wrong here. It has been logged.", "error"), status=500)
    headers: dict[str, str] = {}
    if header := getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = header
    if (wait := getattr(exc, "wait", None)) is not None:
        headers["Retry-After"] = str(max(1, round(wait)))
    return Response(_body_of_exception(exc), status=exc.status_code, headers=headers)


def _body_of_exception(exc: exceptions.APIException) -> dict[str, Any]:
    if isinstance(exc, Invalid):
        return body_of(str(exc.detail), "invalid", exc.errors)
    if isinstance(exc, exceptions.ValidationError):
        errors = exc.detail if isinstance(exc.detail, dict) else {"non_field_errors": exc.detail}
        plain = {field: _texts(value) for field, value in errors.items()}
        return body_of("Invalid: " + ", ".join(plain) + ".", "invalid", plain)
    return body_of(str(exc.detail), str(exc.get_codes()))


def _texts(value: Any) -> list[str]:
    """Return the messages of one field; those of nested fields are named by their path."""
    if isinstance(value, dict):
        return [f"{key}: {text}" for key, part in value.items() for text in _texts(part)]
    if isinstance(value, list):
        return [text for part in value for text in (_texts(part) if isinstance(part, dict | list) else [str(part)])]
    return [str(value)]


# -- Errors from outside the views ------------------------------------------------------------


def is_api(request: HttpRequest) -> bool:
    """Say whether a path belongs to the API, where every answer is JSON."""
    return request.path.startswith(API_PATHS)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that Django itself refused."""
    if is_api(request):
        return JsonResponse(body_of("The request could not be understood.", "invalid"), status=400)
    return defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that nobody with these rights may make."""
    if is_api(request):
        return JsonResponse(body_of("You may not do this.", "permission_denied"), status=403)
    return defaults.permission_denied(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a path that does not exist."""
    return nothing_here(request) if is_api(request) else defaults.page_not_found(request, exception)


@csrf_exempt
def nothing_here(request: HttpRequest, **parts: str) -> HttpResponse:
    """Answer a path under the API that does not exist; as a view, so that debugging changes nothing."""
    return JsonResponse(body_of("There is nothing at this address.", "not_found"), status=404)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer when something went wrong that nobody foresaw; the log says what."""
    if is_api(request):
        return JsonResponse(body_of("Something went wrong here. It has been logged.", "error"), status=500)
    return defaults.server_error(request)
