# SPDX-License-Identifier: BSD-3-Clause
"""The exceptions: caught as pcapy's and as Python's own; what they say."""

import errno
import os
import pickle

import pytest

import hugepcap
from hugepcap import errors

TABLE = {
    errno.EPERM: (errors.PcapPermissionError, PermissionError),
    errno.EACCES: (errors.PcapPermissionError, PermissionError),
    errno.ENOENT: (errors.PcapFileNotFoundError, FileNotFoundError),
    errno.ENODEV: (errors.PcapDeviceError, OSError),
    errno.ENXIO: (errors.PcapDeviceError, OSError),
    errno.ENETDOWN: (errors.PcapDeviceError, OSError),
    errno.ENOMEM: (errors.PcapMemoryError, MemoryError),
    errno.EBADMSG: (errors.PcapCorruptError, errors.PcapError),
    errno.EINVAL: (errors.PcapError, Exception),
}


@pytest.mark.parametrize("code", TABLE)
@pytest.mark.parametrize("caught_as", ["own class", "builtin", "PcapError"])
def test_from_errno(code, caught_as):
    own, builtin = TABLE[code]
    kind = {"own class": own, "builtin": builtin, "PcapError": hugepcap.PcapError}[caught_as]
    with pytest.raises(kind) as caught:
        raise errors.from_errno(code, "PACKET_RX_RING", "7 blocks of 9 bytes")
    assert type(caught.value) is own
    assert (caught.value.errno, caught.value.operation, caught.value.detail) == \
        (code, "PACKET_RX_RING", "7 blocks of 9 bytes")
    assert str(caught.value) == f"PACKET_RX_RING 7 blocks of 9 bytes: {os.strerror(code)}"


def test_every_errno_has_a_class():
    for code in errno.errorcode:
        assert issubclass(errors.error_class(code), hugepcap.PcapError)
        assert errors.error_class(code) is TABLE.get(code, (errors.PcapError,))[0]


def test_plain_errors():
    error = hugepcap.PcapError("text")
    assert (str(error), error.args, error.errno, error.operation, error.detail) == ("text", ("text",), 0, "", "")
    assert not issubclass(hugepcap.BPFError, hugepcap.PcapError)    # pcapy keeps them apart


def test_errors_can_be_sent_to_another_process():
    error = pickle.loads(pickle.dumps(hugepcap.PcapError("text")))
    assert type(error) is hugepcap.PcapError and str(error) == "text"
