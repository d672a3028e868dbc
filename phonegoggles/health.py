"""Open addresses for machines that ask whether the service is alive; they say little."""

from django.http import HttpRequest, JsonResponse


def livez(request: HttpRequest) -> JsonResponse:
    """Answer 200 as long as this process serves requests; nothing else is looked at."""
    return JsonResponse({"status": "ok"})
