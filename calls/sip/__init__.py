"""The wire: how SIP servers are asked. Plain Python: it knows nothing of Django, and keeps nothing."""
