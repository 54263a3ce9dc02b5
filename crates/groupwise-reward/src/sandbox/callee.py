"""The process of the program: loads it, tells its names, and serves calls until the tests end."""

import sys
import types


def main():
    path, max_bytes = sys.argv[1], int(sys.argv[2])
    # What the program prints must not meet the messages.
    reading, writing = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for taken in (0, 1, 2):
        os.dup2(nowhere, taken)
    peer = Peer(reading, writing, max_bytes, frozenset(OPERATIONS))
    with open(path, "rb") as file:
        source = file.read()
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    sys.argv = [path]
    try:
        exec(compile(source, "program.py", "exec"), module.__dict__)
    except BaseException as error:
        peer.send(["broken", "%s: %s" % (type(error).__name__, error)])
        return
    names = [name for name in module.__dict__ if not name.startswith("__")]
    peer.send(["names", [[name, peer.pack(module.__dict__[name])] for name in names]])
    while True:
        peer.serve(peer.receive())


try:
    main()
except (Ended, BrokenPipeError):
    pass
os._exit(0)
