"""How long ago each operand was used: the reuse distance, which says what cache could still hold it.

The distance of a use is the number of distinct bytes touched since the use before it, its own included (Mattson,
Gecsei, Slutz, Traiger, "Evaluation techniques for storage hierarchies", IBM Systems Journal 9(2), 1970): a cache of
so many bytes with the least recently used replaced holds it, a smaller one does not.
"""

from itertools import count

# So many uses at first, before those that count no more are thrown out.
LEAST_ROOM = 1 << 12


class Reuse:
    """The uses of memory in their order. A slot is a piece of memory, whatever tensors lie in it in turn."""

    def __init__(self) -> None:
        self._slots = count()
        self._free: dict[int, list[int]] = {}
        self._last: dict[int, tuple[int, int]] = {}
        self._now, self._total = 0, 0
        self._tree = [0] * (LEAST_ROOM + 1)

    def slot(self, nbytes: int) -> int:
        """Memory for a new tensor: the piece of this size that was let go last, as an allocator does it, or a new one."""
        free = self._free.get(nbytes)
        return free.pop() if free else next(self._slots)

    def let_go(self, slot: int, nbytes: int) -> None:
        """A tensor is gone; its memory is there for another."""
        self._free.setdefault(nbytes, []).append(slot)

    def use(self, slot: int, nbytes: int) -> int | None:
        """Touches memory; tells the distance in bytes, None at its first use."""
        distance = None
        known = self._last.pop(slot, None)
        if known is not None:
            when, before = known
            distance = self._total - self._until(when) + max(nbytes, before)
            self._add(when, -before)
        if self._now == len(self._tree) - 1:
            self._forget()
        self._now += 1
        self._last[slot] = (self._now, nbytes)
        self._add(self._now, nbytes)
        return distance

    def _forget(self) -> None:
        """Numbers the last uses anew: only the last of each slot counts."""
        order = sorted(self._last.items(), key=lambda item: item[1][0])
        self._tree = [0] * (max(LEAST_ROOM, 4 * len(order)) + 1)
        self._now = self._total = 0
        for slot, (_, nbytes) in order:
            self._now += 1
            self._last[slot] = (self._now, nbytes)
            self._add(self._now, nbytes)

    # A binary indexed tree (Fenwick, "A new data structure for cumulative frequency tables", 1994): bytes by time of use.

    def _add(self, when: int, nbytes: int) -> None:
        self._total += nbytes
        while when < len(self._tree):
            self._tree[when] += nbytes
            when += when & -when

    def _until(self, when: int) -> int:
        total = 0
        while when:
            total += self._tree[when]
            when -= when & -when
        return total
