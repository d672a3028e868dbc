"""What a caller may do: Django's model permissions, declared by each view for each method."""

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request


class HasDeclaredRight(BasePermission):
    """Let in whoever has the right that the view declares in `rights` for the method.

    A method without a declared right needs being signed in with any right of the view: it
    then gets its 405 (or the description that OPTIONS asks for), others their 403.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        """Look the method up in the view's `rights`."""
        user = request.user
        if not (user and user.is_authenticated):
            return False
        rights: dict[str, str] = view.rights
        method = "GET" if request.method == "HEAD" else request.method
        if method in rights:
            caller = getattr(request.auth, "caller", None)  # a token, whose rights are remembered for a while
            return caller.may(rights[method]) if caller else user.has_perm(rights[method])
        return any(user.has_perm(right) for right in set(rights.values()))
