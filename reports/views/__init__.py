"""What people and programs read: terminal, Markdown, HTML, JUnit XML. First to read: `render.py`."""

from typing import TYPE_CHECKING

from ...reference.doors import door

if TYPE_CHECKING:
    from .escaping import json_text, markdown_block, markdown_text, printable_lines
    from .figures import curves
    from .junit import junit_of
    from .pages import drawn, html, page, table
    from .render import FORMATS, prepare, prepare_file, replace_file, write, write_pages
    from .streams import Undeliverable, guarded_streams
    from .tables import INDENT, alike, number
    from .terminal import EndedBySignal, ended_by_signals, note, processes, progress, say, show_report, table_of
else:
    __getattr__ = door(__name__)
