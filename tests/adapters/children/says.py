"""Says in the handshake what it is given, and answers honestly. Standard library only.

`says.py '[activations, losses, name]'`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from honest import answer

activations, losses, name = json.loads(sys.argv[1])
for line in sys.stdin:
    asked = json.loads(line)
    hello = {"id": 0, "name": name, "activations": activations, "losses": losses}
    print(json.dumps(hello if "hello" in asked else answer(asked)), flush=True)
