"""A proxy on a free port of the loopback that keeps what is asked through it, and cuts connections on request."""
import re
import socket
import threading


class TcpProxy:
    """Passes bytes on between clients and a port of the loopback; a thread for each direction of a connection."""

    def __init__(self, upstream_port=0):
        # May be set later: who is behind it may have to know its port first.
        self.upstream_port = upstream_port
        self._lock = threading.Lock()
        self._refusing = False
        self._open = set()
        self._asked = []  # What each connection has sent.
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self):
        """Breaks all connections, and each that comes until restore()."""
        with self._lock:
            self._refusing = True
            for s in self._open:
                _shut(s)

    def restore(self):
        with self._lock:
            self._refusing = False

    def requests(self):
        """Heads of HTTP/1.1's requests without a body, as far as they have come, of all connections, the oldest first."""
        with self._lock:
            asked = [bytes(sent).decode("latin-1") for sent in self._asked]
        return [head for sent in asked for head in re.findall(r"(?s)(?:GET|OPTIONS) .*?\r\n\r\n", sent)]

    def close(self):
        self.cut()
        _shut(self._listener)
        self._listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if self._refusing:
                    client.close()
                    continue
                try:
                    server = socket.create_connection(("127.0.0.1", self.upstream_port))
                except OSError:
                    client.close()
                    continue
                sent = bytearray()
                self._asked.append(sent)
                self._open |= {client, server}
            for source, sink, record in ((client, server, sent), (server, client, None)):
                threading.Thread(target=self._pass_on, args=(source, sink, record), daemon=True).start()

    def _pass_on(self, source, sink, record):
        try:
            while data := source.recv(65536):
                if record is not None:
                    with self._lock:
                        record += data
                sink.sendall(data)
        except OSError:
            pass
        _shut(sink)
        # Each thread closes what it reads from, and wakes the other by what it writes to.
        with self._lock:
            self._open.discard(source)
            _shut(source)
            source.close()


def _shut(s):
    try:
        s.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
