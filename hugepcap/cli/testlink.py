# SPDX-License-Identifier: BSD-3-Clause
"""Whether an interface is a test link: one from which nothing that is sent can get anywhere.

That is a veth device whose other end is in the same network namespace, where neither end belongs to a bridge,
a bond or the like, has other devices on top of it (macvlan, vlan) or a program that could take its packets
elsewhere (XDP, tc), nor an address by which the host would answer or forward.
"""

import json
import shutil
import subprocess

from . import common

YES = "--yes-send-here"


def require(interface, yes):
    """Failure for an interface that is no test link, unless the caller takes the responsibility."""
    common.check_interface(interface)
    if yes:
        return
    reason = why_not(interface)
    if reason:
        raise common.Failure(f"{interface} is no test link: {reason}. What is sent there may reach others. "
                             f"Add {YES} to send all the same, or make a test link:\n"
                             "ip link add hp0 type veth peer name hp1; ip link set hp0 up; ip link set hp1 up")


def why_not(interface):
    """What speaks against it, or None."""
    if shutil.which("ip") is None:
        return "there is no ip (Debian: apt-get install iproute2) to find out what it is"
    links = {link.get("ifname"): link for link in asked("ip", "-json", "-details", "address", "show")}
    near = links.get(interface, {})
    kind = near.get("linkinfo", {}).get("info_kind", "no virtual device")
    if kind != "veth":
        return f"it is {kind}, not veth"
    if "link_netnsid" in near or near.get("link") not in links:
        return "its other end is in another network namespace"
    ends = (interface, near["link"])
    return next(filter(None, (fault_of(links[end]) or fault_above(end, links, ends) for end in ends)), None)


def asked(*command):
    """The answer to a command of iproute2; none where it has none, or is not there."""
    if shutil.which(command[0]) is None:
        return []
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return json.loads(done.stdout or "[]")


def fault_of(link):
    if "master" in link:
        return f"{link['ifname']} belongs to {link['master']}"
    if "xdp" in link:
        return f"{link['ifname']} has an XDP program"
    for address in link.get("addr_info", []):
        if address.get("scope") != "link":
            return f"{link['ifname']} has the address {address.get('local')}"
    return None


def fault_above(end, links, ends):
    """What gets this end's packets beside it."""
    above = [name for name, link in links.items() if link.get("link") == end and name not in ends]
    if above:
        return f"{above[0]} is on top of {end}"
    hooks = [qdisc["kind"] for qdisc in asked("tc", "-json", "qdisc", "show", "dev", end)
             if qdisc.get("kind") in ("ingress", "clsact")]
    return f"{end} has the tc qdisc {hooks[0]}" if hooks else None
