"""Ranks on several machines: network namespaces with addresses of their own on one bridge.

Usage: machines_test.py PROGRAM MPIRUN. Each "machine" has its own network, host name, processes and
/dev/shm, so that MPI has nothing but TCP between them; mpirun starts its daemons there by nsenter
instead of ssh. All of it lives in namespaces below this process and ends with it, however it ends.
Exit code 77: namespaces, a bridge or `ip` cannot be had here, nothing was checked.
"""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

SEPARATE = ["--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"]
PROBE = ("mount -t tmpfs tmpfs /dev/shm && ip link add bridge type bridge && "
         "ip link add left type veth peer name right && hostname probe && "
         f"unshare {' '.join(SEPARATE)} true && echo 8 >/proc/sys/net/ipv4/tcp_retries2")

TIMEOUT = 2  # --comm-timeout
# Ranks may outlive it by that: the first rank speaks first, then all are called by name, and
# MPI_Abort has 2 s. A busy machine adds to it, and so does mpirun, which gives its daemons a second
# each to end what they started.
AFTER_TIMEOUT = 5
SLACK = 4
# Seconds that TCP takes to give up are 0.2 (2^(1 + this) - 1); Linux's own 15 make 15 minutes.
TCP_RETRIES = 4

JOB = ["train", "--json", "--quiet", "--epochs", "2", "--hidden", "24,12", "--batch-size", "48",
       "--samples", "333", "--momentum", "0.9"]
ENDLESS = ["train", "--epochs", "1000000", "--eval-every", "3", "--comm-timeout", str(TIMEOUT)]
SCRATCH = "/dev/shm"


def enter():
    """Starts this script again in namespaces of its own, where that can be done."""
    for command in ("ip", "unshare", "nsenter", "mount", "hostname"):
        if not shutil.which(command):
            skip(f"there is no `{command}`")
    unshare = ["unshare", *SEPARATE]
    if os.geteuid() != 0:
        unshare += ["--user", "--map-root-user"]
    probe = subprocess.run([*unshare, "sh", "-c", PROBE], capture_output=True, text=True)
    if probe.returncode != 0:
        skip(f"namespaces cannot be made here: {probe.stderr.strip()}")
    os.execvp("unshare", [*unshare, sys.executable, *sys.argv, "--inside"])


def skip(why):
    print("SKIPPED:", why)
    sys.exit(77)


def sh(command):
    subprocess.run(["sh", "-ec", command], check=True)


def put_agent(machine):
    """Open MPI's daemons look for the agent too, though they do not use it."""
    path = machine.path(f"{SCRATCH}/agent")
    with open(path, "w") as agent:
        agent.write('#!/bin/sh\nhost=$1\nshift\nexec nsenter --target "$(cat '
                    f'{SCRATCH}/$host.pid)" --mount --uts --ipc --net --pid -- sh -c "$*"\n')
    os.chmod(path, 0o755)


class Machine:
    """A holder process keeps its namespaces; `pid` is that process, seen from here."""

    def __init__(self, number):
        self.name = f"m{number}"
        self.link = f"port{number}"
        self.holder = subprocess.Popen(
            ["unshare", *SEPARATE, "sh", "-ec",
             f"hostname {self.name}; mount -t tmpfs tmpfs /dev/shm; ip link set lo up; echo ready; "
             "while :; do sleep 1000 & wait; done"], stdout=subprocess.PIPE, text=True)
        assert self.holder.stdout.readline() == "ready\n"
        with open(f"/proc/{self.holder.pid}/task/{self.holder.pid}/children") as children:
            self.pid = int(children.read().split()[0])
        with open(f"{SCRATCH}/{self.name}.pid", "w") as file:
            file.write(str(self.pid))
        put_agent(self)
        sh(f"ip link add {self.link} type veth peer name eth0 netns {self.pid}; "
           f"ip link set {self.link} master bridge up; "
           f"nsenter --target {self.pid} --net sh -ec '"
           f"ip address add 10.99.0.{100 + number}/24 dev eth0; ip link set eth0 up; "
           f"echo {TCP_RETRIES} >/proc/sys/net/ipv4/tcp_retries2'")
        look = f"nsenter --target {self.pid} --net ip -brief link show eth0"
        wait_for(lambda: " UP " in subprocess.check_output(look.split(), text=True), 30,
                 f"no link to {self.name}")

    def path(self, path):
        """One of its files, seen from here."""
        return f"/proc/{self.pid}/root{path}"


