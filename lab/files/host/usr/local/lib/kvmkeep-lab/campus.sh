#!/bin/sh
# Moves the far end of the uplink into the network namespace "campus".
set -eu
in_campus() { ip netns exec campus "$@"; }

[ -e /run/netns/campus ] || ip netns add campus
in_campus ip link set lo up
if [ -e /sys/class/net/campus0 ]; then
    ip link set campus0 netns campus
    in_campus ip link set campus0 up
    in_campus ip link add link campus0 name campus0.223 type vlan id 223
    in_campus ip link add link campus0 name campus0.2368 type vlan id 2368
    in_campus ip address add 132.230.223.254/24 dev campus0.223
    in_campus ip address add 10.5.68.254/24 dev campus0.2368
    in_campus ip address add 132.230.200.200/32 dev lo
    in_campus ip link set campus0.223 up
    in_campus ip link set campus0.2368 up
fi
in_campus sysctl -q -w net.ipv4.ip_forward=1
