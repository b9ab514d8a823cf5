"""TensorBoard's files, read record by record."""

import csv
import struct

from tensorboardX.proto.event_pb2 import Event

from bridgelab.training import main


def events(path):
    content, place = path.read_bytes(), 0
    while place < len(content):  # a record: its length, a checksum of that, itself, a checksum
        (length,) = struct.unpack_from("<Q", content, place)
        yield Event.FromString(content[place + 12 : place + 12 + length])
        place += length + 16


def test_a_run_tells_tensorboard_what_it_tells_its_own_file(tiny, config, tmp_path):
    run = tmp_path / "toy" / "a"
    main.run(
        config("logger=tensorboard", "bridge=linear", "train.lr=0.01", "train.log_every=1"),
        run,
        bridge="linear",
    )
    (path,) = (run / "tensorboard").glob("events.out.tfevents.*")
    told = {
        (event.step, value.tag): value.simple_value for event in events(path) for value in event.summary.value
    }
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    kept = {
        (int(row["step"]), name): float(row[name])
        for row in rows
        for name in ("train/loss", "val/accuracy", "val/loss")
        if row[name]
    }
    assert len({step for step, name in kept if name == "train/loss"}) == 6
    assert {key: round(told[key], 5) for key in kept} == {key: round(value, 5) for key, value in kept.items()}
