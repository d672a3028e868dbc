"""Every address of the service on one page. A last slash may be missing: a redirect would lose a body."""

from django.urls import URLPattern, URLResolver, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from calls.api.call_control import (
    AddEvent,
    EndCall,
    InitiateCall,
    LogIncomingCall,
    StartRecording,
    StopRecording,
    ToggleHold,
    TransferCall,
    UpdateStatus,
)
from calls.api.calls import CallLog, CallLogs
from calls.api.clients import ClientCallHistory, ClientDetail, Clients
from calls.api.explain import Explain
from calls.api.history import CallHistory
from calls.api.live import LiveCalls
from calls.api.metrics import Metrics
from calls.api.recordings import RecordingDetail, RecordingFile, Recordings
from calls.api.sip import SetDefault, SIPConfigurationDetail, SIPConfigurations
from calls.api.sip_servers import TryConnection, WebRTCConfiguration
from calls.api.statistics import Series, Statistics
from calls.ingest.pbx_views import AsteriskWebhook, FreeSWITCHWebhook
from calls.ingest.replay import open_doors
from calls.ingest.views import ProcessEvents, RecordingWebhook, SIPWebhook
from calls.web.errors import nothing_here
from calls.web.sockets import NoSuchSocket, speak_websocket

# What a path may name: a call by our UUID or its external id; a row by its UUID or its number.
CALL = r"(?P<id>[^/]+)"
UUID = r"(?P<id>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})"
NUMBER = r"(?P<id>[0-9]{1,18})"

open_doors()

urlpatterns: list[URLPattern | URLResolver] = [
    # The first specification
    re_path(r"^process-events/?$", ProcessEvents.as_view(), name="process-events"),
    re_path(r"^call-history/(?P<number>[^/]+)/?$", CallHistory.as_view(), name="call-history"),
    # The second specification: call logs
    re_path(r"^api/call-logs/?$", CallLogs.as_view(), name="call-logs"),
    re_path(r"^api/call-logs/initiate_call/?$", InitiateCall.as_view(), name="initiate-call"),
    re_path(r"^api/call-logs/log_incoming_call/?$", LogIncomingCall.as_view(), name="log-incoming-call"),
    re_path(r"^api/call-logs/statistics/?$", Statistics.as_view(), name="statistics"),
    re_path(r"^api/call-logs/statistics/series/?$", Series.as_view(), name="statistics-series"),
    re_path(rf"^api/call-logs/{CALL}/?$", CallLog.as_view(), name="call-log"),
    re_path(rf"^api/call-logs/{CALL}/explain/?$", Explain.as_view(), name="explain"),
    re_path(rf"^api/call-logs/{CALL}/update_status/?$", UpdateStatus.as_view(), name="update-status"),
    re_path(rf"^api/call-logs/{CALL}/end_call/?$", EndCall.as_view(), name="end-call"),
    re_path(rf"^api/call-logs/{CALL}/add_event/?$", AddEvent.as_view(), name="add-event"),
    re_path(rf"^api/call-logs/{CALL}/start_recording/?$", StartRecording.as_view(), name="start-recording"),
    re_path(rf"^api/call-logs/{CALL}/stop_recording/?$", StopRecording.as_view(), name="stop-recording"),
    re_path(rf"^api/call-logs/{CALL}/transfer_call/?$", TransferCall.as_view(), name="transfer-call"),
    re_path(rf"^api/call-logs/{CALL}/toggle_hold/?$", ToggleHold.as_view(), name="toggle-hold"),
    # Recordings, clients, SIP configurations
    re_path(r"^api/recordings/?$", Recordings.as_view(), name="recordings"),
    re_path(rf"^api/recordings/{UUID}/?$", RecordingDetail.as_view(), name="recording"),
    re_path(rf"^api/recordings/{UUID}/file/?$", RecordingFile.as_view(), name="recording-file"),
    re_path(r"^api/clients/?$", Clients.as_view(), name="clients"),
    re_path(rf"^api/clients/{NUMBER}/?$", ClientDetail.as_view(), name="client"),
    re_path(rf"^api/clients/{NUMBER}/call_history/?$", ClientCallHistory.as_view(), name="client-call-history"),
    re_path(r"^api/sip-configurations/?$", SIPConfigurations.as_view(), name="sip-configurations"),
    re_path(rf"^api/sip-configurations/{NUMBER}/?$", SIPConfigurationDetail.as_view(), name="sip-configuration"),
    re_path(rf"^api/sip-configurations/{NUMBER}/set_default/?$", SetDefault.as_view(), name="set-default"),
    re_path(
        rf"^api/sip-configurations/{NUMBER}/test_connection/?$", TryConnection.as_view(), name="sip-test-connection"
    ),
    re_path(
        rf"^api/sip-configurations/{NUMBER}/webrtc_config/?$", WebRTCConfiguration.as_view(), name="sip-webrtc-config"
    ),
    # Webhooks
    re_path(r"^api/webhooks/sip/?$", SIPWebhook.as_view(), name="sip-webhook"),
    re_path(r"^api/webhooks/recording/?$", RecordingWebhook.as_view(), name="recording-webhook"),
    re_path(r"^api/webhooks/freeswitch/?$", FreeSWITCHWebhook.as_view(), name="freeswitch-webhook"),
    re_path(r"^api/webhooks/asterisk/?$", AsteriskWebhook.as_view(), name="asterisk-webhook"),
    # Live changes: the answer to whoever does not speak WebSocket there
    re_path(r"^ws/calls/?$", speak_websocket),
    # For Prometheus
    re_path(r"^metrics/?$", Metrics.as_view(), name="metrics"),
    # Documentation
    re_path(r"^api/schema/?$", SpectacularAPIView.as_view(), name="schema"),
    re_path(
        r"^api/docs/?$",
        SpectacularSwaggerSplitView.as_view(url_name="schema", template_name="calls/docs.html"),
        name="docs",
    ),
    re_path(r"^(?:api|process-events|call-history|ws)(?:/|$)", nothing_here),
]

websocket_urlpatterns = [
    re_path(r"^ws/calls/?$", LiveCalls.as_asgi()),
    re_path(r"", NoSuchSocket.as_asgi()),
]
