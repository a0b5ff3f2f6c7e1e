"""`client.inference`: providers, virtual models, what can be called now, and the gateway's routes."""

from typing import Literal

from pydantic import BaseModel

from modelport import paths
from modelport.calls import Call, parse_as
from modelport.methods import AsyncResource, Resource, async_method, method
from modelport.resources.gateway import AsyncGateway, Gateway
from modelport.resources.providers import AsyncProviders, Providers
from modelport.resources.virtual_models import AsyncVirtualModels, VirtualModels
from modelport.runners import AsyncRunner, SyncRunner
from modelport.scope import Scope


class CallableModel(BaseModel):
    """A virtual model that can be called now, as OpenAI's model list shows it."""

    id: str
    """`workspace/name`, to be used as `model`."""
    object: Literal["model"] = "model"
    created: int
    """Unix seconds."""
    owned_by: str


class CallableModels(BaseModel):
    """All models that can be called now."""

    object: Literal["list"] = "list"
    data: list[CallableModel]


def _path(scope: Scope, workspace: str | None, *parts: str) -> str:
    return scope.in_workspace(paths.GATEWAY, workspace, "openai", "-", "v1", "models", *parts)


def list_(scope: Scope, /, *, workspace: str | None = None) -> Call[CallableModels]:
    """List what can be called now through the OpenAI route."""
    return Call("GET", _path(scope, workspace), parse_as(CallableModels))


def get(scope: Scope, /, name: str, *, workspace: str | None = None) -> Call[CallableModel]:
    """Return one of them; `name` with or without its workspace in front."""
    parts = [paths.segment(part, "name") for part in name.split("/")]
    return Call("GET", _path(scope, workspace, *parts), parse_as(CallableModel))


class InferenceModels(Resource):
    """`client.inference.models`."""

    list = method(list_)
    get = method(get)


class AsyncInferenceModels(AsyncResource):
    """`client.inference.models` of the asynchronous client."""

    list = async_method(list_)
    get = async_method(get)


class Inference(Resource):
    """`client.inference`."""

    def __init__(self, runner: SyncRunner) -> None:
        super().__init__(runner)
        self.providers = Providers(runner)
        self.virtual_models = VirtualModels(runner)
        self.models = InferenceModels(runner)
        self.gateway = Gateway(runner)


class AsyncInference(AsyncResource):
    """`client.inference` of the asynchronous client."""

    def __init__(self, runner: AsyncRunner) -> None:
        super().__init__(runner)
        self.providers = AsyncProviders(runner)
        self.virtual_models = AsyncVirtualModels(runner)
        self.models = AsyncInferenceModels(runner)
        self.gateway = AsyncGateway(runner)
