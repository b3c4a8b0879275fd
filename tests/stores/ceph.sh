#!/bin/bash
# Starts a Ceph gateway with one monitor and one disk in memory, all on this machine: PORT.
# It runs within the directory that tests/stores/run makes, and ends when it is killed.
set -euo pipefail
port=$1
work=$(mktemp -d /tmp/ceph.XXXXXX)
cd "$work"
pids=()
trap 'kill -9 "${pids[@]}" 2>/dev/null; rm -rf "$work"' EXIT
fsid=$(cat /proc/sys/kernel/random/uuid)
mon=$((port + 1))
cat > ceph.conf <<CONF
[global]
fsid = $fsid
mon host = v2:127.0.0.1:$mon
public addr = 127.0.0.1
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd crush chooseleaf type = 0
osd objectstore = memstore
osd class dir = /usr/lib/x86_64-linux-gnu/rados-classes
memstore device bytes = 4294967296
mon allow pool size one = true
mon warn on pool no redundancy = false
auth allow insecure global id reclaim = false
run dir = $work
log file = $work/\$name.log
admin socket = $work/\$name.asok
keyring = $work/keyring
ms bind port min = $((port + 10))
ms bind port max = $((port + 60))
[client.admin]
rgw frontends = beast endpoint=127.0.0.1:$port
rgw dns name = 127.0.0.1
CONF
export CEPH_CONF=$work/ceph.conf
ceph-authtool --create-keyring keyring --gen-key -n mon. --cap mon 'allow *'
ceph-authtool keyring --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *'
monmaptool --create --addv a "[v2:127.0.0.1:$mon]" --fsid "$fsid" monmap
mkdir mon osd
ceph-mon -c ceph.conf --mkfs -i a --monmap monmap --keyring keyring --mon-data mon
ceph-mon -c ceph.conf -f -i a --mon-data mon &
pids+=($!)
ceph -c ceph.conf --connect-timeout 30 osd create
key=$(ceph-authtool --gen-print-key)
printf '[osd.0]\n\tkey = %s\n' "$key" > osd/keyring
ceph -c ceph.conf auth add osd.0 mon 'allow profile osd' osd 'allow *' mgr 'allow profile osd' -i osd/keyring
ceph-osd -c ceph.conf -i 0 --mkfs --osd-data osd --keyring osd/keyring --osd-uuid "$(cat /proc/sys/kernel/random/uuid)"
ceph-osd -c ceph.conf -f -i 0 --osd-data osd --keyring osd/keyring &
pids+=($!)
radosgw-admin -c ceph.conf user create --uid=test --display-name=test --access-key=AKTEST --secret=SKTESTSKTEST
radosgw -c ceph.conf -f -n client.admin --keyring keyring &
pids+=($!)
wait
