"""Updates a second of TD3+BC, IQL and CQL in PyTorch, to set beside `gta bench agents` on the same machine.

    pip install torch==2.11.0 numpy && python examples/pytorch_updates.py [THREADS [ROUNDS]]

Each algorithm does per update what the implementations used for the paper's tables do: one module a critic,
`torch.optim.Adam`, targets that follow tensor by tensor, losses read out at every update, and sampling from 100,000
rows of 17-d observations and 6-d actions included. Prints the median over rounds of one second, the slowest, the fastest;
first how fast these threads multiply matrices of the networks' width, which bounds all of them, and how fast rows are drawn
alone from buffers of several sizes, as they are and normalised.
"""

import copy
import statistics
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

OBS, ACT, ROWS, GAMMA, TAU = 17, 6, 100_000, 0.99, 0.005


def mlp(*sizes):
    layers = [m for a, b in zip(sizes, sizes[1:]) for m in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def q(net, obs, act):
    return net(torch.cat([obs, act], -1)).squeeze(-1)


def step(optimiser, loss):
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def follow(target, source):
    for t, s in zip(target.parameters(), source.parameters()):
        t.data.copy_((1 - TAU) * t.data + TAU * s.data)


def adam(*nets, rate=3e-4):
    return torch.optim.Adam([p for net in nets for p in net.parameters()], lr=rate)


class Buffer:
    def __init__(self, rows=ROWS):
        self.columns = [torch.randn(rows, OBS), torch.rand(rows, ACT) * 2 - 1, torch.randn(rows),
                        torch.randn(rows, OBS), torch.zeros(rows)]
        self.mean, self.std = self.columns[0].mean(0), self.columns[0].std(0)

    def sample(self, batch):
        rows = np.random.randint(0, len(self.columns[2]), size=batch)
        return [column[rows] for column in self.columns]

    def sample_normalised(self, batch):
        """The same with both observations in the agent's units, as the published loops take them."""
        obs, act, reward, after, end = self.sample(batch)
        return (obs - self.mean) / self.std, act, reward, (after - self.mean) / self.std, end


class Td3Bc:
    def __init__(self):
        self.actor = nn.Sequential(mlp(OBS, 256, 256, ACT), nn.Tanh())
        self.critics = [mlp(OBS + ACT, 256, 256, 1) for _ in range(2)]
        self.targets = copy.deepcopy([self.actor, *self.critics])
        self.actor_adam, self.critic_adams = adam(self.actor), [adam(c) for c in self.critics]
        self.count = 0

    def update(self, obs, act, reward, next_obs, done):
        self.count += 1
        with torch.no_grad():
            noise = (torch.randn_like(act) * 0.2).clamp(-0.5, 0.5)
            next_act = (self.targets[0](next_obs) + noise).clamp(-1, 1)
            value = torch.min(*(q(t, next_obs, next_act) for t in self.targets[1:]))
            aim = reward + (1 - done) * GAMMA * value
        loss = sum(F.mse_loss(q(c, obs, act), aim) for c in self.critics)
        for optimiser in self.critic_adams:
            optimiser.zero_grad()
        loss.backward()
        for optimiser in self.critic_adams:
            optimiser.step()
        loss.item()
        if self.count % 2 == 0:
            pi = self.actor(obs)
            value = q(self.critics[0], obs, pi)
            weight = 2.5 / value.abs().mean().detach()
            loss = -weight * value.mean() + F.mse_loss(pi, act)
            step(self.actor_adam, loss)
            loss.item()
            for target, source in zip(self.targets, [self.actor, *self.critics]):
                follow(target, source)


class Iql:
    def __init__(self):
        self.actor, self.log_std = mlp(OBS, 256, 256, ACT), nn.Parameter(torch.zeros(ACT))
        self.critics = nn.ModuleList(mlp(OBS + ACT, 256, 256, 1) for _ in range(2))
        self.target, self.value = copy.deepcopy(self.critics), mlp(OBS, 256, 256, 1)
        self.adams = [adam(self.value), adam(self.critics), torch.optim.Adam([*self.actor.parameters(), self.log_std], 3e-4)]
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.adams[2], 1_000_000)

    def update(self, obs, act, reward, next_obs, done):
        with torch.no_grad():
            next_value = self.value(next_obs).squeeze(-1)
            best = torch.min(*(q(t, obs, act) for t in self.target))
        advantage = best - self.value(obs).squeeze(-1)
        loss = (torch.abs(0.7 - (advantage < 0).float()) * advantage**2).mean()
        loss.item()
        step(self.adams[0], loss)
        aim = reward + (1 - done) * GAMMA * next_value
        loss = sum(F.mse_loss(q(c, obs, act), aim) for c in self.critics) / 2
        loss.item()
        step(self.adams[1], loss)
        follow(self.target, self.critics)
        weight = torch.exp(3 * advantage.detach()).clamp(max=100)
        policy = torch.distributions.Normal(self.actor(obs), self.log_std.clamp(-20, 2).exp())
        loss = (weight * -policy.log_prob(act).sum(-1)).mean()
        loss.item()
        step(self.adams[2], loss)
        self.schedule.step()


