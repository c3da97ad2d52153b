"""Errors in the form that the client reads: a status, a code in a header, a message."""

from starlette.responses import JSONResponse, Response

REPO_NOT_FOUND = "RepoNotFound"
REVISION_NOT_FOUND = "RevisionNotFound"
ENTRY_NOT_FOUND = "EntryNotFound"
GATED_REPO = "GatedRepo"


class HubError(Exception):
    """A request that is refused.

    Attributes:
        status: HTTP status.
        message: What the client shows.
        code: Value of `X-Error-Code`, by which the client chooses its exception; empty for none.
        headers: Further headers of the answer.
    """

    def __init__(self, status: int, message: str, code: str = "", headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = headers or {}


def answer_to(error: HubError) -> Response:
    """What the client gets."""
    return JSONResponse(
        {"error": error.message},
        status_code=error.status,
        headers=error_headers(error.code, error.message) | error.headers,
    )


def error_headers(code: str, message: str) -> dict[str, str]:
    """`X-Error-Message`, in the one line of Latin-1 that a header holds, and `X-Error-Code` where there is one."""
    line = " ".join(message.split()).encode("latin-1", "replace").decode("latin-1")
    return {"X-Error-Message": line} | ({"X-Error-Code": code} if code else {})


def revision_not_found(revision: str) -> HubError:
    """A branch, tag, pull request or commit that is not in the repo."""
    return HubError(404, f"Invalid rev id: {revision}", REVISION_NOT_FOUND)


def entry_not_found(path: str, revision: str) -> HubError:
    """A file or folder that is not in the commit."""
    return HubError(404, f'{path} does not exist on "{revision}"', ENTRY_NOT_FOUND)
