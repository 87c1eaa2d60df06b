"""What a record of Every Eval Ever says of a model: who made it, and how it was reached."""

from __future__ import annotations

import re

from lrm.exports.cell import Json, Part
from lrm.exports.json_text import placeless

_COMPONENT = re.compile(r"[^A-Za-z0-9._+=@-]+")
_RESERVED = {"con", "prn", "aux", "nul", "data", *(f"{name}{n}" for name in ("com", "lpt") for n in range(1, 10))}


def model_info(part: Part) -> Json:
    """Return `model_info`. A simulated model stands under a developer of that name, so that nobody takes it for a real one."""
    said = placeless(part.identity.get("checkpoint"))
    checkpoint = said if isinstance(said, str) else part.model
    platform: str | None = None
    if part.simulated:
        developer, named = "simulated", part.model
    elif part.backend == "litellm" and checkpoint.count("/") > 0:
        platform, _, rest = checkpoint.partition("/")
        developer, named = _split(rest) if "/" in rest else (platform, rest)
    else:
        developer, named = _split(checkpoint)
    details = {
        "deployment_type": {"vllm": "self_deployed", "litellm": "externally_managed"}.get(part.backend, "unknown"),
        "model_availability": "open_weights" if part.backend == "vllm" else "unknown",
        "lrm_model_id": part.model_id,
        "simulated": "true" if part.simulated else "false",
        "imported": "true" if part.imported else "false",
    }
    revision = part.identity.get("revision")
    if isinstance(revision, str):
        details["revision"] = revision
    made: Json = {
        "name": part.model,
        "id": f"{developer}/{named}",
        "developer": developer,
        "additional_details": details,
    }
    if platform is not None:
        made["inference_platform"] = platform
    if part.backend == "vllm":
        made["inference_engine"] = {"name": "vllm"}
    return made


def _split(checkpoint: str) -> tuple[str, str]:
    developer, slash, named = checkpoint.partition("/")
    return (developer, named) if slash and developer and named else ("unknown", checkpoint)


def path_name(text: str) -> str:
    """Return a text as one part of a path in the datastore, which takes no reserved names and no odd signs."""
    made = _COMPONENT.sub("_", text).strip(". ")[:120] or "x"
    return f"{made}_" if made.split(".", 1)[0].lower() in _RESERVED else made
