"""A set for walks over every key: SCAN may give one twice."""

from array import array


class Seen:
    """A set of numbers of 64 bits, at eight bytes a place (a Python set takes eighty): all that grows with a store."""

    def __init__(self) -> None:
        self._places = array("q", bytes(8 * 1024))
        self._taken = 0

    def add(self, number: int) -> bool:
        """Put a number in; tell whether it was not there."""
        if self._taken * 3 > len(self._places) * 2:
            self._grow()
        place = self._place(number or 1)  # zero is an empty place
        fresh = not self._places[place]
        self._places[place] = number or 1
        self._taken += fresh
        return fresh

    def _place(self, number: int) -> int:
        """Return the place of a number, or the empty one that it would take."""
        last = len(self._places) - 1
        place = number & last
        while self._places[place] not in (0, number):
            place = (place + 1) & last
        return place

    def _grow(self) -> None:
        old, self._places = self._places, array("q", bytes(16 * len(self._places)))
        for number in filter(None, old):
            self._places[self._place(number)] = number
