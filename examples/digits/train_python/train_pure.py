"""Train a small network on handwritten digits in plain Python: for CPython as a WebAssembly module, or anywhere.

Every number comes from the seed and the epoch, so a run that was resumed makes the same model, byte for byte.

    python3 train_pure.py --data ../data/digits.bin --results /tmp/results --epochs 5
"""

import argparse
import json
import math
import random
import sys
import time
from pathlib import Path

from contract import ASK_AGAIN, Contract, write_whole

PIXELS, CLASSES, RECORD = 64, 10, 65
HELD_OUT = 5
"""Each fifth record is for the test."""

Layer = list[list[float]]
"""A row for each neuron: a weight for each input, then the bias."""


def main() -> int:
    """Train, or go on training; return the exit code."""
    options = read_arguments()
    contract = Contract()
    records = read_records(options.data)
    arguments = [options.epochs, options.hidden, options.seed]
    epoch, loss, network = 0, 0.0, new_network(options.hidden, options.seed)
    if (saved := contract.newest()) is not None:
        state = json.loads(saved)
        if state["arguments"] == arguments:
            epoch, loss, network = state["epoch"], state["loss"], state["network"]
            print(f"resumed after epoch {epoch}")
    while epoch < options.epochs:
        loss = train_epoch(network, records, seed=options.seed, epoch=epoch)
        epoch += 1
        contract.tell_progress(epoch, options.epochs, loss=loss)
        if (
            epoch % (contract.stride or options.save_every) == 0
            or epoch == options.epochs
            or contract.is_stop_asked
        ):
            state = {"arguments": arguments, "epoch": epoch, "loss": loss, "network": network}
            contract.save(epoch, json.dumps(state).encode())
        if contract.is_stop_asked and epoch < options.epochs:
            return ASK_AGAIN
        time.sleep(options.sleep_ms / 1000)
    share = accuracy(network, records)
    metrics = {
        "accuracy": share,
        "epochs": epoch,
        "hidden": options.hidden,
        "loss": loss,
        "seed": options.seed,
    }
    print(json.dumps(metrics))
    write_whole(options.results / "model.json", json.dumps(network).encode())
    write_whole(options.results / "metrics.json", json.dumps(metrics).encode())
    return 0


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("/data/digits.bin"))
    parser.add_argument("--results", type=Path, default=Path("/results"))
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--hidden", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sleep-ms", type=int, default=0, help="pause after each epoch, to watch it")
    parser.add_argument("--save-every", type=int, default=1, help="epochs between two checkpoints")
    return parser.parse_args()


def read_records(path: Path) -> list[tuple[list[float], int]]:
    """Return (pixels from 0 to 1, digit) for each record."""
    data = path.read_bytes()
    pieces = [data[start : start + RECORD] for start in range(0, len(data), RECORD)]
    return [([value / 16 for value in piece[:PIXELS]], piece[PIXELS]) for piece in pieces]


def new_network(hidden: int, seed: int) -> list[Layer]:
    """Return two layers with small random weights."""
    chance = random.Random(seed)
    sizes = ((hidden, PIXELS), (CLASSES, hidden))
    return [
        [[chance.uniform(-0.1, 0.1) for _ in range(inputs + 1)] for _ in range(outputs)]
        for outputs, inputs in sizes
    ]


def forward(network: list[Layer], pixels: list[float]) -> tuple[list[float], list[float]]:
    """Return the hidden layer and the probabilities of the digits."""
    first, second = network
    hidden = [max(0.0, sum(map(float.__mul__, row, pixels)) + row[-1]) for row in first]
    scores = [sum(map(float.__mul__, row, hidden)) + row[-1] for row in second]
    top = max(scores)
    weights = [math.exp(score - top) for score in scores]
    total = sum(weights)
    return hidden, [weight / total for weight in weights]


def train_epoch(
    network: list[Layer], records: list[tuple[list[float], int]], *, seed: int, epoch: int
) -> float:
    """Go once through the records for training, in an order of this epoch; return the mean loss."""
    places = [place for place in range(len(records)) if place % HELD_OUT]
    random.Random(seed * 1_000_003 + epoch).shuffle(places)
    rate = 0.05 / (1 + 0.05 * epoch)
    return sum(learn(network, *records[place], rate) for place in places) / len(places)


def learn(network: list[Layer], pixels: list[float], digit: int, rate: float) -> float:
    """Take one step down the slope of one record's loss; return the loss."""
    first, second = network
    hidden, probabilities = forward(network, pixels)
    slope = [0.0] * len(hidden)
    for number, row in enumerate(second):
        error = probabilities[number] - (number == digit)
        step = rate * error
        for place, value in enumerate(hidden):
            slope[place] += error * row[place]
            row[place] -= step * value
        row[-1] -= step
    for place, value in enumerate(hidden):
        if value > 0:
            row, step = first[place], rate * slope[place]
            row[:PIXELS] = [weight - step * pixel for weight, pixel in zip(row, pixels, strict=False)]
            row[-1] -= step
    return -math.log(probabilities[digit] + 1e-9)


def accuracy(network: list[Layer], records: list[tuple[list[float], int]]) -> float:
    """Return the share of the held-out records whose digit is found."""
    held_out = records[::HELD_OUT]
    found = [
        probabilities.index(max(probabilities))
        for probabilities in (forward(network, r[0])[1] for r in held_out)
    ]
    return sum(guess == digit for guess, (_, digit) in zip(found, held_out, strict=True)) / len(held_out)


if __name__ == "__main__":
    sys.exit(main())
