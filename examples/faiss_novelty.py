"""Exact nearest rows a second by faiss's IndexFlatL2, to set beside `gta bench novelty` on the same machine.

    pip install faiss-cpu==1.12.0 numpy && python examples/faiss_novelty.py [THREADS [ROUNDS [QUERIES [ROWS]]]]

Data and queries are drawn from the distributions of `gta bench novelty`, 23 numbers a row:

- gaussian: independent normal numbers;
- correlated: five normal factors times normal loadings, plus normal noise of 0.1 on each number;
- beside data: the same data, and queries that are rows of it plus normal noise of 0.05 on each number.

Prints the median over rounds, the slowest and the fastest, and the processor time of all threads for one query, which is
comparable on a busy machine, too. On an AMD EPYC with AVX2 the wheels 1.11.0, 1.12.0 and 1.13.2 of faiss-cpu were alike,
1.7.4, 1.9.0 and 1.10.0 slower, and 1.15.1 several times slower: it does not use matrix products here.
"""

import os
import sys

THREADS, ROUNDS, QUERIES, ROWS = (list(map(int, sys.argv[1:])) + [2, 3, 4096, 1_000_000][len(sys.argv) - 1:])[:4]
# Before OpenBLAS is loaded; its threads must not spin where the machine is shared.
os.environ.update(OMP_NUM_THREADS=str(THREADS), OPENBLAS_NUM_THREADS=str(THREADS), OMP_WAIT_POLICY="passive")

import resource
import statistics
import time

import faiss
import numpy as np

DIM, FACTORS = 23, 5


def draw(kind, rng):
    def normal(*shape):
        return rng.standard_normal(shape, dtype=np.float32)

    if kind == "gaussian":
        return normal(ROWS, DIM), normal(QUERIES, DIM)
    loadings = normal(FACTORS, DIM)
    data = normal(ROWS, FACTORS) @ loadings + np.float32(0.1) * normal(ROWS, DIM)
    if kind == "correlated":
        return data, normal(QUERIES, FACTORS) @ loadings + np.float32(0.1) * normal(QUERIES, DIM)
    near = data[np.arange(QUERIES) * ROWS // QUERIES]
    return data, near + np.float32(0.05) * normal(QUERIES, DIM)


def busy():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main():
    faiss.omp_set_num_threads(THREADS)
    for kind in ("gaussian", "correlated", "beside data"):
        data, queries = draw(kind, np.random.default_rng(0))
        index = faiss.IndexFlatL2(DIM)
        index.add(data)
        index.search(queries[:64], 1)
        rates, before = [], busy()
        for _ in range(ROUNDS):
            start = time.perf_counter()
            index.search(queries, 1)
            rates.append(QUERIES / (time.perf_counter() - start))
        cpu = 1e3 * (busy() - before) / (ROUNDS * QUERIES)
        spread = f"({min(rates):.0f} to {max(rates):.0f})"
        print(f"{kind:<12}  {statistics.median(rates):>8.0f} queries/s {spread}  {cpu:>6.3f} ms of CPU each", flush=True)


main()
