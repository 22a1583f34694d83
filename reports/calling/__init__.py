"""Calling somebody's function under guard: what it does is said, nothing is judged. First to read: `call.py`."""

from typing import TYPE_CHECKING

from ...reference.doors import door

if TYPE_CHECKING:
    from .asking import Question, Repeat, ask, overflows_far_out
    from .call import ORIENTATIONS, Call, ModifiedInputs, alternatives, how_to_call
    from .declared import declared_batch, declared_learning_rate, declared_timeout
    from .isolated import There, in_its_own_process, name_of
    from .reading_answers import Array, as_array
    from .taking_steps import STEPS, Plan, Walk, finite, readings, take_steps, ways
else:
    __getattr__ = door(__name__)
