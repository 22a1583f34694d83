"""Processes that misbehave, one way per name; where they answer at all, they answer honestly. Standard library only.

`hostile.py WAY N TOKEN`: the way shows at the Nth request; the token tells one test's processes from another's.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from honest import answer

WAY, WHEN = sys.argv[1], int(sys.argv[2])


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def misbehave(line: str) -> None:  # noqa: PLR0912, PLR0915 — one way after the other
    asked = json.loads(line)
    right = answer(asked) if "layers" in asked else {}
    match WAY:
        case "wrong-json":
            say('{"id": 1, "outputs": [[0.1,]]}')
        case "half-a-line":
            sys.stdout.write('{"id": 3, "outputs": [[0.')
            sys.stdout.flush()
            os._exit(0)
        case "wrong-id":
            say(json.dumps({**right, "id": 4711}))
        case "flood":
            chunk = "x" * 2**20
            for _ in range(1024):
                sys.stdout.write(chunk)
        case "silent":
            time.sleep(3600)
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "exit-early":
            os._exit(0)
        case "raise":
            print("\x1b[31mTraceback\x1b[0m: no such layer \x07", file=sys.stderr, flush=True)
            os._exit(3)
        case "endless-loop":
            while True:
                pass
        case "fork":
            subprocess.Popen(["sleep", f"3600.{sys.argv[3]}"])
            os._exit(0)
        case "fork-and-wait":
            subprocess.run(["sleep", f"3600.{sys.argv[3]}"], check=False)
        case "setsid-and-die":
            subprocess.Popen(["setsid", "sleep", f"3600.{sys.argv[3]}"])
            time.sleep(0.2)
            os._exit(0)
        case "setsid-and-answer":
            subprocess.Popen(["setsid", "setsid", "sleep", f"3600.{sys.argv[3]}"])
            subprocess.Popen(["sh", "-c", f"sleep 3600.{sys.argv[3]} & exec setsid sleep 3600.{sys.argv[3]}"])
            say(json.dumps(right))
        case "real-time-signal":
            os.kill(os.getpid(), 40)
        case "kills-its-supervisor":
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(3600)
        case "ignores-sigterm":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(3600)
        case "nan":
            say(json.dumps({**right, "loss": float("nan")}))
        case "infinity":
            say(json.dumps({**right, "loss": float("inf")}))
        case "thousand-digits":
            say(re.sub(r'"loss": 0[.][0-9]+', lambda m: m[0] + "0" * 1000, json.dumps(right)))
        case "thousand-digit-integer":
            say(json.dumps({**right, "loss": 1}).replace('"loss": 1', '"loss": ' + "9" * 1000))
        case "duplicate-keys":
            say(json.dumps(right)[:-1] + ', "loss": 1.0}')
        case "deep":
            say("[" * 100_000 + "]" * 100_000)
        case "wrong-shape":
            right["gradients"][0]["weights"] = [
                list(column) for column in zip(*right["gradients"][0]["weights"], strict=True)
            ]
            say(json.dumps(right))
        case "nothing":
            say(json.dumps({"id": asked["id"]}))
        case "text-for-number":
            right["outputs"][0][0] = "<script>alert(1)</script>\x1b[2J"
            say(json.dumps(right))
        case "binary":
            sys.stdout.buffer.write(b"\xff\xfe\x00\x01\n")
            sys.stdout.flush()
        case "refuses":
            say(json.dumps({"id": asked["id"], "error": "I only know \x1b[1mtanh\x1b[0m"}))
        case "noisy":
            for _ in range(100_000):
                print("warning: something is deprecated", file=sys.stderr)
            say(json.dumps(right))
        case "null":
            say("null")


for number, line in enumerate(sys.stdin, start=1):
    if WAY == "outputs":
        right = answer(json.loads(line))
        say(json.dumps({**right, "outputs": [[o / 2 for o in row] for row in right["outputs"]]}))
    elif number == WHEN:
        misbehave(line)
    else:
        say(json.dumps(answer(json.loads(line))))
