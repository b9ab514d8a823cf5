"""Check a config before anything is read: every key with its type and range, as `schema/` declares them. Free of torch."""

from collections.abc import Sequence
from typing import Any, get_args

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError

from bridgelab.config.closest_key import nearest
from bridgelab.config.schema.base import ClassKeys
from bridgelab.config.schema.config import Config
from bridgelab.config.schema.launcher import Sweep

RULES = {  # messages by pydantic's error type
    "int_type": "must be an integer",
    "float_type": "must be a number",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be a mapping of keys",
    "model_type": "must be a mapping of keys",
    "string_too_short": "must not be empty",
    "missing": "must be given",
    "literal_error": "must be one of {expected}",
    "greater_than": "must be above {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be below {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "finite_number": "must be finite",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
}
SCALAR_ERRORS = ("int_type", "float_type", "string_type", "bool_type")


def check_config(config: DictConfig, schema: type[BaseModel] = Config) -> None:
    """Check a config before anything is read.

    Args:
        config: a config composed from `conf/train.yaml`, or from another primary config.
        schema: its keys.
    Raises:
        ValueError: with one line for each wrong key, which gives its value and the rule.
    """
    without_hydra = {key: value for key, value in config.items_ex(resolve=False) if key != "hydra"}
    try:
        content = OmegaConf.to_container(OmegaConf.create(without_hydra), resolve=True)
    except OmegaConfBaseException as error:
        raise ValueError(f"{error.full_key}: {str(error).splitlines()[0]}") from error
    check_content(content, schema)


def check_launcher(config: DictConfig) -> None:
    """Check the launcher of a sweep.

    Args:
        config: a config with Hydra's own keys.
    Raises:
        ValueError: with one line for each wrong key.
    """
    launcher = OmegaConf.to_container(config.hydra.launcher, resolve=True)
    check_content({"hydra": {"launcher": launcher}}, Sweep)


def check_content(content: Any, schema: type[BaseModel] = Config) -> None:
    """Check a config given as plain dictionaries, with its interpolations resolved.

    Raises:
        ValueError: with one line for each wrong key.
    """
    try:
        schema.model_validate(content)
    except ValidationError as error:
        raise ValueError("\n".join(_messages(error.errors(include_url=False), content, schema))) from None


def declared(schema: type[BaseModel] = Config, prefix: str = "") -> set[str]:
    """Return every declared key by its full name, such as `train.steps`."""
    keys = set()
    for name, field in schema.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        keys.add(key)
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                keys |= declared(kind, f"{key}.")
    return keys


def decided_elsewhere(key: str) -> str:
    """Return why a run's config does not take a key that its class takes, and what to do instead; nothing for other keys."""
    group, _, name = key.rpartition(".")
    node: type[BaseModel] = Config
    for part in group.split("."):
        field = node.model_fields.get(part)
        kinds = (field.annotation, *get_args(field.annotation)) if field else ()
        node = next(
            (kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), BaseModel
        )
    return node.of_the_run.get(name, "") if issubclass(node, ClassKeys) else ""


def _messages(errors: Sequence[Any], content: Any, schema: type[BaseModel]) -> list[str]:
    """Return one line for each wrong key. If one of several types would do, the line has the rule of each."""
    messages: dict[str, str] = {}
    for error in errors:
        kind, value, context = error["type"], error["input"], error.get("ctx", {})
        key = _full_key(error["loc"], content, keep_last=kind in ("missing", "extra_forbidden"))
        rule = RULES[kind].format(**context).replace("'", "") if kind in RULES else error["msg"]
        if kind == "unknown":
            messages[f"{key}.{context['key']}"] = f"{key}.{context['key']}: {rule}"
        elif kind == "instead":
            messages[f"{key}.{context['key']}"] = f"{key}.{context['key']}={context['value']}: {rule}"
        elif kind == "extra_forbidden":
            messages[key] = f"{key}: there is no such key{nearest(key, declared(schema))}"
        elif error["loc"][-1:] == ("[key]",):
            messages[key] = f"{key}: there is no such key, it {rule}"
        elif not key:  # a rule over several keys, which its message names
            messages[key] = rule
        elif key in messages:
            messages[key] += f", or {rule.removeprefix('must be ')}"
        elif kind == "missing":
            messages[key] = f"{key} {rule}"
        else:
            messages[key] = f"{key}={'null' if value is None else repr(value)}: {rule}"
            if isinstance(value, list) and kind in SCALAR_ERRORS:
                messages[key] += f"; a sweep over several is written -m {key}=A,B"
    deepest = [
        key for key in messages if not any(other.startswith((f"{key}.", f"{key}[")) for other in messages)
    ]
    return [messages[key] if messages[key].endswith("?") else f"{messages[key]}." for key in deepest]


def _full_key(location: Sequence[str | int], content: Any, *, keep_last: bool) -> str:
    """Return an error's location as a user writes it, such as `train.stages[0].share`.

    Parts of the location that are not in the content, such as a type that pydantic tried, are left out.

    Args:
        keep_last: keep the last part although it is not in the content, as the name of a key that is missing.
    """
    key, node = "", content
    for number, part in enumerate(location):
        if isinstance(node, dict) and (part in node or (keep_last and number == len(location) - 1)):
            key, node = f"{key}.{part}" if key else str(part), node.get(part)
        elif isinstance(node, list) and isinstance(part, int):
            key, node = f"{key}[{part}]", node[part]
    return key
