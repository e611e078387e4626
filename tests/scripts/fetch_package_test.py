"""scripts/fetch_package.py against a package index of our own on the loopback: whole, broken, damaged and absent files."""
import hashlib
import http.server
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import unittest

SCRIPT = os.path.join(os.path.dirname(__file__), "..", "..", "scripts", "fetch_package.py")
NAME = "thing-1.0-py3-none-any.whl"
CONTENT = random.Random(1).randbytes(3 << 20)
HASH = hashlib.sha256(CONTENT).hexdigest()


class Index(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.requests.append((self.path, dict(self.headers)))
        if server.password and not (self.headers.get("Authorization") or "").startswith("Basic "):
            return self.send_error(401)
        if self.path == "/simple/thing/":
            page = f'<a href="/other">x</a><a href="../../files/{NAME}#sha256=0">{NAME}</a>'.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            return self.wfile.write(page)
        if self.path != f"/files/{NAME}":
            return self.send_error(404)
        begin = 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if asked and server.ranges:
            begin = int(asked[1])
            if begin >= len(server.content):
                return self.send_error(416)
        self.send_response(206 if asked and server.ranges else 200)
        self.send_header("Content-Length", str(len(server.content) - begin))
        self.end_headers()
        # A connection that breaks: the promised length does not come.
        self.wfile.write(server.content[begin:begin + server.breaks.pop(0)] if server.breaks else server.content[begin:])
        self.close_connection = True

    def log_message(self, *_):
        pass


class FetchPackage(unittest.TestCase):
    def setUp(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index)
        self.server.content, self.server.breaks, self.server.requests = CONTENT, [], []
        self.server.ranges, self.server.password = True, False
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, NAME)

    def tearDown(self):
        self.server.shutdown()
        self.server.server_close()
        self.folder.cleanup()

    def fetch(self, name=NAME, user=""):
        environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
        environment["PIP_INDEX_URL"] = f"http://{user}127.0.0.1:{self.server.server_port}/simple"
        return subprocess.run([sys.executable, SCRIPT, "thing", name, HASH, self.folder.name], env=environment,
                              capture_output=True, text=True, timeout=60)

    def files(self):
        return [path for path, _ in self.server.requests if path.startswith("/files/")]

    def check_whole(self, run):
        self.assertEqual(run.returncode, 0, run.stderr)
        with open(self.path, "rb") as file:
            self.assertEqual(file.read(), CONTENT)
        self.assertFalse(os.path.exists(self.path + ".part"))

    def test_fetches_once(self):
        self.check_whole(self.fetch())
        self.check_whole(self.fetch())
        self.assertEqual(len(self.files()), 1)

    def test_goes_on_after_a_break_in_the_same_run(self):
        self.server.breaks = [1 << 20]
        self.check_whole(self.fetch())
        self.assertEqual([headers.get("Range") for path, headers in self.server.requests if path.startswith("/files/")],
                         [None, f"bytes={1 << 20}-"])

    def test_goes_on_where_another_run_was_ended(self):
        with open(self.path + ".part", "wb") as file:
            file.write(CONTENT[:2 << 20])
        self.check_whole(self.fetch())
        self.assertEqual(self.server.requests[-1][1].get("Range"), f"bytes={2 << 20}-")

    def test_starts_anew_where_the_server_knows_no_ranges(self):
        self.server.ranges = False
        with open(self.path + ".part", "wb") as file:
            file.write(CONTENT[:2 << 20])
        self.check_whole(self.fetch())

    def test_a_whole_part_needs_no_download(self):
        with open(self.path + ".part", "wb") as file:
            file.write(CONTENT)
        self.check_whole(self.fetch())

    def test_a_damaged_part_is_fetched_anew(self):
        with open(self.path + ".part", "wb") as file:
            file.write(b"x" * (1 << 20))
        self.check_whole(self.fetch())

    def test_a_damaged_file_in_the_cache_is_fetched_anew(self):
        with open(self.path, "wb") as file:
            file.write(CONTENT[:-1])
        self.check_whole(self.fetch())

    def test_another_content_is_refused(self):
        self.server.content = CONTENT[:-1] + b"!"
        run = self.fetch()
        self.assertEqual(run.returncode, 1)
        self.assertIn("another hash", run.stderr)
        self.assertFalse(os.path.exists(self.path))

    def test_an_absent_file_is_named(self):
        run = self.fetch("thing-2.0-py3-none-any.whl")
        self.assertEqual(run.returncode, 1)
        self.assertIn("the package index has no thing-2.0-py3-none-any.whl", run.stderr)
        self.assertNotIn("Traceback", run.stderr)

    def test_user_and_password_of_the_index(self):
        self.server.password = True
        self.assertIn("answers 401", self.fetch().stderr)
        self.check_whole(self.fetch(user="anna:secret@"))

    def test_two_runs_at_once_fetch_once(self):
        runs = []
        threads = [threading.Thread(target=lambda: runs.append(self.fetch())) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for run in runs:
            self.check_whole(run)
        self.assertEqual(len(self.files()), 1)


if __name__ == "__main__":
    unittest.main()
