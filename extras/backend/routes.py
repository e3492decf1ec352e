"""What Label Studio asks of a model backend, and the answers.

The protocol was read from Label Studio 1.23.2: ``ml/api_connector.py``, ``ml/models.py``.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from pydantic import BaseModel

from extras.backend.serving import CommittedModel, predict
from extras.backend.settings import BackendSettings
from extras.backend.task_images import TaskImages
from extras.backend.trigger import Trigger
from helpers.pipeline.model import Classifier
from helpers.problems import Problem

routes = APIRouter()


@dataclass
class Backend:
    """All that answers come from; `app.state.backend` holds it."""

    settings: BackendSettings
    models: CommittedModel
    images: TaskImages
    trigger: Trigger | None  # None: nothing starts a training
    losses: dict[str, Any] = field(default_factory=dict)  # of the last request that lacked images

    def require_model(self) -> Classifier:
        model = self.models.read()
        if not model:
            advice = "`dvc repro` trains a model. It is served as soon as `dvc.lock` is committed."
            raise HTTPException(503, f"There is no model to serve. {self.models.reason}\n{advice}")
        return model


async def find_backend(request: Request) -> Backend:
    backend: Backend = request.app.state.backend
    return backend


Asked = Annotated[Backend, Depends(find_backend)]


# The fields of Label Studio's requests that matter here.
class Task(BaseModel):
    data: dict[str, Any]


class PredictRequest(BaseModel):
    tasks: list[Task]
    label_config: str


class Event(BaseModel):
    action: str
    project: dict[str, Any] = {}


@routes.get("/")
@routes.get("/health")
async def health(backend: Asked) -> dict[str, Any]:
    model = backend.models.model
    return {"status": "UP", "model_version": model and model.version}


@routes.post("/setup")
def setup(backend: Asked) -> dict[str, Any]:
    return {"model_version": backend.require_model().version}


@routes.get("/versions")
def versions(backend: Asked) -> dict[str, Any]:
    model = backend.models.read()
    training = backend.trigger.state() if backend.trigger else {"state": "off"}
    about = {"reason": backend.models.reason, "images": backend.losses, "training": training}
    return {"versions": [model.version] if model else [], **about}


@routes.post("/predict")
def answer(asked: PredictRequest, backend: Asked) -> dict[str, Any]:
    tasks = [task.data for task in asked.tasks]
    results = predict(backend.require_model(), tasks, asked.label_config, backend.images)
    if lost := [result["error"] for result in results if "error" in result]:
        backend.losses = {"at": datetime.now(UTC), "lost": len(lost), "of": len(tasks), "first": lost[0]}
    return {"results": results}


@routes.post("/webhook")
def webhook(event: Event, request: Request, backend: Asked) -> dict[str, Any]:
    settings, trigger = backend.settings, backend.trigger
    if event.action != "START_TRAINING":
        if trigger:
            trigger.notice()
        return {}
    if not (trigger and settings.backend_password and settings.label_studio_url):
        raise HTTPException(403, "Off. BACKEND_PASSWORD, RETRAIN_PROJECT and LABEL_STUDIO_URL switch it on.")
    if not request.state.knows_password:
        raise HTTPException(401, "Starting a training needs the backend's password.", {"WWW-Authenticate": "Basic"})
    if event.project.get("id") != settings.retrain_project:
        raise HTTPException(403, f"This model learns from project {settings.retrain_project} alone.")
    try:
        return {"status": "started" if trigger.start() else "already running"}
    except Problem as problem:
        return {"status": "refused", "reason": str(problem)}
