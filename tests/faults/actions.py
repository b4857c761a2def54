"""What each fault of the plan does, to the daemon and its targets."""
import contextlib
import http.client
import signal
import socket
import threading
import time

from daemon import READY, http_get, wait_until
from targets import storm


class Failed(Exception):
    """An invariant does not hold."""


def require(condition, what):
    if not condition:
        raise Failed(what)


class Actions:
    def __init__(self, daemon, population, disk, say):
        self.daemon = daemon
        self.population = population
        self.disk = disk
        self.say = say
        self.skipped = 0
        self.forks = 0
        self.out_of_memory = 0
        self.torn = 0  # lines that a kill may have cut
        self.slowest_start = 0
        self.slowest_scrape = 0
        self.moved = 0

    def run(self, action):
        options = dict(action.arguments)
        if action.slot >= 0:
            options["slot"] = action.slot
        getattr(self, action.name)(**options)
        self.check_daemon()

    def check_daemon(self):
        require(self.daemon.is_alive(), "the daemon has ended by itself: status %s"
                % self.daemon.process.poll())
        begin = time.monotonic()
        self.daemon.measure()
        self.slowest_scrape = max(self.slowest_scrape, time.monotonic() - begin)

    def start_daemon(self):
        try:
            self.slowest_start = max(self.slowest_start, self.daemon.start())
        except AssertionError as error:
            raise Failed(str(error)) from None

    # Targets.

    def start(self, slot, loop, seed):
        self.population.start(slot, loop, seed)

    def end_target(self, slot):
        require(self.population.take(slot).end(), "a target did not end in peace")

    def kill_idle(self, slot):
        target = self.population.take(slot)
        target.tell("idle")
        time.sleep(0.7)
        target.kill()

    def kill_in(self, slot, command, kind):
        target = self.population.take(slot)
        target.tell(command)
        wait_until(lambda: target.is_inside(kind), 5)
        time.sleep(0.3)
        target.kill()

    def kill_in_callback(self, slot):
        self.kill_in(slot, "spin", "cpu")

    def kill_in_system_call(self, slot):
        self.kill_in(slot, "block", "pipe")

    def kill_at_start(self, seconds, count):
        self.population.start_and_kill(seconds, count)

    def stop_and_continue(self, slot, seconds):
        self.population.slots[slot].stop_for(seconds)

    def fork_storm(self, rate, seconds):
        self.forks += storm(rate, seconds)["forks"]

    # The daemon itself.

    def daemon_kill(self):
        self.daemon.kill()
        self.torn += 1
        self.start_daemon()

    def daemon_restart(self):
        self.daemon.terminate()
        self.start_daemon()

    def reload_good(self, threshold):
        self.daemon.configure(threshold)
        self.reload(is_current=1)

    def reload_bad(self, kind):
        self.daemon.configure_badly(kind)
        self.reload(is_current=0)
        self.daemon.configure(50)
        self.reload(is_current=1)

    def reload(self, is_current):
        name = "loopsight_config_last_reload_successful"
        self.daemon.reload()
        took = wait_until(lambda: self.daemon.metrics().get(name) == is_current, READY)
        require(took, "%s is not %d after a reload" % (name, is_current))

    # Who asks it.

    def scrape_by_many(self, clients):
        statuses = []

        def scrape():
            with contextlib.suppress(OSError, http.client.HTTPException):
                statuses.append(http_get(self.daemon.port, "/metrics", READY)[0])

        threads = [threading.Thread(target=scrape) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        require(statuses == [200] * clients, "of %d scrapes these came back: %s" % (clients, statuses))

    def scrape_slowly(self, clients):
        with contextlib.ExitStack() as stack:
            for _ in range(clients):
                one = stack.enter_context(self.connect())
                one.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
                one.recv(10)  # and no more
            self.scrape_meanwhile()

    def scrape_half_open(self, clients, part):
        with contextlib.ExitStack() as stack:
            for _ in range(clients):
                one = stack.enter_context(self.connect())
                with contextlib.suppress(OSError):  # it had to give way
                    one.sendall(part.encode())
            self.scrape_meanwhile()

    def connect(self):
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        one.settimeout(READY)
        one.connect(("127.0.0.1", self.daemon.port))
        return one

    def scrape_meanwhile(self):
        begin = time.monotonic()
        require(http_get(self.daemon.port, "/metrics", READY)[0] == 200, "no scrape meanwhile")
        taken = time.monotonic() - begin
        self.slowest_scrape = max(self.slowest_scrape, taken)
        require(taken < 10, "a scrape took %.1f s meanwhile" % taken)

    # What it stands on.

    def flood(self, stopped):
        """Stall after stall of everybody while the daemon does not look: the ring buffer fills."""
        for target in self.population.alive():
            target.tell("flood")
        self.daemon.process.send_signal(signal.SIGSTOP)
        time.sleep(stopped)
        self.daemon.process.send_signal(signal.SIGCONT)
        time.sleep(1)

    def disk_full(self, seconds):
        before = self.daemon.log.read_text().count("are lost there until it works")
        self.disk.fill()
        time.sleep(seconds)
        self.disk.free()
        said = self.daemon.log.read_text().count("are lost there until it works") - before
        require(said <= 1, "a full disk was said %d times" % said)

    def rotate(self):
        """As logrotate does: the file is moved, the next stall makes a new one."""
        self.moved += 1
        with contextlib.suppress(FileNotFoundError):
            self.daemon.lines.rename("%s-moved-%d" % (self.daemon.lines, self.moved))

    def squeeze_memory(self, room, seconds):
        if not self.daemon.group:
            self.skipped += 1
            return
        self.daemon.group.squeeze(room * 1024)
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.daemon.is_alive():
            with contextlib.suppress(OSError, http.client.HTTPException):
                http_get(self.daemon.port, "/metrics", 5)
            time.sleep(0.1)
        self.daemon.group.release()
        if wait_until(lambda: not self.daemon.is_alive(), 1):
            status = self.daemon.process.poll()
            require(status == -9, "a daemon short of memory ended with %s" % status)
            self.out_of_memory += 1
            self.torn += 1
            self.daemon.died()
            self.start_daemon()

    def step_clock(self, seconds):
        if not self.daemon.clock:
            self.skipped += 1
            return
        self.daemon.clock.step(seconds)
