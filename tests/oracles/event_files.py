#!/usr/bin/env python3
"""Writes tests/fixtures/training/event_file.json: TensorBoard's bytes for a few events.

The tensorboard package makes the protobuf messages and the TFRecord frames (tensorboard 2.21.0, protobuf 7.36.2).
"""
import io
import json
import os

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


class Sink(io.BytesIO):
    def close(self):
        pass


def frame(event):
    sink = Sink()
    writer = RecordWriter(sink)
    writer.write(event.SerializeToString())
    return list(sink.getvalue())


def scalars(wall_time, step, values):
    event = Event(wall_time=wall_time, step=step, summary=Summary(
        value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values]))
    return {"wall_time": wall_time, "step": step, "frame": frame(event),
            "values": [{"tag": tag, "value": value} for tag, value in values]}


rows = [scalars(1700000000.25, 1, [("train/loss", 1.5)]),
        scalars(1700000001.5, 300, [("train/loss", 0.1234), ("train/learning_rate", 2e-4), ("eval/loss", 1e10)]),
        scalars(1700000002.0, 1 << 40, [("x" * 200, -1.0)])]
fixture = {"wall_time": 1700000000.0, "scalars": rows,
           "version_frame": frame(Event(wall_time=1700000000.0, file_version="brain.Event:2"))}
folder = os.path.join(os.path.dirname(__file__), "..", "fixtures", "training")
os.makedirs(folder, exist_ok=True)
with open(os.path.join(folder, "event_file.json"), "w") as file:
    json.dump(fixture, file)
    file.write("\n")
