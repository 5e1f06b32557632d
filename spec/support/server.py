"""A web server on 127.0.0.1 for specs: serves a folder, with ranges unless the path is below /plain.

usage: server.py FOLDER     prints its port and a line for each request; GET /quit ends it, as do 60 seconds
/redirect/NAME answers with the address of /NAME; /endless never ends.
"""
import os
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path == "/quit":
            self.answer(200, b"bye")
            threading.Thread(target=self.server.shutdown).start()
            return
        span = self.headers.get("Range")
        print(self.path, span, flush=True)
        name = self.path.split("/")[-1]
        if self.path.startswith("/redirect/"):
            self.answer(302, b"", Location="/" + name)
            return
        if self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"x" * 65536)
            except OSError:
                return
        path = os.path.join(sys.argv[1], name)
        if not os.path.isfile(path):
            self.answer(404, b"")
            return
        with open(path, "rb") as file:
            data = file.read()
        start = int(re.match(r"bytes=(\d+)-", span)[1]) if span else 0
        if start == 0 or self.path.startswith("/plain/"):
            self.answer(200, data)
        elif start >= len(data):
            self.answer(416, b"")
        else:
            here = "bytes %d-%d/%d" % (start, len(data) - 1, len(data))
            self.answer(206, data[start:], **{"Content-Range": here})

    def answer(self, status, body, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            pass  # the client has heard enough


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
stop = threading.Timer(60, server.shutdown)
stop.daemon = True
stop.start()
print(server.server_port, flush=True)
server.serve_forever(0.05)
