"""Compile contracts/src into contracts/artifacts: `python contracts/build.py`; `--check` only compares.

An artifact is JSON: the contract's name, the compiler, its settings, the ABI and the bytecode to deploy, to which the
constructor's arguments are appended.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
SOURCES = HERE / "src"
ARTIFACTS = HERE / "artifacts"
EVM_VERSION = "cancun"


def contract_names() -> list[str]:
    """Return the names of all contracts; the modules under src/parts are part of them and not listed."""
    return sorted(path.stem for path in SOURCES.glob("*.vy"))


def artifact(name: str) -> str:
    """Compile one contract and return its artifact as the text of the file."""
    import vyper
    from vyper.compiler import compile_from_file_input
    from vyper.compiler.input_bundle import FilesystemInputBundle
    from vyper.compiler.settings import OptimizationLevel, Settings

    bundle = FilesystemInputBundle([SOURCES])
    source = bundle.load_file(f"{name}.vy")
    settings = Settings(evm_version=EVM_VERSION, optimize=OptimizationLevel.GAS)
    output = compile_from_file_input(
        source, input_bundle=bundle, settings=settings, output_formats=["abi", "bytecode"]
    )
    fields = {
        "contract": name,
        "compiler": f"vyper {vyper.__version__}",
        "evm_version": EVM_VERSION,
        "optimize": "gas",
        "abi": output["abi"],
        "bytecode": output["bytecode"],
    }
    lines = [f"{json.dumps(key)}: {_compact(item)}" for key, item in fields.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _compact(item: object) -> str:
    """Write a list with one item a line, so that a changed call is one changed line."""
    if not isinstance(item, list):
        return json.dumps(item)
    return "[\n" + ",\n".join(f" {json.dumps(entry)}" for entry in item) + "\n]"


def main(argv: Sequence[str]) -> int:
    """Write the artifacts, or say which of them do not come from the sources; return the exit status."""
    parser = argparse.ArgumentParser(prog="python contracts/build.py", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail if anything would change")
    options = parser.parse_args(argv)
    names = contract_names()
    wanted = {f"{name}.json": artifact(name) for name in names}
    there = {path.name: path.read_text(encoding="utf-8") for path in ARTIFACTS.glob("*.json")}
    differ = sorted(name for name in wanted | there if wanted.get(name) != there.get(name))
    for name in differ:
        print(f"{'differs' if options.check else 'written'}: artifacts/{name}")
        if not options.check:
            if name in wanted:
                (ARTIFACTS / name).write_text(wanted[name], encoding="utf-8")
            else:
                (ARTIFACTS / name).unlink()
    return 1 if options.check and differ else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
