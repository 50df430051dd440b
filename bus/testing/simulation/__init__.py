"""Simulation: an application's histories from seeds, with crashes at any step and everything else that goes wrong.

From the outside in: `simulate.py` runs and shortens a history; `lives.py` is its row of processes, each on an event
loop of its own (`loop.py`), and `processes.py` are several such rows at a time, on one loop. In each life (`living.py`)
`clients.py` send what a workload (`workloads.py`) draws, and `stores.py` are the ports with their faults (`faults.py`).
What outlives a process is in `world.py`: the disk, the `model.py` that it is compared with, and who was granted which
`epochs.py`. `operations.py` holds each answer against the model, and `history.py` tells what happened.
"""