class Cql:
    def __init__(self):
        self.actor = mlp(OBS, 256, 256, 256, 2 * ACT)
        self.critics = [mlp(OBS + ACT, 256, 256, 256, 1) for _ in range(2)]
        self.targets = copy.deepcopy(self.critics)
        self.log_alpha = nn.Parameter(torch.zeros(1))
        self.adams = [adam(self.actor, rate=3e-5), adam(*self.critics), torch.optim.Adam([self.log_alpha], 3e-5)]

    def draw(self, obs, repeat=None):
        mean, log_std = self.actor(obs).chunk(2, -1)
        if repeat:
            mean, log_std = (x.unsqueeze(1).expand(-1, repeat, -1) for x in (mean, log_std))
        policy = torch.distributions.Normal(mean, (log_std - 1).clamp(-20, 2).exp())
        raw = policy.rsample()
        jacobian = 2 * (np.log(2) - raw - F.softplus(-2 * raw))
        return torch.tanh(raw), (policy.log_prob(raw) - jacobian).sum(-1)

    def update(self, obs, act, reward, next_obs, done):
        pi, log_pi = self.draw(obs)
        alpha_loss = -(self.log_alpha * (log_pi - ACT).detach()).mean()
        alpha = self.log_alpha.exp()
        policy_loss = (alpha * log_pi - torch.min(*(q(c, obs, pi) for c in self.critics))).mean()
        with torch.no_grad():
            next_act, _ = self.draw(next_obs)
            aim = reward + (1 - done) * GAMMA * torch.min(*(q(t, next_obs, next_act) for t in self.targets))
        batch = len(obs)
        uniform = torch.rand(batch, 10, ACT) * 2 - 1
        here, log_here = self.draw(obs, 10)
        there, log_there = self.draw(next_obs, 10)
        (here, log_here, there, log_there) = (x.detach() for x in (here, log_here, there, log_there))
        many = obs.unsqueeze(1).expand(-1, 10, -1).reshape(batch * 10, OBS)
        loss = 0
        for critic in self.critics:
            taken = q(critic, obs, act)
            values = [q(critic, many, a.reshape(-1, ACT)).view(batch, 10) for a in (uniform, there, here)]
            corrected = [values[0] - ACT * np.log(0.5), values[1] - log_there, values[2] - log_here]
            gap = (torch.logsumexp(torch.cat(corrected, 1), 1) - taken).mean()
            loss = loss + F.mse_loss(taken, aim) + 10 * gap
        step(self.adams[2], alpha_loss)
        self.adams[0].zero_grad()
        policy_loss.backward()
        self.adams[0].step()
        self.adams[1].zero_grad()
        loss.backward()
        self.adams[1].step()
        (alpha_loss.item(), policy_loss.item(), loss.item())
        for target, source in zip(self.targets, self.critics):
            follow(target, source)


def rate(work):
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < 1:
        work()
        count += 1
    return count / (time.perf_counter() - start)


def figure(name, rates, unit, digits=1):
    spread = f"({min(rates):.{digits}f} to {max(rates):.{digits}f})"
    print(f"{name}  {statistics.median(rates):>8.{digits}f} {unit} {spread}", flush=True)


def main():
    threads, rounds = (list(map(int, sys.argv[1:])) + [torch.get_num_threads(), 7][len(sys.argv) - 1:])[:2]
    torch.set_num_threads(threads)
    tall, square = torch.randn(1024, 256), torch.randn(256, 256)
    products = [2e-9 * 1024 * 256 * 256 * rate(lambda: torch.mm(tall, square)) for _ in range(rounds)]
    figure("1024 x 256 by 256 x 256", products, "GFLOP/s", 0)
    for rows in (10_000, 100_000, 1_000_000):
        large = Buffer(rows)
        drawn = [1024 * rate(lambda: large.sample(1024)) for _ in range(rounds)]
        figure(f"buffer of {rows:>7} rows, batch 1024", drawn, "transitions/s", 0)
        drawn = [1024 * rate(lambda: large.sample_normalised(1024)) for _ in range(rounds)]
        figure(f"buffer of {rows:>7} rows, normalised", drawn, "transitions/s", 0)
    buffer = Buffer()
    for name, kind in [("td3_bc", Td3Bc), ("iql", Iql), ("cql", Cql)]:
        for batch in (256, 1024):
            agent = kind()
            update = lambda: agent.update(*buffer.sample(batch))
            for _ in range(5):
                update()
            figure(f"{name:<8} batch {batch:>5}", [rate(update) for _ in range(rounds)], "updates/s")


main()
