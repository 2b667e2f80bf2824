"""How a module is driven, and how it ended.

`_start` runs to its end. Any other entry point is a function without parameters; a number that it returns is the exit
code. A module that exports `step() -> i32` is called again and again: 1 means more, 0 done, and -n that it failed
with exit code n. Between two steps its state is its memory and its globals, and can be saved. docs/wasm-jobs.md.
"""

from typing import Any

import wasmtime

from skyops_p2p.adapters.wasm.child import snapshots
from skyops_p2p.adapters.wasm.child.confinement import set_file_limit
from skyops_p2p.adapters.wasm.child.machine import CannotStart, Machine
from skyops_p2p.adapters.wasm.child.orders import Interrupted, Orders
from skyops_p2p.adapters.wasm.child.world import ProgramExit
from skyops_p2p.adapters.wasm.frames import RunRequest

START, STEP, INIT, INITIALIZE = "_start", "step", "init", "_initialize"
_MORE, _DONE = 1, 0
_NEAR_LIMIT_PARTS = 8
"""A module that failed with less than an eighth of its memory left ran out of it: a refused growth leaves no other
trace."""


def run_to_end(machine: Machine, request: RunRequest, orders: Orders) -> dict[str, Any]:
    """Run the module, and tell how it ended.

    Returns:
        kind: A value of ExitKind, or "interrupted" if the node wanted it.
        code: Exit code, with the kind "exited".
        text: What a person should know more.
        fuel: Instructions used; exact unless it trapped or was interrupted, then a lower bound.
        steps: Of a step module.
    """
    driver = _Driver(machine, request, orders)
    try:
        kind, code, text = driver.run()
    except ProgramExit as ended:
        kind, code, text = "exited", ended.code, ""
    except Interrupted:
        kind, code, text = "interrupted", None, ""
    except (CannotStart, snapshots.BadSnapshot) as failure:
        kind, code, text = "not_started", None, str(failure)
    except (wasmtime.Trap, wasmtime.WasmtimeError) as failure:
        kind, code, text = _tell_failure(failure)
    if machine.disk.was_full and kind in ("exited", "trapped") and code != 0:
        kind, code, text = "out_of_disk", None, ""
    if kind in ("exited", "trapped") and code != 0 and _is_memory_full(machine, request):
        kind, code, text = "out_of_memory", None, ""
    return {"kind": kind, "code": code, "text": text, "fuel": machine.fuel_used, "steps": driver.steps}


class _Driver:
    def __init__(self, machine: Machine, request: RunRequest, orders: Orders) -> None:
        self._machine = machine
        self._request = request
        self._orders = orders
        self.steps = 0

    def run(self) -> tuple[str, int | None, str]:
        name = self._request.entry_point or (START if self._machine.has_export(START) else STEP)
        if name == STEP:
            self._machine.hear_stop_between_calls()
        self._machine.instantiate()
        entry = self._machine.function(name)
        if entry is None:
            raise CannotStart(f"it exports no function {name}")
        kind = entry.type(self._machine.store)
        if kind.params or [str(result) for result in kind.results] not in ([], ["i32"]):
            raise CannotStart(f"its function {name} takes parameters, or returns something else than one i32")
        if name == STEP:
            if not kind.results:
                raise CannotStart("its function step returns nothing")
            return self._run_steps(entry)
        if name != START:
            self._call_if_there(INITIALIZE)
        return "exited", _exit_code(self._machine.call(entry)), ""

    def _run_steps(self, step: wasmtime.Func) -> tuple[str, int | None, str]:
        resumed = snapshots.restore(self._machine, self._request) if self._request.snapshot else None
        if resumed is None:
            self._call_if_there(INITIALIZE)
            code = self._call_if_there(INIT)
            if code:
                return "exited", _exit_code(code), ""
        self.steps = resumed or 0
        while True:
            self._between_steps()
            told = self._machine.call(step)
            self.steps += 1
            if told == _DONE:
                return "exited", 0, ""
            if told < 0:
                return "exited", _exit_code(told), ""
            if told != _MORE:
                return "trapped", None, f"step() returned {told}; it may return 0, 1, or a negative exit code"

    def _between_steps(self) -> None:
        if self._orders.is_snapshot_asked():
            self._orders.answer_snapshots(is_saved=self._save())
        if self._orders.is_stop_asked:
            self._machine.tell_stop(self._machine.store)
            raise Interrupted

    def _save(self) -> bool:
        if not self._request.snapshot:
            return False
        reason = self._request.hidden_state
        if not reason:
            set_file_limit(1 << 62)
            try:
                snapshots.save(self._machine, self._request, self.steps)
            except OSError as error:
                reason = str(error.strerror)
            finally:
                set_file_limit(self._request.file_bytes_max)
        if reason:
            self._orders.tell({"note": f"no snapshot: {reason}"})
        return not reason

    def _call_if_there(self, name: str) -> Any:
        function = self._machine.function(name)
        return self._machine.call(function) if function is not None else None


def _exit_code(value: Any) -> int:
    """Make an exit code of what a function returned: nothing is 0, a negative number its amount, at most 255."""
    return min(abs(value), 255) if isinstance(value, int) else 0


def _tell_failure(failure: Exception) -> tuple[str, int | None, str]:
    lines = str(failure).splitlines() or [""]
    if isinstance(failure, wasmtime.Trap) and failure.trap_code is not None:
        if failure.trap_code is wasmtime.TrapCode.OUT_OF_FUEL:
            return "out_of_fuel", None, ""
        names = [frame.func_name for frame in failure.frames[:1] if frame.func_name]
        where = f" in {names[0]}" if names else ""
        return "trapped", None, failure.trap_code.name.lower().replace("_", " ") + where
    if "exceeds memory limits" in str(failure):
        return "out_of_memory", None, ""
    return "trapped", None, lines[-1].strip() if isinstance(failure, wasmtime.Trap) else lines[0]


def _is_memory_full(machine: Machine, request: RunRequest) -> bool:
    left = request.memory_bytes_max - machine.memory_bytes()
    return left < request.memory_bytes_max // _NEAR_LIMIT_PARTS
