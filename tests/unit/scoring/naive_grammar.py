"""The grammar of records, written once more in the plainest way, one byte at a time: what the quick code must equal."""

from scoring.csv.boundaries import MAX_RECORD


def _try_quoted(data: bytes, start: int, separator: int, width: int) -> int | None:
    """Give where a record that keeps every quote rule stops; None when it breaks one."""
    at, fields = start, 1
    while True:
        if at < len(data) and data[at] == 0x22:
            at += 1
            while True:
                if at >= len(data):
                    return None
                if data[at] != 0x22:
                    at += 1
                elif data[at + 1 : at + 2] == b'"':
                    at += 2
                else:
                    break
            at += 1
            rest = data[at : at + 2]
            if not (at == len(data) or rest[0] in (separator, 0x0A) or rest in {b"\r\n", b"\r"}):
                return None
            if rest[:1] == b"\r":
                at += 1
        else:
            while at < len(data) and data[at] not in (separator, 0x0A):
                if data[at] == 0x22:
                    return None
                at += 1
        if at >= len(data):
            stop = at
        elif data[at] == 0x0A:
            stop = at + 1
        else:
            at, fields = at + 1, fields + 1
            continue
        over_lines = data.find(b"\n", start, stop - 1) >= 0
        if over_lines and (fields != width or stop - start > MAX_RECORD):
            return None
        return stop


def split_records(data: bytes, separator: int, width: int) -> list[tuple[int, int, bool]]:
    """Split a body into (start, stop, damaged by a quote)."""
    found = []
    start = 0
    while start < len(data):
        line_end = data.find(b"\n", start)
        line_stop = line_end + 1 if line_end >= 0 else len(data)
        stop = _try_quoted(data, start, separator, width)
        found.append((start, line_stop if stop is None else stop, stop is None))
        start = found[-1][1]
    return found
