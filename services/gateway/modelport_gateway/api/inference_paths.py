"""The inference routes as /openapi.json shows them: they leave ASGI, so FastAPI cannot describe them itself."""

from typing import Any

_METHODS = ("get", "post", "put", "patch", "delete", "head", "options")
_BASE = "/apis/inference-gateway/v2/workspaces/{workspace}"
_ERRORS = {
    "400": "the request cannot be forwarded as it is",
    "404": "no such provider, model or virtual model",
    "413": "the request is too large",
    "422": "a name in the path is not legal",
    "424": "the provider's secret is not to be had",
    "502": "the provider cannot be reached, or broke the protocol",
    "503": "the routing table or the gateway cannot serve this now",
    "504": "the provider took too long; `code` says in which phase",
    "508": "the request has been through this gateway before",
}


def _parameter(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "description": description, "schema": {"type": "string"}}


_WORKSPACE = _parameter("workspace", "The workspace.")
_REST = _parameter("rest", "What follows `/-/`, slashes included; it goes to the provider as it is.")


def _forwarding(summary: str, description: str, parameters: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    item: dict[str, Any] = {"parameters": parameters}
    for method in _METHODS:
        item[method] = {
            "tags": ["inference"],
            "summary": summary,
            "description": description,
            "operationId": f"forward_{kind}_{method}",
            "responses": {
                "default": {"description": "The provider's reply, unchanged."},
                **{
                    status: {
                        "description": f"From the gateway: {meaning}. The header "
                        "x-modelport-error-origin tells its errors from the provider's.",
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
                    }
                    for status, meaning in _ERRORS.items()
                },
            },
        }
    return item


def inference_description() -> dict[str, Any]:
    """Build the part of the OpenAPI description that tells of the inference routes."""
    name = _parameter("name", "The provider's or virtual model's name.")
    model_id = _parameter("id", "`workspace/name` or `name`.")
    return {
        "paths": {
            f"{_BASE}/provider/{{name}}/-/{{rest}}": _forwarding(
                "Reach a provider",
                "Forwards to the provider, whatever its status. The body is unchanged, save for extra bodies.",
                [_WORKSPACE, name, _REST],
                "provider",
            ),
            f"{_BASE}/model/{{name}}/-/{{rest}}": _forwarding(
                "Reach a model",
                "Forwards to a provider of the virtual model; in a JSON object `model` becomes the provider's id.",
                [_WORKSPACE, name, _REST],
                "model",
            ),
            f"{_BASE}/openai/-/{{rest}}": _forwarding(
                "Reach the model that the body names",
                "Forwards to a provider of the virtual model that the JSON object's `model` names.",
                [_WORKSPACE, _REST],
                "openai",
            ),
            f"{_BASE}/openai/-/v1/models": {
                "parameters": [_WORKSPACE],
                "get": {
                    "tags": ["inference"],
                    "summary": "List the models that can be called",
                    "operationId": "list_openai_models",
                    "responses": {
                        "200": {
                            "description": "The usable virtual models.",
                            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/OpenAIModels"}}},
                        }
                    },
                },
            },
            f"{_BASE}/openai/-/v1/models/{{id}}": {
                "parameters": [_WORKSPACE, model_id],
                "get": {
                    "tags": ["inference"],
                    "summary": "Show a model that can be called",
                    "operationId": "get_openai_model",
                    "responses": {
                        "200": {
                            "description": "The virtual model.",
                            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/OpenAIModel"}}},
                        }
                    },
                },
            },
        },
        "components": {
            "schemas": {
                "OpenAIModel": {
                    "type": "object",
                    "properties": {
                        "id": {"type": "string", "description": "`workspace/name`."},
                        "object": {"const": "model"},
                        "created": {"type": "integer", "description": "Unix seconds."},
                        "owned_by": {"type": "string", "description": "The workspace."},
                    },
                },
                "OpenAIModels": {
                    "type": "object",
                    "properties": {
                        "object": {"const": "list"},
                        "data": {"type": "array", "items": {"$ref": "#/components/schemas/OpenAIModel"}},
                    },
                },
            }
        },
    }
