"""What RFCs added to the Mobility Header, one module per RFC, and the discovery messages of mobility.

Each is imported when a message or option of it first occurs, as `sojourn.wire.catalogue` has it, or by name::

    from sojourn.wire.extensions.rfc5568 import FastBindingUpdate, HandoverInitiate
"""
