"""RFC 5094: options that vendors define are carried, and unknown ones passed over."""

from __future__ import annotations

from sojourn.engines.extension_settings import VendorOption
from sojourn.wire import BindingAcknowledgement, BindingUpdate, VendorSpecific
from sojourn.wire.units import SECOND
from support.pmip import ProxyDomain, request, status_of
from support.pmip_extensions import messages

KNOWN, UNKNOWN = VendorSpecific(32473, 1, b"\xc0\xff\xee"), VendorSpecific(9, 2, b"x")


def test_4_known_vendors_are_kept_shown_and_returned_and_others_passed_over() -> None:
    told = tuple(VendorOption(one.vendor, one.subtype, one.data) for one in (KNOWN, UNKNOWN))
    domain = ProxyDomain(lma={"vendors": (32473,)}, vendor_options=told)
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    (update,) = messages(domain, BindingUpdate)
    (answer,) = messages(domain, BindingAcknowledgement)
    assert update.all(VendorSpecific) == (KNOWN, UNKNOWN)
    assert answer.all(VendorSpecific) == (KNOWN,)
    (row,) = domain.lma.show("bindings", domain.now)
    assert row["vendor_options"] == "32473/1 c0ffee"
    assert domain.at("mag1").confirmed


def test_an_anchor_that_knows_no_vendor_passes_all_over() -> None:
    domain = ProxyDomain()
    answer = domain.ask(request(domain, more=(KNOWN, UNKNOWN)))
    assert status_of(answer) == 0
    assert answer is not None
    assert answer.all(VendorSpecific) == ()


def test_of_one_request_four_are_kept() -> None:
    domain = ProxyDomain(lma={"vendors": (32473,)})
    many = tuple(VendorSpecific(32473, number, b"") for number in range(20))
    answer = domain.ask(request(domain, more=many))
    assert answer is not None
    assert answer.all(VendorSpecific) == many[:4]
    (row,) = domain.lma.show("bindings", domain.now)
    assert row["vendor_options"] == "32473/0, 32473/1, 32473/2, 32473/3"
