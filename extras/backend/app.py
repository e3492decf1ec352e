"""The model backend of Label Studio, which serves the model of the last commit.

    uvicorn --factory extras.backend.app:make_backend --port 9090

The protocol was read from Label Studio 1.23.2: ``ml/api_connector.py``, ``ml/models.py``.
"""

import json
import secrets
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from anyio import to_thread
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from extras.backend.serving import CommittedModel, predict
from extras.backend.settings import BackendSettings
from extras.backend.task_images import TaskImages
from extras.backend.trigger import Trigger
from helpers.pipeline.model import Classifier
from helpers.problems import Problem
from helpers.workspace import Workspace, open_workspace

LARGEST_REQUEST = 32 << 20  # bytes; 1,000 tasks are half a megabyte
AT_ONCE = 200  # requests; most may wait for images of a slow server while others are answered
# The first two are asked by anything that watches over servers, the last by Label Studio's own webhook.
WITHOUT_PASSWORD = {("GET", "/health"), ("GET", "/"), ("POST", "/webhook")}
LOCAL = ["localhost", "127.0.0.1", "[::1]"]


# The fields of Label Studio's requests that matter here.
class Task(BaseModel):
    data: dict[str, Any]


class PredictRequest(BaseModel):
    tasks: list[Task]
    label_config: str


class Event(BaseModel):
    action: str
    project: dict[str, Any] = {}


class Answer(JSONResponse):
    """JSON in ASCII: an error may quote text of a task that holds half of a surrogate pair, which UTF-8 cannot."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False).encode()


def make_backend() -> FastAPI:
    """Make the backend of the workspace around the working directory."""
    try:
        root = open_workspace(Path.cwd()).root
        return make_app(root, BackendSettings.read(root))
    except Problem as problem:
        sys.exit(f"\n{problem}\n")


def make_app(root: Path, settings: BackendSettings, trigger: Trigger | None = None) -> FastAPI:
    """Make the backend of a workspace; tests give it a `trigger` of their own."""
    trigger = trigger or Trigger(root, settings)
    models = CommittedModel(Workspace(root))
    images = TaskImages(root / settings.backend_images, settings)
    losses: dict[str, Any] = {}  # of the last request that lacked images
    password = settings.backend_password.get_secret_value()
    login = b"Basic " + b64encode(f"{settings.backend_user}:{password}".encode())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        to_thread.current_default_thread_limiter().total_tokens = AT_ONCE
        models.read()
        trigger.watch()
        yield

    hidden: dict[str, Any] = {"docs_url": None, "redoc_url": None, "openapi_url": None}
    app = FastAPI(lifespan=lifespan, max_body_size=LARGEST_REQUEST, default_response_class=Answer, **hidden)

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

    @app.exception_handler(RequestValidationError)
    async def explain(request: Request, error: RequestValidationError) -> Response:
        wrong = [f"{'.'.join(map(str, entry['loc']))}: {entry['msg']}" for entry in error.errors()[:5]]
        return Answer({"detail": f"This is no request of Label Studio. {'; '.join(wrong)}."}, status_code=422)

    @app.exception_handler(Problem)
    async def refuse(request: Request, problem: Problem) -> Response:
        return Answer({"detail": str(problem)}, status_code=422)

    @app.get("/")
    @app.get("/health")
    async def health() -> dict[str, Any]:
        return {"status": "UP", "model_version": models.model and models.model.version}

    @app.post("/setup")
    def setup() -> dict[str, Any]:
        return {"model_version": _require(models).version}

    @app.get("/versions")
    def versions() -> dict[str, Any]:
        model = models.read()
        about = {"reason": models.reason, "images": losses, "training": trigger.state()}
        return {"versions": [model.version] if model else [], **about}

    @app.post("/predict")
    def answer(asked: PredictRequest) -> dict[str, Any]:
        tasks = [task.data for task in asked.tasks]
        results = predict(_require(models), tasks, asked.label_config, images)
        if lost := [result["error"] for result in results if "error" in result]:
            nonlocal losses
            losses = {"at": datetime.now(UTC), "lost": len(lost), "of": len(tasks), "first": lost[0]}
        return {"results": results}

    @app.post("/webhook")
    def webhook(event: Event, request: Request) -> dict[str, Any]:
        if event.action != "START_TRAINING":
            trigger.notice()
            return {}
        if not (password and settings.retrain_project and settings.label_studio_url):
            raise HTTPException(403, "Off. BACKEND_PASSWORD, RETRAIN_PROJECT and LABEL_STUDIO_URL switch it on.")
        if not request.state.knows_password:
            raise HTTPException(401, "Starting a training needs the backend's password.", {"WWW-Authenticate": "Basic"})
        if event.project.get("id") != settings.retrain_project:
            raise HTTPException(403, f"This model learns from project {settings.retrain_project} alone.")
        try:
            return {"status": "started" if trigger.start() else "already running"}
        except Problem as problem:
            return {"status": "refused", "reason": str(problem)}

    return app


def _require(models: CommittedModel) -> Classifier:
    model = models.read()
    if not model:
        advice = "`dvc repro` trains a model. It is served as soon as `dvc.lock` is committed."
        raise HTTPException(503, f"There is no model to serve. {models.reason}\n{advice}")
    return model
