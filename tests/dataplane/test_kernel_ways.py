"""XFRM messages: what is asked for is read back as the same, and what is somebody else's is nobody's."""

from __future__ import annotations

import struct

import pytest

from sojourn.dataplane.kernel_ways import HEADER, OPTION, Policy, State, parse_policy, parse_state
from sojourn.wire.addresses import ANY, UNSPECIFIED, Prefix, address

HOME, CARE_OF, PEER = (address(text) for text in ("2001:db8:1::b0", "2001:db8:f1::2", "2001:db8:5::1"))
OWN = Prefix(HOME, 128)


@pytest.mark.parametrize(
    "state",
    [State(OPTION, HOME, PEER, CARE_OF), State(HEADER, UNSPECIFIED, HOME, CARE_OF, from_anybody=True)],
    ids=["option", "header"],
)
def test_a_state_is_read_back_as_it_was_asked_for(state: State) -> None:
    create, change = state.messages()
    assert parse_state(create.body) == parse_state(change.body) == state
    assert len(create.body) == 224 + 20  # struct xfrm_usersa_info, and the care-of address


def test_a_state_of_somebody_else_is_not_ours() -> None:
    body = bytearray(State(OPTION, HOME, PEER, CARE_OF).messages()[0].body)
    struct.pack_into("=I", body, 56 + 24 + 16 + 96 + 12 + 4, 7)  # reqid
    assert parse_state(bytes(body)) is None


@pytest.mark.parametrize(
    "policy",
    [
        Policy(1, OWN, Prefix(PEER, 128), OPTION),
        Policy(0, ANY, OWN, HEADER),
        Policy(1, OWN, Prefix(PEER, 128), 0, 135),
    ],
    ids=["out", "in", "beside"],
)
def test_a_policy_is_read_back_as_it_was_asked_for(policy: Policy) -> None:
    body = policy.ensure().body
    assert parse_policy(body) == policy
    assert len(body) == 168 + (68 if policy.kind else 0)  # struct xfrm_userpolicy_info, and a template


def test_a_policy_of_somebody_else_is_not_ours() -> None:
    body = bytearray(Policy(1, OWN, Prefix(PEER, 128), 0, 135).ensure().body)
    struct.pack_into("=I", body, 56 + 96, 1000)  # priority
    assert parse_policy(bytes(body)) is None
