"""Runs a command under the filters that systemd would put on it: system calls by name, all others kill; address families, all others EAFNOSUPPORT.

usage: restricted.py <system calls, by spaces> <address families, by spaces> <command> ...
"""
import ctypes
import errno
import os
import socket
import sys

KILL, ALLOW, EQUAL = 0x80000000, 0x7FFF0000, 4
FAMILIES = 46


class Compare(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


lib = ctypes.CDLL("libseccomp.so.2", use_errno=True)
lib.seccomp_init.restype = ctypes.c_void_p
lib.seccomp_init.argtypes = [ctypes.c_uint32]
lib.seccomp_load.argtypes = [ctypes.c_void_p]
lib.seccomp_rule_add_array.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(Compare)]


def load(context):
    if lib.seccomp_load(context) != 0:
        sys.exit("no seccomp here")


calls, families, command = sys.argv[1].split(), sys.argv[2].split(), sys.argv[3:]
allowed = {getattr(socket, family) for family in families}
open_socket = lib.seccomp_syscall_resolve_name(b"socket")
context = lib.seccomp_init(ALLOW)
for family in range(FAMILIES):
    if family not in allowed:
        rule = Compare(0, EQUAL, family, 0)
        if lib.seccomp_rule_add_array(context, 0x00050000 | errno.EAFNOSUPPORT, open_socket, 1, ctypes.byref(rule)) != 0:
            sys.exit("a rule was refused")
load(context)

context = lib.seccomp_init(KILL)
for name in calls + ["execve"]:  # the command itself is started from here
    number = lib.seccomp_syscall_resolve_name(name.encode())
    if number >= 0:
        lib.seccomp_rule_add_array(context, ALLOW, number, 0, None)
load(context)
os.execvp(command[0], command)
