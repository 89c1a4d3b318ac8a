"""D4RL's HDF5 files: every dataset in them, and what those who read them by its conventions get."""

import h5py
import numpy as np

COLUMNS = ["observations", "actions", "rewards", "next_observations", "terminals", "timeouts"]


def read(path, said, seen):
    """Opens a file, compares it with what `gta inspect` says of it, and gives its columns and what it says of itself."""
    with h5py.File(path, "r") as file:
        names = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        values = {name: file[name][()] for name in names}
    rows = said["report"]["rows"]
    texts = {name: value.decode() for name, value in values.items() if isinstance(value, bytes)}
    for name in sorted(values):
        if name in texts:
            seen.say(f"{name}: text", texts[name][:60])
        else:
            shape = ["N" if size == rows else "E" if name.endswith("episode_ends") else size for size in values[name].shape]
            seen.say(f"{name}: {values[name].dtype} {shape}".replace("'", ""), values[name].shape)
    columns = {name: values[name] for name in COLUMNS}
    columns |= {name.removeprefix("metadata/"): text for name, text in texts.items()}
    columns["episode_ends"] = values["metadata/episode_ends"]

    report = said["report"]
    assert columns["observations"].shape == (rows, report["obs_dim"])
    assert columns["actions"].shape == (rows, report["action_dim"])
    assert len(columns["episode_ends"]) == report["episodes"]
    assert columns["terminals"].sum() == report["terminated"]
    returns = [part.sum(dtype=np.float64) for part in np.split(columns["rewards"], columns["episode_ends"][:-1])]
    close(np.mean(returns), report["returns"]["mean"])
    close(np.max(returns), report["returns"]["max"])
    for column in said["statistics"]["columns"]:
        what, _, number = column["name"].partition(" ")
        values = columns[{"reward": "rewards", "action": "actions", "observation": "observations"}[what]]
        values = values[:, int(number)] if number else values
        for figure, ours in [("mean", np.mean), ("min", np.min), ("max", np.max), ("standard_deviation", np.std)]:
            close(ours(values.astype(np.float64)), column[figure])
    seen.say("numbers are those of `gta inspect`", f"{rows} rows, mean return {np.mean(returns):.3f}")
    return columns


def read_as_d4rl(columns, seen):
    """What D4RL's own `sequence_dataset` and `qlearning_dataset` would make of the columns.

    The former ends an episode at a terminal or a timeout. The latter takes the next row's observation for the next one,
    and leaves out rows that time out.
    """
    ends = np.flatnonzero(columns["terminals"] | columns["timeouts"]) + 1
    assert np.array_equal(ends, columns["episode_ends"])
    seen.say("flags end episodes exactly where `episode_ends` says", f"{len(ends)} episodes")
    assert not (columns["terminals"] & columns["timeouts"]).any()
    seen.say("no row is both terminal and timeout")

    used = ~columns["timeouts"][:-1]
    inside = used & ~columns["terminals"][:-1]
    difference = np.abs(columns["observations"][1:] - columns["next_observations"][:-1])[inside].max()
    assert difference <= 1e-6, difference
    seen.say("the next row's observation is the next observation within an episode", f"{used.sum()} rows, at most {difference}")

    recorded, generated = int(columns["recorded_transitions"]), int(columns["generated_transitions"])
    assert recorded + generated == len(columns["rewards"])
    assert recorded in columns["episode_ends"]
    seen.say("generated rows are [recorded_transitions:] and begin with an episode", f"{recorded} + {generated}")


def close(ours, theirs):
    assert np.isclose(ours, theirs, rtol=1e-6, atol=1e-6), (ours, theirs)
