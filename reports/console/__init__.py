"""Where text leaves for a terminal, a pipe or a page: escaped, printable, delivered. First to read: `terminal.py`."""

from typing import TYPE_CHECKING

from ...reference.doors import door

if TYPE_CHECKING:
    from .escaping import json_text, markdown_block, markdown_code, markdown_text, printable_lines
    from .streams import Undeliverable, guarded_streams
    from .terminal import (
        EndedBySignal,
        ended_by_signals,
        lines_of_progress,
        note,
        processes,
        progress,
        say,
        show_report,
        show_table,
    )
    from .wrapping import columns, fitted, table_of, wrapped
else:
    __getattr__ = door(__name__)
