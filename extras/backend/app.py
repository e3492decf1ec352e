"""The model backend of Label Studio, which serves the model of the last commit.

    uvicorn --factory extras.backend.app:make_backend --port 9090

Here it is put together: who may ask it, and how errors are told; the answers are in `routes`.
"""

import json
import secrets
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from anyio import to_thread
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import JSONResponse

from extras.backend.memory import Pixels
from extras.backend.routes import Backend, routes
from extras.backend.serving import CommittedModel
from extras.backend.settings import BackendSettings
from extras.backend.task_images import TaskImages
from extras.backend.trigger import Trigger
from helpers.problems import Problem
from helpers.workspace import Workspace, open_workspace

LARGEST_REQUEST = 32 << 20  # bytes; 1,000 tasks are half a megabyte
AT_ONCE = 200  # requests; most may wait for images of a slow server while others are answered
# The first two are asked by anything that watches over servers, the last by Label Studio's own webhook.
WITHOUT_PASSWORD = {("GET", "/health"), ("GET", "/"), ("POST", "/webhook")}
LOCAL = ["localhost", "127.0.0.1", "[::1]"]


class Answer(JSONResponse):
    """JSON in ASCII: an error may quote text of a task that holds half of a surrogate pair, which UTF-8 cannot."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False).encode()


def make_backend() -> FastAPI:
    """Make the backend of the workspace around the working directory."""
    try:
        root = open_workspace(Path.cwd()).root
        settings = BackendSettings.read(root)
        return make_app(root, settings, Trigger(root, settings) if settings.retrain_project else None)
    except Problem as problem:
        sys.exit(f"\n{problem}\n")


def make_app(root: Path, settings: BackendSettings, trigger: Trigger | None = None) -> FastAPI:
    """Make the backend of a workspace; without a `trigger` it predicts, and starts no training."""
    images = TaskImages(root / settings.backend_images, settings, Pixels(settings.backend_megapixels))
    backend = Backend(settings, CommittedModel(Workspace(root)), images, trigger)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        to_thread.current_default_thread_limiter().total_tokens = AT_ONCE
        backend.models.read()
        if trigger:
            trigger.watch()
        yield

    app = FastAPI(
        lifespan=lifespan,
        max_body_size=LARGEST_REQUEST,
        default_response_class=Answer,
        exception_handlers={RequestValidationError: explain, Problem: refuse},
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.backend = backend
    app.include_router(routes)
    protect(app, settings)
    return app


async def explain(request: Request, error: RequestValidationError) -> Response:
    wrong = [f"{'.'.join(map(str, entry['loc']))}: {entry['msg']}" for entry in error.errors()[:5]]
    return Answer({"detail": f"This is no request of Label Studio. {'; '.join(wrong)}."}, status_code=422)


async def refuse(request: Request, problem: Problem) -> Response:
    return Answer({"detail": str(problem)}, status_code=422)


def protect(app: FastAPI, settings: BackendSettings) -> None:
    """Let only those in who know the password or, if there is none, programs of this machine."""
    password = settings.backend_password.get_secret_value()
    login = b"Basic " + b64encode(f"{settings.backend_user}:{password}".encode())

    # A middleware and no dependency: those run when the whole body has been read.
    @app.middleware("http")
    async def authenticate(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
        given = request.headers.get("Authorization", "").encode()
        request.state.knows_password = bool(password) and secrets.compare_digest(given, login)
        is_open = not password or (request.method, request.url.path) in WITHOUT_PASSWORD
        if is_open or request.state.knows_password:
            return await proceed(request)
        return Answer(
            {"detail": "The model backend has a password. Label Studio asks for it where the model is connected."},
            status_code=401,
            headers={"WWW-Authenticate": "Basic"},
        )

    # A page can make its own name point here (DNS rebinding), but a browser gives it no password of another name.
    hosts = settings.backend_hosts.split() or (["*"] if password else LOCAL)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts)
