"""Train ResNet-18 on CIFAR-10, or on made-up images of its shape, with PyTorch on the processor.

It keeps the contract of every Skyops job (contract.py of examples/digits): checkpoints that are renamed when they are
whole, the last two kept, progress with the loss, and exit code 75 when it is asked to end. Needs PyTorch 1.13 or newer.

    PYTHONPATH=../../digits/train_python python3 train_resnet.py --made-up 256 --epochs 2 --results /tmp
"""

import argparse
import io
import json
import random
import sys
from pathlib import Path

import torch
from cifar import CLASSES, SIDE, TEST_FILES, TRAIN_FILES, made_up, read_records
from contract import ASK_AGAIN, Contract, write_whole
from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """Two convolutions, and the way around them."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.around = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.around = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, images: Tensor) -> Tensor:
        """Compute the block."""
        inner = functional.relu(self.first_norm(self.first(images)))
        return functional.relu(self.second_norm(self.second(inner)) + self.around(images))


def resnet18() -> nn.Module:
    """Return ResNet-18 for small images: no stride and no pooling before the first block (He et al., 2015, 4.2)."""
    blocks: list[nn.Module] = []
    inputs = 64
    for outputs, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        blocks += [Block(inputs, outputs, stride), Block(outputs, outputs, 1)]
        inputs = outputs
    return nn.Sequential(
        nn.Conv2d(3, 64, 3, 1, 1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        *blocks,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(512, CLASSES),
    )


def main() -> int:
    """Train, or go on training; return the exit code."""
    options = read_arguments()
    torch.manual_seed(options.seed)
    torch.use_deterministic_algorithms(mode=True)
    torch.set_num_threads(options.threads)
    contract, model = Contract(), resnet18()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    images, labels = tensors(*read_data(options, TRAIN_FILES))
    epoch = 0
    if (saved := contract.newest()) is not None:
        state = torch.load(io.BytesIO(saved), weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(optimizer.state_dict() | {"state": state["momentum"]})
        epoch = state["epoch"]
        print(f"resumed after epoch {epoch}")
    while epoch < options.epochs:
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * (1 - epoch / options.epochs)
        loss = train_epoch(model, optimizer, images, labels, seed=options.seed + epoch, batch=options.batch)
        epoch += 1
        contract.tell_progress(epoch, options.epochs, loss=loss)
        # Tensors and whole numbers only: all that PyTorch 1.13 reads back without running what it reads.
        state = {"model": model.state_dict(), "momentum": optimizer.state_dict()["state"], "epoch": epoch}
        contract.save(epoch, packed(state))
        if contract.is_stop_asked and epoch < options.epochs:
            return ASK_AGAIN
    metrics = {
        "accuracy": accuracy(model, *tensors(*read_data(options, TEST_FILES))),
        "epochs": epoch,
        "seed": options.seed,
    }
    print(json.dumps(metrics))
    write_whole(options.results / "model.pt", packed(model.state_dict()))
    write_whole(options.results / "metrics.json", json.dumps(metrics).encode())
    return 0


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("/data"))
    parser.add_argument("--made-up", type=int, default=0, help="so many made-up images instead of CIFAR-10")
    parser.add_argument("--results", type=Path, default=Path("/results"))
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=4, help="as many as the job asks cores for")
    return parser.parse_args()


def read_data(options: argparse.Namespace, names: tuple[str, ...]) -> tuple[bytes, bytearray]:
    """Return the labels and pixels to train or to test with."""
    if options.made_up:
        return made_up(options.made_up, options.seed + (names == TEST_FILES))
    return read_records(options.data, names)


def tensors(labels: bytes, pixels: bytearray) -> tuple[Tensor, Tensor]:
    """Return images, in bytes still, and labels."""
    images = torch.frombuffer(pixels, dtype=torch.uint8).reshape(len(labels), 3, SIDE, SIDE)
    return images, torch.tensor(list(labels))


def scaled(images: Tensor) -> Tensor:
    """Return images around 0."""
    return (images.float() / 255 - 0.45) / 0.25


def train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    *,
    seed: int,
    batch: int,
) -> float:
    """Go once through the images in an order of this epoch, half of them mirrored; return the mean loss."""
    model.train()
    chance = random.Random(seed)
    order = list(range(len(labels)))
    chance.shuffle(order)
    total = 0.0
    for start in range(0, len(order), batch):
        chosen = torch.tensor(order[start : start + batch])
        some = scaled(images[chosen])
        if chance.random() < 0.5:
            some = some.flip(3)
        loss = functional.cross_entropy(model(some), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += float(loss) * len(chosen)
    return total / len(order)


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return the share of images whose class is found."""
    model.eval()
    right = 0
    with torch.no_grad():
        for start in range(0, len(labels), 256):
            guesses = model(scaled(images[start : start + 256])).argmax(dim=1)
            right += int((guesses == labels[start : start + 256]).sum())
    return right / len(labels)


def packed(state: dict[str, object]) -> bytes:
    """Return a state as one file."""
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


if __name__ == "__main__":
    sys.exit(main())
