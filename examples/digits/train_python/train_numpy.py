"""Train a small network on handwritten digits with NumPy: for the runtimes native and docker, or anywhere.

Every number comes from the seed and the epoch, so a run that was resumed makes the same model, byte for byte, on
machines with the same NumPy and the same kind of processor.

    python3 train_numpy.py --data ../data/digits.bin --results /tmp/results --epochs 5
"""

import argparse
import io
import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # several threads add up in an order of their own

import numpy as np
from contract import ASK_AGAIN, Contract, write_whole

PIXELS, CLASSES, RECORD = 64, 10, 65
HELD_OUT = 5
"""Each fifth record is for the test."""
BATCH = 16

Network = dict[str, np.ndarray]
"""w1, b1, w2, b2."""


def main() -> int:
    """Train, or go on training; return the exit code."""
    options = read_arguments()
    contract = Contract()
    images, digits = read_records(options.data)
    is_test = np.arange(len(digits)) % HELD_OUT == 0
    arguments = np.array([options.epochs, options.hidden, options.seed])
    epoch, loss, network = 0, 0.0, new_network(options.hidden, options.seed)
    if (saved := contract.newest()) is not None:
        state = dict(np.load(io.BytesIO(saved)))
        if np.array_equal(state.pop("arguments"), arguments):
            epoch, loss = int(state.pop("epoch")), float(state.pop("loss"))
            network = state
            print(f"resumed after epoch {epoch}")
    while epoch < options.epochs:
        order = np.random.default_rng([options.seed, epoch]).permutation(np.flatnonzero(~is_test))
        loss = train_epoch(network, images[order], digits[order], rate=0.2 / (1 + 0.02 * epoch))
        epoch += 1
        contract.tell_progress(epoch, options.epochs, loss=loss)
        if (
            epoch % (contract.stride or options.save_every) == 0
            or epoch == options.epochs
            or contract.is_stop_asked
        ):
            contract.save(epoch, packed(network | {"arguments": arguments, "epoch": epoch, "loss": loss}))
        if contract.is_stop_asked and epoch < options.epochs:
            return ASK_AGAIN
        time.sleep(options.sleep_ms / 1000)
    guesses = forward(network, images[is_test])[1].argmax(axis=1)
    share = float((guesses == digits[is_test]).mean())
    metrics = {
        "accuracy": share,
        "epochs": epoch,
        "hidden": options.hidden,
        "loss": loss,
        "seed": options.seed,
    }
    print(json.dumps(metrics))
    write_whole(options.results / "model.npz", packed(network))
    write_whole(options.results / "metrics.json", json.dumps(metrics).encode())
    return 0


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("/data/digits.bin"))
    parser.add_argument("--results", type=Path, default=Path("/results"))
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sleep-ms", type=int, default=200, help="pause after each epoch, to watch it")
    parser.add_argument("--save-every", type=int, default=5, help="epochs between two checkpoints")
    return parser.parse_args()


def read_records(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the images, a row of pixels from 0 to 1 each, and their digits."""
    table = np.fromfile(path, dtype=np.uint8).reshape(-1, RECORD)
    return table[:, :PIXELS] / 16.0, table[:, PIXELS].astype(np.int64)


def new_network(hidden: int, seed: int) -> Network:
    """Return two layers with small random weights."""
    chance = np.random.default_rng(seed)
    return {
        "w1": chance.uniform(-0.1, 0.1, (PIXELS, hidden)),
        "b1": np.zeros(hidden),
        "w2": chance.uniform(-0.1, 0.1, (hidden, CLASSES)),
        "b2": np.zeros(CLASSES),
    }


def forward(network: Network, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the hidden layer and the probabilities of the digits, a row for each image."""
    hidden = np.maximum(images @ network["w1"] + network["b1"], 0)
    scores = hidden @ network["w2"] + network["b2"]
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return hidden, weights / weights.sum(axis=1, keepdims=True)


def train_epoch(network: Network, images: np.ndarray, digits: np.ndarray, *, rate: float) -> float:
    """Go once through the records in small batches; return the mean loss."""
    losses = []
    for start in range(0, len(digits), BATCH):
        batch, wanted = images[start : start + BATCH], digits[start : start + BATCH]
        hidden, error = forward(network, batch)
        rows = np.arange(len(wanted))
        losses.append(-np.log(error[rows, wanted] + 1e-9))
        error[rows, wanted] -= 1
        error /= len(wanted)
        slope = (error @ network["w2"].T) * (hidden > 0)
        network["w2"] -= rate * (hidden.T @ error)
        network["b2"] -= rate * error.sum(axis=0)
        network["w1"] -= rate * (batch.T @ slope)
        network["b1"] -= rate * slope.sum(axis=0)
    return float(np.concatenate(losses).mean())


def packed(arrays: dict[str, np.ndarray]) -> bytes:
    """Return arrays as one file; equal arrays make equal bytes."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


if __name__ == "__main__":
    sys.exit(main())