class Head:
    """Where mpirun runs: this process's own namespaces."""

    name = "m0"
    pid = os.getpid()

    def __init__(self):
        socket.sethostname(self.name)
        sh("mount -t tmpfs tmpfs /dev/shm; ip link set lo up; ip link add bridge type bridge; "
           "ip address add 10.99.0.100/24 dev bridge; ip link set bridge up; "
           f"echo {TCP_RETRIES} >/proc/sys/net/ipv4/tcp_retries2")
        put_agent(self)

    def path(self, path):
        return path


def on(places, arguments, options=()):
    """The command that starts so many ranks on each machine: places is [(machine, ranks)...]."""
    hosts = ",".join(f"{machine.name}:{ranks}" for machine, ranks in places)
    return [MPIRUN, "--oversubscribe", "--bind-to", "none", "--mca", "plm_rsh_agent",
            f"{SCRATCH}/agent", "--mca", "plm_rsh_no_tree_spawn", "1", "--mca", "orte_tmpdir_base",
            SCRATCH, "--output-filename", f"{SCRATCH}/log", *options, "--host", hosts, "-n",
            str(sum(ranks for _, ranks in places)), PROGRAM, *arguments]


def run(command, code=0):
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == code, (command, result.returncode, result.stdout, result.stderr)
    return result


def trained(command):
    return json.loads(run(command).stdout)["runs"][0]


def state_of(pid):
    """"R", "T", ...; empty for a process that has ended."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            state = stat.read().rpartition(")")[2].split()[0]
    except OSError:
        return ""
    return "" if state in "ZX" else state


def processes(name, machine=None):
    """The pids of what runs under that name, on one machine or on all, in their order."""
    found = []
    for pid in sorted(int(entry) for entry in os.listdir("/proc") if entry.isdigit()):
        try:
            with open(f"/proc/{pid}/comm") as comm:
                same_name = comm.read().strip() == name
            place = os.readlink(f"/proc/{pid}/ns/uts")
        except OSError:
            continue  # it ended
        here = machine is None or place == os.readlink(f"/proc/{machine.pid}/ns/uts")
        if same_name and here and state_of(pid):
            found.append(pid)
    return found


def ranks(machine=None):
    return processes(os.path.basename(PROGRAM)[:15], machine)


def pid_there(pid):
    """A process's number on its own machine."""
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"^NSpid:.*\s(\d+)$", status.read(), re.M)[1])


def wait_for(condition, seconds, what):
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, f"after {seconds} s: {what}"
        time.sleep(0.02)
    return time.monotonic() - start


class Endless:
    """A training that goes on until something is lost."""

    def __init__(self, places):
        with open(f"{SCRATCH}/err", "w") as err:
            self.process = subprocess.Popen(on(places, ENDLESS), stdout=subprocess.DEVNULL,
                                            stderr=err)
        wait_for(lambda: "\nepoch " in self.err() or self.process.poll() is not None, 60,
                 "the training has not begun")
        assert self.process.poll() is None, self.err()
        time.sleep(0.2)

    def err(self):
        with open(f"{SCRATCH}/err") as file:
            return "\n" + file.read()

    def ended(self, limit):
        """Waits for the launcher and for everything that it started; returns the exit code."""
        wait_for(lambda: self.process.poll() is not None, limit, f"mpirun runs\n{self.err()}")
        wait_for(lambda: not ranks() + processes("orted"), limit, "an orphan stays")
        return self.process.returncode


