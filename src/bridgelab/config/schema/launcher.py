"""Keys of the launchers of a sweep. Free of torch."""

from typing import Any

from pydantic import Field

from bridgelab.config.schema.base import ClassKeys, Count, Keys, Name, Number, Positive


class Launcher(ClassKeys):
    slots: Count | None = None
    gpus_per_job: Count | None = None
    threads: Count | None = None
    finished: Name
    timeout_min: Count = 1
    signal_delay_s: Number = 0
    array_parallelism: Count = 1
    cpus_per_task: Count = 1
    mem_gb: Positive | None = None
    stderr_to_stdout: bool = True
    setup: list[str] | None = None
    srun_args: list[str] | None = None
    additional_parameters: dict[str, Any] = Field({})


class Hydra(Keys):
    launcher: Launcher


class Sweep(Keys):
    hydra: Hydra
