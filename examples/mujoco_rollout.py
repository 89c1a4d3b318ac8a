"""Transitions a second of MuJoCo's own C loop, to set beside `gta bench oracle` on the same machine.

    pip install mujoco==3.17.0 gymnasium==1.4.0 numpy && python examples/mujoco_rollout.py [THREADS [ROUNDS]]

Steps HalfCheetah from 4,096 states for one control step (5 steps of the simulation) by `mujoco.rollout` with each number of
threads up to THREADS; states and actions are drawn as `gta bench oracle` draws its own. Prints one JSON line a figure: the
median over rounds of a second, the least and the most.
"""

import json
import statistics
import sys
import time
from pathlib import Path

import gymnasium
import mujoco
import numpy as np
from mujoco import rollout

ROWS, SUBSTEPS = 4096, 5


def main():
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    assets = Path(gymnasium.__file__).parent / "envs/mujoco/assets"
    model = mujoco.MjModel.from_xml_path(str(assets / "half_cheetah.xml"))
    rng = np.random.default_rng(0)
    states = np.zeros((ROWS, mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS)))
    states[:, 1:1 + model.nq + model.nv] = 0.1 * rng.standard_normal((ROWS, model.nq + model.nv))
    actions = np.tanh(0.5 * rng.standard_normal((ROWS, 1, model.nu))).repeat(SUBSTEPS, axis=1)
    for count in range(1, threads + 1):
        data = [mujoco.MjData(model) for _ in range(count)]
        with rollout.Rollout(nthread=count if count > 1 else 0) as loop:
            loop.rollout(model, data, states, actions)
            rates = []
            for _ in range(rounds):
                start, done = time.perf_counter(), 0
                while time.perf_counter() - start < 1:
                    loop.rollout(model, data, states, actions)
                    done += ROWS
                rates.append(done / (time.perf_counter() - start))
        print(json.dumps({"name": f"mujoco.rollout.{count}_threads", "value": round(statistics.median(rates)),
                          "unit": "transitions/s", "least": round(min(rates)), "most": round(max(rates))}), flush=True)


if __name__ == "__main__":
    main()
