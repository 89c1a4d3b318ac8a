"""d3rlpy's replay buffers, filled by its own loaders.

`d3rlpy.datasets.get_minari` is not among them: of d3rlpy 2.8.1, it joins Minari's T + 1 observations of each episode to its
T actions as if they were T, so that from the second episode on observations belong to other actions. The buffer is made
of Minari's episodes instead.
"""

import d3rlpy
import numpy as np
import structlog
from d3rlpy.dataset import Episode, InfiniteBuffer, MDPDataset, ReplayBuffer, create_infinite_replay_buffer
from d3rlpy.logging import NoopAdapterFactory

BATCH = 64

# d3rlpy logs everything it does; only errors are of interest here.
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))


def read_columns(columns, said, seen):
    """As d3rlpy reads D4RL's files: the columns into an MDPDataset. An agent then learns from it."""
    names = ["observations", "actions", "rewards", "terminals", "timeouts"]
    buffer = MDPDataset(**{name: columns[name] for name in names})
    look(buffer, columns, seen)
    assert len(buffer.episodes) == said["report"]["episodes"]
    assert sum(episode.terminated for episode in buffer.episodes) == said["report"]["terminated"]
    seen.say("episodes and terminations are those of `gta inspect`", len(buffer.episodes))

    agent = d3rlpy.algos.TD3PlusBCConfig(batch_size=BATCH).create(device=False)
    quiet = {"logger_adapter": NoopAdapterFactory(), "show_progress": False, "save_interval": 1000}
    agent.fit(buffer, n_steps=10, n_steps_per_epoch=10, **quiet)
    actions = agent.predict(columns["observations"][:5])
    assert actions.shape == (5, columns["actions"].shape[1]) and np.isfinite(actions).all()
    seen.say("TD3+BC takes 10 steps on it and acts")


def read_minari(dataset, columns, folder, seen):
    """Minari's episodes in d3rlpy's buffer; d3rlpy's own file of them and back."""
    episodes = [
        Episode(
            observations=episode.observations[:-1],
            actions=episode.actions,
            rewards=episode.rewards.reshape(-1, 1),
            terminated=bool(episode.terminations[-1]),
        )
        for episode in dataset.iterate_episodes()
    ]
    buffer = create_infinite_replay_buffer(episodes)
    look(buffer, columns, seen)
    path = folder / "d3rlpy.h5"
    # h5py reads what it wrote.
    with open(path, "w+b") as file:
        buffer.dump(file)
    with open(path, "rb") as file:
        again = ReplayBuffer.load(file, InfiniteBuffer())
    assert again.transition_count == buffer.transition_count and len(again.episodes) == len(buffer.episodes)
    seen.say("the same after d3rlpy's own file", again.transition_count)


def look(buffer, columns, seen):
    """Compares a buffer with the columns it was made of."""
    observations = np.concatenate([episode.observations for episode in buffer.episodes])
    assert np.allclose(observations, columns["observations"], rtol=0, atol=1e-6)
    # The last transition of an episode that was cut has no next observation here, and is no transition.
    expected = len(observations) - sum(not episode.terminated for episode in buffer.episodes)
    assert buffer.transition_count == expected
    seen.say("transitions are the rows less one for each episode that was cut", f"{expected} of {len(observations)}")

    batch = buffer.sample_transition_batch(BATCH)
    parts = ["observations", "actions", "rewards", "next_observations", "terminals"]
    for name in parts:
        values = getattr(batch, name)
        seen.say(f"{name}: {values.dtype} {['B', *values.shape[1:]]}".replace("'", ""))
    for index in range(BATCH):
        row = np.flatnonzero(
            np.isclose(columns["observations"], batch.observations[index], rtol=0, atol=1e-6).all(axis=1)
            & np.isclose(columns["actions"], batch.actions[index], rtol=0, atol=1e-6).all(axis=1)
        )
        assert len(row) == 1
        row = row[0]
        assert np.isclose(batch.rewards[index, 0], columns["rewards"][row], rtol=0, atol=1e-6)
        assert batch.terminals[index, 0] == columns["terminals"][row]
        if not columns["terminals"][row]:
            assert np.allclose(batch.next_observations[index], columns["next_observations"][row], rtol=0, atol=1e-6)
    seen.say(f"{BATCH} sampled transitions are rows of the file, next observations included")

    window = buffer.sample_trajectory(5)
    assert window.observations.shape == (5, columns["observations"].shape[1])
    seen.say(f"sample_trajectory(5): observations {list(window.observations.shape)}, returns {list(window.returns_to_go.shape)}")
