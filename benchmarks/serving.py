"""The server under twice the load that it can bear: status codes, latency, memory.

python benchmarks/serving.py --model RUN/model.safetensors --pictures DATASET/val/Images --minutes 10
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import httpx2
from memory import resident_mb
from record import add_result, record

MAX_WAITING = 16


class Load:
    """Clients that ask one after the other, until told to stop.

    Args:
        address: The server's.
        pictures: Picture files to send in turn.
        rate: Requests a second that are begun, together; 0: each client asks again when it has its answer.
        clients: How many ask at the same time.
    """

    def __init__(self, address: str, pictures: list[bytes], clients: int, rate: float = 0) -> None:
        self.statuses: Counter[str] = Counter()
        self.latencies: list[float] = []
        self._address, self._pictures, self._clients, self._rate = address, pictures, clients, rate
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._next = time.monotonic()

    def run(self, seconds: float) -> None:
        """Ask for so long."""
        self._next = time.monotonic()
        threads = [threading.Thread(target=self._ask, args=[index]) for index in range(self._clients)]
        for thread in threads:
            thread.start()
        self._end.wait(seconds)
        self._end.set()
        for thread in threads:
            thread.join()

    def _ask(self, index: int) -> None:
        with httpx2.Client(timeout=120) as client:
            while not self._end.is_set():
                if self._rate:
                    with self._lock:
                        due = self._next
                        self._next = max(due + 1 / self._rate, time.monotonic() - 1)
                    self._end.wait(max(0, due - time.monotonic()))
                index += 1
                start = time.monotonic()
                picture = self._pictures[index % len(self._pictures)]
                try:
                    url = f"{self._address}/v1/predict?format=labels"
                    status = str(client.post(url, content=picture, headers={"Content-Type": "image/jpeg"}).status_code)
                except httpx2.HTTPError as error:
                    status = type(error).__name__
                with self._lock:
                    self.statuses[status] += 1
                    if status == "200":
                        self.latencies.append(time.monotonic() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10)
    add_result(parser)
    arguments = parser.parse_args()
    pictures = [path.read_bytes() for path in sorted(arguments.pictures.iterdir())[:50]]
    command = [sys.executable, "-m", "segtune", "serve", arguments.model, "--port", "0", "--max-waiting", MAX_WAITING]
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    address = re.search(r"http://\S+", process.stdout.readline())[0]
    # As many as may wait: the server is never idle, has whole batches, and sends nobody away.
    at_capacity = Load(address, pictures, clients=MAX_WAITING)
    at_capacity.run(10)  # warms up
    at_capacity = Load(address, pictures, clients=MAX_WAITING)
    at_capacity.run(30)
    capacity = len(at_capacity.latencies) / 30
    seconds, memory = 60 * arguments.minutes, []
    load = Load(address, pictures, clients=64, rate=2 * capacity)
    thread = threading.Thread(target=load.run, args=[seconds])
    thread.start()
    while thread.is_alive():
        memory.append(resident_mb(process.pid))
        thread.join(seconds / 20)
    process.terminate()
    code = process.wait()
    latencies = sorted(load.latencies)
    figures = {
        "capacity_per_second": capacity,
        "asked_per_second": sum(load.statuses.values()) / seconds,
        "answered_per_second": len(latencies) / seconds,
        "statuses": dict(load.statuses),
        "latency_s": {str(share): latencies[int(share / 100 * (len(latencies) - 1))] for share in (50, 95, 99)},
        "memory_mb": {"start": memory[0], "middle": statistics.median(memory), "end": memory[-1], "most": max(memory)},
        "minutes": arguments.minutes,
        "exit_code": code,
    }
    result = {
        "what": "segtune serve at twice its capacity, CamVid pictures",
        "figures": figures,
    }
    print(json.dumps(result, indent=2))
    if arguments.result:
        record(arguments.result, "serving", result)


if __name__ == "__main__":
    main()
