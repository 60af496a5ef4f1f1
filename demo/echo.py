"""The API of docker-compose.yml: prints every call, answers 200. Standard library only.

`docker compose logs -f echo` shows what rowhook sends. To show retries and a dead letter, the answer for order 13 is 503 and for
order 404 it is 404.
"""

import http.server
import sys
import threading

# Calls come side by side, and their lines must not run together.
printing = threading.Lock()


class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode("utf-8", "replace")
        last = self.path.split("?")[0].rsplit("/", 1)[-1]
        status = {"13": 503, "404": 404}.get(last, 200)
        line = f"{status}  {self.command} {self.path}  {self.headers.get('Idempotency-Key', '-')}  {body}\n"
        with printing:
            # The end of the line goes out with it: `print` writes it by itself.
            sys.stdout.write(line)
            sys.stdout.flush()
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8088
    # Loopback only: rowhook shares this network.
    http.server.ThreadingHTTPServer(("127.0.0.1", port), Echo).serve_forever()
