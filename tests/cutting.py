"""Stands between a client and its server, and cuts their connection where a test says."""

from __future__ import annotations

import contextlib
import select
import socket
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_READY_FOR_QUERY = b"Z\x00\x00\x00\x05"


class Cutter:
    """Forwards to a server's Unix socket; cuts one message of a client:
    before the server gets it, or once it is answered.

    Attributes
    ----------
    messages : list of bytes
        The queries of all clients since it was armed last.
    passed : dict
        How many bytes of "client" and "server" have passed since then, those of logging in among them.
    cuts : int
        How many connections it has cut.
    closed : bool
        It lets no new connection in.
    """

    def __init__(self, folder: str, server_folder: Path) -> None:
        self.folder = folder
        self.cuts = 0
        self._upstream = f"{server_folder}/.s.PGSQL.5432"
        self._lock = threading.Lock()
        self.arm(0, before=False)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"{folder}/.s.PGSQL.5432")
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(
        self,
        number: int,
        *,
        before: bool = False,
        part: float | None = None,
        for_good: bool = False,
        strike: Callable[[], object] | None = None,
    ) -> None:
        """Cut at this query, counted from 1; 0: never. part: when this part of it has passed. for_good: and let no one
        in from then on. strike: called instead of cutting."""
        self._number, self._text, self._before, self._for_good, self._strike = number, None, before, for_good, strike
        self.messages: list[bytes] = []
        self.cut = self.closed = False
        self.passed = {"client": 0, "server": 0}
        self._cut_after: dict[str, int] = {}
        self._part = part

    def arm_at(self, text: bytes, *, before: bool = False, for_good: bool = False) -> None:
        """Cut at the next message that holds this text."""
        self.arm(0, before=before, for_good=for_good)
        self._text: bytes | None = text

    def arm_at_byte(self, number: int, *, of: str) -> None:
        """Cut when so many bytes of the client, or of the server, have passed."""
        self.arm(0)
        self._cut_after = {of: number}

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.closed:
                    client.close()
                else:
                    threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX)
        with contextlib.suppress(OSError), client, server:
            server.connect(self._upstream)
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    data = ready.recv(65536)
                    if not data:
                        return
                    target = server if ready is client else client
                    passing = self._passing("client" if ready is client else "server", len(data))
                    if passing is not None:
                        target.sendall(data[:passing])
                        return
                    if ready is client and self._is_the_one(data):
                        if self._strike is None:
                            self._cut(client, server, data)
                            return
                        self._strike()
                    target.sendall(data)

    def _is_the_one(self, data: bytes) -> bool:
        with self._lock:
            # a query: what logs in or says good-bye is none, and who blocks is asked beside it, by a clock
            if data[:1] in (b"Q", b"P") and b"pg_blocking_pids" not in data:
                self.messages.append(data)
                found = len(self.messages) == self._number
            else:
                found = False
            if self._text is not None and self._text in data:
                self._text = None
                found = True
            if found:
                self.cut, self.closed = True, self._for_good
                self.cuts += self._strike is None
            return found

    def _passing(self, of: str, size: int) -> int | None:
        """How many of these bytes still pass, where it is to be cut among them; None: all of them."""
        with self._lock:
            before = self.passed[of]
            self.passed[of] += size
            if self.passed[of] < self._cut_after.get(of, sys.maxsize):
                return None
            passing = self._cut_after.pop(of) - before
            self.cut = True
            self.cuts += 1
            return max(passing, 0)

    def _cut(self, client: socket.socket, server: socket.socket, data: bytes) -> None:
        if self._part is not None:
            server.sendall(data[: int(len(data) * self._part)])
        elif not self._before:
            server.sendall(_whole(client, data))
            client.close()
            server.settimeout(10)
            received = b""
            while _READY_FOR_QUERY not in received and (more := server.recv(65536)):
                received += more


def _whole(client: socket.socket, data: bytes) -> bytes:
    """All of the messages of which this is the beginning: a long one comes in parts."""
    place = 0
    while place < len(data):
        while len(data) < place + 5:
            data += client.recv(65536)
        place += 1 + int.from_bytes(data[place + 1 : place + 5], "big")
        while len(data) < place:
            data += client.recv(65536)
    return data
