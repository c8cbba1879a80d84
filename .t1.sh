set -x
ip netns add a; ip netns add b
ip link add v0 index 50 netns a type veth peer name v1 index 60 netns b
A="ip -n a"; B="ip -n b"
sysctl -qw net.ipv6.conf.default.accept_dad=0
for n in a b; do ip netns exec $n sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.all.forwarding=1; ip -n $n link set lo up; done
$A addr add 2001:db8:1::1/64 dev v0 nodad; $B addr add 2001:db8:1::2/64 dev v1 nodad
$A link set v0 up; $B link set v1 up
$A addr add 2001:db8:a::1/128 dev lo;  $B addr add 2001:db8:b::1/128 dev lo
$A link add t0 type ip6tnl external; $B link add t0 type ip6tnl external
$A link set t0 up mtu 1460; $B link set t0 up mtu 1460
$A -d link show t0
$A nexthop add id 7 encap ip6 id 0 src 2001:db8:1::1 dst 2001:db8:1::2 dev t0 protocol 140
$A nexthop show
$A -6 route add 2001:db8:b::/64 nhid 7
$A -6 route add default from 2001:db8:a::/64 encap ip6 id 0 src 2001:db8:1::1 dst 2001:db8:1::2 dev t0 table 53
$A -6 route show table 53
$B -6 route add 2001:db8:a::/64 encap ip6 id 0 dst 2001:db8:1::1 dev t0
$B -6 route show
sleep 1
ip netns exec b tcpdump -ni v1 -c 4 -vv -w - 2>/dev/null | tcpdump -nnvvxr - 2>/dev/null &
sleep 1
ip netns exec a ping -c 2 -I 2001:db8:a::1 2001:db8:b::1
sleep 1
ip netns exec a ping -M do -s 1453 -c 1 -W 1 -I 2001:db8:a::1 2001:db8:b::1
