"""The sequence of faults that a seed stands for. It depends on nothing else, so that a run can be
repeated: who is alive follows from the actions before."""
import dataclasses
import random

SLOTS = 6  # most targets at a time
FEWEST = 2

# Name and weight. Those of a target need one, `start` a free slot.
OF_TARGETS = {
    "end_target": 4,
    "kill_idle": 4,
    "kill_in_callback": 4,
    "kill_in_system_call": 4,
    "stop_and_continue": 6,
}
OTHERS = {
    "kill_at_start": 4,
    "fork_storm": 3,
    "daemon_kill": 4,
    "daemon_restart": 3,
    "reload_good": 4,
    "reload_bad": 3,
    "scrape_slowly": 3,
    "scrape_by_many": 3,
    "scrape_half_open": 3,
    "flood": 4,
    "disk_full": 4,
    "rotate": 4,
    "squeeze_memory": 4,
    "step_clock": 5,
}


@dataclasses.dataclass
class Action:
    number: int
    name: str
    slot: int = -1
    arguments: dict = dataclasses.field(default_factory=dict)
    pause: float = 0  # seconds, afterwards

    def __str__(self):
        words = ["#%d" % self.number, self.name]
        if self.slot >= 0:
            words.append("slot=%d" % self.slot)
        words += ["%s=%s" % pair for pair in self.arguments.items()]
        return " ".join(words)


def arguments_of(name, draw):
    if name == "start":
        return {"loop": draw.choice(["asyncio", "asyncio", "uvloop"]), "seed": draw.randrange(10**6)}
    if name == "stop_and_continue":
        return {"seconds": round(draw.uniform(0.1, 1.0), 2)}
    if name == "kill_at_start":
        return {"seconds": round(draw.uniform(0, 0.12), 3), "count": draw.randrange(1, 6)}
    if name == "fork_storm":
        return {"rate": draw.choice([50, 100, 200]), "seconds": draw.choice([1, 2])}
    if name == "reload_good":
        return {"threshold": draw.choice([40, 50, 60])}
    if name == "reload_bad":
        return {"kind": draw.choice(["syntax", "unknown_key", "bad_value", "missing"])}
    if name in ("scrape_slowly", "scrape_by_many"):
        return {"clients": draw.randrange(5, 40)}
    if name == "scrape_half_open":
        return {"clients": draw.choice([20, 100, 400]), "part": draw.choice(["", "GET /met"])}
    if name == "flood":
        return {"stopped": round(draw.uniform(0.2, 5), 1)}
    if name == "disk_full":
        return {"seconds": round(draw.uniform(0.5, 2), 1)}
    if name == "squeeze_memory":
        return {"room": draw.choice([0, 256, 4096]), "seconds": round(draw.uniform(1, 3), 1)}
    if name == "step_clock":
        return {"seconds": draw.choice([-86400, -3600, -2, 0, 2, 3600, 86400 * 365])}
    return {}


def plan(seed):
    """Endless; the first actions start targets."""
    draw = random.Random(seed)
    alive = [False] * SLOTS
    number = 0
    while True:
        number += 1
        count = sum(alive)
        weights = dict(OTHERS)
        if count < SLOTS:
            weights["start"] = 30 if count < FEWEST + 1 else 6
        if count > FEWEST:
            weights.update(OF_TARGETS)
        if count < FEWEST:
            weights = {"start": 1}
        name = draw.choices(list(weights), list(weights.values()))[0]
        slot = -1
        if name == "start" or name in OF_TARGETS:
            slot = draw.choice([i for i in range(SLOTS) if alive[i] != (name == "start")])
            alive[slot] = name in ("start", "stop_and_continue")
        arguments = arguments_of(name, draw)
        yield Action(number, name, slot, arguments, pause=draw.uniform(0.2, 1.2))
