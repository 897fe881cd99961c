"""One kept-alive connection to a server of WeChat's, whose timeouts are for the whole of what they are about.

As they come, a connect timeout is for each address of a name, and a read timeout for each packet: a server that sends
a byte now and then would be waited for without end.
"""

import io
import socket
import time
from http.client import HTTPResponse
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


def wechat_session() -> requests.Session:
    """A session that neither a proxy nor a netrc of the machine touches: they must not see a signed request."""
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", _Adapter())
    session.mount("http://", _Adapter())
    return session


class _Until(io.RawIOBase):
    """What comes from a socket, until a time: then TimeoutError, whatever has come before."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._file = sock.makefile("rb", buffering=0)
        self._whole = sock.gettimeout()
        self._ends_at = time.monotonic() + (self._whole or 0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._whole is not None:
            left = self._ends_at - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            self._sock.settimeout(left)
        try:
            return self._file.readinto(buffer)
        finally:
            self._sock.settimeout(self._whole)  # for the next request on this connection

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


class _Whole(HTTPResponse):
    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp.close()
        self.fp = io.BufferedReader(_Until(sock))


class _EachAddress:
    """The time to connect is shared by all addresses of the name."""

    response_class: Any = _Whole

    def _new_conn(self: Any) -> socket.socket:
        whole = self.timeout
        try:
            addresses = socket.getaddrinfo(self._dns_host, self.port, type=socket.SOCK_STREAM)
        except OSError:
            addresses = []  # the connection says what is wrong with the name
        self.timeout = whole / max(len(addresses), 1)
        try:
            return super()._new_conn()  # type: ignore[misc, no-any-return]
        finally:
            self.timeout = whole


class _Plain(_EachAddress, HTTPConnection): ...


class _Encrypted(_EachAddress, HTTPSConnection): ...


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _EncryptedPool(HTTPSConnectionPool):
    ConnectionCls = _Encrypted


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _EncryptedPool}
