"""Opens what the program exported by the libraries that people open such data with.

    python read.py FOLDER [--write]

`cargo xtask readers` makes FOLDER and runs this. Every number that a library gives is compared with what the program
says of the same data; what was seen is compared with transcript.txt, or written there.
"""

import json
import sys
from pathlib import Path

import d4rl_files
import d3rlpy_buffers
import minari_sets
import tensorboard_events
from transcript import Transcript


def main():
    folder, write = Path(sys.argv[1]), "--write" in sys.argv[2:]
    said = {name: json.loads((folder / f"{name}.json").read_text()) for name in ["source", "augmented", "minari"]}
    seen = Transcript()

    seen.title("h5py, source.hdf5")
    d4rl_files.read(folder / "source.hdf5", said["source"], seen)
    seen.title("h5py, augmented.hdf5")
    columns = d4rl_files.read(folder / "augmented.hdf5", said["augmented"], seen)
    seen.title("D4RL's conventions, augmented.hdf5")
    d4rl_files.read_as_d4rl(columns, seen)
    seen.title("Minari, gta/hopper-v0")
    dataset = minari_sets.read("gta/hopper-v0", said["minari"], columns, seen)
    seen.title("d3rlpy, augmented.hdf5")
    d3rlpy_buffers.read_columns(columns, said["augmented"], seen)
    seen.title("d3rlpy, gta/hopper-v0 by Minari")
    d3rlpy_buffers.read_minari(dataset, columns, folder, seen)
    seen.title("TensorBoard, run")
    for seed in ["seed-0", "seed-1"]:
        tensorboard_events.read(folder / "run" / seed, seen)

    if write:
        seen.write()
    elif differences := seen.differences():
        sys.exit("\n".join(["", "the transcript has changed; where that is meant, run `cargo xtask readers --write`:"] + differences))


if __name__ == "__main__":
    main()
