"""The web hosts that the shipped tools are sent to: pages, issues as GitHub serves them, and letters.

    upstream.py PORT_FILE KEY_FILE

Listens on loopback and writes its port into PORT_FILE. The operator's configuration binds the names `pages.test` and
`api.github.com` to it; which of them is meant it reads in `Host`. Issues are for whoever has the key of KEY_FILE alone.
Letters are taken for one address alone, by `mail.test`.
`GET /seen` on its own address tells what it was asked, as JSON: {"pages": 1, "issues": 2, "issues without the key": 0, …}.
"""

import collections
import http.server
import json
import os
import sys
import threading

PORT_FILE, KEY_FILE = sys.argv[1:]
BODY_BYTES_MAX = 1024 * 1024
PAGE = "<title>About {name}</title><h1>{name}</h1><p>She wrote the first program.</p>"
WHEN = "2026-01-02T03:04:05Z"
# To whom letters are: what the tool has in its place is a handle.
ADDRESS = "ada@example.org"

with open(KEY_FILE, encoding="ascii") as file:
    KEY = file.read().strip()

lock = threading.Lock()
seen = collections.Counter({"pages": 0, "issues": 0, "issues without the key": 0, "letters": 0, "letters to nobody": 0})
issues = []


def issue(number, title):
    url = f"https://github.com/acme/site/issues/{number}"
    made = {"id": number, "number": number, "title": title, "state": "open", "user": {"login": "ada"}}
    return made | {"labels": [], "comments": 0, "updated_at": WHEN, "html_url": url, "body": "It shows nothing."}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, kind, body):
        body = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def as_json(self, status, value):
        self.answer(status, "application/json; charset=utf-8", json.dumps(value))

    def count(self, what):
        with lock:
            seen[what] += 1

    def tracker(self, body):
        """What the tool `issues` uses of the API."""
        if self.headers.get("Authorization") != f"Bearer {KEY}":
            self.count("issues without the key")
            return self.as_json(401, {"message": "Bad credentials"})
        self.count("issues")
        if self.path.split("?")[0] != "/repos/acme/site/issues":
            return self.as_json(404, {"message": "Not Found"})
        with lock:
            if body is not None:
                issues.append(issue(len(issues) + 1, body["title"]))
                return self.as_json(201, issues[-1])
            return self.as_json(200, issues[::-1])

    def letter(self, body):
        """Says back to whom it is, as hosts do."""
        known = body is not None and body.get("to") == ADDRESS
        self.count("letters" if known else "letters to nobody")
        self.answer(202 if known else 422, "text/plain; charset=utf-8", f"Accepted for {body and body.get('to')}")

    def serve(self, body=None):
        host = self.headers.get("Host", "").split(":")[0]
        if host == "api.github.com":
            self.tracker(body)
        elif host == "mail.test":
            self.letter(body)
        elif host == "pages.test" and body is None:
            self.count("pages")
            self.answer(200, "text/html; charset=utf-8", PAGE.format(name=self.path.strip("/").title()))
        elif host == "127.0.0.1" and self.path == "/seen":
            self.as_json(200, seen)
        else:
            self.as_json(404, {"message": "Not Found"})

    def do_GET(self):
        self.serve()

    def body(self):
        """The body, which comes in chunks (RFC 9112 §7.1) or with its length before it."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(min(int(self.headers.get("Content-Length", 0)), BODY_BYTES_MAX))
        body = b""
        while (size := int(self.rfile.readline(), 16)) and len(body) + size <= BODY_BYTES_MAX:
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def do_POST(self):
        self.serve(json.loads(self.body()))

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
with open(f"{PORT_FILE}.new", "w", encoding="ascii") as file:
    file.write(str(server.server_port))
os.rename(f"{PORT_FILE}.new", PORT_FILE)
server.serve_forever()
