"""Closes the sandbox around itself, then runs a command in it.

First argument: a JSON object of limits; the rest: the command.  Where it is process 1 of its own namespaces, the whole
file system becomes read-only, the working folder a small one in memory, and every capability is given up.
"""

import json
import os
import resource
import sys


def close_namespaces(plan):
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)

    def must(result):
        if result != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    read_only = (ctypes.c_uint64 * 4)(1, 0, 0, 0)
    mount_setattr, here, recursive = ctypes.c_long(442), ctypes.c_long(-100), ctypes.c_long(0x8000)
    must(libc.syscall(mount_setattr, here, b"/", recursive, read_only, ctypes.c_long(32)))
    folder = os.fsencode(plan["folder"])
    options = "size=%d,nr_inodes=%d,mode=700" % (plan["folder_bytes"], plan["folder_files"])
    no_suid_no_devices = ctypes.c_ulong(6)
    must(libc.mount(b"none", folder, b"tmpfs", no_suid_no_devices, options.encode()))
    drop_from_bounding_set, no_new_privileges = 24, 38
    for capability in range(64):
        libc.prctl(drop_from_bounding_set, capability, 0, 0, 0)
    must(libc.prctl(no_new_privileges, 1, 0, 0, 0))


def limit(kind, value):
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))


def run(plan, command):
    os.chdir(plan["folder"])
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_CPU, int(plan["cpu_s"]))
    limit(resource.RLIMIT_FSIZE, plan["folder_bytes"])
    limit(resource.RLIMIT_NOFILE, plan["open_files"])
    if plan["namespaces"]:
        # Elsewhere everything that runs under this user would count.
        limit(resource.RLIMIT_NPROC, plan["processes"])
    limit(resource.RLIMIT_AS, plan["memory_bytes"])
    os.execv(command[0], command)


def main():
    plan, command = json.loads(sys.argv[1]), sys.argv[2:]
    if plan["namespaces"]:
        close_namespaces(plan)
    child = os.fork()
    if child == 0:
        try:
            run(plan, command)
        finally:
            os._exit(126)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


main()
