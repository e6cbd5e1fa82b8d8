"""The memory of a trace over time: when each piece was allocated and freed, and its category.

A piece is a storage. Python lets go of a fake tensor when it would let go of a real one, so the timeline is that of the real
call, apart from what a kernel takes for itself while it runs.
"""

import weakref
from collections.abc import Iterable
from itertools import accumulate, count

import torch

from harness.records import PHASES, Footprint

# Initial number of uses before outdated ones are discarded.
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
        """Memory for a new tensor: the piece of this size that was freed last, as by an allocator, or a new one."""
        free = self._free.get(nbytes)
        return free.pop() if free else next(self._slots)

    def free(self, slot: int, nbytes: int) -> None:
        """Frees the memory of a tensor for another one."""
        self._free.setdefault(nbytes, []).append(slot)

    def use(self, slot: int, nbytes: int) -> int | None:
        """Records a use of memory; returns the reuse distance in bytes, None at its first use."""
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
        """Renumbers the last uses: only the last of each slot counts."""
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


CATEGORIES = Footprint.__struct_fields__
Spans = Iterable[tuple[torch.Tensor, int]]
Uses = dict[int, tuple[int, int]]
"""Bytes read, and bytes written without being read, by the power of two of their reuse distance."""


class Piece:
    """A storage: its size, the phase it was made in (None: before the call), and whether it outlived the forward pass."""

    __slots__ = ("born", "category", "foreign", "nbytes", "outlived_forward", "slot")

    def __init__(self, nbytes: int, born: str | None, *, slot: int = -1, foreign: bool = False) -> None:
        self.nbytes = nbytes
        self.slot = slot
        self.born = born
        self.foreign = foreign
        self.outlived_forward = False
        self.category: str | None = None

    @property
    def kind(self) -> str:
        """The category: as it was claimed, else by when it was made."""
        if self.category is not None:
            return self.category
        if self.born is None:
            return "inputs"
        return "activations" if self.born == "forward" and self.outlived_forward else "temporaries"


class Timeline:
    """Pieces as they come and go."""

    def __init__(self) -> None:
        self.phase: str | None = None
        self.reuse = Reuse()
        self._over = False
        self._alive: dict[int, Piece] = {}
        self._events: list[tuple[str | None, Piece, int]] = []

    def knows(self, tensor: torch.Tensor) -> bool:
        """Whether its storage is known and alive."""
        return tensor.untyped_storage()._cdata in self._alive  # noqa: SLF001 - the storage's identity

    def saw(self, tensor: torch.Tensor, *, made: bool = False) -> Piece:
        """The piece a tensor lies in; a new one for an unknown storage.

        A tensor that no traced operator `made` existed before, and is foreign.
        """
        storage = tensor.untyped_storage()
        key = storage._cdata  # noqa: SLF001 - the storage's identity
        piece = self._alive.get(key)
        if piece is None:
            piece = self._alive[key] = self._piece(storage.nbytes(), made=made)
            self._events.append((self.phase, piece, piece.nbytes))
            self._watch(storage, key, piece)
        elif piece.nbytes != storage.nbytes():  # resized
            self._events.append((self.phase, piece, storage.nbytes() - piece.nbytes))
            piece.nbytes = storage.nbytes()
        return piece

    def _piece(self, nbytes: int, *, made: bool) -> Piece:
        return Piece(nbytes, self.phase, slot=self.reuse.slot(nbytes), foreign=not made)

    def _watch(self, storage: torch.UntypedStorage, key: int, piece: Piece) -> None:
        weakref.finalize(storage, self._gone, key, piece).atexit = False

    def _gone(self, key: int, piece: Piece) -> None:
        if self._alive.get(key) is piece and not self._over:
            del self._alive[key]
            self._events.append((self.phase, piece, -piece.nbytes))
            self.reuse.free(piece.slot, piece.nbytes)

    def uses(self, read: Spans, written: Spans) -> Uses:
        """Records that an operator touches these tensors, with the bytes of each; as in `Operator.reuse`.

        A tensor without an earlier use counts as older than everything alive.
        """
        totals: dict[int, tuple[int, int]] = {}
        spans: dict[int, tuple[int, int]] = {}
        for tensor, nbytes in written:
            if self.knows(tensor):
                spans[self.saw(tensor).slot] = (0, nbytes)
        for tensor, nbytes in read:
            if not self.knows(tensor):  # the stand-in of a real tensor, another each time
                continue
            slot = self.saw(tensor).slot
            spans[slot] = (max(spans.get(slot, (0, 0))[0], nbytes), 0)
        for slot, (reads, writes) in spans.items():
            distance = self.reuse.use(slot, reads + writes)
            if distance is None:
                distance = sum(piece.nbytes for piece in self._alive.values())
            place = max(0, distance - 1).bit_length()
            before = totals.get(place, (0, 0))
            totals[place] = (before[0] + reads, before[1] + writes)
        return totals

    def claim(self, tensors: Iterable[torch.Tensor], category: str) -> None:
        """Sets the category of tensors; the first one counts."""
        for tensor in tensors:
            piece = self.saw(tensor)
            piece.category = piece.category or category

    def begin(self) -> None:
        """Starts the call: what is alive was made before it."""
        self.phase = PHASES[0]
        self._events = [(self.phase, piece, piece.nbytes) for piece in self._alive.values()]
        for piece in self._alive.values():
            piece.born = None

    def enter(self, phase: str) -> None:
        """Enters a phase, if it is not the current one; a phase that allocates nothing has a peak too."""
        if phase != self.phase:
            self.phase = phase
            self._events.append((phase, Piece(0, phase), 0))

    def passing(self, nbytes: int) -> None:
        """Memory that an operator takes while it runs."""
        piece = Piece(nbytes, self.phase)
        self._events += [(self.phase, piece, nbytes), (self.phase, piece, -nbytes)]

    def forward_ends(self) -> None:
        """What is alive now is kept for the backward pass, or is the result."""
        for piece in self._alive.values():
            piece.outlived_forward = True

    def stop(self) -> None:
        """Ends the call: later events are not part of it."""
        self._over = True

    def foreign_bytes(self) -> int:
        """The bytes that existed before `prepare` and are still alive."""
        return sum(piece.nbytes for piece in self._alive.values() if piece.foreign)

    def peaks(self) -> dict[str, int]:
        """The most that was alive at once in each phase, in bytes."""
        levels = accumulate(change for _, _, change in self._events)
        peaks: dict[str, int] = {}
        before = 0
        for (phase, _, change), level in zip(self._events, levels, strict=True):
            highest = max(level, before) if change < 0 else level
            peaks[phase or ""] = max(peaks.get(phase or "", 0), highest)
            before = level
        return peaks

    def at_peak(self) -> Footprint:
        """The bytes of each category at the peak."""
        held = dict.fromkeys(CATEGORIES, 0)
        best, total, highest = dict(held), 0, -1
        for _, piece, change in self._events:
            held[piece.kind] += change
            total += change
            if total > highest:
                highest, best = total, dict(held)
        return Footprint(**best)

    def held(self) -> Footprint:
        """The most that each category takes, each at its own moment."""
        held = dict.fromkeys(CATEGORIES, 0)
        most = dict(held)
        for _, piece, change in self._events:
            held[piece.kind] += change
            most[piece.kind] = max(most[piece.kind], held[piece.kind])
        return Footprint(**most)
