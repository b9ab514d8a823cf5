"""Types of values, and the models that others inherit from. Free of torch."""

from pathlib import Path
from typing import Annotated

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
    """Keys of a class that the config names. A class from outside bridgelab may have undeclared keys, which are not checked."""

    model_config = ConfigDict(extra="allow")
    target: Name = Field(alias="_target_")
    partial: bool = Field(False, alias="_partial_")

    @model_validator(mode="after")
    def _check_declared(self) -> "ClassKeys":
        if self.target.startswith(OWN) and self.model_extra:
            unknown = sorted(self.model_extra)[0]
            known = [field.alias or name for name, field in type(self).model_fields.items()]
            context = {"key": unknown, "hint": nearest(unknown, known)}
            raise PydanticCustomError("unknown", "there is no such key{hint}", context)
        return self
