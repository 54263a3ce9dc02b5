"""Plain data between the process of the tests and that of the program, and calls in both directions.

Only data of the built-in types travels; any other object stays where it is and is named by a number.  So an object of the
program that claims to be equal to everything is, on the side of the tests, equal to nothing but itself.
"""

import collections
import decimal
import fractions
import json
import os

MAX_DEPTH = 100


class Ended(Exception):
    """The other process has gone, or does not speak the protocol."""


class Foreign(Exception):
    """An exception of the other side that has no built-in type."""


class Peer:
    def __init__(self, reading, writing, max_bytes, allowed):
        self.reading = os.fdopen(reading, "rb")
        self.writing = os.fdopen(writing, "wb")
        self.max_bytes = max_bytes
        self.allowed = allowed
        self.kept = []

    # Values.

    def pack(self, x, depth=0):
        kind = type(x)
        if x is None:
            return ["n"]
        if kind is Remote and x._peer is self:
            return ["m", x._at]
        if kind.__module__ == "numpy" and hasattr(x, "item") and getattr(x, "shape", None) == ():
            x = x.item()
            kind = type(x)
        if isinstance(x, bool):
            return ["b", bool(x)]
        if isinstance(x, int):
            return ["i", int.__format__(x, "x")]
        if isinstance(x, float):
            return ["f", float.hex(x)]
        if isinstance(x, complex):
            return ["c", complex.__repr__(x)]
        if isinstance(x, str):
            return ["s", str.__str__(x)]
        if isinstance(x, bytes):
            return ["y", bytes.hex(x)]
        if isinstance(x, bytearray):
            return ["Y", bytearray.hex(x)]
        if kind is range:
            return ["r", [self.pack(n) for n in (x.start, x.stop, x.step)]]
        if kind is fractions.Fraction:
            return ["q", [self.pack(n) for n in (x.numerator, x.denominator)]]
        if kind is decimal.Decimal:
            return ["D", str(x)]
        if depth < MAX_DEPTH:
            for tag, plain in SEQUENCES:
                if isinstance(x, plain):
                    return [tag, [self.pack(item, depth + 1) for item in plain.__iter__(x)]]
            if isinstance(x, dict):
                pairs = dict.items(x)
                return ["d", [[self.pack(k, depth + 1), self.pack(v, depth + 1)] for k, v in pairs]]
        self.kept.append(x)
        return ["o", len(self.kept) - 1]

    def unpack(self, packed):
        tag, *rest = packed
        if tag == "n":
            return None
        (x,) = rest
        if tag == "o":
            return Remote(self, int(x))
        if tag == "m":
            return self.kept[int(x)]
        if tag in SCALARS:
            return SCALARS[tag](x)
        if tag in ("r", "q"):
            return (range if tag == "r" else fractions.Fraction)(*[self.unpack(n) for n in x])
        if tag == "d":
            return {self.unpack(k): self.unpack(v) for k, v in x}
        return dict(SEQUENCES)[tag]([self.unpack(item) for item in x])

    # Messages: one line each.

    def send(self, message):
        self.writing.write(json.dumps(message).encode() + b"\n")
        self.writing.flush()

    def receive(self):
        line = self.reading.readline(self.max_bytes)
        if not line.endswith(b"\n"):
            raise Ended("the program has ended" if len(line) < self.max_bytes else "a value is too large")
        return json.loads(line)

    def ask(self, op, target, args=(), kwargs=None):
        packed = [self.pack(x) for x in args]
        named = [[key, self.pack(x)] for key, x in (kwargs or {}).items()]
        self.send(["ask", op, self.pack(target), packed, named])
        while True:
            message = self.receive()
            if message[0] == "ask":
                self.serve(message)
                continue
            if message[0] == "raised":
                raise self.exception(message[1], message[2])
            for mine, after in zip(args, message[2]):
                if after is not None:
                    overwrite(mine, self.unpack(after))
            return self.unpack(message[1])

    def exception(self, name, text):
        kind = getattr(__import__("builtins"), str(name), None)
        if isinstance(kind, type) and issubclass(kind, Exception):
            try:
                return kind(text)
            except Exception:
                pass
        return Foreign("%s: %s" % (name, text))

    def serve(self, message):
        try:
            _, op, target, args, named = message
            if op not in self.allowed:
                raise TypeError("not allowed here: %s" % op)
            args = [self.unpack(x) for x in args]
            kwargs = {key: self.unpack(x) for key, x in named}
            result = OPERATIONS[op](self.unpack(target), *args, **kwargs)
            after = [self.pack(x) if isinstance(x, MUTABLE) else None for x in args]
            reply = ["done", self.pack(result), after]
        except Ended:
            raise
        except BaseException as error:
            names = [kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "builtins"]
            try:
                text = str(error)[:1000]
            except Exception:
                text = ""
            reply = ["raised", names[0], text]
        self.send(reply)


