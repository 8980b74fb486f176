"""RabbitMQ nodes on loopback as one cluster, to kill, freeze, cut off and wipe one by one.

    cluster = RabbitCluster(folder)
    url = cluster.start()                         # amqp://...@127.0.0.1:p1//;amqp://...@127.0.0.1:p2//;...
    cluster.leader_of("ow_risk").kill()           # `start` brings it back
    cluster.members[0].cut_off()                  # from the other nodes; clients still reach it until it notices and pauses
    cluster.members[0].heal()
    cluster.wipe()                                # everything forgotten, same addresses

A node is cut off by telling it wrong cookies for the others: Erlang's handshake is mutual, so neither side gets through, and nobody needs
root. Erlang is told to miss a silent node after a few seconds instead of a minute, which changes when things happen but not what happens.
"""

import os
import re
import secrets
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from infrastructure.embedded.waiting import wait_until
from tests.faults import signals
from tests.servers.certificates import Certificates
from tests.servers.rabbitmq import RabbitNode, find_server_script

SETTLE_S = 60.0
EVAL_S = 4.0
TICK_S = 6

RUNNING = "length([N || N <- [node() | nodes()], rabbit:is_running(N)])."
LEADER = """case rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"%s">>)) of
  {ok, Q} -> {Name, _} = amqqueue:get_pid(Q),
             case ra:members({Name, node()}, 2000) of {ok, _, {_, Leader}} -> Leader; _ -> none end;
  _ -> none
end."""
CUT_OFF = "[begin erlang:set_cookie(N, wrong), erlang:disconnect_node(N) end || N <- ['%s']]."
HEAL = "[begin erlang:set_cookie(N, '%s'), net_kernel:connect_node(N) end || N <- ['%s']]."


def find_erl_call() -> str | None:
    """Erlang's own way to ask a node something: a hundred times faster than `rabbitmqctl eval`."""
    return shutil.which("erl_call")


class RabbitMember(RabbitNode):
    """One node of a cluster."""

    peers: tuple["RabbitMember", ...] = ()

    def found(self, first: "RabbitMember", number: int) -> None:
        """Join what `first` and the others form."""
        self._name = f"orderwright{number}-{os.getpid()}-{secrets.token_hex(3)}@localhost"
        self._password, self._cookie, self._epmd = first._password, first._cookie, first._epmd
        self._kernel = f"-kernel net_ticktime {TICK_S}"

    def meet(self, members: list["RabbitMember"], lines: tuple[str, ...]) -> None:
        self.peers = tuple(member for member in members if member is not self)
        named = (
            f"cluster_formation.classic_config.nodes.{number} = {member._name}"
            for number, member in enumerate(members, 1)
        )
        self._lines = ("cluster_formation.peer_discovery_backend = classic_config", *named, *lines)

    @property
    def name(self) -> str:
        return self._name

    @property
    def pid(self) -> int:
        return int((self._folder / "node.pid").read_text(encoding="ascii"))

    def freeze(self) -> None:
        """Stop the process: the kernel still answers for it."""
        signals.freeze([self.pid])

    def thaw(self) -> None:
        with suppress(FileNotFoundError):
            signals.thaw([self.pid])

    def shut_down(self) -> None:
        """End in an orderly way; the cluster's name server stays."""
        self._end(signal.SIGTERM)

    def cut_off(self) -> None:
        """Let neither this node nor the others get through to each other."""
        self.evaluate(CUT_OFF % self._others)

    def heal(self) -> None:
        self.evaluate(HEAL % (self._cookie, self._others))

    def forget(self) -> None:
        shutil.rmtree(self._folder / "data", ignore_errors=True)

    @property
    def _others(self) -> str:
        return "','".join(peer.name for peer in self.peers)

    def evaluate(self, expression: str) -> str:
        """What the node answers to a piece of Erlang."""
        seen = subprocess.run(
            ["erl_call", "-address", f"127.0.0.1:{self._dist_port}", "-c", self._cookie, "-r", "-e"],
            input=f"{expression}\n",
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=EVAL_S,
        )
        if seen.returncode != 0 or not seen.stdout.startswith("{ok, "):
            raise RuntimeError(f"{self._name} answered {seen.stdout or seen.stderr}")
        return seen.stdout.removeprefix("{ok, ").removesuffix("}")

    def control(self, *arguments: str) -> str:
        """`rabbitmqctl` on this node; returns what it printed."""
        program = self._script.with_name("rabbitmqctl")
        seen = subprocess.run(
            [program, "-q", "-n", self._name, *arguments],
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=SETTLE_S,
        )
        if seen.returncode != 0:
            raise RuntimeError(f"rabbitmqctl {arguments[0]}: {seen.stdout}{seen.stderr}")
        return seen.stdout


class RabbitCluster:
    """Nodes that share a cookie, a user and, as `pause_minority` says, the view that a minority must not act."""

    def __init__(
        self, folder: Path, nodes: int = 3, *, tls: Certificates | None = None, partitions: str = "pause_minority"
    ) -> None:
        script = find_server_script()
        if script is None or find_erl_call() is None:
            raise RuntimeError("RabbitMQ is not installed")
        self.members: list[RabbitMember] = []
        for number in range(1, nodes + 1):
            home = folder / f"node{number}"
            home.mkdir(parents=True)
            self.members.append(RabbitMember(home, script, certificates=tls))
            self.members[-1].found(self.members[0], number)
        for member in self.members:
            member.meet(self.members, (f"cluster_partition_handling = {partitions}",))

    @property
    def url(self) -> str:
        return ";".join(member.url for member in self.members)

    def start(self) -> str:
        """Start the nodes that do not run, and return the URL once the cluster is whole."""
        self.members[0]._epmd.start()
        launched = [member for member in self.members if not member.is_running]
        for member in launched:
            member.launch()
        for member in launched:
            member.settled()
        self.await_whole()
        return self.url

    def stop(self) -> None:
        """Kill everything, also what is frozen: nobody needs the data any more."""
        for member in self.members:
            member.kill()
        self.members[0]._epmd.stop()

    def wipe(self) -> None:
        """Forget queues, messages, users and policies; the same addresses serve an empty cluster afterwards."""
        for member in self.members:
            member.kill()
            member.forget()
        self.start()

    def await_whole(self) -> None:
        """Wait until every node sees every other."""
        if not wait_until(lambda: self.whole, timeout_s=SETTLE_S):
            raise RuntimeError(f"no whole cluster: {[self._seen_by(member) for member in self.members]}")

    @property
    def whole(self) -> bool:
        return all(self._seen_by(member) == len(self.members) for member in self.members)

    def leader_of(self, queue: str) -> RabbitMember:
        """The node that leads a quorum queue now, as most nodes see it. Waits while there is none."""
        found: list[RabbitMember] = []

        def has_leader() -> bool:
            named = [self._ask(member, LEADER % queue) for member in self.members if member.is_running]
            found[:] = [member for member in self.members if 2 * named.count(member.name) > len(self.members)]
            return bool(found)

        if not wait_until(has_leader, timeout_s=SETTLE_S):
            raise RuntimeError(f"{queue} has no leader")
        return found[0]

    def _seen_by(self, member: RabbitMember) -> int:
        """How many running nodes this one sees, with the listener open to clients."""
        answer = self._ask(member, RUNNING)
        return int(answer) if re.fullmatch(r"\d+", answer) and member.answers() else 0

    @staticmethod
    def _ask(member: RabbitMember, expression: str) -> str:
        try:
            return member.evaluate(expression).strip().strip("'")
        except (RuntimeError, subprocess.TimeoutExpired):
            return ""
