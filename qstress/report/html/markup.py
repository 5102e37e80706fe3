"""HTML and SVG as values: text is escaped wherever it enters, so nothing that QEMU said can become markup.

By hand on purpose; htpy 26.5 was tried as the maker of these very pages (2026-11-30). It escapes as the standard
library does, which does it here, but leaves control characters in, which a guest's words may have, and all digits of a
coordinate: both would stay, and with them most of this module, for two more packages. A report of 18 cells took 1.9 and
2.4 times as much CPU (least of 7, two sessions).
"""

from __future__ import annotations

import html
from collections.abc import Iterable

from qstress.report.wording import printable

_VOID = frozenset({"col", "img", "link", "meta"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Content = str | int | float | None


def tag(name: str, /, *content: Content | Iterable[Content], **attributes: Content) -> Markup:
    """Return the element *name*.

    :param content: text, which is escaped, markup, or an iterable of both; None is nothing.
    :param attributes: ``_`` in a name stands for ``-``, one at its end is dropped; None leaves the attribute out.

    >>> tag("p", "1 < 2, ", tag("b", "always"), class_="fact")
    '<p class="fact">1 &lt; 2, <b>always</b></p>'
    """
    words = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(_text(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = "" if name in _VOID else f"{join(*content)}</{name}>"
    return Markup(f"<{name}{words}>{inside}")


def join(*content: Content | Iterable[Content]) -> Markup:
    """Return *content*, as :func:`tag` takes it, one after another."""
    parts: list[str] = []
    for part in content:
        if isinstance(part, Markup):
            parts.append(part)
        elif isinstance(part, str | int | float):
            parts.append(html.escape(_text(part)))
        elif part is not None:
            parts.append(join(*part))
    return Markup("".join(parts))


def raised(words: str) -> Markup:
    """Return *words*, which begin with a power of ten such as ``10^7.1 : 1``, with the exponent raised."""
    base, _, rest = words.partition("^")
    exponent, space, more = rest.partition(" ")
    return join(base, tag("sup", exponent), space, more)


def _text(value: Content) -> str:
    """Coordinates need no more than two decimals; a control character has no place in HTML."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else printable(str(value))
