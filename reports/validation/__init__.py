"""Somebody's implementation on trial: a function, a process, a test. First: `front_door.py`, then `assess.py`."""

from typing import TYPE_CHECKING

from ...reference.doors import door

if TYPE_CHECKING:
    from .by_name import verify_by_name
    from .front_door import verify
    from .given_gradients import assert_gradients
    from .smallest import witness
    from .steps_taken import verify_trajectory
    from .verify_process import Asked, judged, verify_command
    from .wording import because
else:
    __getattr__ = door(__name__)
