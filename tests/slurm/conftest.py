"""A real Slurm on this one machine: two nodes, a controller and accounting, from Debian's packages (`make test-slurm`)."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge", "slurmdbd", "mariadb-server")
BINARIES = ("slurmctld", "slurmd", "slurmdbd", "munged", "mariadbd", "sbatch", "sacct")
HOSTS = Path("/etc/hosts")
SLURM_CONF = """\
ClusterName=onehost
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=16817
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={d}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={d}/state
SlurmdSpoolDir={d}/spool.%n
SlurmctldPidFile={d}/slurmctld.pid
SlurmdPidFile={d}/slurmd.%n.pid
SlurmctldLogFile={d}/log/slurmctld.log
SlurmdLogFile={d}/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=16819
AccountingStoragePass={d}/munge.socket
JobCompType=jobcomp/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
ReturnToService=2
InactiveLimit=0
KillWait=20
MinJobAge=600
SlurmdParameters=config_overrides
JobRequeue=1
NodeName=n[1-2] NodeHostname={host} NodeAddr=127.0.0.1 Port=[17001-17002] CPUs=2 RealMemory=8000 State=UNKNOWN
PartitionName=main Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP
"""
SLURMDBD_CONF = """\
AuthType=auth/munge
AuthInfo=socket={d}/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=16819
SlurmUser=root
LogFile={d}/log/slurmdbd.log
PidFile={d}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=13306
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct
"""
PORTS = (13306, 16819)  # of the database, and of its daemon
TABLES = (
    "CREATE DATABASE IF NOT EXISTS slurm_acct; "
    "CREATE USER IF NOT EXISTS 'slurm'@'localhost' IDENTIFIED BY 'slurm'; "
    "GRANT ALL ON slurm_acct.* TO 'slurm'@'localhost';"
)


def wait_until(what, true, seconds=60.0):
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = true()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"{what}: not within {seconds:.0f} s")


def said(*command, **kwargs):
    done = subprocess.run(command, capture_output=True, text=True, **kwargs)
    return done.stdout if done.returncode == 0 else ""


@pytest.fixture(scope="session")
def cluster():
    """The environment in which Slurm's commands reach it; it ends with the tests."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to start Slurm's daemons")
    os.environ["PATH"] += os.pathsep + "/usr/sbin"
    if not all(map(shutil.which, BINARIES)):
        if not shutil.which("apt-get"):
            pytest.skip("needs Debian's packages of Slurm")
        install = ["apt-get", "install", "-y", "--no-install-recommends", *PACKAGES]
        subprocess.run(["apt-get", "update"], capture_output=True)
        done = subprocess.run(
            install, capture_output=True, text=True, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        )
        if done.returncode or not all(map(shutil.which, BINARIES)):
            pytest.skip(f"Debian's packages of Slurm can't be installed: {done.stderr.strip()[-300:]}")
    for port in PORTS:
        with socket.socket() as taken:
            if not taken.connect_ex(("127.0.0.1", port)):
                pytest.fail(
                    f"port {port} is taken: end the daemons that a killed run of these tests has left (ps -C mariadbd,slurmdbd,munged)"
                )
    hosts = HOSTS.read_text()
    with tempfile.TemporaryDirectory(prefix="slurm") as folder, contextlib.ExitStack() as running:
        d = Path(folder)
        running.callback(HOSTS.write_text, hosts)
        HOSTS.write_text(f"{hosts.rstrip()}\n127.0.0.1 n1 n2\n")  # else DDP's first node is not found
        yield start(d, running)


def start(d, running):
    """Start all daemons; each is ended with `running`."""
    host = socket.gethostname().split(".")[0]
    for name in ("log", "state", "db"):
        (d / name).mkdir()
    d.chmod(0o755)
    (d / "munge.key").write_bytes(os.urandom(1024))
    (d / "munge.key").chmod(0o400)
    (d / "slurm.conf").write_text(SLURM_CONF.format(d=d, host=host))
    (d / "slurmdbd.conf").write_text(SLURMDBD_CONF.format(d=d))
    (d / "slurmdbd.conf").chmod(0o600)
    environment = os.environ | {"SLURM_CONF": str(d / "slurm.conf")}

    def daemon(*command, **more):
        log = open(d / "log" / f"{Path(command[0]).name}.out", "ab")  # noqa: SIM115
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment | more)

        def end():
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
            log.close()

        running.callback(end)

    daemon("munged", "--foreground", "--force", f"--key-file={d}/munge.key", f"--socket={d}/munge.socket",
           f"--pid-file={d}/munge.pid", f"--log-file={d}/log/munged.log", f"--seed-file={d}/munge.seed")  # fmt: skip
    wait_until("munge", (d / "munge.socket").exists)
    database = ["--no-defaults", f"--datadir={d}/db"]
    subprocess.run(["mariadb-install-db", *database, "--user=root"], check=True, capture_output=True)
    daemon(
        "mariadbd",
        *database,
        "--user=root",
        f"--socket={d}/db.socket",
        "--port=13306",
        "--bind-address=127.0.0.1",
    )
    sql = ["mariadb", "--no-defaults", f"--socket={d}/db.socket", "-e"]
    wait_until(
        "the database", lambda: subprocess.run([*sql, "SELECT 1"], capture_output=True).returncode == 0
    )
    subprocess.run([*sql, TABLES], check=True, capture_output=True)
    daemon("slurmdbd", "-D", SLURM_CONF=str(d / "slurm.conf"))
    run = {"env": environment}
    wait_until("accounting", lambda: "onehost" in said("sacctmgr", "-i", "add", "cluster", "onehost", **run)
          or "onehost" in said("sacctmgr", "-n", "list", "cluster", **run))  # fmt: skip
    daemon("slurmctld", "-D", "-c")
    for node in ("n1", "n2"):
        daemon("slurmd", "-D", "-c", "-N", node)
    wait_until(
        "two idle nodes", lambda: said("sinfo", "-h", "-N", "-o", "%T", **run).split() == ["idle", "idle"]
    )
    return environment


@pytest.fixture
def ask(cluster):
    """A command of Slurm's -> what it says."""
    return lambda *command: said(*command, env=cluster)


@pytest.fixture
def until():
    """Wait until something is so."""
    return wait_until


SMALL = (
    "benchmark.images.train=6", "benchmark.images.val=3", "benchmark.images.test=4", "benchmark.processes=1",
    "benchmark.questions_per_image=3", "train.batch_size=4", "train.lr=0.01", "train.val_points=1", "train.precision=fp32",
    "hydra.launcher.mem_gb=null", "hydra.launcher.cpus_per_task=1",
)  # fmt: skip


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """Where worlds and features are kept for all tests."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def train(cluster, home, tmp_path):
    """A training command with small sizes -> its process; runs/ lies in tmp_path."""
    # A shell ignores SIGINT in what it starts in the background, and what that starts would ignore it too.
    former = signal.signal(signal.SIGINT, signal.default_int_handler)

    def begin(*choices, before=()):
        sweep = "-m" in choices
        small = ["-m"] * sweep + [one for one in SMALL if sweep or not one.startswith("hydra.")]
        return subprocess.Popen(
            [*before, sys.executable, "-m", "bridgelab.cli", "train", *small, *(one for one in choices if one != "-m")],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=cluster | {"BRIDGELAB_DATA": str(home), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    yield begin
    signal.signal(signal.SIGINT, former)
