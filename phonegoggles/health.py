"""Open addresses for machines that ask whether the service is alive and ready; they say little."""

from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from calls.queries.readiness import readiness


@csrf_exempt
@require_safe
def livez(request: HttpRequest) -> JsonResponse:
    """Answer 200 as long as this process serves requests; nothing else is looked at."""
    return JsonResponse({"status": "ok"})


@csrf_exempt
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Answer 200 if every check passed, else 503, with the checks' names and nothing of why; the log knows more."""
    checks = {name: "ok" if passed else "failed" for name, passed in readiness().items()}
    ready = "failed" not in checks.values()
    answer = JsonResponse({"status": "ok" if ready else "failed", "checks": checks}, status=200 if ready else 503)
    answer.headers["Cache-Control"] = "no-store"
    return answer