SEQUENCES = (
    ("l", list),
    ("t", tuple),
    ("S", set),
    ("F", frozenset),
    ("Q", collections.deque),
)
SCALARS = {
    "b": bool,
    "i": lambda x: int(x, 16),
    "f": float.fromhex,
    "c": complex,
    "s": str,
    "y": bytes.fromhex,
    "Y": bytearray.fromhex,
    "D": decimal.Decimal,
}
MUTABLE = (list, dict, set, bytearray, collections.deque)
OPERATIONS = {
    "call": lambda x, *args, **kwargs: x(*args, **kwargs),
    "getattr": getattr,
    "setattr": setattr,
    "getitem": lambda x, key: x[key],
    "setitem": lambda x, key, value: x.__setitem__(key, value),
    "delitem": lambda x, key: x.__delitem__(key),
    "len": len,
    "bool": bool,
    "iter": iter,
    "next": next,
    "str": str,
    "repr": repr,
    "eq": lambda x, other: bool(x == other),
    "isinstance": lambda x, other: isinstance(other, x),
    "enter": lambda x: x.__enter__(),
    "exit": lambda x: x.__exit__(None, None, None),
}


def overwrite(mine, after):
    """What a call did to a mutable argument is done to the caller's."""
    if isinstance(mine, (list, bytearray)):
        mine[:] = after
    elif isinstance(mine, (dict, set)):
        mine.clear()
        mine.update(after)
    elif isinstance(mine, collections.deque):
        mine.clear()
        mine.extend(after)


class Remote:
    """An object of the other side.

    No arithmetic and no order: what a test computes from plain data must not be computed by the program.
    """

    __slots__ = ("_peer", "_at")

    def __init__(self, peer, at):
        object.__setattr__(self, "_peer", peer)
        object.__setattr__(self, "_at", at)

    def _ask(self, op, *args, **kwargs):
        return self._peer.ask(op, self, args, kwargs)

    def __call__(self, *args, **kwargs):
        return self._ask("call", *args, **kwargs)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self._ask("getattr", name)

    def __setattr__(self, name, value):
        self._ask("setattr", name, value)

    def __getitem__(self, key):
        return self._ask("getitem", key)

    def __setitem__(self, key, value):
        self._ask("setitem", key, value)

    def __delitem__(self, key):
        self._ask("delitem", key)

    def __len__(self):
        return self._ask("len")

    def __bool__(self):
        return self._ask("bool") is True

    def __iter__(self):
        return self._ask("iter")

    def __next__(self):
        return self._ask("next")

    def __str__(self):
        return self._ask("str")

    def __repr__(self):
        return self._ask("repr")

    def __enter__(self):
        return self._ask("enter")

    def __exit__(self, *_):
        self._ask("exit")

    def __eq__(self, other):
        if not isinstance(other, Remote):
            return False
        same = self._peer is other._peer and self._at == other._at
        return same or self._ask("eq", other) is True

    def __ne__(self, other):
        return not self == other

    def __hash__(self):
        return hash(self._at)

    def __instancecheck__(self, other):
        return isinstance(other, Remote) and self._ask("isinstance", other) is True
