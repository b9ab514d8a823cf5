"""Keys of the data: the benchmark and its features. Free of torch."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from bridgelab.config.schema.base import ClassKeys, Count, Keys, Name, PathName, ProperShare, Seed, Share


class Published(Keys):
    """Sizes of each split, which `bridgelab doctor` assumes until the data are here."""

    images: dict[Literal["train", "val", "test"], Count] = Field({})
    examples: dict[Literal["train", "val", "test"], Count] = Field({})


Column = Literal[
    "id", "image", "images", "question", "answer", "answers", "choices", "answer_index", "caption", "split", "group", "tags",
]  # fmt: skip


class Benchmark(ClassKeys):
    of_any_class: ClassVar[frozenset[str] | None] = frozenset({"root", "published"})
    root: PathName
    published: Published | None = None
    name: Name = ""
    hub: Name | None = None
    config: Name | None = None
    revision: Name | None = None
    train: Name | None = None
    val: Name | None = None
    test: Name | None = None
    val_share: ProperShare = 0.5
    test_share: ProperShare = 0.5
    train_folder: Name = ""
    test_folder: Name = ""
    seed: Seed = 0
    variant: Name = ""
    type_column: Name = ""
    prompt: Name = ""
    question_prompt: Name = ""
    choice_prompt: Name = ""
    caption_prompt: Name = ""
    questions: Name = ""
    annotations: Name | None = None
    image: Name = ""
    images: Name | dict[str, Count] = ""  # a folder; for the built-in world, each split's number of images
    file: Name | None = None
    files: dict[Literal["train", "val", "test"], Name] = Field({})
    columns: dict[Column, Name | list[Name] | None] = Field({})
    tags: list[Name] = Field([])
    breakdown: Name | None = None
    blank: Name | None = None
    shift: Name | None = None
    objects: Annotated[list[Count], Field(min_length=2, max_length=2)] = Field([1, 1])
    processes: Count = 1
    questions_per_image: Count = 1
    images_per_question: Count = 1
    size: Count = 1


class MaxLength(Keys):
    prompt: Count | None
    answer: Count | None


class Data(Keys):
    features: Literal["store", "online"]
    dtype: Literal["bfloat16", "float16", "float32", "int8"]
    on_error: Literal["refuse", "skip"]
    max_skipped: Share
    max_length: MaxLength
