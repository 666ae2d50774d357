"""A web server of a few lines for the supervisor's tests: 200 on /readyz, the environment on /environ."""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = (
            json.dumps({"environ": dict(os.environ), "pid": os.getpid()}).encode() if self.path == "/environ" else b""
        )
        self.send_response(200 if self.path in {"/readyz", "/environ"} else 404)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