def test_doctor(head, first, second):
    findings = {finding["name"]: finding for finding in
                json.loads(run(on([(head, 2), (first, 1)], ["doctor", "--json"])).stdout)["doctor"]}
    assert "3 on 2 machines (m0, m1)" in findings["ranks"]["detail"], findings
    assert "several machines" in findings["memory shared by ranks"]["detail"], findings
    assert "sums exact" in findings["all-reduce"]["detail"], findings


def test_training(head, first, second):
    for machines in ([head, first], [head, first, second]):
        for each in (1, 2):
            places = [(machine, each) for machine in machines]
            world = each * len(machines)
            serial = trained([PROGRAM, *JOB, "--deterministic", "--accumulate", str(world)])
            exact = trained(on(places, [*JOB, "--deterministic"]))
            assert exact["parameters_sha256"] == serial["parameters_sha256"], (world, exact)
            fast = trained(on(places, [*JOB, "--mpi-transport", "messages"]))
            assert fast["ranks"] == world, fast
            loss = serial["final"]["train_loss"]
            assert abs(fast["final"]["train_loss"] - loss) < 1e-4 * loss, (world, fast)
    local = [*JOB, "--strategy", "local-sgd", "--sync-every", "3", "--allreduce", "direct"]
    threads = trained([PROGRAM, *local, "--workers", "3"])
    apart = trained(on([(machine, 1) for machine in (head, first, second)], local))
    assert apart["parameters_sha256"] == threads["parameters_sha256"], apart


def test_trace(head, first, second):
    """Clocks of machines are brought together: a step that all take is at one time in its trace."""
    file = f"{SCRATCH}/trace.json"
    run(on([(head, 1), (first, 1), (second, 1)],
           [*JOB, "--trace", file, "--trace-steps", "3:9"]))
    with open(file) as text:
        trace = json.load(text)
    assert "clocks of several machines" in trace["otherData"]["clock"], trace["otherData"]
    steps = {}
    for event in trace["traceEvents"]:
        if event["ph"] == "X" and event["cat"] == "step":
            span = (event["ts"], event["ts"] + event["dur"])
            steps.setdefault(event["args"]["step"], []).append(span)
    assert sorted(steps) == list(range(3, 9)), steps
    for spans in steps.values():
        assert len(spans) == 3, steps
        assert max(begin for begin, _ in spans) < min(end for _, end in spans), steps


def test_refusals(head, first, second):
    places = [(head, 1), (first, 2)]
    err = run(on(places, [*JOB, "--mpi-transport", "shared"]), 5).stderr
    assert "the ranks are on several machines" in err and "--mpi-transport auto" in err, err
    assert err.count("error: ") == 1, err

    data = f"{SCRATCH}/data.csv"
    rows = "".join(f"{i % 7},{i % 5},{i % 2}\n" for i in range(60))
    job = ["train", "--quiet", "--epochs", "1", "--data", f"csv:{data}"]
    with open(data, "w") as file:
        file.write(rows)
    err = run(on(places, job), 3).stderr
    assert "[rank 1 m1]" in err and data in err, err
    with open(first.path(data), "w") as file:
        file.write(rows.replace("6,", "8,"))
    err = run(on(places, job), 2).stderr
    assert re.search(r"the ranks disagree: rank 1 \(m1, pid \d+\) has .*data", err), err


def test_lost_ranks(head, first, second):
    for lost, code in ((signal.SIGSTOP, 5), (signal.SIGKILL, 128 + signal.SIGKILL)):
        job = Endless([(head, 1), (first, 1), (second, 1)])
        survivors = ranks(head) + ranks(second)
        (pid,) = ranks(first)
        there = pid_there(pid)
        start = time.monotonic()
        os.kill(pid, lost)
        took = wait_for(lambda: not any(map(state_of, survivors)), TIMEOUT + AFTER_TIMEOUT + SLACK,
                        f"a rank outlives rank 1\n{job.err()}")
        found = job.ended(TIMEOUT + AFTER_TIMEOUT + SLACK)
        print(f"  {lost.name}: ranks ended after {took:.1f} s, "
              f"all after {time.monotonic() - start:.1f} s")
        assert found == code, (found, job.err())
        if lost == signal.SIGSTOP:
            assert re.search(rf"waited \d.* for .*rank 1 \(m1, pid {there}\)", job.err()), job.err()
        else:
            assert re.search(r"rank 1 .*\bm1\b.*signal 9", job.err()), job.err()


