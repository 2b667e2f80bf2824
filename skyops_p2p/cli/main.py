"""The entry point: the table of commands and the global options.

Nothing heavy is imported here: `skyops --help` must answer in less than 0.2 s.
"""

import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from skyops_p2p._version import __version__
from skyops_p2p.cli.endings import tell_ending
from skyops_p2p.cli.invocation import Invocation
from skyops_p2p.cli.lazy import Entry, LazyGroup

EXIT_CODES = """\b
Exit codes:
  0   done
  1   failed for a reason without a code of its own
  2   wrong usage or a wrong setting
  3   a key file is missing, unsafe or does not open
  4   the node or a peer could not be reached, or did not answer in time
  5   the local store cannot be used
  6   a job, or the sandbox that it runs in, could not do what was asked
  7   the chain could not be used
  8   the local test network failed
  9   a bid book or receipts cannot be read, or break the rules
  10  no worker took the job
  11  the job that was watched has failed
  12  the job that was watched was cancelled
  13  what was verified came out differently, or a verdict does not hold
  70  a bug in skyops
  130 interrupted with Ctrl-C"""

_NODE, _NETWORK, _TEST = "This node", "The network (asks the running node)", "Try it out"
_JOBS, _MONEY = "Jobs", "Money"
ENTRIES = {
    "init": Entry("skyops_p2p.cli.identity:init", "Make a new node: keys, wallet and a config file.", _NODE),
    "id": Entry("skyops_p2p.cli.identity:show_id", "Print the peer id and the wallet.", _NODE),
    "config": Entry("skyops_p2p.cli.settings:config", "Check, show or write the settings.", _NODE),
    "doctor": Entry("skyops_p2p.cli.doctor:doctor", "Look for what is wrong, and how to mend it.", _NODE),
    "benchmark": Entry("skyops_p2p.cli.benchmark:benchmark", "Measure this machine's speed.", _NODE),
    "run": Entry("skyops_p2p.cli.run:run", "Start the node and keep it running.", _NODE),
    "status": Entry("skyops_p2p.cli.network:status", "Show the running node, or one of its jobs.", _NETWORK),
    "peers": Entry("skyops_p2p.cli.network:peers", "List the links to peers.", _NETWORK),
    "map": Entry("skyops_p2p.cli.network:node_map", "List the nodes of the network.", _NETWORK),
    "node": Entry("skyops_p2p.cli.node:node", "Show one node in full, or have it prove itself.", _NETWORK),
    "ping": Entry("skyops_p2p.cli.network:ping", "Measure the round trip to a peer.", _NETWORK),
    "join": Entry("skyops_p2p.cli.network:join", "Connect to a peer by its address.", _NETWORK),
    "handshake": Entry("skyops_p2p.cli.node:handshake", "Open a session with a peer.", _NETWORK),
    "match": Entry("skyops_p2p.cli.match:match", "Look for a worker for a job.", _NETWORK),
    "events": Entry("skyops_p2p.cli.events:events", "Follow what happens.", _NETWORK),
    "job": Entry("skyops_p2p.cli.job:job", "Write and check job files.", _JOBS),
    "submit": Entry("skyops_p2p.cli.submit:submit", "Have jobs run.", _JOBS),
    "ps": Entry("skyops_p2p.cli.job_list:ps", "List the jobs of this node.", _JOBS),
    "logs": Entry("skyops_p2p.cli.job_logs:logs", "Print what a job's program wrote.", _JOBS),
    "top": Entry("skyops_p2p.cli.job_top:top", "Watch progress, time left, CPU, memory and GPUs.", _JOBS),
    "result": Entry("skyops_p2p.cli.job_control:result", "Decrypt a job's outputs.", _JOBS),
    "cancel": Entry("skyops_p2p.cli.job_control:cancel", "End a job.", _JOBS),
    "retry": Entry("skyops_p2p.cli.job_control:retry", "Run again what failed of a job.", _JOBS),
    "checkpoints": Entry("skyops_p2p.cli.job_control:checkpoints", "List a job's checkpoints.", _JOBS),
    "verify": Entry("skyops_p2p.cli.job_verify:verify", "Run a job again here and compare.", _JOBS),
    "verdict": Entry("skyops_p2p.cli.verdict:verdict", "Show who was right, or check a verdict.", _JOBS),
    "billing": Entry("skyops_p2p.cli.earnings:billing", "Show what a job has cost.", _JOBS),
    "audit": Entry("skyops_p2p.cli.audit:audit", "Re-run the award of a bid book.", _JOBS),
    "wallet": Entry("skyops_p2p.cli.wallet:wallet", "Make a wallet; deposit and withdraw.", _MONEY),
    "stake": Entry("skyops_p2p.cli.stake:stake", "Put SKYOPS up for this node's word.", _MONEY),
    "dispute": Entry("skyops_p2p.cli.dispute:dispute", "Challenge a result, answer, or judge.", _MONEY),
    "earnings": Entry("skyops_p2p.cli.earnings:earnings", "Show what this node has earned.", _MONEY),
    "receipts": Entry(
        "skyops_p2p.cli.receipts:receipts", "List signed receipts, or check a file of them.", _MONEY
    ),
    "reputation": Entry(
        "skyops_p2p.cli.reputation:reputation", "Show who can be relied on, and why.", _MONEY
    ),
    "settle": Entry("skyops_p2p.cli.earnings:settle", "Redeem what this node has earned.", _MONEY),
    "chain": Entry("skyops_p2p.cli.chain:chain", "Look at the chain; run a small one.", _TEST),
    "demo": Entry("skyops_p2p.cli.demo:demo", "Watch a network come up and survive a crash.", _TEST),
    "testnet": Entry("skyops_p2p.cli.testnet:testnet", "Run a test network on this machine.", _TEST),
    "sim": Entry("skyops_p2p.cli.sim:sim", "Simulate large networks with faults.", _TEST),
    "completion": Entry("skyops_p2p.cli.completion:completion", "Print completion for your shell.", _TEST),
}


@click.command(
    cls=LazyGroup,
    entries=ENTRIES,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory with the node's keys and store (SKYOPS_DATA_DIR).",
)
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Config file instead of the one in the data directory (SKYOPS_CONFIG).",
)
@click.option("--no-color", is_flag=True, help="No colours (NO_COLOR does the same).")
@click.option("--debug", is_flag=True, help="Show tracebacks of unexpected errors.")
@click.version_option(__version__, message="skyops %(version)s")
@click.pass_context
def cli(
    ctx: click.Context, data_dir: Path | None, config_file: Path | None, *, no_color: bool, debug: bool
) -> None:
    """A peer-to-peer market for GPU compute: one program, no server, no coordinator.

    New here? `skyops demo` shows what it does; `skyops init`, then `skyops run` starts your own node.
    """
    ctx.obj = Invocation(
        data_dir=data_dir,
        config_file=config_file,
        environment=os.environ,
        is_color=not no_color and not os.environ.get("NO_COLOR"),
        is_debug=debug,
    )


def main() -> NoReturn:
    """Run the command line and exit; every error becomes a line for a person and a documented code."""
    sys.exit(run_main(sys.argv[1:]))


def run_main(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    try:
        # A command that has found something wrong returns its exit code.
        outcome = cli.main(args=arguments, prog_name="skyops", standalone_mode=False)
        sys.stdout.flush()
    except BaseException as error:  # noqa: BLE001 - the edge of the process: everything becomes an exit code
        return tell_ending(error, arguments)
    return outcome if isinstance(outcome, int) else 0
