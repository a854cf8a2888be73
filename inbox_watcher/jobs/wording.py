"""How chunks, amounts and times are said."""

from collections.abc import Iterable


def name_chunks(chunks: Iterable[int]) -> str:
    """Name chunks, ranges compressed: `chunk 17`, `chunks 3, 30-41`."""
    ordered = sorted(set(chunks))
    ranges: list[list[int]] = []
    for chunk in ordered:
        if ranges and chunk == ranges[-1][1] + 1:
            ranges[-1][1] = chunk
        else:
            ranges.append([chunk, chunk])
    words = [str(first) if first == last else f"{first}-{last}" for first, last in ranges]
    return f"chunk{'s' if len(ordered) != 1 else ''} {', '.join(words)}"


def duration(seconds: float) -> str:
    """Give a time in words: `40 seconds`, `22 minutes`, `3 hours`."""
    if seconds < 90:
        return count(max(round(seconds), 0), "second")
    if seconds < 90 * 60:
        return count(round(seconds / 60), "minute")
    return count(round(seconds / 3600), "hour")


def are(chunks: list[int]) -> str:
    """Give the verb for chunks."""
    return "is" if len(chunks) == 1 else "are"


def begin(text: str) -> str:
    """Give a text as a sentence begins."""
    return text[:1].upper() + text[1:]


def count(number: int, noun: str) -> str:
    """Give a number with its noun: `1 slot`, `12 slots`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def gigabytes(megabytes: int) -> str:
    """Give an amount of memory in words: `512 MB`, `2.1 GB`."""
    return f"{megabytes} MB" if megabytes < 1024 else f"{megabytes / 1024:.1f} GB".replace(".0 GB", " GB")
