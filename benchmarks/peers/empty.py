"""The empty REST view: what the framework costs when it does nothing, as it comes out of the box."""

from rest_framework.authentication import BasicAuthentication, SessionAuthentication
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import FormParser, JSONParser, MultiPartParser
from rest_framework.permissions import AllowAny
from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView


class Empty(APIView):
    """Says ok to whoever asks, without looking at the body. Its classes are the framework's defaults."""

    authentication_classes = (SessionAuthentication, BasicAuthentication)
    permission_classes = (AllowAny,)
    content_negotiation_class = DefaultContentNegotiation
    renderer_classes = (JSONRenderer, BrowsableAPIRenderer)
    parser_classes = (JSONParser, FormParser, MultiPartParser)
    throttle_classes = ()

    def post(self, request: Request) -> Response:
        """Say ok."""
        return Response({"result": "ok"})
