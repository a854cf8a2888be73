"""Four machines as a site has them: shared storage, an HTCondor pool with the product's settings, the product."""

import os
import shutil

from tests.lab.machines import ADDRESSES, REPOSITORY, Lab, wait_for

ROOT = "/nfs/loans/shared"
"""The shared tree."""
NODE_PYTHON = "/nfs/loans/venv/bin/python"
"""The interpreter that jobs run: on the shared storage."""
LOANS = "/opt/loans/venv/bin/loans"
"""The command on the access point: on its own disk, so that it answers while the storage does not."""
ROLES = {"n1": "COLLECTOR NEGOTIATOR", "n2": "SCHEDD", "n3": "STARTD", "n4": "STARTD"}
SNIPPETS = {
    "n1": "central-manager.conf",
    "n2": "submit-node.conf",
    "n3": "execute-node.conf",
    "n4": "execute-node.conf",
}

_POOL = """\
CONDOR_HOST = n1.lab
UID_DOMAIN = lab
FILESYSTEM_DOMAIN = lab
TRUST_DOMAIN = lab
DAEMON_LIST = MASTER {roles}
SEC_DEFAULT_AUTHENTICATION = REQUIRED
SEC_DEFAULT_INTEGRITY = REQUIRED
SEC_DEFAULT_ENCRYPTION = REQUIRED
SEC_DEFAULT_AUTHENTICATION_METHODS = FS, IDTOKENS
ALLOW_READ = *@lab
ALLOW_WRITE = *@lab
ALLOW_DAEMON = condor@lab
ALLOW_NEGOTIATOR = condor@lab
ALLOW_ADMINISTRATOR = condor@lab, root@lab
NUM_CPUS = 2
"""
"""What a site's own HTCondor says; everything else is HTCondor's default, or the product's snippets.

`NETWORK_INTERFACE` is left at its default, `*`: only then do HTCondor's bindings need AF_NETLINK in the unit.
"""

_MOUNT = """\
mkdir -p /nfs/loans
grep -q /nfs/loans /etc/fstab || echo 'n1:/srv/export /nfs/loans nfs {options},_netdev 0 0' >>/etc/fstab
systemctl daemon-reload
systemctl start nfs-loans.mount
"""


def mount_options() -> str:
    """Give the options of the NFS mounts: `$NFSOPTS`, else ones that make caches as stale as they come."""
    return os.environ.get("NFSOPTS", "vers=4.2,hard,actimeo=60")


def boot_pool(lab: Lab) -> None:
    """Boot the four machines: the storage first, then an HTCondor pool that starts at boot."""
    shutil.copytree(REPOSITORY / "deploy", lab.share / "deploy", dirs_exist_ok=True)
    lab.do("up")
    lab.boot("n1", roles="nfsd")
    lab.boot("n2", "n3", "n4")
    # root of another machine is nobody here, as NFS has it unless told otherwise.
    lab.on(
        "n1",
        """
        echo '/srv/export 10.77.0.0/24(rw,sync,no_subtree_check,root_squash,fsid=1)' >/etc/exports
        chmod 755 /srv/export; chown loans:loans /srv/export
        systemctl is-active --quiet nfs-server || systemctl start nfs-server
        exportfs -ra
        """,
    )
    if os.environ.get("LEASES", "1") == "0":  # the server hands out no NFSv4 delegations
        lab.on("n1", "sysctl -q -w fs.leases-enable=0")
    for name in ("n2", "n3", "n4"):
        lab.on(name, _MOUNT.format(options=mount_options()))
    for name in ADDRESSES:
        lab.on(name, _configure_condor(name))
    lab.on("n2", "sysctl -q -w net.ipv4.tcp_keepalive_intvl=10 net.ipv4.tcp_keepalive_probes=3")
    count = "condor_status -af Name 2>/dev/null | sed 's/.*@//' | sort -u | wc -l"
    wait_for(lambda: lab.try_on("n2", count).out.strip() == "2", "both execute nodes in the pool", 180)


def _configure_condor(name: str) -> str:
    roles = _POOL.format(roles=ROLES[name])
    return f"""
        rm -f /etc/condor/config.d/50-lab
        cat >/etc/condor/config.d/10-pool.conf <<'END'
{roles}
END
        cp /host/deploy/htcondor/{SNIPPETS[name]} /etc/condor/config.d/60-loans.conf
        systemctl enable -q condor; systemctl restart condor
        """