def test_lost_launcher(head, first, second):
    job = Endless([(head, 1), (first, 1)])
    start = time.monotonic()
    job.process.kill()
    job.ended(TIMEOUT + AFTER_TIMEOUT + SLACK)
    print(f"  all ended after {time.monotonic() - start:.1f} s")


def test_dead_network(head, first, second):
    """Both machines have a second network with addresses of one range, and no way between them."""
    for machine, number in ((head, 1), (first, 2)):
        sh(f"nsenter --target {machine.pid} --net sh -ec 'ip link add dead type bridge; "
           "ip link add inner type veth peer name outer; ip link set inner master dead up; "
           f"ip link set outer up; ip address add 10.98.0.{number}/24 dev dead; "
           "ip link set dead up'")
    places = [(head, 1), (first, 1)]
    live = [word for layer in ("btl", "oob")
            for word in ("--mca", f"{layer}_tcp_if_include", "10.99.0.0/24")]
    assert trained(on(places, JOB, live))["run_status"] == "ok"
    # MPI's messages go the wrong way; mpirun's own need not, so that it can end.
    wrong = [*live[3:], "--mca", "btl_tcp_if_include", "10.98.0.0/24"]
    start = time.monotonic()
    err = run(on(places, [*JOB, "--init-timeout", "3"], wrong), 5).stderr
    print(f"  given up after {time.monotonic() - start:.1f} s")
    assert "MPI did not start within 3 s" in err and "interface" in err, err
    wait_for(lambda: not ranks(), AFTER_TIMEOUT + SLACK, "an orphan stays")
    for machine in (head, first):
        sh(f"nsenter --target {machine.pid} --net sh -ec 'ip link delete dead; "
           "ip link delete outer'")


def test_cut_link(head, first, second):
    job = Endless([(head, 1), (first, 2), (second, 1)])
    everybody = ranks()
    assert len(everybody) == 4
    start = time.monotonic()
    sh(f"ip link set {first.link} down")
    took = wait_for(lambda: not any(map(state_of, everybody)), TIMEOUT + AFTER_TIMEOUT + SLACK,
                    f"a rank outlives the link\n{job.err()}")
    # mpirun and its daemons wait for each other as long as TCP does.
    assert job.ended(0.2 * 2 ** (TCP_RETRIES + 1) + 20) != 0
    print(f"  ranks ended after {took:.1f} s, all after {time.monotonic() - start:.1f} s")
    here = job.err()
    # At the end of an epoch one of the far ranks may have reported just before.
    assert re.search(r"rank [03] .*waited \d.* for .*rank [12] \(m1", here), here
    assert "look at the interface" in here, here
    there = ""
    for rank in (1, 2):
        with open(first.path(f"{SCRATCH}/log/1/rank.{rank}/stderr")) as file:
            there += file.read()
    assert re.search(r"\[rank [12] m1\] .* waited \d.* for .*rank 0 \(m0", there), there


def main():
    machines = [Head(), Machine(1), Machine(2)]
    os.chdir(SCRATCH)  # ranks start where mpirun did: in a folder that each machine has
    for test in (test_doctor, test_training, test_trace, test_refusals, test_lost_ranks,
                 test_lost_launcher, test_dead_network, test_cut_link):
        start = time.monotonic()
        print(test.__name__, flush=True)
        test(*machines)
        print(f"  passed in {time.monotonic() - start:.1f} s", flush=True)


if sys.argv[-1] != "--inside":
    enter()
PROGRAM, MPIRUN = map(os.path.abspath, sys.argv[1:3])
for name in [name for name in os.environ if name.startswith("LOCKSTEP_")]:
    del os.environ[name]
os.environ.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
main()
