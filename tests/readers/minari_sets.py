"""Minari's datasets, by its own loader."""

import minari
import numpy as np

from d4rl_files import close


def read(name, said, columns, seen):
    """Loads a dataset from $MINARI_DATASETS_PATH, compares it with `gta inspect` and with the columns of the D4RL file of the
    same transitions, and gives it."""
    assert list(minari.list_local_datasets()) == [name]
    seen.say(f"list_local_datasets has {name} alone")
    dataset = minari.load_dataset(name)
    report = said["report"]
    assert dataset.total_steps == report["rows"] and dataset.total_episodes == report["episodes"]
    for what, space in [("observation", dataset.observation_space), ("action", dataset.action_space)]:
        seen.say(f"{what}_space: {type(space).__name__} {space.dtype} {space.shape}, bounded {space.is_bounded()}")

    episodes = list(dataset.iterate_episodes())
    assert [episode.id for episode in episodes] == list(range(dataset.total_episodes))
    for key in ["observations", "actions", "rewards", "terminations", "truncations"]:
        values = [getattr(episode, key) for episode in episodes]
        steps = [len(episode) + (key == "observations") for episode in episodes]
        assert [len(value) for value in values] == steps, key
        of = ["T + 1" if key == "observations" else "T", *values[0].shape[1:]]
        seen.say(f"{key}: {values[0].dtype} {of}".replace("'", ""))
    joined = lambda parts: np.concatenate(list(parts))
    for key, parts in [
        ("observations", (episode.observations[:-1] for episode in episodes)),
        ("next_observations", (episode.observations[1:] for episode in episodes)),
        ("actions", (episode.actions for episode in episodes)),
        ("rewards", (episode.rewards for episode in episodes)),
        ("terminals", (episode.terminations for episode in episodes)),
        ("timeouts", (episode.truncations for episode in episodes)),
    ]:
        assert np.allclose(joined(parts), columns[key], rtol=0, atol=1e-6), key
    close(np.mean([episode.rewards.sum(dtype=np.float64) for episode in episodes]), report["returns"]["mean"])
    seen.say("the same transitions as augmented.hdf5", f"{dataset.total_steps} in {dataset.total_episodes} episodes")
    assert all(dataset.observation_space.contains(row) for episode in episodes for row in episode.observations)
    seen.say("every observation lies in the space")

    sampled = dataset.sample_episodes(5)
    assert len(sampled) == 5 and all(len(episode.observations) == len(episode) + 1 for episode in sampled)
    seen.say("sample_episodes(5) gives 5")
    ended = dataset.filter_episodes(lambda episode: bool(episode.terminations[-1]))
    assert ended.total_episodes == sum(episode.terminations.any() for episode in episodes) > 0
    seen.say("filter_episodes finds those that terminated", ended.total_episodes)

    provenance = dataset.storage.metadata["provenance"]
    seen.say(f"provenance: {', '.join(sorted(provenance))}")
    recorded = int(provenance["recorded_transitions"])
    assert recorded in np.cumsum([len(episode) for episode in episodes])
    seen.say("generated transitions begin with an episode", recorded)
    return dataset
