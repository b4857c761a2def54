"""Tries what the service's sandbox is there to forbid, and says of each what became of it.

Started in the daemon's place, as its user, with its filter and view of the files, and with those of
its capabilities that it keeps: the second argument, a mask in hexadecimal.
"""
import contextlib
import ctypes
import errno
import json
import os
import socket
import sys

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p


def call(number, *arguments):
    """A system call by its number on x86-64, so that no library stands between."""
    got = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(one) for one in arguments])
    if got < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def write(path):
    def attempt():
        with open(path, "w") as file:
            file.write("x")
        os.unlink(path)

    return attempt


def become_root():
    """As a file system sees it. The call itself never says whether it did."""
    call(122, 0)
    if call(122, -1) != 0:
        raise PermissionError(errno.EPERM, "setfsuid")


def as_root(attempt):
    def attempt_as_root():
        with contextlib.suppress(OSError):
            call(122, 0)
        attempt()

    return attempt_as_root


def keep(mask):
    """Gives up all capabilities but these, as the daemon does."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    sets = (ctypes.c_uint32 * 6)(low, low, 0, high, high, 0)
    call(126, ctypes.addressof(header), ctypes.addressof(sets))


def writable_code():
    if libc.mmap(None, 4096, 7, 0x22, -1, 0) == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "mmap")


parent = os.getppid()
ATTEMPTS = {
    "write /etc": write("/etc/loopsight-forbidden"),
    "write /usr": write("/usr/loopsight-forbidden"),
    "write /root": write("/root/loopsight-forbidden"),
    "write /sys": lambda: open("/sys/kernel/profiling", "w").write("1"),
    "write sysctl": lambda: open("/proc/sys/kernel/core_pattern", "w").write("x"),
    "write memory of another": lambda: open("/proc/%d/mem" % parent, "r+b").close(),
    "write memory of another as root": as_root(lambda: open("/proc/%d/mem" % parent, "r+b").close()),
    "make a file of root": as_root(write("/proc/%d/root/etc/loopsight-forbidden" % parent)),
    "make a file of root elsewhere": as_root(write("/proc/1/root/var/lib/loopsight-forbidden")),
    "setfsuid(0)": become_root,
    "setuid(0)": lambda: call(105, 0),
    "setresuid(0)": lambda: call(117, 0, 0, 0),
    "setresgid(0)": lambda: call(119, 0, 0, 0),
    "setgroups(0)": lambda: call(116, 0, 0),
    "setgid(0)": lambda: call(106, 0),
    "chroot": lambda: os.chroot("/"),
    "mount": lambda: call(165, 0, 0, 0, 0, 0),
    "unshare user namespace": lambda: call(272, 0x10000000),
    "ptrace": lambda: call(101, 16, parent, 0, 0),
    "process_vm_writev": lambda: call(311, parent, 0, 0, 0, 0, 0),
    "kill a process of root": lambda: os.kill(parent, 0),
    "init_module": lambda: call(175, 0, 0, 0),
    "kexec_load": lambda: call(246, 0, 0, 0, 0),
    "reboot": lambda: call(169, 0, 0, 0, 0),
    "clock_settime": lambda: call(227, 0, 0),
    "swapon": lambda: call(167, 0, 0),
    "raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close(),
    "packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close(),
    "netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close(),
    "writable code": writable_code,
    "make a device": lambda: os.mknod("/var/tmp/loopsight-device", 0o20600, os.makedev(1, 3)),
}


def main():
    results = {}
    keep(int(sys.argv[2], 16))
    for name, attempt in ATTEMPTS.items():
        try:
            attempt()
            results[name] = "done"
        except OSError as error:
            results[name] = errno.errorcode.get(error.errno, str(error.errno))
    with open(sys.argv[1], "w") as file:
        json.dump(results, file)


main()
