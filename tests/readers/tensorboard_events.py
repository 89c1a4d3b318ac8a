"""TensorBoard's event files, by TensorBoard's own reader."""

import csv

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def read(folder, seen):
    """Compares the scalars of a seed's folder with its metrics.csv, value by value."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    with open(folder / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name != "update"]
    tags = events.Tags()
    assert sorted(tags["scalars"]) == sorted(names)
    seen.say(f"{folder.name}: scalars {', '.join(sorted(names))}")
    assert not any(found for kind, found in tags.items() if kind != "scalars"), tags
    for name in names:
        theirs = [(event.step, np.float32(event.value)) for event in events.Scalars(name)]
        ours = [(int(row["update"]), np.float32(row[name])) for row in rows if row[name] != ""]
        assert [step for step, _ in theirs] == [step for step, _ in ours], name
        assert np.array_equal([value for _, value in theirs], [value for _, value in ours], equal_nan=True), name
        times = [event.wall_time for event in events.Scalars(name)]
        assert times == sorted(times) and times[0] > 1.7e9
    steps = [event.step for event in events.Scalars(names[0])]
    seen.say(f"{folder.name}: steps {steps}, values as in metrics.csv")
