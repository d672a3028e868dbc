"""The empty REST view: what the framework costs when it does nothing."""

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView


class Empty(APIView):
    """Says ok to whoever asks, without looking at the token or the body."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()

    def post(self, request: Request) -> Response:
        """Say ok."""
        return Response({"result": "ok"})
