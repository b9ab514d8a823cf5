"""Types of values, and the models that others inherit from. Free of torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from bridgelab.config.closest_key import nearest

OWN = "bridgelab."  # classes whose keys are all declared here


def _without_tilde(path: str) -> str:
    if path.startswith("~"):
        raise PydanticCustomError(
            "home",
            "must not begin with '~', which a shell alone expands: give {expanded}",
            {"expanded": str(Path(path).expanduser())},
        )
    return path


Count = Annotated[int, Field(ge=1)]
Number = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
ProperShare = Annotated[float, Field(gt=0, lt=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Betas = Annotated[list[Decay], Field(min_length=2, max_length=2)]
Name = Annotated[str, Field(min_length=1)]
PathName = Annotated[Name, AfterValidator(_without_tilde)]


class Keys(BaseModel):
    """Keys of the config, each of which must be declared."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, validate_default=False)


class ClassKeys(Keys):
    """Keys of a class that the config names. A class from outside bridgelab may have undeclared keys, which are not checked.

    Attributes:
        of_any_class: the keys that are checked for a class from outside too, because bridgelab itself reads them; None for all that are
            declared. Its other keys are its own, whatever a class of bridgelab takes by the same name.
        of_the_run: keys that the class takes but a run decides elsewhere -> why, and what to do instead.
    """

    model_config = ConfigDict(extra="allow")
    of_any_class: ClassVar[frozenset[str] | None] = None
    of_the_run: ClassVar[Mapping[str, str]] = {}
    target: Name = Field(alias="_target_")
    partial: bool = Field(False, alias="_partial_")

    @model_validator(mode="before")
    @classmethod
    def _leave_out_its_own(cls, data: Any) -> Any:
        if cls.of_any_class is None or not isinstance(data, dict):
            return data
        target = data.get("_target_")
        if not isinstance(target, str) or target.startswith(OWN):
            return data
        return {
            key: value for key, value in data.items() if key in cls.of_any_class or str(key).startswith("_")
        }

    @model_validator(mode="after")
    def _check_declared(self) -> "ClassKeys":
        extra = self.model_extra or {}
        for key in sorted(self.of_the_run.keys() & extra.keys()):
            context = {"key": key, "value": str(extra[key]), "told": self.of_the_run[key]}
            raise PydanticCustomError("instead", "{told}", context)
        if self.target.startswith(OWN) and self.model_extra:
            unknown = sorted(self.model_extra)[0]
            known = [field.alias or name for name, field in type(self).model_fields.items()]
            context = {"key": unknown, "hint": nearest(unknown, known)}
            raise PydanticCustomError("unknown", "there is no such key{hint}", context)
        return self
