#!/usr/bin/env python3
"""A wire between two network namespaces with a rate and a delay, for kernels without netem.

    relay.py NAMESPACE NAMESPACE DEVICE RATE DELAY

Makes the TUN device DEVICE in both namespaces, prints a line, and carries packets from one to the other until it is
ended. RATE and DELAY are written as for tc: 100mbit, 10ms; the delay is that of each direction. A packet leaves when
those before it have been sent at RATE, and arrives DELAY later.
"""

import collections
import ctypes
import fcntl
import os
import select
import struct
import sys
import time

SET_INTERFACE, TUN, NO_HEADER, NETWORK = 0x400454CA, 0x1, 0x1000, 0x40000000
# Packets that wait for the wire at most, in seconds of it: what a switch would drop is dropped here.
LONGEST_QUEUE = 0.4
UNITS = {"gbit": 1e9, "mbit": 1e6, "kbit": 1e3, "bit": 1.0, "ms": 1e-3, "us": 1e-6, "s": 1.0}


def number(text):
    unit = next(unit for unit in UNITS if text.endswith(unit))
    return float(text[: -len(unit)]) * UNITS[unit]


def enter(path):
    namespace = os.open(path, os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(namespace, NETWORK) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)
    os.close(namespace)


def device(namespace, name):
    enter(f"/run/netns/{namespace}")
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(end, SET_INTERFACE, struct.pack("16sH", name.encode(), TUN | NO_HEADER))
    enter(f"/proc/{os.getppid()}/ns/net")
    return end


class Way:
    """Packets from one device to the other."""

    def __init__(self, source, target, rate, delay):
        self.source, self.target, self.rate, self.delay = source, target, rate, delay
        self.free, self.packets = 0.0, collections.deque()

    def take(self):
        while True:
            try:
                packet = os.read(self.source, 1 << 16)
            except BlockingIOError:
                return
            now = time.monotonic()
            if self.free - now > LONGEST_QUEUE:
                continue
            self.free = max(self.free, now) + 8 * len(packet) / self.rate
            self.packets.append((self.free + self.delay, packet))

    def give(self):
        now = time.monotonic()
        while self.packets and self.packets[0][0] <= now:
            try:
                os.write(self.target, self.packets.popleft()[1])
            except OSError:
                pass

    def due(self):
        return self.packets[0][0] if self.packets else float("inf")


def main(first, second, name, rate, delay):
    # Before what trains on the same cores: else its turns would be added to the delay.
    os.setpriority(os.PRIO_PROCESS, 0, -20)
    ends = [device(first, name), device(second, name)]
    ways = [Way(*pair, number(rate), number(delay)) for pair in (ends, ends[::-1])]
    print("ready", flush=True)
    while True:
        wait = min(way.due() for way in ways) - time.monotonic()
        select.select(ends, [], [], None if wait == float("inf") else max(0.0, wait))
        for way in ways:
            way.take()
            way.give()


main(*sys.argv[1:])
