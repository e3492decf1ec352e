"""The model backend of Label Studio: ``uvicorn helpers.label_studio.backend:app`` serves the model of the last commit.

The protocol was read from Label Studio 1.23.2: ``ml/api_connector.py``, ``ml/models.py``.
"""

import secrets
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import torch
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.middleware.trustedhost import TrustedHostMiddleware

from helpers.label_studio.serving import CommittedModel, Model, predict
from helpers.label_studio.settings import Settings, read_settings
from helpers.label_studio.task_images import Pictures
from helpers.label_studio.trigger import Trigger
from helpers.problems import Problem
from helpers.workspace import Workspace, open_workspace

LARGEST_REQUEST = 32 << 20  # bytes; 1,000 tasks are half a megabyte
# Asked without a password: the first two by anything that watches over servers, the last by Label Studio's own webhook.
OPEN = {("GET", "/health"), ("GET", "/"), ("POST", "/webhook")}
LOCAL = ["localhost", "127.0.0.1", "[::1]"]


class Task(BaseModel):
    """A task of Label Studio, as far as it matters here."""

    data: dict[str, Any]


class PredictRequest(BaseModel):
    """What Label Studio asks ``/predict``. Which project asks makes no difference."""

    tasks: list[Task]
    label_config: str


class Project(BaseModel):
    """The project of an event, as far as it matters here."""

    id: int = 0


class Event(BaseModel):
    """What Label Studio tells ``/webhook``."""

    action: str
    project: Project = Project()


def make_app(root: Path, settings: Settings, trigger: Trigger | None = None) -> FastAPI:
    """Make the backend of a workspace.

    Parameters
    ----------
    root : Path
        The workspace's root.
    settings : Settings
    trigger : Trigger, optional
        What starts trainings, if not the one of the settings.
    """
    trigger = trigger or Trigger(root, settings)
    models = CommittedModel(Workspace(root))
    pictures = Pictures(root / settings.backend_images, settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        torch.set_num_threads(1)  # requests run side by side, each on one processor
        models.read()
        trigger.watch()
        yield

    app = FastAPI(lifespan=lifespan, max_body_size=LARGEST_REQUEST, docs_url=None, redoc_url=None, openapi_url=None)

    @app.middleware("http")
    async def authenticate(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
        if (request.method, request.url.path) in OPEN or not _password(settings) or _is_authentic(request, settings):
            return await proceed(request)
        return JSONResponse(
            {"detail": "The model backend has a password. Label Studio asks for it where the model is connected."},
            status_code=401,
            headers={"WWW-Authenticate": "Basic"},
        )

    # A page can make its own name point here (DNS rebinding), but a browser gives it no password of another name.
    hosts = settings.backend_hosts.split() or (["*"] if _password(settings) else LOCAL)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts)

    @app.exception_handler(RequestValidationError)
    async def explain(request: Request, error: RequestValidationError) -> Response:
        wrong = [f"{'.'.join(map(str, entry['loc']))}: {entry['msg']}" for entry in error.errors()[:5]]
        return JSONResponse({"detail": f"This is no request of Label Studio. {'; '.join(wrong)}."}, status_code=422)

    @app.exception_handler(Problem)
    async def refuse(request: Request, problem: Problem) -> Response:
        return JSONResponse({"detail": str(problem)}, status_code=422)

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
        return {"versions": [model.version] if model else [], "reason": models.reason, "training": trigger.state()}

    @app.post("/predict")
    def answer(asked: PredictRequest) -> dict[str, Any]:
        tasks = [task.data for task in asked.tasks]
        return {"results": predict(_require(models), tasks, asked.label_config, pictures)}

    @app.post("/webhook")
    def webhook(event: Event, request: Request) -> dict[str, Any]:
        if event.action != "START_TRAINING":
            trigger.notice()
            return {}
        if not (_password(settings) and settings.retrain_project and settings.label_studio_url):
            raise HTTPException(
                403, "Off. To start trainings, set BACKEND_PASSWORD, RETRAIN_PROJECT, LABEL_STUDIO_URL."
            )
        if not _is_authentic(request, settings):
            raise HTTPException(401, "Starting a training needs the backend's password.", {"WWW-Authenticate": "Basic"})
        if event.project.id != settings.retrain_project:
            raise HTTPException(403, f"This model learns from project {settings.retrain_project} alone.")
        return {"status": "started" if trigger.start() else "already running"}

    return app


def _password(settings: Settings) -> str:
    return settings.backend_password.get_secret_value()


def _is_authentic(request: Request, settings: Settings) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    expected = b64encode(f"{settings.backend_user}:{_password(settings)}".encode())
    return scheme.lower() == "basic" and secrets.compare_digest(given.strip().encode(), expected)


def _require(models: CommittedModel) -> Model:
    model = models.read()
    if not model:
        advice = "`dvc repro` trains a model. It is served as soon as `dvc.lock` is committed."
        raise HTTPException(503, f"There is no model to serve. {models.reason}\n{advice}")
    return model


def __getattr__(name: str) -> FastAPI:
    """`app`, for the workspace around the working directory, made when uvicorn asks for it."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        root = open_workspace(Path.cwd()).root
        return make_app(root, read_settings(root))
    except Problem as problem:
        sys.exit(f"\n{problem}\n")
