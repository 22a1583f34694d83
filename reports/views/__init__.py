"""What people and programs read of a document: terminal, Markdown, HTML, JUnit XML. First to read: `render.py`."""

from typing import TYPE_CHECKING

from ...reference.doors import door

if TYPE_CHECKING:
    from .drawing import Picture, as_svg, in_lines, pictures
    from .figures import curves
    from .junit import junit_of, junit_of_network
    from .pages import drawn, html, page, table
    from .render import FORMATS, prepare, prepare_file, replace_file, terminal, write, write_pages
    from .tables import INDENT, alike, number
else:
    __getattr__ = door(__name__)
