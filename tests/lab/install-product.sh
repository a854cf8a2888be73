#!/bin/bash
# Runs inside the guests' tree while it is built (SETUP= of the lab's build-rootfs.sh), with network; /setup is a copy
# of the product's sources. Accounts, both environments of the product, HTCondor's keys: what a site prepares once.
set -euo pipefail
# The service has a group of its own and is a member of the analysts' group, as deploy/README.md asks.
getent group loans >/dev/null || groupadd -g 2000 loans
getent group lenders >/dev/null || groupadd -g 2100 lenders
id loans >/dev/null 2>&1 || useradd -r -u 2000 -g loans -d /var/lib/loans -s /bin/bash loans
usermod -g loans -aG lenders loans
id analyst >/dev/null 2>&1 || useradd -m -u 2001 -g lenders -s /bin/bash analyst
for account in loans:loans analyst:lenders; do
  home=$(getent passwd ${account%:*} | cut -d: -f6)
  install -d -o ${account%:*} -g ${account#*:} -m 700 "$home" "$home/.ssh"
done

apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
# As README.md says, in the place where every node sees it; in this tree that is where n1 exports it from. Another one on
# the access point's own disk, for the daemon.
rm -rf /nfs/loans; install -d /srv/export /nfs /opt/loans
ln -s /srv/export /nfs/loans
rm -rf /var/tmp/product; cp -r /setup /var/tmp/product
for place in /nfs/loans /opt/loans; do
  if [ ! -e $place/venv/.complete ]; then
    rm -rf $place/venv; python3 -m venv $place/venv
    $place/venv/bin/pip install --quiet --require-hashes --no-deps -r /setup/requirements/lock.txt
    $place/venv/bin/pip install --quiet --no-deps -r /setup/requirements/htcondor.txt
    touch $place/venv/.complete
  fi
  $place/venv/bin/pip install --quiet --no-deps --no-build-isolation --force-reinstall /var/tmp/product
done
chown -R loans:loans /srv/export/venv
rm -rf /var/tmp/product /root/.cache/pip /nfs/loans
install -d /nfs/loans                     # the mount point

# A pool as `get_htcondor` makes them: every host holds the pool's key, daemons and the service's account hold tokens.
install -d -m 700 /etc/condor/passwords.d /etc/condor/tokens.d
[ -s /etc/condor/passwords.d/POOL ] || head -c 64 /dev/urandom >/etc/condor/passwords.d/POOL
chmod 600 /etc/condor/passwords.d/POOL
export _CONDOR_TRUST_DOMAIN=lab _CONDOR_UID_DOMAIN=lab
condor_token_create -identity condor@lab >/etc/condor/tokens.d/condor
install -d -o loans -g loans -m 700 /var/lib/loans/.condor /var/lib/loans/.condor/tokens.d
condor_token_create -identity loans@lab >/var/lib/loans/.condor/tokens.d/loans
chmod 600 /etc/condor/tokens.d/condor /var/lib/loans/.condor/tokens.d/loans
chown loans:loans /var/lib/loans/.condor/tokens.d/loans
