"""Nothing leaves the box: the kernel counts it, and Python is asked about every socket."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# Runs in a namespace whose only interface is loopback. Every attempt to reach anything else is
# counted by the kernel as OutNoRoutes, and a name looked up through a resolver on loopback as a
# UDP datagram.
COUNTED = """
import pathlib, subprocess, sys
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)

def counters():
    values = {}
    lines = pathlib.Path("/proc/net/snmp").read_text().splitlines()
    for names, numbers in zip(lines[::2], lines[1::2]):
        kind = names.split(":")[0]
        for name, number in zip(names.split()[1:], numbers.split()[1:]):
            values[f"{kind}.{name}"] = int(number)
    return values["Ip.OutNoRoutes"], values["Udp.OutDatagrams"]

before = counters()
code = subprocess.run([sys.executable, "-c", sys.argv[1], *sys.argv[2:]]).returncode
after = counters()
print("attempts", after[0] - before[0], "datagrams", after[1] - before[1], "exit", code)
"""

SERVE_AND_CALL = """
import subprocess, sys, threading
from skilld.transports.grpc_client import SkillClient
engine, socket_path, skill, text = sys.argv[1:]
command = [sys.executable, "-m", "skilld.cli", "serve", engine, "--socket", socket_path]
daemon = subprocess.Popen(
    [*command, "--tcp", "127.0.0.1:0"], stderr=subprocess.PIPE, text=True
)
lines = []
for line in daemon.stderr:
    lines.append(line)
    if " ready with " in line:
        break
assert daemon.poll() is None, lines
tcp = next(line for line in lines if "listening on" in line).split(", ")[-1].strip()
for address in (f"unix:{socket_path}", tcp):
    with SkillClient(address) as client:
        assert client.invoke(skill, text).usage.output_tokens > 0
daemon.terminate()
assert daemon.wait(20) == 0
"""

REACH_OUT = """
import socket
try:
    socket.create_connection(("192.0.2.1", 9), timeout=1)
except OSError:
    pass
"""

WATCH_IMPORTS = """
import sys
seen = []
sys.addaudithook(lambda event, args: event.startswith("socket.") and seen.append((event, args)))
import skilld.app, skilld.cli, skilld.doctor, skilld.engine.openvino
import skilld.transports.grpc_client, skilld.transports.grpc_server
reaching = [s for s in seen if s[0] in ("socket.connect", "socket.getaddrinfo", "socket.sendto")]
print("reaching", reaching)
sys.exit(len(reaching))
"""


def in_lonely_namespace(script: str, *arguments: str) -> str:
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("ip") is None:
        pytest.fail("needs root, unshare (util-linux) and ip (iproute2)")
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", COUNTED, script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.netns
def test_the_counter_sees_an_attempt_to_leave() -> None:
    assert in_lonely_namespace(REACH_OUT) == "attempts 1 datagrams 0 exit 0"


@pytest.mark.netns
def test_serving_and_calling_tries_to_reach_nobody(tiny_engine: Path, tmp_path: Path) -> None:
    answered = in_lonely_namespace(
        SERVE_AND_CALL,
        str(tiny_engine),
        str(tmp_path / "run" / "skilld.sock"),
        "pick",
        '{"lines": ["E12 drive fault"]}',
    )
    assert answered == "attempts 0 datagrams 0 exit 0"


def test_importing_the_daemon_opens_no_connection() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WATCH_IMPORTS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_usage_reports_of_openvino_are_replaced_by_its_silent_stub() -> None:
    script = (
        "from skilld.engine.no_egress import openvino; import sys;"
        "assert sys.modules['openvino_telemetry'] is None;"
        "from openvino.utils import *"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
