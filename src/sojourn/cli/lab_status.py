"""A lab that is up, told in lines."""

from __future__ import annotations

from typing import Any


def print_status(lab: dict[str, Any]) -> None:
    """Its nodes, where they are, and the links between them."""
    print(f"{lab['name']}: topology {lab['topology']}, up for {lab['up_for']:.0f} s, process {lab['pid']}")
    print(f"  output {lab['output']}")
    for row in lab["nodes"]:
        first, *more = _about(row)
        print(f"  {row['node']:<12} {row['kind']:<14} {first}".rstrip())
        for line in more:
            print(f"{'':30}{line}")
    for link in lab["links"]:
        a, b = link["between"]
        print(f"  {a} - {b}: {link['delay_ms']:g} ms asked, {link['measured_ms']:.2f} ms measured ({link['means']})")


def _about(row: dict[str, Any]) -> list[str]:
    """Where a node is, in short lines."""
    if row["kind"] == "host":
        if waits_for_address(row):
            return [f"at {row['at']}", "no global address yet; a moment later: sojourn lab status"]
        addresses = [entry["address"] + (" (deprecated)" if entry["deprecated"] else "") for entry in row["addresses"]]
        return [f"at {row['at']}" if row["at"] else "in no cell", *(addresses or ["no global address"])]
    text = str(row["address"])
    if "daemon" in row:
        text += "  daemon running" if row["daemon"] else "  daemon not running"
    return [text]


def waits_for_address(row: dict[str, Any]) -> bool:
    """Whether it is a host that is attached and has no address yet."""
    return row.get("at") is not None and all(entry["tentative"] for entry in row["addresses"])
